# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The network namespace of a domain router: its links, addresses, and the routes that lead to it.

One veth pair joins it to the switch (C(guests) inside, an access port outside), another to the gateway's root namespace
(C(outside) inside); there each public address is a host route, and the WAN interface answers ARP for it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.document import Document, public_addresses
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import NAMESPACES, call_inside
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.rules import INSIDE, OUTSIDE

#: The same towards every guest in every HN, so that the ARP cache of a guest that moved stays true.
MAC = "02:76:6d:00:00:01"
#: The gateway's end of the link to each router. The routers see nothing else of it, so they can all call it the same.
NEXT_HOP = "169.254.76.1"

_SYSCTLS = {
    "ipv4/ip_forward": "1",
    "ipv6/conf/all/disable_ipv6": "1",
    # A guest cannot take another network's address, nor learn the router's other addresses.
    f"ipv4/conf/{INSIDE}/rp_filter": "1",
    f"ipv4/conf/{INSIDE}/arp_ignore": "1",
    f"ipv4/conf/{INSIDE}/arp_announce": "2",
    f"ipv4/conf/{INSIDE}/send_redirects": "0",
    f"ipv4/conf/{INSIDE}/accept_redirects": "0",
    f"ipv4/conf/{OUTSIDE}/rp_filter": "1",
    # A guest that has just appeared is found within 50 ms instead of 1 s; it still has 2 s to answer before it counts as gone.
    f"ipv4/neigh/{INSIDE}/retrans_time_ms": "50",
    f"ipv4/neigh/{INSIDE}/mcast_solicit": "40",
    f"ipv4/neigh/{INSIDE}/ucast_solicit": "40",
}


class Names(t.NamedTuple):
    """What a domain's router is called: its namespace, its port on the switch, its link in the root namespace."""

    namespace: str
    port: str
    link: str


class Ways(t.NamedTuple):
    """The largest packet, in bytes, that goes to guests, and to the world."""

    inside: int
    outside: int


class Links(t.NamedTuple):
    """What can be seen of a router's links; equal to what is wanted when all is well.

    Its networks are those that are behind its links, each with the largest packet that its route takes: C(192.168.1.0/24 1500).
    """

    up: bool
    mac: str
    gateways: tuple[str, ...]
    public: tuple[str, ...]
    ways_out: tuple[str, ...]
    routes: tuple[str, ...]
    proxies: tuple[str, ...]
    networks: tuple[str, ...] = ()


def names(domain: str) -> Names:
    """Return the names of a domain's router; interface names are hashed, because the kernel allows 15 characters only."""
    short = hashlib.sha256(domain.encode()).hexdigest()[:10]
    return Names(f"router-{domain}", f"vr{short}", f"vo{short}")


def wanted(document: Document, ways: Ways) -> Links:
    """Return the links that *document* asks for, where packets are as large as *ways* carry."""
    public = tuple(public_addresses(document))
    networks = [f"{network} {ways.inside}" for network in _networks(document["gateways"])]
    return Links(True, MAC, _ordered(document["gateways"]), public, (NEXT_HOP,), public, public, (f"default {ways.outside}", *networks))


class Link(t.NamedTuple):
    """An interface as the kernel knows it: one that was made anew has another index."""

    name: str
    index: int
    mac: str
    up: bool
    carries: bool


def links() -> list[Link]:
    """Return the interfaces of the calling thread's namespace."""
    found = _ip("link", "show")
    return [Link(each["ifname"], each["ifindex"], each.get("address", ""), "UP" in each["flags"], "LOWER_UP" in each["flags"]) for each in found]


def lost(documents: t.Iterable[Document], wan: str) -> list[str]:
    """Return the domains of *documents* that have a public address without a route to their router, or one for which *wan* does not answer ARP."""
    routes = {(route.get("dev"), route["dst"]) for route in _ip("route", "show")}
    proxies = {entry["dst"] for entry in _ip("neigh", "show", "proxy", "dev", wan)}
    return [
        document["domain"]
        for document in documents
        if any(address not in proxies or (names(document["domain"]).link, address) not in routes for address in public_addresses(document))
    ]


