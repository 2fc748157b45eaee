# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Who is answered with what: from a steering document to answers. Pure functions.

A steering document says for one name which HNs serve it with which addresses, which clients (by prefix) should get which HNs in which
order, how many of them an answer holds, and how to find out whether an HN is alive.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.shapes import Network

Document = t.Dict[str, t.Any]

#: The region of all clients that no other region names.
REST = "rest"
CHECKS = ("http", "tcp", "none")


class Row(t.NamedTuple):
    """What clients of some prefixes are answered.

    Attributes:
        region: the region that the prefixes belong to.
        prefixes: the prefixes.
        sites: the HNs in order of preference, each with its addresses of one family.
    """

    region: str
    prefixes: list[Network]
    sites: list[tuple[str, list[str]]]


def document(
    name: str,
    zone: str,
    sites: t.Sequence[t.Mapping[str, t.Any]],
    order: t.Sequence[str],
    regions: t.Sequence[t.Mapping[str, t.Any]] = (),
    ttl: int = 5,
    answers: int = 1,
    check: t.Mapping[str, t.Any] | None = None,
) -> Document:
    """Return a steering document in its one normal form.

    Args:
        name: the absolute name that clients ask for.
        zone: the steering zone it belongs to.
        sites: the HNs that serve it, each {hn, addresses}, and with C(number) when that was said.
        order: the order of HNs for all clients that no region names.
        regions: {name, prefixes, order} each.
        ttl: seconds that an answer may be kept.
        answers: how many HNs an answer holds.
        check: {type: http|tcp|none, port, path, host}; how to find out whether an HN is alive.

    Raises:
        InvalidInput: something is invalid.
    """
    if not isinstance(answers, int) or isinstance(answers, bool) or answers < 1:
        raise InvalidInput(f"{answers!r} is not how many HNs an answer can hold: it must be 1 or more.")
    checked = [_site(site) for site in sites]
    _unique("HN", [site["hn"] for site in checked])
    known = [_region(region) for region in regions]
    _unique("region", [region["name"] for region in known])
    _unique("prefix", [prefix for region in known for prefix in region["prefixes"]])
    if not checked:
        raise InvalidInput(f"No HN serves {name}; to stop steering it, ask for it to be absent.")
    found = shapes.within(name, shapes.name(zone))
    return {
        "name": found,
        "ttl": shapes.ttl(ttl),
        "answers": answers,
        "check": _check(check or {"type": "none"}, found),
        "sites": sorted(checked, key=lambda site: site["hn"]),
        "regions": sorted(known, key=lambda region: region["name"]),
        "order": _order(order),
    }


