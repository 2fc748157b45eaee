# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The content of one file on its way: read, hashed and compressed at one end, unpacked, hashed and written at the other.

Each step runs in a thread of its own. hashlib, zstandard and the system calls let go of the interpreter's lock, so that the steps overlap.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import sparse, wire
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.libraries import zstandard
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused

#: Compression levels: for a wire that is slower than the compression, and for one that is faster.
THRIFTY, FAST = 1, -5
#: Bytes that are compressed at one level, as a zstd frame of their own.
FRAME = 8 << 20
#: Bytes of memory that a stream from another RM may ask for to be unpacked; the levels above need 512 KiB.
WINDOW_LIMIT = 8 << 20
_DEPTH = 32
#: Seconds after which the level is chosen anew.
_PERIOD = 0.02
_END = object()

# Not when it is first used: a guest may stand still then.
if zstandard.problem is None:
    zstandard.load()

T = t.TypeVar("T")


def ahead(source: t.Generator[T, None, None]) -> t.Iterator[T]:
    """Yield what the generator *source* yields, running it some items ahead in a thread; what it raises is raised here."""
    box: queue.Queue = queue.Queue(_DEPTH)
    stop = threading.Event()

    def work() -> None:
        try:
            for item in source:
                box.put((item, None))
                if stop.is_set():
                    return
            box.put((_END, None))
        except BaseException as exc:  # pylint: disable=broad-except
            box.put((_END, exc))
        finally:
            source.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = box.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        while thread.is_alive():
            try:
                box.get(timeout=0.01)
            except queue.Empty:
                pass


def digest_of(descriptor: int, end: int) -> t.Any:
    """Return a hashlib SHA-256 object that was fed the first *end* bytes of an open file."""
    digest = hashlib.sha256()
    for block in sparse.read_blocks(descriptor, 0, end):
        digest.update(block)
    return digest


def send_content(channel: wire.Channel, descriptor: int, offset: int, size: int, advance: t.Callable[[int], None]) -> str:
    """Send the bytes from *offset* to *size* of an open file and return the SHA-256 of all of it, from 0 to *size*.

    Args:
        channel: where to.
        descriptor: the open file.
        offset: bytes that the other end has already.
        size: bytes of the whole file.
        advance: is told of each number of bytes that were read for sending.

    Raises:
        Refused: the file became shorter meanwhile.
    """
    digest = digest_of(descriptor, offset)
    position = offset

    def hashed() -> t.Generator[bytes, None, None]:
        nonlocal position
        for block in sparse.read_blocks(descriptor, offset, size):
            digest.update(block)
            position += len(block)
            yield block

    def compressed() -> t.Generator[bytes, None, None]:
        compressor, filled = None, 0
        for block in ahead(hashed()):
            compressor = compressor or zstandard.ZstdCompressor(level=pace.level).compressobj()
            data = compressor.compress(block)
            filled += len(block)
            if filled >= FRAME:
                data += compressor.flush()
                compressor, filled = None, 0
            advance(len(block))
            if data:
                yield data
        if compressor is not None:
            yield compressor.flush()

    pace = _Pace()
    for data in pace.measured(ahead(compressed())):
        # The output for a frame can exceed the frame by a little, if it cannot be compressed.
        for start in range(0, len(data), wire.DATA_LIMIT):
            channel.send_data(data[start : start + wire.DATA_LIMIT])
    channel.send_data(b"")
    if position != size:
        raise Refused(f"A file that was being sent became shorter: {position} bytes instead of {size}.")
    return digest.hexdigest()


def receive_content(channel: wire.Channel, descriptor: int, offset: int, size: int) -> str:
    """Write what send_content sends into an open file that holds *offset* bytes, and return the SHA-256 of all its *size* bytes.

    Raises:
        InvalidInput: what came is not a zstd stream of just these bytes.
    """
    digest = digest_of(descriptor, offset)

    def unpacked() -> t.Generator[bytes, None, None]:
        source = _Frames(channel)
        # Unpacked in bounded pieces: a small frame could else hold gigabytes of zeros.
        reader = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT).stream_reader(source, read_size=wire.DATA_LIMIT, read_across_frames=True)
        try:
            while block := reader.read(sparse.BLOCK):
                yield block
        except zstandard.ZstdError as exc:
            raise InvalidInput("The other end sent data that is not a zstd stream.") from exc
        if source.read():
            raise InvalidInput("The other end sent data after the end of the stream.")

    position = offset
    for block in ahead(unpacked()):
        if position + len(block) > size:
            raise InvalidInput(f"The other end sent more than the {size} bytes that it announced.")
        digest.update(block)
        sparse.write_block(descriptor, block, position)
        position += len(block)
    if position != size:
        raise InvalidInput(f"The other end sent {position} of the {size} bytes that it announced.")
    return digest.hexdigest()


class _Pace:
    """Finds out whether the wire or the compression is the slower one, and chooses the level for it."""

    def __init__(self) -> None:
        self.level = THRIFTY

    def measured(self, source: t.Iterator[T]) -> t.Iterator[T]:
        """Yield what *source* yields, and compare the time that it takes with the time that is taken for each item."""
        waited = used = 0.0
        mark = time.monotonic()
        for item in source:
            came = time.monotonic()
            yield item
            waited += came - mark
            mark = time.monotonic()
            used += mark - came
            if waited + used > _PERIOD:
                self.level = THRIFTY if used > waited else FAST
                waited = used = 0.0


class _Frames:
    """The data frames of a channel as a file to read, which is empty after the last one."""

    def __init__(self, channel: wire.Channel) -> None:
        self._channel = channel
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        """Return the next frame; *size* is how file objects are asked, and no frame is longer than what is asked for here."""
        data = b"" if self._ended else self._channel.receive_data()
        self._ended = not data
        return data
