# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Disk images that nothing has to be found out of: those that an RM made itself, and raw ones."""

from __future__ import annotations

import json
import os
import stat
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run

#: Seconds that a program may work on an image: 10 minutes, and one more for each GiB.
_PATIENCE, PER_GIB = 600.0, 60.0
_FULL = ("File too large", "No space left on device", "Disk quota exceeded")


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


def convert(path: str, target: str) -> None:
    """Write the raw image at *path* as a sparse qcow2 image to *target*; nothing is read out of a raw image but its bytes.

    Raises:
        Refused: there is no room for it.
    """
    try:
        run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", path, target], timeout=patience(path))
    except CommandFailed as exc:
        refuse_full(exc.message, path, os.path.dirname(target))
        raise


def refuse_full(words: str, named: str, directory: str, most: int | None = None) -> None:
    """Raise Refused if the *words* of a program say that it had no room in *directory* to write the image called *named*, of *most* bytes if that was told."""
    if any(each in words for each in _FULL):
        room = f"the {most} bytes that are free" if most is not None else "what is free"
        raise Refused(f"There is not enough disk on this RM: as qcow2, {named} takes more than {room} in {directory}.")


def merge(overlay: str, frozen: str, base: str) -> None:
    """Write what the qcow2 image *overlay* holds into *frozen*, which lies on *base*; what their own headers say lies below them is not looked at."""
    chain: dict[str, t.Any] | None = None
    for path in (base, frozen, overlay):
        layer = {"driver": "qcow2", "file": {"driver": "file", "filename": path}}
        chain = {**layer, "backing": chain}
    run(["qemu-img", "commit", "-q", "-d", f"json:{json.dumps(chain)}"], timeout=patience(overlay))


def patience(path: str) -> float:
    """Return how many seconds a program may work on the image at *path*."""
    return _PATIENCE + PER_GIB * (os.path.getsize(path) / (1 << 30))
