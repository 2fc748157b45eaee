# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The host-stack guard: the host's own network stack keeps out of the guests' networks.

User space Open vSwitch reads interfaces through packet sockets, so the kernel gets a copy of every frame as well. Without the
guard it would answer ARP for the guests' addresses and route between tenants, past the switch.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run

#: Interfaces that belong to guests (C(vm*)) and to the switch's side of domain routers (C(vr*)).
ALWAYS = ("vm*", "vr*")


class Rule(t.NamedTuple):
    """One dropped direction of one interface: table family, chain, C(iifname) or C(oifname), and the interface."""

    family: str
    chain: str
    direction: str
    interface: str


_CHAINS = (
    ("arp", "arrives", "iifname", "type filter hook input priority filter"),
    ("arp", "leaves", "oifname", "type filter hook output priority filter"),
    # Before connection tracking, which would otherwise count the guests' frames.
    ("inet", "arrives", "iifname", "type filter hook prerouting priority raw"),
    ("inet", "leaves", "oifname", "type filter hook output priority raw"),
)


def wanted(uplinks: list[str]) -> set[Rule]:
    """Return the rules that guard a switch with these uplinks."""
    return {Rule(family, chain, direction, interface) for family, chain, direction, _hook in _CHAINS for interface in (*ALWAYS, *uplinks)}


def render(bridge: str, uplinks: list[str]) -> str:
    """Return the transaction that puts the guard of a switch in place, in nft's language."""
    lines = []
    for family in ("arp", "inet"):
        lines += [f"table {family} {table(bridge)} {{}}", f"delete table {family} {table(bridge)}", f"table {family} {table(bridge)} {{"]
        for one, chain, direction, hook in _CHAINS:
            if one == family:
                lines += [f"  chain {chain} {{", f"    {hook}; policy accept;"]
                lines += [f'    {direction} "{interface}" drop' for interface in (*ALWAYS, *uplinks)]
                lines += ["  }"]
        lines += ["}"]
    return "\n".join(lines) + "\n"


def table(bridge: str) -> str:
    """Return the name of the tables that guard *bridge*."""
    return f"guard-{bridge}"


def observe(bridge: str) -> set[Rule]:
    """Return the rules of the guard that are in force."""
    found: set[Rule] = set()
    for family in ("arp", "inet"):
        listing = run(["nft", "-j", "list", "table", family, table(bridge)], check=False)
        if listing.returncode == 0:
            found |= parse(listing.stdout)
    return found


def parse(listing: str) -> set[Rule]:
    """Return the dropping rules in what C(nft -j list table) printed; any other rule appears as one that is not wanted."""
    found = set()
    for item in json.loads(listing)["nftables"]:
        if "rule" not in item:
            continue
        rule = item["rule"]
        matches = [part["match"] for part in rule["expr"] if "match" in part]
        plain = len(rule["expr"]) == 2 and len(matches) == 1 and "drop" in rule["expr"][1] and matches[0]["op"] == "=="
        key = matches[0]["left"].get("meta", {}).get("key") if plain else None
        found.add(Rule(rule["family"], rule["chain"], key or "other", str(matches[0]["right"]) if plain else json.dumps(rule["expr"])))
    return found


def remove(bridge: str) -> None:
    """Take the guard of *bridge* away."""
    name = table(bridge)
    run(["nft", "-f", "-"], stdin="".join(f"table {family} {name} {{}}\ndelete table {family} {name}\n" for family in ("arp", "inet")))
