# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""A caller from outside, made for a moment: a network namespace whose packets the gateway forwards, and may drop, as it does those of the world.

The gateway's own calls to a public address prove nothing of that, for nothing forwards them. The namespace belongs to a thread, and everything of it goes with
that, however the call ends.
"""

from __future__ import annotations

import concurrent.futures
import ctypes
import os
import random
import threading
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.namespace import NEXT_HOP
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.rules import VISITORS

_CLONE_NEWNET = 0x40000000
#: Visitors that there can be at the same time, and how often a number that is taken is followed by another.
_NUMBERS, _TRIES = range(2, 255), 5
#: The two ends of its link know each other: an ARP request on a link that does not carry yet is lost, and repeated after a second only.
_NEAR, _FAR = "02:76:6d:00:01:01", "02:76:6d:00:01:02"

T = t.TypeVar("T")


def visit(function: t.Callable[[], T]) -> T:
    """Return what *function* returns when it is called as by a host that the gateway forwards for; what it raises goes through.

    Raises:
        CommandFailed: the kernel does not let one be made.
    """
    born, ready = threading.Event(), threading.Event()
    told: dict[str, t.Any] = {}

    def there() -> T:
        try:
            _alone()
            told["thread"] = threading.get_native_id()
        finally:
            born.set()
        ready.wait()
        if "address" not in told:
            raise CommandFailed("It was not led to the gateway.")
        way = [
            f"addr add {told['address']}/32 dev visitor",
            "link set visitor up",
            f"neigh add {NEXT_HOP} lladdr {_NEAR} dev visitor nud permanent",
            f"route add default via {NEXT_HOP} dev visitor onlink",
        ]
        run(["ip", "-batch", "-"], stdin="\n".join(way) + "\n")
        return function()

    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        visiting = pool.submit(there)
        link = None
        try:
            born.wait()
            if "thread" in told:
                link, told["address"] = _led(told["thread"])
        finally:
            ready.set()
        try:
            return visiting.result()
        finally:
            if link:
                # It would go with the namespace, but some moments later.
                run(["ip", "link", "del", link], check=False)


def _alone() -> None:
    """Give the calling thread a network namespace of its own (unshare(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise CommandFailed(f"A network namespace cannot be made: {os.strerror(ctypes.get_errno())}.")


def _led(thread: int) -> tuple[str, str]:
    """Join the namespace of a thread to that of the calling one; return the link to it, and its address."""
    for number in random.sample(_NUMBERS, _TRIES):
        link, address = f"vv{number}", str(VISITORS[number])
        way = [
            f"link add {link} address {_NEAR} type veth peer name visitor address {_FAR} netns {thread}",
            f"addr add {NEXT_HOP}/32 dev {link}",
            f"link set {link} up",
            f"neigh add {address} lladdr {_FAR} dev {link} nud permanent",
            f"route add {address}/32 dev {link}",
        ]
        try:
            run(["ip", "-batch", "-"], stdin="\n".join(way) + "\n")
        except CommandFailed as exc:
            # Another one has that number, unless it says something else.
            problem = exc
        else:
            return link, address
    raise problem
