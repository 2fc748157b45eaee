# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The nftables rules of a domain router: a pure function of its document.

One table holds everything, and one transaction puts it in place, so that no packet ever meets half of it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import balance, marks, ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.document import SLOTS, Document, Service

TABLE = "vmatrix"
#: The router's interfaces, as they are named inside its network namespace.
INSIDE = "guests"
OUTSIDE = "outside"
#: What the gateway gives to its own visitors, see _gateway.visitor; guests see their router instead, for some hold these addresses for their neighbours'.
VISITORS = ipaddress.ip_network("169.254.76.0/24")
#: How callers learn that nobody serves.
_REFUSAL = {"tcp": "tcp reset", "udp": "icmp port-unreachable"}

#: Where the slots of callers begin: without it the kernel would choose another start, and other members for them, with every change of the rules.
_SEED = 0x766D6573


def spread(weights: t.Mapping[str, int]) -> list[str]:
    """Divide the slots among addresses by their *weights* as exactly as can be; which slot goes to whom depends on nothing but these.

    Rendezvous hashing with a bound: each slot prefers the addresses in an order of its own, and an address takes no more than
    its share, give or take one slot, and never none. So an address that comes or goes moves about as many slots as it must,
    and everybody computes the same.

    Returns:
        The address of each slot; empty if there are no addresses.
    """
    members = sorted(weights, key=ipaddress.ip_address)
    if not members:
        return []
    share, over = _shares(members, weights)
    wishes = sorted((_rank(slot, address), slot, address) for slot in range(SLOTS) for address in members)
    taken: dict[int, str] = {}
    load = dict.fromkeys(members, 0)
    for _rank_, slot, address in wishes:
        if slot in taken or load[address] > share[address] or (load[address] == share[address] and over == 0):
            continue
        if load[address] == share[address]:
            over -= 1
        load[address] += 1
        taken[slot] = address
    return [taken[slot] for slot in range(SLOTS)]


def rotation(service: Service, down: t.Collection[str]) -> dict[str, int]:
    """Return the weight of each member that gets new connections, by address: of those that are not *down*, or of all when all are.

    A check that nobody passes says more about the check than about them.
    """
    weights = {member["address"]: member.get("weight", 1) for member in service["members"]}
    return {address: weight for address, weight in weights.items() if address not in down} or weights


