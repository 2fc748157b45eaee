# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Running a function inside another network namespace, without a process of its own."""

from __future__ import annotations

import concurrent.futures
import ctypes
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed

NAMESPACES = "/run/netns"
_CLONE_NEWNET = 0x40000000

T = t.TypeVar("T")


def enter(namespace: str) -> None:
    """Move the calling thread into *namespace* (setns(2)); programs that it starts and sockets that it opens live there.

    Raises:
        CommandFailed: there is no such namespace, or the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = os.open(os.path.join(NAMESPACES, namespace), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise CommandFailed(f"The network namespace {namespace} cannot be entered: {exc.strerror}.") from exc
    try:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise CommandFailed(f"The network namespace {namespace} cannot be entered: {os.strerror(ctypes.get_errno())}.")
    finally:
        os.close(descriptor)


def call_inside(namespace: str, function: t.Callable[[], T]) -> T:
    """Return what *function* returns when it runs in a thread inside *namespace*; what it raises goes through."""

    def there() -> T:
        enter(namespace)
        return function()

    # A thread of its own that ends here: threads keep the namespace they moved to.
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(there).result()
