# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The port guard of a Linux bridge, as nftables rules of the family C(bridge): a pure function of the guarded ports.

A port with a fabric address is translated after it was found to be who it must be, and before what it says is learnt from; what it hears is translated
last of all, so that the guard and the bridge know only its fabric address.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.ports import Guarded

_SETS = {
    "speaks_arp": "ifname . ether_addr . ether_addr . ipv4_addr",
    "speaks_ip": "ifname . ether_addr . ipv4_addr",
    "forwards": "ifname . ether_addr",
    "hears": "ifname . ether_addr",
    "hears_arp": "ifname . ipv4_addr",
    "twins": "ifname . ipv4_addr",
}
#: What a translated port has on the one side to what it has on the other.
_MAPS = {
    "outer_mac": "ifname . ether_addr : ether_addr",
    "outer_address": "ifname . ipv4_addr : ipv4_addr",
    "inner_mac": "ifname . ether_addr : ether_addr",
    "inner_address": "ifname . ipv4_addr : ipv4_addr",
}
#: What comes in from guests and routers. A tag equal to the port's own VLAN would pass the bridge, so tags are dropped here.
_SPEAK = """\
    type filter hook prerouting priority filter; policy accept;
    iifname != "vm*" iifname != "vr*" accept
    ether type { 8021q, 8021ad } drop
    ether type arp ether daddr ff:ff:ff:ff:ff:ff iifname . ether saddr . arp saddr ether . arp saddr ip @speaks_arp accept
    ether daddr & 01:00:00:00:00:00 != 00:00:00:00:00:00 drop
    ether type arp iifname . ether saddr . arp saddr ether . arp saddr ip @speaks_arp accept
    ether type ip udp sport 67 drop
    ether type ip iifname . ether saddr . ip saddr @speaks_ip accept
    ether type ip iifname . ether saddr @forwards accept
    drop
"""
#: What goes out to guests.
_HEAR = """\
    type filter hook postrouting priority filter; policy accept;
    oifname != "vm*" accept
    ether type arp oifname . arp saddr ip @twins drop
    ether type arp oifname . arp daddr ip @twins drop
    ether type ip oifname . ip saddr @twins drop
    ether type ip oifname . ip daddr @twins drop
    oifname . ether daddr @hears accept
    ether type arp ether daddr ff:ff:ff:ff:ff:ff oifname . arp daddr ip @hears_arp accept
    drop
"""
#: Who asks for itself tells others of itself (RFC 5227), so both addresses of an ARP message are looked for.
_OUTWARDS = """\
    type filter hook prerouting priority filter + 10; policy accept;
    ether type arp arp daddr ip set iifname . arp daddr ip map @outer_address
    ether type arp arp saddr ip set iifname . arp saddr ip map @outer_address
    ether type arp arp saddr ether set iifname . arp saddr ether map @outer_mac
    ether type ip ip saddr set iifname . ip saddr map @outer_address
    ether saddr set iifname . ether saddr map @outer_mac
"""
_INWARDS = """\
    type filter hook postrouting priority filter + 10; policy accept;
    ether type arp arp daddr ip set oifname . arp daddr ip map @inner_address
    ether type arp arp daddr ether set oifname . arp daddr ether map @inner_mac
    ether type ip ip daddr set oifname . ip daddr map @inner_address
    ether daddr set oifname . ether daddr map @inner_mac
"""


def table(bridge: str) -> str:
    """Return the name of the table that guards the ports of *bridge*."""
    return f"ports-{bridge}"


def render(bridge: str, guarded: t.Iterable[Guarded]) -> str:
    """Return the transaction that puts the guard of these ports in place, in nft's language."""
    name, elements = table(bridge), _elements(guarded)
    lines = [f"table bridge {name} {{}}", f"delete table bridge {name}", f"table bridge {name} {{"]
    for what, kinds in (("set", _SETS), ("map", _MAPS)):
        for one, kind in kinds.items():
            lines += [f"  {what} {one} {{", f"    type {kind}"]
            if elements[one]:
                lines += [f"    elements = {{ {', '.join(elements[one])} }}"]
            lines += ["  }"]
    for chain, rules in (("speak", _SPEAK), ("outwards", _OUTWARDS), ("hear", _HEAR), ("inwards", _INWARDS)):
        lines += [f"  chain {chain} {{", f"{rules}  }}"]
    return "\n".join(lines) + "\n}\n"


def _elements(guarded: t.Iterable[Guarded]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {one: [] for one in (*_SETS, *_MAPS)}
    for one in sorted(guarded):
        port = f'"{one.port}"'
        found["speaks_arp"] += [f"{port} . {one.mac} . {one.mac} . {address}" for address in one.addresses]
        if one.forwards:
            found["forwards"].append(f"{port} . {one.mac}")
            continue
        found["speaks_ip"] += [f"{port} . {one.mac} . {address}" for address in one.addresses]
        found["hears"].append(f"{port} . {one.outer_mac}")
        found["hears_arp"] += [f"{port} . {address}" for address in one.outer_addresses]
        if one.fabric_address:
            (address,) = one.addresses
            # Its twin that goes by the address they share would seem to speak as itself.
            found["twins"].append(f"{port} . {address}")
            found["outer_mac"].append(f"{port} . {one.mac} : {one.outer_mac}")
            found["outer_address"].append(f"{port} . {address} : {one.fabric_address}")
            found["inner_mac"].append(f"{port} . {one.outer_mac} : {one.mac}")
            found["inner_address"].append(f"{port} . {one.fabric_address} : {address}")
    return found
