# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""Whether images of other formats are whole, by their own tables: qemu-img reads zeros where VMDK, VDI and its own first format are cut off."""

from __future__ import annotations

import os
import struct
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.formats import SECTOR
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused

#: Bytes of a table that are looked at, at most.
_LONGEST = 64 << 20
#: VMware Virtual Disk Format 1.1, SparseExtentHeader, from its flags on: capacity and grain in sectors, the descriptor, entries of a grain table, the
#: redundant and the grain directory.
_VMDK = struct.Struct("<IQQQQIQQ")
_VMDK_AT = 8
_VMDK_COMPRESSED = 1 << 16
#: block/vdi.c of QEMU: offset of the data; size of a block; blocks in the file.
_VDI_DATA_AT, _VDI_BLOCK_AT, _VDI_ALLOCATED_AT = 344, 376, 388
#: block/qcow.c of QEMU: size, cluster bits, L2 bits; offset of the L1 table.
_QCOW1 = struct.Struct("!QBBHIQ")
_QCOW1_AT = 24
_QCOW1_COMPRESSED = 1 << 63


def refuse(path: str, kind: str, named: str) -> None:
    """Raise Refused if the image at *path* of this *kind*, called *named* in messages, refers to data behind its end, or its header makes no sense."""
    if kind not in _ENDS:
        return
    size = os.path.getsize(path)
    with open(path, "rb") as handle:
        try:
            begin = _ENDS[kind](handle, size)
        except (struct.error, OverflowError, ZeroDivisionError, MemoryError) as exc:
            raise Refused(f"{named} is a damaged image: its header makes no sense.") from exc
    if begin >= size:
        raise Refused(f"{named} is cut off: it has data at byte {begin}, and ends at byte {size}; a copy or a download may not have ended: get it again.")


def _vmdk(handle: t.BinaryIO, size: int) -> int:
    """Return where the last grain of a sparse extent begins (bytes)."""
    flags, capacity, grain, _at, _sectors, entries, _redundant, directory = _VMDK.unpack(_read(handle, _VMDK_AT, _VMDK.size))
    # What is compressed has markers, which QEMU misses.
    if flags & _VMDK_COMPRESSED or not capacity:
        return 0
    tables = set(_numbers(handle, directory * SECTOR, -(-capacity // (grain * entries)), "<I")) - {0}
    return SECTOR * max((max(_numbers(handle, table * SECTOR, entries, "<I"), default=size) for table in tables), default=0)


def _vdi(handle: t.BinaryIO, _size: int) -> int:
    """Return where the last block of a VDI begins (bytes)."""
    data, block, allocated = (_numbers(handle, at, 1, "<I")[0] for at in (_VDI_DATA_AT, _VDI_BLOCK_AT, _VDI_ALLOCATED_AT))
    return data + (allocated - 1) * block if allocated else 0


def _qcow1(handle: t.BinaryIO, size: int) -> int:
    """Return where the last cluster of an image of QEMU's first format begins (bytes)."""
    virtual, cluster, entries, _unused, _encryption, l1_at = _QCOW1.unpack(_read(handle, _QCOW1_AT, _QCOW1.size))
    if cluster > 21 or entries > 21:
        raise OverflowError
    tables = set(_numbers(handle, l1_at, -(-virtual >> (cluster + entries)) or 1, "!Q")) - {0}
    plain, packed = _QCOW1_COMPRESSED - 1, (1 << (63 - cluster)) - 1
    last = 0
    for table in tables:
        found = _numbers(handle, table, 1 << entries, "!Q")
        last = max(last, size if not found else max(number & (packed if number & _QCOW1_COMPRESSED else plain) for number in found))
    return last


_ENDS: dict[str, t.Callable[[t.BinaryIO, int], int]] = {"vmdk": _vmdk, "vdi": _vdi, "qcow1": _qcow1}


def _read(handle: t.BinaryIO, start: int, count: int) -> bytes:
    return os.pread(handle.fileno(), min(count, _LONGEST), start)


def _numbers(handle: t.BinaryIO, start: int, count: int, form: str) -> tuple[int, ...]:
    """Return a table of numbers; what the file does not have of it is missing."""
    width = struct.calcsize(form)
    content = _read(handle, start, count * width)
    return struct.unpack(f"{form[0]}{len(content) // width}{form[1]}", content[: len(content) // width * width])
