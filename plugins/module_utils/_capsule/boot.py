# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Why the disk of a capsule that is in the store does not boot here."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import contents, conversion, workroom
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError


def obstacle(store: Store, manifest: t.Mapping[str, t.Any]) -> str | None:
    """Return why no guest of a capsule can boot from its first disk, as a part of a sentence; None where it may, need not, or nobody can say."""
    if manifest["boot"] or manifest["memory"] or not manifest["disks"]:
        return None
    disk = manifest["disks"][0]
    try:
        with workroom.workroom(store.work) as room:
            os.link(store.blob_path(disk["blob"]["sha256"]), os.path.join(room.inside, conversion.IMAGE))
            return contents.obstacle(contents.look(conversion.head(room, disk["name"])), disk["name"])
    except (MeshError, OSError):
        return None
