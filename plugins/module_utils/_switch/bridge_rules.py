# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The port guard of a Linux bridge, as nftables rules of the family C(bridge): a pure function of the guarded ports."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.ports import Guarded

_SETS = {
    "speaks_arp": "ifname . ether_addr . ether_addr . ipv4_addr",
    "speaks_ip": "ifname . ether_addr . ipv4_addr",
    "forwards": "ifname . ether_addr",
    "hears": "ifname . ether_addr",
    "hears_arp": "ifname . ipv4_addr",
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
    oifname . ether daddr @hears accept
    ether type arp ether daddr ff:ff:ff:ff:ff:ff oifname . arp daddr ip @hears_arp accept
    drop
"""


def table(bridge: str) -> str:
    """Return the name of the table that guards the ports of *bridge*."""
    return f"ports-{bridge}"


def render(bridge: str, guarded: t.Iterable[Guarded]) -> str:
    """Return the transaction that puts the guard of these ports in place, in nft's language."""
    name, elements = table(bridge), _elements(guarded)
    lines = [f"table bridge {name} {{}}", f"delete table bridge {name}", f"table bridge {name} {{"]
    for one, kind in _SETS.items():
        lines += [f"  set {one} {{", f"    type {kind}"]
        if elements[one]:
            lines += [f"    elements = {{ {', '.join(elements[one])} }}"]
        lines += ["  }"]
    return "\n".join(lines) + "\n  chain speak {\n" + _SPEAK + "  }\n  chain hear {\n" + _HEAR + "  }\n}\n"


def _elements(guarded: t.Iterable[Guarded]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {one: [] for one in _SETS}
    for one in sorted(guarded):
        port = f'"{one.port}"'
        found["speaks_arp"] += [f"{port} . {one.mac} . {one.mac} . {address}" for address in one.addresses]
        if one.forwards:
            found["forwards"].append(f"{port} . {one.mac}")
            continue
        found["speaks_ip"] += [f"{port} . {one.mac} . {address}" for address in one.addresses]
        found["hears"].append(f"{port} . {one.mac}")
        found["hears_arp"] += [f"{port} . {address}" for address in one.addresses]
    return found
