# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Copying file content past zero runs, which become holes, while hashing it."""

from __future__ import annotations

import hashlib
import os
import typing as t

BLOCK = 1 << 18
_CELL = 1 << 16
_ZEROS = bytes(_CELL)


def read_blocks(descriptor: int, start: int, end: int) -> t.Iterator[bytes]:
    """Yield the bytes from *start* to *end* of an open file in blocks of at most C(BLOCK); end early if the file does."""
    while start < end:
        block = os.pread(descriptor, min(BLOCK, end - start), start)
        if not block:
            return
        start += len(block)
        yield block


def write_block(descriptor: int, block: bytes, position: int) -> None:
    """Write *block* at *position*, leaving out cells of zeros: the file must hold nothing there yet."""
    view = memoryview(block)
    begin = 0
    for cell in range(0, len(block), _CELL):
        # The first byte tells nearly always, and costs nothing.
        if block[cell] == 0 and block[cell : cell + _CELL] == _ZEROS[: len(block) - cell]:
            _write_all(descriptor, view[begin:cell], position + begin)
            begin = cell + _CELL
    _write_all(descriptor, view[begin:], position + begin)


def copy_hashed(source: int, target: int) -> tuple[str, int]:
    """Copy one open file to another, empty one; return the SHA-256 in hexadecimal and the size in bytes of what was copied."""
    digest = hashlib.sha256()
    position = 0
    for block in read_blocks(source, 0, os.fstat(source).st_size):
        digest.update(block)
        write_block(target, block, position)
        position += len(block)
    os.ftruncate(target, position)
    return digest.hexdigest(), position


def _write_all(descriptor: int, view: memoryview, position: int) -> None:
    while view:
        written = os.pwrite(descriptor, view, position)
        view = view[written:]
        position += written
