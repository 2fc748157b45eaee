# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""Where a disk comes from: a file of the RM or a URL, packed or in an appliance or neither; and how it becomes an image that can be believed."""

from __future__ import annotations

import hashlib
import json
import os
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import (
    appliance,
    contents,
    conversion,
    cut_off,
    fetch,
    formats,
    image,
    manifest,
    qcow2,
    sandbox,
    sparse,
    unpack,
    vmdk,
)
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.progress import Progress
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import files
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, InvalidInput, Refused

#: Bytes that a raw disk has at least: smaller ones hold neither a system nor data.
SMALLEST = 1 << 20
#: Bytes of holes that an image may have.
MOST_HOLES = 64 << 20
#: Of a VHD's footer and its copy at the start: the type, of which 4 is a disk that differs from another one.
_VHD_TYPE, _VHD_DIFFERENCING = slice(60, 64), 4
#: Of a VDI's header: the type, of which 1 and 2 stand alone.
_VDI_TYPE, _VDI_ALONE = slice(76, 80), (1, 2)
#: Of a header of QEMU's first format: the offset of a backing file, and the kind of encryption.
_QCOW1_BACKING, _QCOW1_ENCRYPTION = slice(8, 16), slice(36, 40)


class Origin(t.NamedTuple):
    """A disk as it was given, after a first look.

    Attributes:
        named: its path or URL, for messages.
        path: of the file, or None.
        sha256: of what is at the URL, or None.
        member: the disk of an appliance, or None.
        kind: what the file is, as C(formats.kind) says; None for a URL.
        extents: the names of the files beside a VMDK's description that hold its data.
        size: bytes of all these files.
        allocated: bytes that they occupy.
    """

    named: str
    path: str | None
    sha256: str | None
    member: str | None
    kind: str | None
    extents: tuple[str, ...]
    size: int
    allocated: int


class Made(t.NamedTuple):
    """A qcow2 image that was made or copied.

    Attributes:
        path: where it lies.
        virtual_size: bytes of the guest's disk.
        contents: what was seen on it.
        steps: what was done, each C({did, bytes, seconds}).
    """

    path: str
    virtual_size: int
    contents: contents.Contents
    steps: list[dict[str, t.Any]]


def origin(disk: t.Mapping[str, t.Any]) -> Origin:
    """Look at a disk that is to be imported, without opening anything that it refers to.

    Args:
        disk: C(name); C(src), a path, or C(url) and its C(checksum); C(member) of an appliance. What is not given is None or left out.

    Raises:
        InvalidInput: it is not a readable file, or not a URL with a checksum.
        Refused: it can be seen that no disk can be made of it.
    """
    path, url, member = disk.get("src"), disk.get("url"), disk.get("member")
    if (path is None) == (url is None):
        raise InvalidInput(f"The disk {disk['name']} comes either from a file of this RM (src) or from a URL (url).")
    if url is not None:
        return Origin(fetch.checked(url), None, fetch.digest(disk.get("checksum"), url), member, None, (), 0, 0)
    path = t.cast(str, path)
    state = image.regular_file(path)
    with open(path, "rb") as handle:
        kind = formats.kind(handle)
        formats.refuse_useless(path, kind)
        if kind == "tar":
            appliance.disk(handle, path, member)
    if member is not None and kind not in ("tar", *formats.PACKED):
        raise InvalidInput(f"{path} is no virtual appliance (OVA), so it has no member {member!r}.")
    _refuse_unfit(path, path, kind)
    extents = tuple(extent.name for extent in vmdk.extents(path)) if kind == "vmdk descriptor" else ()
    states = [state, *(os.stat(os.path.join(os.path.dirname(path), name)) for name in extents)]
    return Origin(path, path, None, member, kind, extents, sum(each.st_size for each in states), sum(each.st_blocks for each in states) * 512)


def look(found: Origin) -> dict[str, t.Any]:
    """Return what tells next time whether it is still the same, but for its digest."""
    if found.path is None:
        return {"url": found.named, "checksum": found.sha256, "member": found.member}
    extents = {name: _stamp(os.path.join(os.path.dirname(found.path), name)) for name in found.extents}
    return {"path": found.path, **_stamp(found.path), **({"extents": extents} if extents else {}), **({"member": found.member} if found.member else {})}


def digest(found: Origin) -> str:
    """Return the SHA-256 digest of its bytes, of all that belongs to it."""
    whole = files.sha256_file(found.path) if found.path is not None else t.cast(str, found.sha256)
    if not found.extents and found.member is None:
        return whole
    beside = {name: files.sha256_file(os.path.join(os.path.dirname(t.cast(str, found.path)), name)) for name in found.extents}
    return hashlib.sha256(json.dumps([whole, found.member, beside], sort_keys=True).encode()).hexdigest()


