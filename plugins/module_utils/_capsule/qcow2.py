# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""The header of a qcow2 image from a stranger: whether it says that the image stands alone, and is whole."""

from __future__ import annotations

import os
import struct
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.manifest import LARGEST
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused

#: docs/interop/qcow2.txt of QEMU: magic, version, backing file's offset and size, cluster bits, size, encryption, entries and offset of the L1 table,
#: offset and clusters of the refcount table, snapshots and their offset; from version 3 on the incompatible features.
_HEADER = struct.Struct("!4sIQIIQIIQQIIQ")
_FEATURES = struct.Struct("!Q")
_EXTERNAL_DATA_FILE = 1 << 2
_CORRUPT = 1 << 1
#: docs/interop/qcow2.txt: 512 bytes to 2 MiB.
_CLUSTER_BITS = range(9, 22)
_NO_ENCRYPTION = 0
_CUT_OFF = "a copy or a download may not have ended: get it again"


class Header(t.NamedTuple):
    """What counts of the header: the guest's disk size in bytes."""

    virtual_size: int


def read(path: str, named: str) -> Header:
    """Read the header of the qcow2 image at *path*, called *named* in messages, and open nothing that it refers to.

    Raises:
        Refused: it depends on another file, is encrypted, is no disk, or the file is shorter than the header says.
    """
    with open(path, "rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        head = handle.read(_HEADER.size + _FEATURES.size)
    if len(head) < _HEADER.size:
        raise Refused(f"{named} is a damaged qcow2 image: its header is cut off, so {_CUT_OFF}.")
    _magic, version, backing, _backing_size, bits, virtual, encryption, l1_entries, l1_at, counts_at, counts, _number, _snapshots = _HEADER.unpack_from(head)
    features = _FEATURES.unpack_from(head, _HEADER.size)[0] if version >= 3 and len(head) >= _HEADER.size + _FEATURES.size else 0
    if version not in (2, 3):
        raise Refused(f"{named} is a qcow2 image of version {version}; 2 and 3 are known.")
    if backing:
        raise Refused(f"{named} depends on another image (a backing file); flatten it with qemu-img convert first.")
    if features & _EXTERNAL_DATA_FILE:
        raise Refused(f"{named} keeps its data in another file; flatten it with qemu-img convert first.")
    if encryption != _NO_ENCRYPTION:
        raise Refused(f"{named} is encrypted; decrypt it with qemu-img convert first, for nobody gives a key when a guest starts here.")
    if features & _CORRUPT:
        raise Refused(f"{named} is a damaged qcow2 image: QEMU has marked it as corrupt; mend it with qemu-img check -r all, and look at what is left.")
    if bits not in _CLUSTER_BITS:
        raise Refused(f"{named} is a damaged qcow2 image: its header tells of clusters of 2^{bits} bytes.")
    if not 512 <= virtual <= LARGEST:
        raise Refused(f"{named} cannot be a disk: it has {virtual} bytes; 512 to {LARGEST} can be.")
    end = max(l1_at + l1_entries * 8, counts_at + (counts << bits))
    # The last cluster of a file need not be a whole one.
    if end - (1 << bits) >= size:
        raise Refused(f"{named} is a qcow2 image that is cut off: its tables end at byte {end}, and the file at {size}; {_CUT_OFF}.")
    return Header(virtual)
