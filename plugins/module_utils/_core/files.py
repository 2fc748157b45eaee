# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Files that appear whole or not at all, locks, and digests."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused

CHUNK = 1 << 20
#: Another word after each start of the kernel (random(4)).
BOOT = "/proc/sys/kernel/random/boot_id"


def write_atomic(path: str, content: bytes | str, mode: int = 0o644) -> None:
    """Write *content* beside *path*, flush it to the disk and rename it into place with permission bits *mode*."""
    data = content.encode() if isinstance(content, str) else content
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fchmod(handle.fileno(), mode)
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_json(path: str, value: t.Any, mode: int = 0o644) -> None:
    """Write *value* to *path* as JSON with sorted keys, atomically."""
    write_atomic(path, json.dumps(value, indent=2, sort_keys=True) + "\n", mode)


def read_json(path: str) -> t.Any:
    """Return what the JSON file *path* holds, or None when there is no such file."""
    try:
        with open(path, encoding="utf-8") as handle:
            return json.load(handle)
    except FileNotFoundError:
        return None


def sync(path: str) -> None:
    """Flush the bytes of a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def boot() -> str:
    """Return what tells this boot of the host from any other: what was not flushed in another one may not be what was written."""
    with open(BOOT, encoding="ascii") as handle:
        return handle.read().strip()


def sha256_file(path: str) -> str:
    """Return the SHA-256 of a file's bytes in lower case hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while chunk := handle.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def lock(path: str, what: str, timeout: float = 30.0) -> t.Iterator[None]:
    """Hold an exclusive advisory lock on the file *path* (made when missing).

    Raises:
        Refused: somebody else still held it after *timeout* seconds; *what* names it in the message.
    """
    with open(path, "a", encoding="utf-8") as handle:
        end = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if time.monotonic() >= end:
                    raise Refused(f"Another operation has been working on {what} for {timeout:g} s; try again when it has ended.") from exc
                time.sleep(0.05)
        yield
