# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""What a VMDK says about other files, in its descriptor: they are taken along only under the names that VMware's tools give them."""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.formats import SECTOR
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused

#: Bytes of a descriptor; those of VMware's tools have 20 sectors at most.
_LONGEST = 1 << 16
#: Of 2 GB or more each.
_MOST_EXTENTS = 512
#: VMware Virtual Disk Format 1.1, "The Extent Descriptions": access, sectors, type, file name.
_EXTENT = re.compile(r'^[ \t]*(?:RW|RDONLY|NOACCESS)[ \t]+\d+[ \t]+(\w+)(?:[ \t]+"([^"]*)")?', re.MULTILINE)
_FILES = ("FLAT", "SPARSE", "VMFS", "VMFSSPARSE")
_PARENT = re.compile(r"^[ \t]*parentCID[ \t]*=[ \t]*([0-9a-f]+)", re.MULTILINE | re.IGNORECASE)
_NO_PARENT = "ffffffff"
#: In the header of a sparse extent (SparseExtentHeader): where its sectors with the descriptor begin, and how many they are.
_DESCRIPTOR_AT = slice(28, 36)
_DESCRIPTOR_SECTORS = slice(36, 44)


def extents(path: str, named: str) -> list[str]:
    """Return the names of the files that hold the data of the descriptor at *path*, which lie beside it.

    Args:
        path: of the descriptor.
        named: its name, from which theirs follow, as in messages.

    Raises:
        Refused: it depends on another image, or on what no image of VMware's own tools depends on.
    """
    with open(path, "rb") as handle:
        text = _checked(handle.read(_LONGEST + 1), named)
    stem, ending = os.path.splitext(os.path.basename(named))
    # No other file of that directory gets into a guest, whatever an image says.
    usual = re.compile(rf"{re.escape(stem)}-(?:flat|[fs]\d{{3,}}){re.escape(ending)}")
    found: list[str] = []
    for kind, name in _EXTENT.findall(text):
        if kind.upper() == "ZERO":
            continue
        if kind.upper() not in _FILES:
            raise Refused(f"{named} is a VMDK with an extent of type {kind[:40]}, which is no file; give an image that stands alone.")
        if not usual.fullmatch(name):
            raise Refused(
                f"{named} is a VMDK whose data is to be in {name[:200]!r}; only files beside it are taken that are named after it, such as "
                f"{stem}-flat{ending}: give them their names, or make one file of it first (qemu-img convert -f vmdk -O qcow2)."
            )
        found.append(name)
    if not found:
        raise Refused(f"{named} is the description of a VMDK without any data.")
    if len(found) > _MOST_EXTENTS:
        raise Refused(f"{named} is a VMDK of {len(found)} files; at most {_MOST_EXTENTS} are taken.")
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


def sizes(directory: str, names: t.Iterable[str]) -> dict[str, os.stat_result]:
    """Return the states of extents by name; raise Refused if one is missing or is no regular file of that directory itself."""
    found = {}
    for name in names:
        path = os.path.join(directory, name)
        try:
            state = os.lstat(path)
        except OSError as exc:
            raise Refused(f"{path} cannot be read on this RM: {exc.strerror}. It holds data of the VMDK beside it.") from exc
        if not os.path.isfile(path) or os.path.islink(path):
            raise Refused(f"{path} is not a regular file; it is to hold data of the VMDK beside it.")
        found[name] = state
    return found
