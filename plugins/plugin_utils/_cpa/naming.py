# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Which name gets which addresses: what an operation changes about the name of a service, and what all names should say. Pure functions.

An HN serves a service if an instance of it is in rotation there. A plan is what the module C(dns_service) takes.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.shapes import LONGEST
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import nearness
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.lookups import Plan, all_answered
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View

Settings = t.Mapping[str, t.Any]
Records = t.Sequence[t.Mapping[str, t.Any]]

#: What can be said of one service instead of all.
OF_ONE_SERVICE = ("ttl", "answers", "order", "regions", "check")


def plan_name(view: View, service: str, domain: str, naming: Settings, arrives: Records = (), leaves: Records = ()) -> Plan:
    """Plan how the name of a service follows an operation. Whether an HN that an instance leaves is retired shows when that is done.

    Args:
        view: the mesh as it was before the operation.
        service: its name.
        domain: who owns it.
        naming: C(zone) for steered names, the owners' C(zones), C(ttl) and C(margin) in seconds, C(answers), C(order), C(regions) and C(places)
            as nearness.regions takes them, whether the name server does C(checks), and C(services): what is different for one, by its name
            and domain (shop.example.com).
        arrives: {hn, addresses, ports} of each HN that serves it now, whether or not it did before, and the number of when that was said.
        leaves: {hn, serving} of each HN where an instance leaves the rotation: what its VMA said then of who serves there.

    Raises:
        InvalidInput: a setting is invalid.
    """
    publish = [{key: value for key, value in each.items() if key != "ports"} for each in arrives]
    ports = next((each["ports"] for each in arrives), None) or _ports(view, service, domain)
    plan = _plan(view, service, domain, naming, ports)
    # Nobody comes to what was not in rotation. But a run that was cut off may have had it leave only just now.
    hold = naming["margin"] if any(_in_rotation(view, each["hn"], service, domain) or _begun(view, each["hn"], service, domain) for each in leaves) else None
    return {**plan, "publish": publish, "leaves": [dict(each) for each in leaves], "only": False, "hold": hold}


def plan_names(view: View, naming: Settings) -> list[Plan]:
    """Plan what the names of all services should say, from what is in rotation.

    Raises:
        InvalidInput: a setting is invalid.
        Refused: a VMA did not answer, so nobody can say what its HN serves.
    """
    all_answered(view)
    services = sorted({(record["service"], record["domain"]) for site in view.sites.values() for record in site.records})
    plans = []
    for service, domain in services:
        found = {hn: _in_rotation(view, hn, service, domain) for hn in sorted(view.sites)}
        sites = [{"hn": hn, "addresses": sorted({one["public_address"] for one in records})} for hn, records in found.items() if records]
        plan = _plan(view, service, domain, naming, _ports(view, service, domain))
        plans.append({**plan, "ask": {"type": "none"}, "publish": sites, "retire": [], "only": True, "hold": None})
    return plans


def _plan(view: View, service: str, domain: str, naming: Settings, ports: Records) -> Plan:
    common = f"{names.label('service', service)}.{names.domain(domain)}"
    own = naming["services"].get(common) or {}
    unknown = sorted(set(own) - set(OF_ONE_SERVICE))
    if unknown:
        raise InvalidInput(f"The name of {common} cannot have a setting {unknown[0]}; there are: {', '.join(OF_ONE_SERVICE)}.")
    chosen = {key: own.get(key, naming.get(key)) for key in OF_ONE_SERVICE}
    ask = _check(chosen["check"], ports, common)
    name = f"{common}.{naming['zone']}"
    if len(name) > LONGEST:
        raise InvalidInput(f"The name {name} has {len(name)} characters, and at most {LONGEST} can be: its domain or the steering zone is too long.")
    owners = sorted((zone for zone in naming["zones"] if common.endswith(f".{zone}")), key=len)
    # Whoever serves without standing in it comes last.
    order = list(dict.fromkeys([*(chosen["order"] or ()), *sorted(view.sites)]))
    return {
        "name": name,
        "zone": naming["zone"],
        "alias": {"name": common, "zone": owners[-1] if owners else None},
        "ttl": int(chosen["ttl"]),
        "answers": int(chosen["answers"]),
        "order": order,
        "regions": nearness.regions(chosen["regions"], naming["places"]),
        "check": ask if naming["checks"] else {"type": "none"},
        "ask": ask,
    }


def _check(wanted: t.Mapping[str, t.Any] | None, ports: Records, host: str) -> dict[str, t.Any]:
    """Return the request that shows that a service lives: what is set, else a connection to its first TCP port, if it has any. Of a range nobody says that it
    is open."""
    first = next((port["port"] for port in ports if port["protocol"] == "tcp" and "last_port" not in port), None)
    if wanted:
        return {"host": host, **({} if first is None else {"port": first}), **wanted}
    return {"type": "none"} if first is None else {"type": "tcp", "port": first}


def _in_rotation(view: View, hn: str, service: str, domain: str) -> list[dict]:
    return [record for record in view.sites[hn].records if (record["service"], record["domain"]) == (service, domain) and record["in_rotation"]]


def _begun(view: View, hn: str, service: str, domain: str) -> bool:
    """Whether an operation on an instance of a service has not come to its end in an HN."""
    return any((one.service, one.domain) == (service, domain) for one in map(names.instance, view.sites[hn].unfinished))


def _ports(view: View, service: str, domain: str) -> Records:
    mine = (record["ports"] for site in view.sites.values() for record in site.records if (record["service"], record["domain"]) == (service, domain))
    return next(mine, [])
