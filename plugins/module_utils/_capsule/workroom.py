# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""A directory for work on images from strangers: on the store's file system, for nobody but root, and gone when the work has ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import sandbox


@contextlib.contextmanager
def workroom(root: str) -> t.Iterator[sandbox.Room]:
    """Make a room in the directory *root*, and remove it with all that is in it; what a killed process left there goes, too."""
    os.makedirs(root, mode=0o700, exist_ok=True)
    with _held(root):
        _sweep(root)
        path = tempfile.mkdtemp(dir=root)
        holder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        room = sandbox.Room(*(os.path.join(path, name) for name in ("in", "out", "aside")))
        os.mkdir(room.inside)
        os.chmod(room.inside, 0o755)
        os.mkdir(room.outside, 0o700)
        os.mkdir(room.aside, 0o700)
        os.chown(room.outside, sandbox.UNPRIVILEGED, sandbox.UNPRIVILEGED)
        yield room
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(holder)


def _sweep(root: str) -> None:
    for name in os.listdir(root):
        # Who works there holds it.
        with contextlib.suppress(BlockingIOError), _held(os.path.join(root, name), fcntl.LOCK_NB):
            shutil.rmtree(os.path.join(root, name), ignore_errors=True)


@contextlib.contextmanager
def _held(path: str, how: int = 0) -> t.Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(descriptor)
