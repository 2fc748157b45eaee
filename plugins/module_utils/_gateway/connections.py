# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Live connections of a router's members, as the kernel's connection tracking knows them."""

from __future__ import annotations

import collections
import functools
import socket
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import conntrack
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside

#: States of a TCP connection in which data may still be on its way (established, FIN_WAIT, CLOSE_WAIT, LAST_ACK): half closed ones too, for each side may
#: end its half while it hears the other's.
_LIVE = frozenset({3, 4, 5, 6})
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}


class Connection(t.NamedTuple):
    """One connection: whom the caller meant, and which member serves it."""

    protocol: str
    public_address: str
    port: int
    member: str


def live(namespace: str) -> collections.Counter[Connection]:
    """Count the TCP connections that both sides have not closed yet and the answered UDP flows that pass *namespace* to a member."""
    return call_inside(namespace, lambda: collections.Counter(filter(None, map(_connection, conntrack.flows()))))


def count(namespace: str, members: t.Iterable[str]) -> int:
    """Return how many of them *members* (addresses) serve. The kernel looks for those alone, however many others there are."""

    def found() -> int:
        return sum(_connection(flow) is not None for member in members for flow in conntrack.flows(member))

    return call_inside(namespace, found)


def close(namespace: str, members: t.Iterable[str], protocol: str | None = None) -> None:
    """Forget all connections that *members* (addresses) serve, or those of one protocol: the next packet of each goes to another member, which resets it."""
    chosen = ["-p", protocol] if protocol else []
    for member in members:
        # It exits with 1 when there was nothing to delete.
        call_inside(namespace, functools.partial(run, ["conntrack", "-D", *chosen, "--reply-src", member], check=False))


def _connection(flow: conntrack.Flow) -> Connection | None:
    """Return the live connection that a flow is, or None."""
    lives = flow.state in _LIVE if flow.protocol == socket.IPPROTO_TCP else bool(flow.status & conntrack.ASSURED)
    if not lives or not flow.status & conntrack.DST_NAT or flow.protocol not in _PROTOCOLS:
        return None
    return Connection(_PROTOCOLS[flow.protocol], flow.destination, flow.port, flow.server)
