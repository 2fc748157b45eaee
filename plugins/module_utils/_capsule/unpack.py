# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""Unpacking what was packed for transport, by known programs' formats and within bounds."""

from __future__ import annotations

import bz2
import gzip
import lzma
import typing as t
import zipfile
import zlib

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.libraries import zstandard
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused

BLOCK = 1 << 20
#: Bytes of memory for a dictionary: xz -9 takes 65 MiB, zstd --long 128 MiB.
_MEMORY = 256 << 20
_WINDOW = 1 << 27
#: Bytes that a reader of archives may ask for at once: what is longer than that are lists made to fill the memory.
_LONGEST_READ = 4 << 20
#: Bytes that are given to zstd at once: at most 128 MiB come of them, from blocks of 4 bytes that stand for 128 KiB (RFC 8878, section 3.1.1.2).
_ZSTD_STEP = 1 << 12
#: Bit of a .zip's entry.
_ENCRYPTED = 1


class Narrow:
    """An open file that gives no more than so many bytes at once, for readers that believe every length that they find."""

    def __init__(self, handle: t.BinaryIO) -> None:
        self._handle = handle
        self.seek, self.tell = handle.seek, handle.tell

    def seekable(self) -> bool:
        """Say that one can move in it."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; raise EOFError if they are too many for what they can be."""
        if size < 0 or size > _LONGEST_READ:
            here = self._handle.tell()
            left = self._handle.seek(0, 2) - here
            self._handle.seek(here)
            if (left if size < 0 else min(size, left)) > _LONGEST_READ:
                raise EOFError(f"it holds a list of more than {_LONGEST_READ} bytes")
        return self._handle.read(size)


def unpacked(handle: t.BinaryIO, kind: str, named: str) -> t.Iterator[bytes]:
    """Yield what an open file of *kind* (one of C(formats.PACKED)) holds, in blocks; it is called *named* in messages.

    Raises:
        Refused: it is damaged or cut off, needs too much memory, or is a .zip that does not hold exactly one file.
    """
    try:
        yield from _READERS[kind](handle, named)
    except (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as exc:
        # An OSError with a number is one of the system: a disk that is full, a medium that is broken.
        if isinstance(exc, OSError) and exc.errno is not None:
            raise
        raise Refused(f"{named} cannot be unpacked ({kind}): {_words(exc)}; a copy or a download may not have ended: get it again.") from exc


def _words(exc: BaseException) -> str:
    return " ".join(str(exc).split()).rstrip(".") or type(exc).__name__


def _gzip(handle: t.BinaryIO, _named: str) -> t.Iterator[bytes]:
    with gzip.GzipFile(fileobj=handle) as reader:
        while block := reader.read(BLOCK):
            yield block


def _bzip2(handle: t.BinaryIO, _named: str) -> t.Iterator[bytes]:
    with bz2.BZ2File(handle) as reader:
        while block := reader.read(BLOCK):
            yield block


def _xz(handle: t.BinaryIO, _named: str) -> t.Iterator[bytes]:
    # Not LZMAFile, which takes no limit of memory.
    given = handle.read(BLOCK)
    while given:
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        while not decoder.eof:
            block = decoder.decompress(given, BLOCK)
            if block:
                yield block
            given = b""
            if decoder.needs_input and not decoder.eof:
                given = handle.read(BLOCK)
                if not given:
                    raise EOFError("it ends in the middle")
        # Streams may follow each other, with padding of zeros between them.
        given = (decoder.unused_data or handle.read(BLOCK)).lstrip(b"\0")


def _zstd(handle: t.BinaryIO, _named: str) -> t.Iterator[bytes]:
    given = handle.read(BLOCK)
    while given:
        # Not its stream_reader, which takes what is cut off for whole.
        decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
        while not decoder.eof:
            if not given:
                raise EOFError("it ends in the middle")
            try:
                block = decoder.decompress(given[:_ZSTD_STEP])
            except zstandard.ZstdError as exc:
                raise EOFError(str(exc)) from exc
            given = given[_ZSTD_STEP:] or handle.read(BLOCK)
            if block:
                yield block
        # Frames may follow each other.
        given = decoder.unused_data + given


def _zip(handle: t.BinaryIO, named: str) -> t.Iterator[bytes]:
    with zipfile.ZipFile(t.cast(t.BinaryIO, Narrow(handle))) as archive:
        files = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(files) != 1:
            listed = ", ".join(entry.filename[:60] for entry in files[:3])
            holds = f"{len(files)} files ({listed}{', ...' if len(files) > 3 else ''})" if files else "no file"
            raise Refused(f"{named} is a .zip with {holds}; unpack it first (unzip) and give the disk image, or pack that alone.")
        entry = files[0]
        if entry.flag_bits & _ENCRYPTED:
            raise Refused(f"{named} is an encrypted .zip; unpack it first (unzip) and give the disk image.")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(f"{named} is packed by a method of .zip that is not read here; unpack it first (unzip) and give the disk image.")
        with archive.open(entry) as reader:
            while block := reader.read(BLOCK):
                yield block


_READERS: dict[str, t.Callable[[t.BinaryIO, str], t.Iterator[bytes]]] = {"gzip": _gzip, "bzip2": _bzip2, "xz": _xz, "zstd": _zstd, "zip": _zip}