def host_addresses() -> dict[str, list[str]]:
    """Return the IPv4 addresses of each interface of the root namespace."""
    return {interface["ifname"]: _addresses(interface, prefix=False) for interface in _ip("addr", "show")}


def observe(domain: str, wan: str, watched: t.Iterable[str]) -> Links | None:
    """Return the links of a domain's router as they are, or None when it has to be built anew.

    Args:
        domain: the domain.
        wan: the interface of the root namespace that faces the world.
        watched: the public addresses to look for on *wan*; others there belong to somebody else.
    """
    called = names(domain)
    if not os.path.exists(os.path.join(NAMESPACES, called.namespace)):
        return None
    root = {interface["ifname"]: interface for interface in _ip("addr", "show")}
    within = {interface["ifname"]: interface for interface in _ip("-n", called.namespace, "addr", "show")}
    ends = [root.get(called.port), root.get(called.link), within.get(INSIDE), within.get(OUTSIDE)]
    if None in ends:
        return None
    seen = set(watched)
    ways = _ip("-n", called.namespace, "route", "show")
    ways_out = tuple(way.get("gateway", "") for way in ways if way["dst"] == "default")
    routes = [route["dst"] for route in _ip("route", "show", "dev", called.link)]
    proxies = [entry["dst"] for entry in _ip("neigh", "show", "proxy", "dev", wan) if entry["dst"] in seen]
    return Links(
        all("UP" in end["flags"] for end in ends) and NEXT_HOP in _addresses(ends[1], prefix=False),
        ends[2]["address"],
        _ordered(_addresses(ends[2], prefix=True)),
        _ordered(_addresses(ends[3], prefix=False)),
        ways_out,
        _ordered(routes),
        _ordered(proxies),
        tuple(sorted((f"{way['dst']} {_limit(way)}" for way in ways if way["dst"] == "default" or way.get("dev") == INSIDE), key=_by_network)),
    )


def create(domain: str) -> None:
    """Make an empty namespace for a domain's router; what was left of an earlier one is removed first."""
    remove(domain)
    run(["ip", "netns", "add", names(domain).namespace])


def connect(domain: str) -> None:
    """Make the links of a router's fresh namespace, without addresses yet."""
    called = names(domain)
    _batch(
        [
            f"link add {called.port} type veth peer name {INSIDE} address {MAC} netns {called.namespace}",
            f"link add {called.link} type veth peer name {OUTSIDE} netns {called.namespace}",
        ]
    )
    _write_sysctls({f"ipv6/conf/{called.port}/disable_ipv6": "1", f"ipv6/conf/{called.link}/disable_ipv6": "1", f"ipv4/conf/{called.link}/rp_filter": "1"})
    call_inside(called.namespace, lambda: _write_sysctls(_SYSCTLS))
    # User space Open vSwitch takes frames as they are: nobody would fill in checksums or cut segments to size after us.
    call_inside(called.namespace, lambda: run(["ethtool", "-K", INSIDE, "tx", "off", "tso", "off", "gso", "off"]))


def arrange(domain: str, wan: str, want: Links, found: Links) -> list[str]:
    """Change the links of a router from *found* to *want*; return the public addresses that were not ours before."""
    called = names(domain)
    root = [f"addr replace {NEXT_HOP}/32 dev {called.link}", f"link set {called.port} up", f"link set {called.link} up"]
    within = [f"link set {INSIDE} address {MAC}"] if found.mac != MAC else []
    within += _changes("addr", want.gateways, found.gateways, f"dev {INSIDE}")
    within += _changes("addr", want.public, found.public, f"dev {OUTSIDE}")
    within += ["link set lo up", f"link set {INSIDE} up", f"link set {OUTSIDE} up"]
    within += [f"route replace {way}" for way in _limited(want)]
    root += _changes("route", want.routes, found.routes, f"dev {called.link}")
    root += _changes("neigh", want.proxies, found.proxies, f"dev {wan}", kind="proxy ")
    _batch(within, called.namespace)
    # The kernel would answer for our addresses only after a random pause of up to 0.8 s.
    _write_sysctls({f"ipv4/neigh/{wan}/proxy_delay": "0"})
    _batch(root)
    return [address for address in want.proxies if address not in found.proxies]


