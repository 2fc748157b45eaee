# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Live connections of a router's members, as the kernel's connection tracking knows them."""

from __future__ import annotations

import collections
import functools
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside


#: States of a TCP connection in which data may still be on its way: half closed ones too, for each side may end its half while it hears the other's.
_LIVE = frozenset({"ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK"})


class Connection(t.NamedTuple):
    """One connection: whom the caller meant, and which member serves it."""

    protocol: str
    public_address: str
    port: int
    member: str


def live(namespace: str) -> collections.Counter[Connection]:
    """Count the TCP connections that both sides have not closed yet and the answered UDP flows that pass *namespace* to a member."""
    found: collections.Counter[Connection] = collections.Counter()
    for protocol, narrowed in (("tcp", []), ("udp", ["--status", "ASSURED"])):
        listing = call_inside(namespace, functools.partial(run, ["conntrack", "-L", "-p", protocol, "--dst-nat", *narrowed, "-o", "xml"]))
        found.update(parse(listing.stdout))
    return found


def parse(listing: str) -> list[Connection]:
    """Return the live connections in what C(conntrack -L -o xml) printed; it prints nothing when there are none."""
    if not listing.strip():
        return []
    flows = ET.fromstring(listing).iter("flow")
    return [_connection(flow) for flow in flows if flow.findtext("meta/state") in (None, *_LIVE)]


def close(namespace: str, members: t.Iterable[str]) -> None:
    """Forget all connections that *members* (addresses) serve: the next packet of each is answered with a reset by another member."""
    for member in members:
        # It exits with 1 when there was nothing to delete.
        call_inside(namespace, functools.partial(run, ["conntrack", "-D", "--reply-src", member], check=False))


def _connection(flow: ET.Element) -> Connection:
    meta = {element.get("direction"): element for element in flow.findall("meta")}
    original, reply = meta["original"], meta["reply"]
    return Connection(
        original.find("layer4").get("protoname"),
        original.findtext("layer3/dst"),
        int(original.findtext("layer4/dport")),
        reply.findtext("layer3/src"),
    )