def rows(wanted: Document, family: int) -> list[Row]:
    """Return the table of a document for one family of addresses (4 or 6): the first row with a prefix that has the client in it counts.

    It ends with a row for all clients, and is empty when no HN has an address of the family.
    """
    addresses = {
        site["hn"]: [address for address in site["addresses"] if ipaddress.ip_address(address).version == family] for site in wanted["sites"]
    }
    serving = {hn: found for hn, found in addresses.items() if found}
    if not serving:
        return []

    def ranked(order: t.Sequence[str]) -> list[tuple[str, list[str]]]:
        # Whom an order does not name comes last: far away is better than no answer.
        whole = dict.fromkeys([*order, *wanted["order"], *sorted(serving)])
        return [(hn, serving[hn]) for hn in whole if hn in serving]

    prefixes = [(ipaddress.ip_network(prefix), region) for region in wanted["regions"] for prefix in region["prefixes"]]
    prefixes.sort(key=lambda entry: (-entry[0].prefixlen, entry[0].version, int(entry[0].network_address)))
    table: list[Row] = []
    for prefix, region in prefixes:
        if table and table[-1].region == region["name"]:
            table[-1].prefixes.append(prefix)
        else:
            table.append(Row(region["name"], [prefix], ranked(region["order"])))
    return [*table, Row(REST, [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")], ranked(wanted["order"]))]


def answer(wanted: Document, family: int, client: str, alive: t.Container[str] | None = None) -> list[str]:
    """Return the addresses that a client gets.

    Args:
        wanted: the document.
        family: 4 for A, 6 for AAAA.
        client: the client's address, or what is known of it.
        alive: the addresses that are alive; None for all. With none alive all count as alive: the check may be what is broken.
    """
    where = ipaddress.ip_address(client)
    for row in rows(wanted, family):
        if any(where in prefix for prefix in row.prefixes):
            return choose(row, wanted["answers"], alive)
    return []


def samples(wanted: Document) -> dict[str, str]:
    """Return for each region of a document one client of its own, as a prefix of one address; regions without one are left out."""
    found: dict[str, str] = {}
    table = rows(wanted, 4) or rows(wanted, 6)
    for index, row in enumerate(table):
        before = [prefix for earlier in table[:index] for prefix in earlier.prefixes]
        client = next(filter(None, (_free(prefix, before) for prefix in row.prefixes)), None)
        if client is not None and row.region not in found:
            found[row.region] = f"{client}/{client.max_prefixlen}"
    return found


def _free(prefix: Network, others: t.Sequence[Network]) -> t.Any:
    """Return an address of a prefix that is in none of the others, or None: it is the first one, or follows on one of the others."""
    inside = [other for other in others if other.version == prefix.version and other.subnet_of(prefix)]
    ends = [other.broadcast_address for other in inside]
    candidates = [prefix.network_address, *(end + 1 for end in ends if end < prefix.broadcast_address)]
    return next((one for one in candidates if not any(one in other for other in inside)), None)


def choose(row: Row, answers: int, alive: t.Container[str] | None = None) -> list[str]:
    """Return the living addresses of the first *answers* HNs of a row that have any."""
    chosen: list[str] = []
    sites = 0
    known = alive is not None and any(address in alive for unused, addresses in row.sites for address in addresses)
    for unused, addresses in row.sites:
        living = [address for address in addresses if not known or address in alive]
        if living and sites < answers:
            chosen += living
            sites += 1
    return chosen


def _site(site: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    addresses = sorted({shapes.address(address) for address in site["addresses"]})
    if not addresses:
        raise InvalidInput(f"The HN {site['hn']} has no address; leave it out instead.")
    number = {"number": int(site["number"])} if site.get("number") else {}
    return {"hn": names.label("HN", site["hn"]), "addresses": addresses, **number}


def _region(region: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    name = names.label("region", region["name"])
    if name == REST:
        raise InvalidInput(f"No region can be called {REST}; that is what all other clients are called.")
    if not region["prefixes"]:
        raise InvalidInput(f"The region {name} has no prefixes.")
    return {"name": name, "prefixes": sorted(str(shapes.prefix(prefix)) for prefix in region["prefixes"]), "order": _order(region["order"])}


def _order(order: t.Sequence[str]) -> list[str]:
    checked = [names.label("HN", hn) for hn in order]
    _unique("HN in an order", checked)
    return checked


def _check(check: t.Mapping[str, t.Any], name: str) -> dict[str, t.Any]:
    kind = check.get("type")
    if kind not in CHECKS:
        raise InvalidInput(f"{kind!r} is not a kind of health check: it must be one of {', '.join(CHECKS)}.")
    if kind == "none":
        return {"type": kind}
    if check.get("port") is None:
        raise InvalidInput(f"A health check of the type {kind} needs a port.")
    found = {"type": kind, "port": shapes.port(check["port"])}
    if kind == "http":
        host = shapes.name(check.get("host") or name)
        if not re.fullmatch(names.DOMAIN, host):
            raise InvalidInput(f"{host!r} cannot be the host that a health check asks for.")
        found |= {"path": shapes.path(check.get("path") or "/"), "host": host}
    return found


def _unique(kind: str, values: t.Sequence[str]) -> None:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise InvalidInput(f"The {kind} {twice[0]} is there twice.")