def render(document: Document, down: t.Collection[str] = ()) -> str:
    """Return the transaction that replaces the router's rules by those of *document*, in nft's language.

    Tunnels have a table of their own in the same namespace; what it lets through bears a mark. A service without members may send its callers to where it
    is served now.
    Members whose address is in *down* leave the rotation.
    """
    services = document["services"]
    maps, dnat, forward, elsewhere = [], [], set(), []
    refuse: dict[str, set[str]] = {"tcp": set(), "udp": set()}
    serving = sorted({service["public_address"] for service in services if _serves(service, down)}, key=ipaddress.ip_address)
    for service in services:
        slots = spread(rotation(service, down))
        sticky = balance.whole(service.get("balance"))["policy"] == "sticky"
        turn = f"jhash ip saddr mod {SLOTS} seed {_SEED:#x}" if sticky else f"numgen inc mod {SLOTS}"
        for port in service["ports"]:
            proto, number = port["protocol"], ports.text(port)
            if not slots and service.get("forward_to"):
                elsewhere.append((service["public_address"], service["forward_to"], proto, number))
                continue
            if not slots:
                refuse[proto].add(f"{service['public_address']} . {number}")
                continue
            name = f"slots-{service['name']}-{proto}-{number}"
            # Of a range each port stays what it is.
            target, to = (f"ip daddr . {proto} dport", f" . {number}") if ports.single(port) else ("ip daddr", "")
            elements = ", ".join(f"{slot} : {address}{to}" for slot, address in enumerate(slots))
            maps.append(f"  map {name} {{ typeof {turn} : {target}; elements = {{ {elements} }} }}")
            # Without "meta l4proto" nft does not see that the packet has a port, and refuses the map.
            dnat.append(
                f'    iifname "{OUTSIDE}" ip daddr {service["public_address"]} meta l4proto {proto} {proto} dport {number}'
                f" dnat ip to {turn} map @{name}"
            )
            forward.update((address, proto, port["port"], number) for address in slots)
    own = ", ".join(str(ipaddress.ip_interface(gateway).ip) for gateway in document["gateways"])
    lines = [
        f"table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        *maps,
        *_helped(services),
        "  chain publish {",
        "    type nat hook prerouting priority dstnat; policy accept;",
        *dnat,
        *(
            f'    iifname "{OUTSIDE}" ip daddr {public} {proto} dport {number} dnat ip to {target}' for public, target, proto, number in elsewhere
        ),
        "  }",
        "  chain visits {",
        "    type nat hook postrouting priority srcnat; policy accept;",
        f'    oifname "{INSIDE}" ip saddr {VISITORS} masquerade',
        "  }",
        *_sent_on(elsewhere),
        "  chain forward {",
        "    type filter hook forward priority filter; policy drop;",
        # Whoever drops ICMP on the way never hears what is too large; its TCP learns here what fits.
        "    tcp flags syn tcp option maxseg size set rt mtu",
        *_patient(elsewhere),
        "    ct state established,related accept",
        f"    meta mark {marks.VPN:#x} accept",
        *_opened(forward),
        *(
            f'    iifname "{OUTSIDE}" oifname "{OUTSIDE}" ct status dnat ip daddr {target} {proto} dport {number} accept'
            for _public, target, proto, number in elsewhere
        ),
        "  }",
        "  chain input {",
        "    type filter hook input priority filter; policy drop;",
        # A ping that goes on and on is one flow to the kernel, but not to who looks at it.
        *([f'    iifname "{OUTSIDE}" ip daddr {{ {", ".join(serving)} }} icmp type echo-request accept'] if serving else []),
        f'    iifname "{OUTSIDE}" icmp type echo-request drop',
        "    ct state established,related accept",
        f"    meta mark {marks.VPN:#x} accept",
        f'    iifname "{INSIDE}" ip daddr {{ {own} }} icmp type echo-request accept',
        # Who asks for the time where nobody tells it is refused, and need not wait.
        f'    iifname "{INSIDE}" ip daddr {{ {own} }} udp dport 123 accept',
        *(
            f'    iifname "{OUTSIDE}" ip daddr . {proto} dport {{ {", ".join(sorted(refused))} }} reject with {_REFUSAL[proto]}'
            for proto, refused in refuse.items()
            if refused
        ),
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def written(text: str) -> str:
    """Return the SHA-256 of rules as they are written."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest(listing: str) -> str:
    """Return the SHA-256 of what C(nft -j list table) printed, without what differs between two equal rule sets."""
    objects = [item for item in json.loads(listing)["nftables"] if "metainfo" not in item]
    return hashlib.sha256(json.dumps(_canonical(objects), sort_keys=True).encode()).hexdigest()


def _serves(service: Service, down: t.Collection[str]) -> bool:
    """Whether a service's public address answers a ping: somebody is there, and its owner has not forbidden it."""
    return balance.whole(service.get("balance"))["ping"] and any(member["address"] not in down for member in service["members"])


def _opened(forward: set[tuple[str, str, int, str]]) -> t.Iterator[str]:
    for proto in sorted({proto for _address, proto, _first, _ports in forward}):
        pairs = sorted((ipaddress.ip_address(address), first, number) for address, one, first, number in forward if one == proto)
        elements = ", ".join(f"{address} . {number}" for address, _first, number in pairs)
        yield f'    iifname "{OUTSIDE}" oifname "{INSIDE}" ct status dnat ip daddr . {proto} dport {{ {elements} }} accept'


def _helped(services: t.Sequence[Service]) -> t.Iterator[str]:
    """Yield the chain by which connection tracking follows what protocols agree on, for the ports that declare it; and none of another's.

    It comes before the translation of addresses: kernels before Linux 6.18 make room for changing the length of what a connection says only when they
    translate one that has its helper already, and the address in it may be of another length.
    """
    helped = [(service["public_address"], port) for service in services for port in service["ports"] if "helper" in port]
    if not helped:
        return
    for helper in sorted({port["helper"] for unused, port in helped}):
        yield f'  ct helper {helper} {{ type "{helper}" protocol tcp; }}'
    yield "  chain help {"
    yield "    type filter hook prerouting priority dstnat - 10; policy accept;"
    for public, port in helped:
        yield f'    iifname "{OUTSIDE}" ip daddr {public} tcp dport {port["port"]} ct helper set "{port["helper"]}"'
    yield "  }"


def _sent_on(elsewhere: list[tuple[str, str, str, str]]) -> list[str]:
    """Return the chain that gives late-comers who are sent to another HN the address that they came to, so that the answers come back this way."""
    if not elsewhere:
        return []
    pairs = sorted({(public, target) for public, target, _proto, _number in elsewhere})
    rules = [f'    oifname "{OUTSIDE}" ct status dnat ip daddr {target} ct original ip daddr {public} snat ip to {public}' for public, target in pairs]
    return ["  chain send-on {", "    type nat hook postrouting priority srcnat; policy accept;", *rules, "  }"]


def _patient(elsewhere: list[tuple[str, str, str, str]]) -> t.Iterator[str]:
    """Yield the rules that keep from late-comers that the other HN refuses them: it does so until it has published what comes, and their TCP asks again.

    Who refuses a connection resets it with a sequence number of zero (RFC 9293, section 3.10.7.1).
    """
    for public in sorted({public for public, _target, proto, _number in elsewhere if proto == "tcp"}):
        yield f'    oifname "{OUTSIDE}" ct direction reply ct original ip daddr {public} tcp flags & (rst | ack) == rst | ack tcp sequence 0 drop'


def _shares(members: list[str], weights: t.Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Return how many slots each member has for certain, and how many there are besides."""
    whole = sum(weights[address] for address in members)
    share = {address: max(1, SLOTS * weights[address] // whole) for address in members}
    over = SLOTS - sum(share.values())
    while over < 0:
        # Those that weigh too little for a slot got one nevertheless; who has most makes room.
        share[max(members, key=lambda address: share[address])] -= 1
        over += 1
    return share, over


def _rank(slot: int, address: str) -> bytes:
    return hashlib.sha256(f"{slot} {address}".encode()).digest()


def _canonical(value: t.Any) -> t.Any:
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _canonical(item) for key, item in value.items() if key != "handle"}
    for key in ("elem", "set"):
        if isinstance(kept.get(key), list):
            kept[key] = sorted(kept[key], key=lambda item: json.dumps(item, sort_keys=True))
    return kept
