# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What of an instance outlasts a power cut, and which memory images are believed after one.

Nothing is flushed while a guest stands still. So the document of an instance says C(unflushed), with the boot of the RM that this was in, from before its
memory image appears until the image and all beside it were flushed. In the same boot the page cache has all of it. In a later one nobody knows how much of the
image reached the disk: it is dropped, for it was reported to nobody, and whoever sent it holds everything until it was. Of what came from another RM its disks
are not believed either, unless they were written to so much later that the kernel had long flushed what came.
"""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import files
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places


#: Seconds after which the kernel has flushed what nobody asked it to: twice vm.dirty_expire_centisecs, as usual, and one round of its flusher.
LONG = 65.0


def unflushed() -> dict[str, str]:
    """Return what the document of an instance says while its memory image is not flushed."""
    return {"unflushed": files.boot()}


def adopted() -> dict[str, t.Any]:
    """Return what the document of an instance says while nothing of it is flushed, for it has just come from another RM."""
    return {**unflushed(), "adopted": time.time()}


def doubtful(document: t.Mapping[str, t.Any]) -> bool:
    """Whether the RM has failed before the memory image of the instance with this document was flushed."""
    return document.get("unflushed") is not None and document["unflushed"] != files.boot()


def torn(places: Places, name: str, document: t.Mapping[str, t.Any]) -> bool:
    """Whether the disks of an instance may not be whole: the RM has failed before they were flushed, and soon after they had come."""
    if not doubtful(document) or "adopted" not in document:
        return False
    disks = [places.overlay(name, disk["name"]) for disk in document["manifest"]["disks"]]
    written = [os.stat(disk).st_mtime for disk in disks if os.path.exists(disk)]
    return not written or max(written) < document["adopted"] + LONG


def flush(places: Places, name: str) -> None:
    """Flush all files of an instance, its directory, and its name to the disk; whoever needs it to last waits for that, its guest does not.

    What QEMU has in its own memory is not a matter of this: it has flushed that itself when a guest ended, or when its disks had arrived by NBD.

    Raises:
        CommandFailed: the disk failed.
    """
    try:
        for entry in os.scandir(places.directory(name)):
            # A log may be rotated away, and what a guest that came to life leaves behind be gone.
            if entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    files.sync(entry.path)
        believe(places, name)
        flush_names(places, name)
    except OSError as exc:
        raise CommandFailed(f"The disk of this RM could not keep {name}: {exc.strerror}.") from exc


def flush_names(places: Places, name: str) -> None:
    """Flush which files an instance has, and that it is there."""
    files.sync(places.directory(name))
    files.sync(places.instances())


def believe(places: Places, name: str) -> None:
    """Note that there is nothing of an instance that would have to be flushed first."""
    document = files.read_json(places.document(name)) or {}
    if document.pop("unflushed", None) is not None:
        document.pop("adopted", None)
        files.write_json(places.document(name), document)