def _limited(want: Links) -> t.Iterator[str]:
    """Yield the routes with the largest packet that each takes.

    The links themselves take what is usual: a guest beside this router may send it more than goes over the trunk. It is what is sent on that is limited:
    the router says what is too large (RFC 1191), and connections are told what fits when they begin (RFC 879).
    """
    within = _networks(want.gateways)
    for network, limit in (way.split() for way in want.networks):
        if network == "default":
            yield f"default via {NEXT_HOP} dev {OUTSIDE} onlink mtu {limit}"
        else:
            yield f"{network} dev {INSIDE} proto kernel scope link src {within[network]} mtu {limit}"


def bare(found: Links | None) -> Links:
    """Return *found*, or the links of a router that has just been made."""
    return found or Links(False, MAC, (), (), (), (), ())


def withdraw(wan: str, addresses: t.Iterable[str]) -> None:
    """Stop answering ARP on *wan* for *addresses*."""
    there = {entry["dst"] for entry in _ip("neigh", "show", "proxy", "dev", wan)} if wan in host_addresses() else set()
    _batch([f"neigh del proxy {address} dev {wan}" for address in addresses if address in there])


def forget_neighbours(domain: str, addresses: t.Iterable[str]) -> None:
    """Make a router ask anew where *addresses* are: a guest may be behind another RM than when it was last seen."""
    _batch([f"neigh flush to {address} dev {INSIDE}" for address in addresses], names(domain).namespace)


def remove(domain: str) -> bool:
    """Remove a router's namespace and links; return whether anything was there."""
    called = names(domain)
    links = [link for link in (called.port, called.link) if link in host_addresses()]
    _batch([f"link del {link}" for link in links])
    there = os.path.exists(os.path.join(NAMESPACES, called.namespace))
    if there:
        run(["ip", "netns", "del", called.namespace])
    return there or bool(links)


def check_wan(wan: str) -> None:
    """Raise InvalidInput when the gateway has no interface *wan*."""
    if wan not in host_addresses():
        raise InvalidInput(f"This gateway has no interface {wan!r} that could face the world.")


def _changes(noun: str, want: tuple[str, ...], found: tuple[str, ...], where: str, kind: str = "") -> list[str]:
    gone = [f"{noun} del {kind}{address} {where}" for address in found if address not in want]
    return gone + [f"{noun} replace {kind}{address} {where}" for address in want if address not in found]


def _networks(gateways: t.Iterable[str]) -> dict[str, str]:
    """Return the networks behind a router in order, each with its first address there."""
    found: dict[str, str] = {}
    for gateway in sorted((ipaddress.ip_interface(item) for item in gateways), key=lambda gateway: (_by_network(str(gateway.network)), gateway.ip)):
        found.setdefault(str(gateway.network), str(gateway.ip))
    return found


def _by_network(way: str) -> tuple[t.Any, ...]:
    network = way.split()[0]
    return () if network == "default" else (ipaddress.ip_network(network),)


def _limit(way: dict[str, t.Any]) -> int:
    return next((item["mtu"] for item in way.get("metrics", ()) if "mtu" in item), 0)


def _addresses(interface: dict[str, t.Any], prefix: bool) -> list[str]:
    found = [entry for entry in interface["addr_info"] if entry["family"] == "inet"]
    return [f"{entry['local']}/{entry['prefixlen']}" if prefix else entry["local"] for entry in found]


def _ordered(addresses: t.Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(addresses, key=ipaddress.ip_interface))


def _ip(*arguments: str) -> list[dict[str, t.Any]]:
    # iproute2 6.1 prints an empty list as nothing at all for some objects.
    return [item for item in json.loads(run(["ip", "-j", *arguments]).stdout or "[]") if item]


def _batch(lines: list[str], namespace: str | None = None) -> None:
    if lines:
        run(["ip", *(["-n", namespace] if namespace else []), "-batch", "-"], stdin="\n".join(lines) + "\n")


def _write_sysctls(values: dict[str, str]) -> None:
    for key, value in values.items():
        path = os.path.join("/proc/sys/net", key)
        # A kernel without IPv6 has nothing to switch off.
        if os.path.exists(path):
            with open(path, "w", encoding="ascii") as handle:
                handle.write(value)
