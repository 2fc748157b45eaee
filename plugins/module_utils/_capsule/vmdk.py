# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""What a VMDK says about other files, in its descriptor: they are taken along only under the names that VMware's tools give them."""

from __future__ import annotations

import os
import re
import stat
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import cut_off
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.formats import SECTOR
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused

#: Bytes of a descriptor; those of VMware's tools have 20 sectors at most.
_LONGEST = 1 << 16
#: Of 2 GB or more each.
_MOST_EXTENTS = 512
#: VMware Virtual Disk Format 1.1, "The Extent Descriptions": access, sectors, type, file name, and where a flat one begins in it (sectors).
_EXTENT = re.compile(r'^[ \t]*(?:RW|RDONLY|NOACCESS)[ \t]+(\d{1,15})[ \t]+(\w+)(?:[ \t]+"([^"]*)")?(?:[ \t]+(\d{1,15}))?', re.MULTILINE)
_FLAT, _SPARSE = ("FLAT", "VMFS"), ("SPARSE", "VMFSSPARSE")
_PARENT = re.compile(r"^[ \t]*parentCID[ \t]*=[ \t]*([0-9a-f]+)", re.MULTILINE | re.IGNORECASE)
_NO_PARENT = "ffffffff"
#: In the header of a sparse extent (SparseExtentHeader): where its sectors with the descriptor begin, and how many they are.
_DESCRIPTOR_AT = slice(28, 36)
_DESCRIPTOR_SECTORS = slice(36, 44)


class Extent(t.NamedTuple):
    """A file that holds data of a VMDK: its name, the bytes that it must have, and whether it is a sparse VMDK itself."""

    name: str
    size: int
    sparse: bool


def extents(path: str) -> list[Extent]:
    """Return the files that hold the data of the description at *path*, and lie beside it.

    Raises:
        Refused: it depends on another image, or on what no image of VMware's own tools depends on; a file is missing, or cut off.
    """
    with open(path, "rb") as handle:
        text = _checked(handle.read(_LONGEST + 1), path)
    stem, ending = os.path.splitext(os.path.basename(path))
    # No other file of that directory gets into a guest, whatever an image says.
    usual = re.compile(rf"{re.escape(stem)}-(?:flat|[fs]\d{{3,}}){re.escape(ending)}")
    found: list[Extent] = []
    for sectors, kind, name, start in _EXTENT.findall(text):
        if kind.upper() == "ZERO":
            continue
        if kind.upper() not in (*_FLAT, *_SPARSE):
            raise Refused(f"{path} is a VMDK with an extent of type {kind[:40]}, which is no file; give an image that stands alone.")
        if not usual.fullmatch(name):
            raise Refused(
                f"{path} is a VMDK whose data is to be in {name[:200]!r}; only files beside it are taken that are named after it, such as "
                f"{stem}-flat{ending}: give them their names, or make one file of it first (qemu-img convert -f vmdk -O qcow2)."
            )
        found.append(Extent(name, (int(sectors) + int(start or 0)) * SECTOR if kind.upper() in _FLAT else 0, kind.upper() in _SPARSE))
    if not found:
        raise Refused(f"{path} is the description of a VMDK without any data.")
    if len(found) > _MOST_EXTENTS:
        raise Refused(f"{path} is a VMDK of {len(found)} files; at most {_MOST_EXTENTS} are taken.")
    for extent in found:
        _refuse_unfit(os.path.join(os.path.dirname(path), extent.name), extent)
    return found


def refuse_dependent(path: str, named: str) -> None:
    """Raise Refused if the descriptor within the sparse VMDK at *path*, called *named*, tells of another file."""
    with open(path, "rb") as handle:
        head = handle.read(SECTOR)
        start = int.from_bytes(head[_DESCRIPTOR_AT], "little") * SECTOR
        length = int.from_bytes(head[_DESCRIPTOR_SECTORS], "little") * SECTOR
        if not head.startswith(b"KDMV") or not start:
            return
        handle.seek(min(start, os.fstat(handle.fileno()).st_size))
        _checked(handle.read(min(length, _LONGEST)), named)


def _checked(content: bytes, named: str) -> str:
    text = content.partition(b"\0")[0].decode("utf-8", "replace")
    if len(content) > _LONGEST:
        raise Refused(f"{named} has a description of more than {_LONGEST} bytes, as no VMDK has.")
    parent = _PARENT.search(text)
    if parent and parent.group(1).lower() != _NO_PARENT:
        raise Refused(f"{named} is a snapshot: it depends on another VMDK; flatten it first (qemu-img convert -f vmdk -O qcow2, beside its parents).")
    return text


def _refuse_unfit(path: str, extent: Extent) -> None:
    try:
        state = os.lstat(path)
    except OSError as exc:
        raise Refused(f"{path} cannot be read on this RM: {exc.strerror}; it holds data of the VMDK beside it.") from exc
    if not stat.S_ISREG(state.st_mode):
        raise Refused(f"{path} is not a regular file; it is to hold data of the VMDK beside it.")
    if state.st_size < extent.size:
        raise Refused(f"{path} is cut off: it is to have {extent.size} bytes, and has {state.st_size}; a copy or a download may not have ended: get it again.")
    if extent.sparse:
        refuse_dependent(path, path)
        cut_off.refuse(path, "vmdk", path)
