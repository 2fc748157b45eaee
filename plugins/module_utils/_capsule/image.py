# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Disk images from strangers: what they are, whether they can be trusted to be opened, and how they become a qcow2 blob."""

from __future__ import annotations

import json
import os
import stat
import struct
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run

_MAGIC = b"QFI\xfb"
#: The start of a qcow2 header (docs/interop/qcow2.txt of QEMU): magic, version, backing file offset and size, cluster bits, size, encryption.
_HEADER = struct.Struct("!4sIQIIQI")
_INCOMPATIBLE_FEATURES = 72
_EXTERNAL_DATA_FILE = 1 << 2
#: Seconds that a program may work on an image: 10 minutes, and one more for each GiB.
_PATIENCE = 600.0


class Image(t.NamedTuple):
    """A disk image: its path, its format (C(qcow2) or C(raw)), the guest's disk size in bytes, and the bytes it occupies here."""

    path: str
    format: str
    virtual_size: int
    allocated: int


def regular_file(path: str) -> os.stat_result:
    """Return the state of *path*; raise InvalidInput unless it is the absolute path of a regular file with content."""
    # An absolute path also keeps QEMU's own notations (json:, nbd:) out.
    if not os.path.isabs(path):
        raise InvalidInput(f"{path!r} is not an absolute path.")
    try:
        state = os.stat(path)
    except OSError as exc:
        raise InvalidInput(f"{path} cannot be read on this RM: {exc.strerror}.") from exc
    if not stat.S_ISREG(state.st_mode):
        raise InvalidInput(f"{path} is not a regular file.")
    if not state.st_size:
        raise InvalidInput(f"{path} is empty.")
    return state


def inspect(path: str) -> Image:
    """Find out what a disk image is, without opening anything that it refers to.

    Raises:
        InvalidInput: it is not a readable file.
        Refused: it depends on another file, is encrypted, or is neither qcow2 nor raw.
    """
    state = regular_file(path)
    with open(path, "rb") as handle:
        head = handle.read(_INCOMPATIBLE_FEATURES + 8)
    is_qcow2 = head.startswith(_MAGIC)
    if is_qcow2:
        # QEMU's tools would open the other file before they could tell of it.
        _refuse_dependent(path, head)
    told = ["-f", "qcow2"] if is_qcow2 else []
    info = json.loads(run(["qemu-img", "info", "--output=json", *told, path]).stdout)
    if info["format"] not in ("qcow2", "raw"):
        raise Refused(f"{path} is an image of format {info['format']}; only qcow2 and raw can be imported.")
    if info.get("encrypted") or info.get("backing-filename"):
        raise Refused(f"{path} is encrypted or depends on another image; convert it to a plain qcow2 first.")
    if info["virtual-size"] < 512:
        raise Refused(f"{path} is too small to be a disk: it has {info['virtual-size']} bytes.")
    return Image(path, info["format"], info["virtual-size"], state.st_blocks * 512)


def check(path: str, named: str) -> None:
    """Raise Refused unless the qcow2 image at *path*, called *named* in messages, is consistent (leaked clusters do no harm)."""
    done = run(["qemu-img", "check", "-q", "-f", "qcow2", path], timeout=_patience(path), check=False)
    if done.returncode not in (0, 3):
        raise Refused(f"{named} is a damaged qcow2 image: {' '.join((done.stderr or done.stdout).split())[:300] or 'qemu-img check says so'}.")


def convert(image: Image, target: str) -> None:
    """Write a raw *image* as a sparse qcow2 image to the existing file *target*."""
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", image.path, target], timeout=_patience(image.path))


def merge(overlay: str, frozen: str, base: str) -> None:
    """Write what the qcow2 image *overlay* holds into *frozen*, which lies on *base*; what their own headers say lies below them is not looked at."""
    chain: dict[str, t.Any] | None = None
    for path in (base, frozen, overlay):
        layer = {"driver": "qcow2", "file": {"driver": "file", "filename": path}}
        chain = {**layer, "backing": chain}
    run(["qemu-img", "commit", "-q", "-d", f"json:{json.dumps(chain)}"], timeout=_patience(overlay))


def same_content(image: Image, qcow2: str) -> bool:
    """Say whether the raw *image* and the qcow2 image at *qcow2* hold the same, apart from zeros at the end of the longer one."""
    # Not strictly (-s): that would also compare which zeros are stored and which are left out.
    argv = ["qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", image.path, qcow2]
    return run(argv, timeout=_patience(image.path), check=False).returncode == 0


def _patience(path: str) -> float:
    return _PATIENCE + 60.0 * (os.path.getsize(path) >> 30)


def _refuse_dependent(path: str, head: bytes) -> None:
    if len(head) < _INCOMPATIBLE_FEATURES:
        raise Refused(f"{path} is a damaged qcow2 image: its header is cut off.")
    _magic, version, backing_offset, _backing_size, _bits, _size, encryption = _HEADER.unpack_from(head)
    features = struct.unpack_from("!Q", head, _INCOMPATIBLE_FEATURES)[0] if version >= 3 and len(head) >= _INCOMPATIBLE_FEATURES + 8 else 0
    if backing_offset:
        raise Refused(f"{path} depends on another image (a backing file); flatten it with qemu-img convert first.")
    if features & _EXTERNAL_DATA_FILE:
        raise Refused(f"{path} keeps its data in another file; flatten it with qemu-img convert first.")
    if encryption:
        raise Refused(f"{path} is encrypted; decrypt it with qemu-img convert first.")