def make(found: Origin, room: sandbox.Room, free: t.Callable[[], int], progress: Progress, there: str | None = None) -> Made:
    """Make an image of it that stands alone, is consistent and was looked at.

    Args:
        found: what to make it of.
        room: where to; nothing else may be in it.
        free: says how many bytes there are for that now.
        progress: is told of what was read.
        there: a copy of it on the room's file system that cannot change any more, if there is one.

    Raises:
        CommandFailed, DeadlineExceeded: it cannot be fetched.
        Refused: no disk can be made of it, or there is no room.
    """
    before = look(found)
    steps: list[dict[str, t.Any]] = []
    current, kind = _bared(found, room, free, progress, steps)
    inside = os.path.join(room.inside, conversion.IMAGE)
    if kind == "raw":
        with open(current, "rb") as handle:
            seen = contents.look(handle.read(contents.HEAD))
        _refuse_unknown(current, found.named, seen)
        with _Step(steps, "converted from raw", os.path.getsize(current)):
            _refuse_full(os.stat(current).st_blocks * 512, free(), found.named, room)
            image.convert(current, inside)
        if current == found.path:
            progress.advance(found.size)
        header = qcow2.read(inside, found.named)
    else:
        if there is None:
            _brought_in(found, current, room, free, progress, steps)
        else:
            os.link(there, inside)
            progress.skip(found.size)
        if kind in formats.FOREIGN or _hollow(inside):
            with _Step(steps, f"converted from {kind}", os.path.getsize(inside)):
                conversion.convert(room, formats.FOREIGN.get(kind, "qcow2"), found.named, free())
        with _Step(steps, "checked", os.path.getsize(inside)):
            header = conversion.check(room, found.named)
            seen = contents.look(conversion.head(room, found.named))
    if found.path is not None and look(found) != before:
        raise Refused(f"{found.named} changed while it was imported.")
    return Made(inside, header.virtual_size, seen, steps)


class _Step:
    """Notes what was done, with how many bytes, and how long that took; as a context manager."""

    def __init__(self, steps: list[dict[str, t.Any]], did: str, count: int = 0) -> None:
        self._steps, self._did, self.count = steps, did, count
        self._begin = time.monotonic()

    def __enter__(self) -> _Step:
        return self

    def __exit__(self, *_error: object) -> None:
        self._steps.append({"did": self._did, "bytes": self.count, "seconds": round(time.monotonic() - self._begin, 1)})


def _bared(found: Origin, room: sandbox.Room, free: t.Callable[[], int], progress: Progress, steps: list[dict[str, t.Any]]) -> tuple[str, str]:
    """Fetch, unpack and take out of an appliance what has to be; return the path of the image and its kind."""
    current, unpacked, taken = found.path, False, False
    if current is None:
        current = os.path.join(room.aside, "fetched")
        with _Step(steps, "fetched") as step, open(current, "xb") as target:
            step.count = fetch.fetch(found.named, t.cast(str, found.sha256), target, free(), progress)
    while True:
        with open(current, "rb") as handle:
            kind = formats.kind(handle)
            formats.refuse_useless(found.named if current == found.path else f"What {found.named} holds", kind)
            if kind in formats.PACKED:
                if unpacked:
                    raise Refused(f"{found.named} is packed more than once; unpack it first and import the disk image that is in it.")
                unpacked = True
                blocks: t.Iterator[bytes] = unpack.unpacked(handle, kind, found.named)
                new, did = os.path.join(room.aside, "unpacked"), f"unpacked ({kind})"
            elif kind == "tar":
                if taken:
                    raise Refused(f"{found.named} holds an archive within an archive; unpack it first and import the disk image that is in it.")
                taken = True
                entry = appliance.disk(handle, found.named, found.member)
                blocks = sparse.read_blocks(handle.fileno(), entry.start, entry.start + entry.size)
                new, did = os.path.join(room.aside, "member"), f"taken out of the appliance ({entry.name})"
            else:
                break
            with _Step(steps, did) as step:
                step.count = _written(blocks, new, handle, free(), found.named, room, progress if current == found.path else None)
        if current != found.path:
            os.unlink(current)
        current = new
    if found.member is not None and not taken:
        raise InvalidInput(f"{found.named} is no virtual appliance (OVA), so it has no member {found.member!r}.")
    if current != found.path:
        _refuse_unfit(current, found.named, kind)
        if kind == "vmdk descriptor":
            raise Refused(f"{found.named} is the description of a VMDK whose data is in other files; only beside a file of this RM are those taken along.")
    return current, kind


def _written(blocks: t.Iterator[bytes], path: str, source: t.BinaryIO, most: int, named: str, room: sandbox.Room, progress: Progress | None) -> int:
    """Write blocks to a new sparse file; return its size."""
    begin, patience, position, told = time.monotonic(), image.patience(source.name), 0, 0
    with open(path, "xb") as target:
        for block in blocks:
            sparse.write_block(target.fileno(), block, position)
            position += len(block)
            if position > manifest.LARGEST:
                raise Refused(f"What {named} holds is larger than any disk can be ({manifest.LARGEST} bytes).")
            _refuse_full(os.fstat(target.fileno()).st_blocks * 512, most, named, room)
            # What is packed well may well be large.
            if time.monotonic() - begin > patience + image.PER_GIB * (position >> 30):
                raise DeadlineExceeded(f"{named} was not unpacked within {time.monotonic() - begin:.0f} s.")
            if progress is not None:
                progress.advance(source.tell() - told)
                told = source.tell()
        os.ftruncate(target.fileno(), position)
    return position


