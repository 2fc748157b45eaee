# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Holding a guest still for as long as it takes to copy what it is."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import state


class Standstill:
    """How long a guest stood still: C(seconds), when it is over."""

    seconds = 0.0


@contextlib.contextmanager
def held_still(host: state.Host, name: str, memory: str, timeout: float) -> t.Iterator[Standstill]:
    """Stop a running guest, copy its memory to the file *memory*, and let it go on after the block; its overlays are complete in it.

    Nothing of it is ended and begun again, so it stands still for less than by a suspend and a resume. The caller holds the instance's lock; after a crash
    in between settle() lets the guest go on.

    Args:
        host: this RM.
        name: the instance; its guest runs.
        memory: where its memory is written, on a file system of this RM.
        timeout: seconds that one call of libvirt may take.

    Raises:
        CommandFailed, DeadlineExceeded: libvirt could not copy its memory, and it goes on; or it could not let it go on, and the sentence says so.
    """
    mark, stood = host.places.still(name), Standstill()
    with open(mark, "wb"):
        pass
    began = time.monotonic()
    try:
        host.hypervisor.pause(name)
        host.hypervisor.copy_memory(name, memory, timeout)
        yield stood
    finally:
        try:
            host.hypervisor.unpause(name)
        except MeshError as exc:
            live = host.hypervisor.state(name) or "gone"
            raise type(exc)(f"{name} stood still for a copy of its memory, and its guest is {live} now: {exc.message}") from exc
        stood.seconds = round(time.monotonic() - began, 4)
        os.unlink(mark)
