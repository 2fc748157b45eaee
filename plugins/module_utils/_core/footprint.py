# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The disk space of instances on an RM: what they may come to occupy, and how much of that they do not occupy yet.

An instance was promised that all of its overlays can grow to the sizes of their disks, and that its memory fits beside them when it is suspended. What
else is written to the same file system must leave that room.

Thin disks seldom grow to their sizes. Where the operator says so, disks are overcommitted: of what may come to be occupied only a part is kept.
"""

from __future__ import annotations

import glob
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json

DOCUMENT = "instance.json"
MEMORY = "memory.save"
#: Holds the number of times that the room on disk may be promised; written by the role of RMs, and readable by who receives for them.
OVERCOMMIT = "/etc/vmatrix/disk-overcommit"
#: Of a file system less than this is left when it gets tight.
TIGHT = 0.1
#: Of what arrives alive; who sends it asks for its room while it is there already.
COMING = "coming"


def overlay(disk: str) -> str:
    """Return the name of the file that holds what an instance has written to its disk *disk*."""
    return f"disk-{names.label('disk', disk)}.qcow2"


def most(manifest: t.Mapping[str, t.Any]) -> int:
    """Return how many bytes an instance may come to occupy beside the blobs of its capsule, which has this checked *manifest*."""
    return sum(disk["virtual_size"] for disk in manifest["disks"]) + (manifest["machine"]["memory_mib"] << 20)


def occupied(path: str) -> int | None:
    """Return how many bytes a file occupies on its disk, or None when there is none."""
    try:
        return os.lstat(path).st_blocks * 512
    except FileNotFoundError:
        return None


def manifests(instances: str) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    """Yield the directory and the manifest of each instance in the directory *instances*, by name."""
    for path in sorted(glob.glob(os.path.join(glob.escape(instances), "*", DOCUMENT))):
        manifest = (read_json(path) or {}).get("manifest")
        if manifest:
            yield os.path.dirname(path), manifest


def overcommit() -> float:
    """Return how many times the room on disk may be promised here; 1 where nobody has said so."""
    try:
        with open(OVERCOMMIT, encoding="utf-8") as handle:
            return max(1.0, float(handle.read().split()[0]))
    except FileNotFoundError:
        return 1.0


def kept(count: int) -> int:
    """Return how many bytes are kept for something that may come to occupy *count*."""
    return int(count / overcommit())


def owed(instances: str, besides: str | None = None) -> int:
    """Return how many bytes the instances in the directory *instances* may still come to occupy, all but the one called *besides*."""
    return sum(_left(directory, manifest) for directory, manifest in manifests(instances) if os.path.basename(directory) != besides)


def promised(instances: str, besides: str | None = None) -> int:
    """Return how many bytes are kept for the instances in the directory *instances*, all but the one called *besides*."""
    return kept(owed(instances, besides))


def room(instances: str) -> dict[str, t.Any]:
    """Return how it stands with the file system of the directory *instances*.

    That is its C(size), what of it is C(free), and what instances may still come to occupy (C(owed)), in bytes; the C(overcommit); and whether it is
    C(tight): what is kept for instances is gone, or they may take more than there is and little is left.
    """
    found = os.statvfs(instances)
    size, free, still = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize, owed(instances)
    tight = free < kept(still) or free < min(still, int(size * TIGHT))
    return {"size": size, "free": free, "owed": still, "overcommit": overcommit(), "tight": tight}


def _left(directory: str, manifest: t.Mapping[str, t.Any]) -> int:
    if os.path.exists(os.path.join(directory, COMING)):
        return 0
    files = [MEMORY, *(overlay(disk["name"]) for disk in manifest["disks"])]
    return max(0, most(manifest) - sum(occupied(os.path.join(directory, name)) or 0 for name in files))