def _brought_in(found: Origin, current: str, room: sandbox.Room, free: t.Callable[[], int], progress: Progress, steps: list[dict[str, t.Any]]) -> None:
    """Bring an image, and what belongs to it, into the room, where nobody can change it any more."""
    if current != found.path:
        os.replace(current, os.path.join(room.inside, conversion.IMAGE))
    else:
        _refuse_full(found.allocated, free(), found.named, room)
        names = {current: conversion.IMAGE, **{os.path.join(os.path.dirname(current), name): name for name in found.extents}}
        with _Step(steps, "copied") as step:
            for path, name in names.items():
                flags = os.O_RDONLY | (os.O_NOFOLLOW if name in found.extents else 0)
                with open(os.open(path, flags), "rb") as source, open(os.path.join(room.inside, name), "xb") as target:
                    begin = step.count
                    for block in sparse.read_blocks(source.fileno(), 0, os.fstat(source.fileno()).st_size):
                        sparse.write_block(target.fileno(), block, step.count - begin)
                        step.count += len(block)
                        progress.advance(len(block))
                    os.ftruncate(target.fileno(), step.count - begin)
    for name in os.listdir(room.inside):
        os.chmod(os.path.join(room.inside, name), 0o444)


def _hollow(path: str) -> bool:
    """Whether a qcow2 image has much of its length for what it does not hold yet, as with preallocated metadata: a capsule takes as much room as it is long."""
    state = os.stat(path)
    return state.st_size - state.st_blocks * 512 > MOST_HOLES


def _stamp(path: str) -> dict[str, int]:
    state = os.stat(path)
    return {"size": state.st_size, "mtime_ns": state.st_mtime_ns, "inode": state.st_ino}


def _refuse_unfit(path: str, named: str, kind: str) -> None:
    """Raise Refused if the header of an image that is called *named* says that it depends on another one, or a raw disk is none."""
    with open(path, "rb") as handle:
        size = os.fstat(handle.fileno()).st_size
        head = handle.read(contents.HEAD)
        handle.seek(max(0, size - formats.SECTOR))
        footer = handle.read(formats.SECTOR)
    if kind == "qcow2":
        qcow2.read(path, named)
    elif kind == "qcow1" and any(head[_QCOW1_BACKING]):
        raise Refused(f"{named} depends on another image (a backing file); flatten it with qemu-img convert first.")
    elif kind == "qcow1" and any(head[_QCOW1_ENCRYPTION]):
        raise Refused(f"{named} is encrypted; decrypt it with qemu-img convert first, for nobody gives a key when a guest starts here.")
    elif kind == "vmdk":
        vmdk.refuse_dependent(path, named)
    elif kind == "vdi" and int.from_bytes(head[_VDI_TYPE], "little") not in _VDI_ALONE:
        raise Refused(f"{named} is a VDI that depends on another one; clone it as a whole first (VBoxManage clonemedium).")
    elif kind == "vhd" and _VHD_DIFFERENCING in (int.from_bytes(each[_VHD_TYPE], "big") for each in (footer, head) if each.startswith(b"conectix")):
        raise Refused(f"{named} is a VHD that depends on another one (a differencing disk); merge it with its parent first.")
    elif kind == "raw":
        _refuse_unknown(path, named, contents.look(head))
    cut_off.refuse(path, kind, named)


def _refuse_unknown(path: str, named: str, seen: contents.Contents) -> None:
    size = os.path.getsize(path)
    if size < SMALLEST:
        raise Refused(
            f"{named} is too small to be a disk: it has {size} bytes, and is no image of a format that is known here; a raw disk has {SMALLEST} or more."
        )
    if not seen.known:
        raise Refused(
            f"{named} is no disk that is known here: it begins neither as an image does (qcow2, VMDK, VDI, VHDX, VHD, OVA, or one of these packed) nor as a "
            "raw disk (with a partition table, a boot sector or a file system); look what it is (file), and give a raw disk of another kind as qcow2."
        )
    if seen.end > size:
        raise Refused(
            f"{named} is cut off: its partition table reaches to byte {seen.end}, and the file ends at byte {size}; "
            "a copy or a download may not have ended: get it again."
        )


def _refuse_full(needed: int, free: int, named: str, room: sandbox.Room) -> None:
    if needed > free:
        raise Refused(f"There is not enough disk on this RM: {named} takes {needed} bytes or more on the way, {free} bytes are free for it in {room.aside}.")
