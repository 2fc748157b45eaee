# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Memory images under another name: how many instances come from one image, which stays where it is, untouched.

libvirt's save image (qemu_saveimage.h) is a header with a domain XML, and QEMU's stream. libvirt restores an image under the very name and UUID of its
XML only. So what it is given is a pipe: out of it come a header of our own, with our own XML, and then the stream, which the kernel passes on from the
page cache without a copy on disk. What the image's own header says is neither used nor shown to libvirt.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import struct
import threading
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import instance_uuid

#: magic, version, length of the data that follows (XML, then a cookie), was_running, compressed, cookie's offset, unused
HEADER = struct.Struct("<16s5I56x")
MAGIC = b"LibvirtQemudSave"
VERSION = 2
#: libvirt leaves about 64 KiB for a longer XML; nobody needs so much.
LONGEST_DATA = 16 << 20
#: F_SETPIPE_SZ and the most that an ordinary user may ask for (pipe(7)).
_SET_PIPE_SIZE, _PIPE_SIZE = 1031, 1 << 20
_PAUSE = 0.05


def stream_offset(path: str) -> int:
    """Return where QEMU's stream begins in the save image *path*.

    Raises:
        Refused: it is no save image, or one that libvirt compressed.
    """
    with open(path, "rb") as handle:
        head = handle.read(HEADER.size)
    if len(head) == HEADER.size:
        magic, version, length, _running, compressed, _cookie = HEADER.unpack(head)
        begins = HEADER.size + length
        if (magic, version, compressed) == (MAGIC, VERSION, 0) and length <= LONGEST_DATA and begins < os.path.getsize(path):
            return begins
    raise Refused(f"{path} is not a plain memory image as libvirt saves it.")


def belongs_to(path: str, name: str) -> bool:
    """Say whether the save image *path* was saved from instance *name*; raises Refused as stream_offset() does."""
    with open(path, "rb") as handle:
        return f"<uuid>{instance_uuid(name)}</uuid>".encode() in handle.read(stream_offset(path))


def genid(path: str) -> str | None:
    """Return the VM generation ID in the header of the save image *path*, or None if the machine had none; raises Refused as stream_offset() does."""
    with open(path, "rb") as handle:
        found = re.search(rb"<genid>([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})</genid>", handle.read(stream_offset(path)))
    return found[1].decode() if found else None


@contextlib.contextmanager
def readable_as(path: str, name: str, xml: str, pipe: str) -> t.Iterator[str]:
    """Yield the path of what libvirt can restore instance *name* from: the save image *path* itself, if it is the instance's own.

    Args:
        path: a save image.
        name: the instance that it is to become.
        xml: its domain XML.
        pipe: where a pipe may be made.

    Raises:
        Refused: *path* is no save image.
    """
    if belongs_to(path, name):
        yield path
        return
    data = xml.encode() + b"\0"
    head = HEADER.pack(MAGIC, VERSION, len(data), 1, 0, 0) + data
    with contextlib.suppress(FileNotFoundError):
        os.unlink(pipe)
    os.mkfifo(pipe, 0o600)
    done = threading.Event()
    feeder = threading.Thread(target=_feed, args=(pipe, head, path, done), daemon=True)
    feeder.start()
    try:
        yield pipe
    finally:
        done.set()
        feeder.join()
        os.unlink(pipe)


def _feed(pipe: str, head: bytes, path: str, done: threading.Event) -> None:
    """Write *head* and the stream of *path* into the pipe until all is in it or the reader is *done*, and hold the pipe open until then."""
    try:
        with open(path, "rb") as image, _opened(pipe, os.O_RDWR) as target:
            with contextlib.suppress(OSError):
                fcntl.fcntl(target, _SET_PIPE_SIZE, _PIPE_SIZE)
            _push(head, lambda rest: os.write(target, rest), target, done)
            begins, end = stream_offset(path), os.path.getsize(path)
            _push(range(begins, end), lambda rest: os.sendfile(target, image.fileno(), rest.start, len(rest)), target, done)
            done.wait()
    except (OSError, Refused):
        # A reader that nobody writes to would wait for ever; it is shown the end instead, whenever it comes.
        while not done.wait(_PAUSE):
            with contextlib.suppress(OSError), _opened(pipe, os.O_WRONLY):
                pass


def _push(rest: t.Any, some: t.Callable[[t.Any], int], target: int, done: threading.Event) -> None:
    """Write *rest* (bytes, or a range of a file) as the pipe takes it; *some* writes a part and returns its length."""
    while rest and not done.is_set():
        try:
            rest = rest[some(rest) :]
        except BlockingIOError:
            select.select([], [target], [], _PAUSE)


@contextlib.contextmanager
def _opened(pipe: str, how: int) -> t.Iterator[int]:
    descriptor = os.open(pipe, how | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
