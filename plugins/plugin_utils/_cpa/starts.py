# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What all plans for several instances of a domain have, how many of a service, clones or a cluster. Pure functions.

A plan has what the VMA is asked and told, as the call C(record) takes it: C(reserve) at first, C(tell) before anything runs, C(untell) and C(undo) before and
after it is taken back, C(close) at the end. C(states) and C(unstates) say what each instance is to be on its RM, C(gone) which are to be no more;
C(services), for the name of each service, who enters and leaves the rotation and what it was served by before that; C(capsules), what new instances are made
from, and who holds it; C(late), the RM of each that an earlier run has reserved for, but perhaps not brought that to; C(swept), which are gone, but may have
left something behind; C(tunnels), the services whose tunnels are to come from another HN's gateway.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.manifest import intranet_address, requirements
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import lookups as plans
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View

Record = t.Dict[str, t.Any]


def starting(
    view: View,
    operation: str,
    site: Site,
    domain: str,
    run: list[Record],
    fresh: t.Mapping[str, str],
    rest: list[Record],
    surplus: str = "suspended",
    own_address: bool = False,
    sources: t.Mapping[str, tuple[dict, list[str]]] | None = None,
) -> plans.Plan:
    """Return a plan to start instances of a domain in an HN, and to let others rest.

    Args:
        view: the observed mesh.
        operation: what the journal calls it.
        site: the HN.
        domain: whose instances they are.
        run: the records of those that are there and are to run.
        fresh: the version of the capsule that each new one is made from, by its name.
        rest: the records of those that are to rest.
        surplus: what becomes of them, C(suspended) or C(absent); what is leaving already goes.
        own_address: whether new ones must go by their guest addresses.
        sources: the manifest of the capsule of each that is new or did not live yet, and the RMs that hold it, or will by then; None for what is held now.

    Raises:
        NotFound, Refused: one sentence for the operator.
    """
    late = {record["instance"]: record for record in run if not_yet_there(record)}
    if sources is None:
        versions = {**fresh, **{name: record["capsule"] for name, record in late.items()}}
        sources = {name: plans.holders_of(view, names.instance(name), version) for name, version in versions.items()}
    resumed = [record["instance"] for record in run if record["state"] == "suspended"]
    begun = [*fresh, *(record["instance"] for record in run if record["state"] not in ("running", "suspended"))]
    all_names = [*(record["instance"] for record in run), *fresh]
    how = {"operation": operation, "step": f"{operation}: {len(all_names)} shall run"}
    gone = [record["instance"] for record in rest if surplus == "absent" or record["state"] == "leaving"]
    # What was leaving may have been given up, and comes back in a newer epoch only.
    above = {record["instance"]: {"epoch_above": record["epoch"]} for record in run if record["state"] == "leaving"}
    entering = [record for record in run if record["state"] == "running" and not record["in_rotation"]]
    unfinished = [record["instance"] for record in run if record["state"] == "running" and site.unfinished.get(record["instance"]) == operation]
    return {
        "operation": operation,
        "site": plans.site_plan(site),
        "domain": domain,
        "fresh": list(fresh),
        "starts": [*resumed, *begun],
        "surplus": surplus,
        "reserve": [{"instance": name, "operation": operation, "reservation": reservation(view, site, name, sources[name][0], own_address)} for name in fresh],
        "tell": [{"instance": name, "state": "running", "in_rotation": True, **above.get(name, {}), **how} for name in all_names]
        + [{"instance": name, "state": "leaving" if name in gone else surplus, "in_rotation": False, **how} for name in (each["instance"] for each in rest)],
        "rest": [record["instance"] for record in rest],
        "gone": gone,
        "late": {name: record["rm"] for name, record in late.items()},
        "swept": [],
        "services": _services(site, [*resumed, *begun], all_names, rest, {**_ports_of([*run, *rest]), **_ports_of(m for m, unused in sources.values())}),
        "states": {**dict.fromkeys(all_names, "running"), **{record["instance"]: surplus for record in rest}, **dict.fromkeys(gone, "absent")},
        "untell": [{"instance": name, "state": "suspended", "in_rotation": False} for name in resumed]
        + [{"instance": name, "state": "leaving", "in_rotation": False} for name in begun],
        "unstates": {**dict.fromkeys(resumed, "suspended"), **dict.fromkeys(begun, "absent")},
        "undo": [{"instance": name, "state": "suspended", "operation_done": True} for name in resumed]
        + [{"instance": name, "state": "absent", "expected": ["reserved", "leaving"]} for name in begun]
        + [as_before(record) for record in [*entering, *rest]],
        "close": [
            {"instance": name, "operation_done": True} for name in dict.fromkeys([*resumed, *begun, *unfinished, *(record["instance"] for record in entering)])
        ]
        + [{"instance": record["instance"], **({"state": "absent"} if record["instance"] in gone else {"operation_done": True})} for record in rest],
        "capsules": list(
            {
                (manifest["name"], manifest["version"]): {"service": manifest["name"], "version": manifest["version"], "holders": holders, "manifest": manifest}
                for manifest, holders in sources.values()
            }.values()
        ),
        "tunnels": [],
    }


def not_yet_there(record: t.Mapping[str, t.Any]) -> bool:
    """Whether nobody can say that an instance with this record has ever lived where it is to be."""
    return record["state"] in ("reserved", "leaving")


def as_before(record: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what a VMA is told of an instance that rests after all as it did before; what was leaving is still to be brought to its end."""
    ended = {} if record["state"] == "leaving" else {"operation_done": True}
    return {"instance": record["instance"], "state": record["state"], "in_rotation": record["in_rotation"], **ended}


def _ports_of(described: t.Iterable[t.Mapping[str, t.Any]]) -> dict[str, list]:
    """Return the ports of each service that records or manifests describe."""
    return {each.get("service") or each["name"]: each["ports"] for each in described}


def _services(site: Site, starts: t.Collection[str], run: t.Iterable[str], rest: list[Record], ports: t.Mapping[str, list]) -> list[dict[str, t.Any]]:
    """Return for each service its C(ports), who enters and leaves the rotation, and the record of one of those that leave it and serve now (they share
    the public address)."""
    everybody = [*run, *(record["instance"] for record in rest)]
    services: dict[str, dict[str, list]] = {names.instance(name).service: {"arrives": [], "leaves": [], "serves": []} for name in everybody}
    for name in starts:
        services[names.instance(name).service]["arrives"].append({"hn": site.name, "instance": name})
    for record in rest:
        mine = services[record["service"]]
        mine["leaves"].append({"hn": site.name, "instance": record["instance"]})
        if record["in_rotation"] and not mine["serves"]:
            mine["serves"].append(record)
    return [{"service": service, "ports": ports[service], **names_of} for service, names_of in services.items()]


def reservation(view: View, site: Site, name: str, manifest: t.Any, own_address: bool = False) -> dict[str, t.Any]:
    """Return what the VMA is asked for a new instance of a capsule, as the call C(record) takes it."""
    needs = requirements(manifest)
    return {
        "capsule": manifest["version"],
        "guest": manifest["guest"],
        "ports": manifest["ports"],
        "balance": manifest.get("balance"),
        "requirements": needs,
        "intranet_address": intranet_address(manifest, names.instance(name).ordinal),
        "own_address": own_address,
        "exclude_rms": plans.excluded_rms(view, site, needs),
        "epoch_above": plans.highest_epoch(view, name, site),
    }
