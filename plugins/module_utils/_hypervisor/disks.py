# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Overlays: what an instance writes, over a frozen base that it shares with others."""

from __future__ import annotations

import fcntl
import os
import pwd
import struct
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import footprint
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import QEMU_USER
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places

#: magic, version, backing file offset and size, cluster bits, size, ..., incompatible features
#: (https://www.qemu.org/docs/master/interop/qcow2.html)
QCOW2_HEADER = struct.Struct(">4sIQIIQ40xQ")
EXTERNAL_DATA_FILE = 1 << 2
#: ioctl_ficlone(2)
_FICLONE = 0x40049409
#: Seconds for copying an overlay.
_COPY_TIMEOUT = 3600.0
#: Bytes of a disk image's or save image's own bookkeeping, to be generous.
SLACK = 64 << 20


def create_overlay(path: str, base: str, base_format: str, virtual_size: int) -> None:
    """Create an empty qcow2 overlay at *path* over *base*; it appears whole.

    Args:
        path: the overlay's path.
        base: absolute path of the frozen base image; it is not looked into, since what its header says lies below it may be anything.
        base_format: C(qcow2) or C(raw); never guessed from the image.
        virtual_size: bytes that the guest sees.

    Raises:
        CommandFailed: qemu-img could not.
    """
    part = f"{path}.part"
    try:
        run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", base, "-F", base_format, part, str(int(virtual_size))])
        give_to_qemu(part)
        os.rename(part, path)
    finally:
        if os.path.exists(part):
            os.unlink(part)


def check_overlay(path: str, name: str, virtual_size: int) -> None:
    """Look at an overlay that came from elsewhere before QEMU does.

    Raises:
        Refused: it is no qcow2 image, has another size than disk *name*, or points QEMU to a data file of its choice.
    """
    with open(path, "rb") as handle:
        head = handle.read(QCOW2_HEADER.size)
    magic, version, size, features = b"", 0, 0, 0
    if len(head) == QCOW2_HEADER.size:
        magic, version, _offset, _length, _bits, size, features = QCOW2_HEADER.unpack(head)
    if magic != b"QFI\xfb" or version not in (2, 3):
        raise Refused(f"The overlay of disk {name} is no qcow2 image.")
    if version == 3 and features & EXTERNAL_DATA_FILE:
        raise Refused(f"The overlay of disk {name} refers to a data file outside of it.")
    if size != virtual_size:
        raise Refused(f"The overlay of disk {name} shows {size} bytes where the manifest says {virtual_size}.")


def give_to_qemu(path: str, mode: int = 0o600) -> None:
    """Let QEMU, and nobody else but root, read and write *path*. A host without libvirt's user keeps root as the owner."""
    os.chmod(path, mode)
    try:
        owner: t.Any = pwd.getpwnam(QEMU_USER)
    except KeyError:
        return
    os.chown(path, owner.pw_uid, owner.pw_gid)


def snapshot(path: str, target: str) -> None:
    """Make the existing file *target* a copy of the image *path*, which nobody writes to: one that shares its blocks where the file system can do that."""
    with open(path, "rb") as source, open(target, "r+b") as copy:
        try:
            fcntl.ioctl(copy, _FICLONE, source.fileno())
            return
        except OSError:
            pass
    run(["cp", "--sparse=always", path, target], timeout=_COPY_TIMEOUT)


def free_bytes(path: str) -> int:
    """Return how many bytes can still be written to the file system of *path*."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def require_room(places: Places, name: str, manifest: t.Mapping[str, t.Any]) -> None:
    """Raise Refused unless a fresh instance has room for what is kept for it, beside what is kept for others."""
    needed, free = footprint.kept(footprint.most(manifest)) + SLACK, free_bytes(places.root) - footprint.promised(places.instances(), besides=name)
    if free < needed:
        raise Refused(
            f"There is not enough disk space for {name}: {needed} bytes are to be kept for what it may come to take, and beside what is kept for other "
            f"instances {max(0, free)} are free below {places.root}."
        )


def require_promises(places: Places, name: str) -> None:
    """Raise Refused unless all that instances were promised is free, for instance *name*, which has to wait for that."""
    promised, free = footprint.promised(places.instances()), free_bytes(places.root)
    if free < promised:
        raise Refused(
            f"{name} cannot go on: {promised - free} bytes of what it and the other instances here may still take are missing below {places.root}. "
            "Make room there, and resume it again."
        )


def require_free(path: str, needed: int, what: str) -> None:
    """Raise Refused unless *needed* bytes are free where *path* lies; *what* is what they are for."""
    free = free_bytes(path)
    if free < needed:
        raise Refused(f"There is not enough disk space for {what}: it takes {needed} bytes, and {free} are free below {path}.")
