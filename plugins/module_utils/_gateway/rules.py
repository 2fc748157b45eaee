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

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import marks
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.document import SLOTS, Document, Service

TABLE = "vmatrix"
#: The router's interfaces, as they are named inside its network namespace.
INSIDE = "guests"
OUTSIDE = "outside"


def spread(addresses: t.Iterable[str]) -> list[str]:
    """Divide the slots among *addresses* as evenly as can be; which slot goes to whom depends on nothing but the set of them.

    Rendezvous hashing with a bound: each slot prefers the addresses in an order of its own, and an address takes no more than
    its share. So an address that comes or goes moves about as many slots as it must, and everybody computes the same.

    Returns:
        The address of each slot; empty if there are no addresses.
    """
    members = sorted(set(addresses), key=ipaddress.ip_address)
    if not members:
        return []
    share, over = divmod(SLOTS, len(members))
    wishes = sorted((_rank(slot, address), slot, address) for slot in range(SLOTS) for address in members)
    taken: dict[int, str] = {}
    load = dict.fromkeys(members, 0)
    for _rank_, slot, address in wishes:
        if slot in taken or load[address] > share or (load[address] == share and over == 0):
            continue
        if load[address] == share:
            over -= 1
        load[address] += 1
        taken[slot] = address
    return [taken[slot] for slot in range(SLOTS)]


def rotation(service: Service, down: t.Collection[str]) -> list[str]:
    """Return the addresses of the members that get new connections: those that are not *down*, or all when all are.

    A check that nobody passes says more about the check than about them.
    """
    addresses = [member["address"] for member in service["members"]]
    return [address for address in addresses if address not in down] or addresses


def render(document: Document, down: t.Collection[str] = ()) -> str:
    """Return the transaction that replaces the router's rules by those of *document*, in nft's language.

    Tunnels have a table of their own in the same namespace; what it lets through bears a mark.
    Members whose address is in *down* leave the rotation.
    """
    services = document["services"]
    maps, dnat, refuse, forward = [], [], [], set()
    for service in services:
        slots = spread(rotation(service, down))
        for port in service["ports"]:
            proto, number = port["protocol"], port["port"]
            if not slots:
                if proto == "tcp":
                    refuse.append(f"{service['public_address']} . {number}")
                continue
            name = f"slots-{service['name']}-{proto}-{number}"
            elements = ", ".join(f"{slot} : {address} . {number}" for slot, address in enumerate(slots))
            maps.append(f"  map {name} {{ typeof numgen inc mod {SLOTS} : ip daddr . {proto} dport; elements = {{ {elements} }} }}")
            # Without "meta l4proto" nft does not see that the packet has a port, and refuses the map.
            dnat.append(
                f'    iifname "{OUTSIDE}" ip daddr {service["public_address"]} meta l4proto {proto} {proto} dport {number}'
                f" dnat ip to numgen inc mod {SLOTS} map @{name}"
            )
            forward.update((address, proto, number) for address in slots)
    own = ", ".join(str(ipaddress.ip_interface(gateway).ip) for gateway in document["gateways"])
    lines = [
        f"table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        *maps,
        "  chain publish {",
        "    type nat hook prerouting priority dstnat; policy accept;",
        *dnat,
        "  }",
        "  chain forward {",
        "    type filter hook forward priority filter; policy drop;",
        "    ct state established,related accept",
        f"    meta mark {marks.VPN:#x} accept",
        *_opened(forward),
        "  }",
        "  chain input {",
        "    type filter hook input priority filter; policy drop;",
        "    ct state established,related accept",
        f"    meta mark {marks.VPN:#x} accept",
        f'    iifname "{INSIDE}" ip daddr {{ {own} }} icmp type echo-request accept',
        *([f'    iifname "{OUTSIDE}" ip daddr . tcp dport {{ {", ".join(sorted(set(refuse)))} }} reject with tcp reset'] if refuse else []),
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def digest(listing: str) -> str:
    """Return the SHA-256 of what C(nft -j list table) printed, without what differs between two equal rule sets."""
    objects = [item for item in json.loads(listing)["nftables"] if "metainfo" not in item]
    return hashlib.sha256(json.dumps(_canonical(objects), sort_keys=True).encode()).hexdigest()


def _opened(forward: set[tuple[str, str, int]]) -> t.Iterator[str]:
    for proto in sorted({proto for _address, proto, _port in forward}):
        pairs = sorted((ipaddress.ip_address(address), port) for address, one, port in forward if one == proto)
        elements = ", ".join(f"{address} . {port}" for address, port in pairs)
        yield f'    iifname "{OUTSIDE}" oifname "{INSIDE}" ct status dnat ip daddr . {proto} dport {{ {elements} }} accept'


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
