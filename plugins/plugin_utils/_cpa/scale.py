# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Planning for several instances of a service at once: how many of them run in an HN, and clones of one. Pure functions.

A plan has what the VMA is asked and told, as the module C(vma_instances) takes it: C(reserve) at first, C(tell) before anything runs, C(untell) and C(undo)
before and after it is taken back, C(close) at the end. C(states) and C(unstates) say what each instance is to be on its RM.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.manifest import intranet_address, requirements
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import plan as plans
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View

#: A rotation holds no more members.
MOST = 60
#: Ordinals of instances end here.
LAST_ORDINAL = 9999

Record = t.Dict[str, t.Any]


def plan_scale(view: View, service: str, domain: str, to_hn: str, count: int, capsule: str | None = None, surplus: str = "suspended") -> plans.Plan:
    """Plan that *count* instances of a service run in an HN.

    Those that run stay, the lowest ordinals first; then suspended ones are resumed, then new ones are made. What an RM holds that does not answer does
    not count. A run that was cut off is taken up: all that is to run is ordered to run, and all that is to rest to rest.

    Args:
        view: the observed mesh.
        service: its name.
        domain: who owns it.
        to_hn: the HN.
        count: how many shall run.
        capsule: the version that new ones are made from; needed only if there are any.
        surplus: what becomes of those beyond the number, C(suspended) or C(absent).

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    names.instance_name(service, 1, domain)
    site = plans.site_of(view, to_hn)
    if not 0 <= count <= MOST:
        raise InvalidInput(f"A service can have 0 to {MOST} instances in rotation in one HN, not {count}.")
    if surplus not in ("suspended", "absent"):
        raise InvalidInput(f"What is beyond the number can become suspended or absent, not {surplus!r}.")
    mine = _within_reach(view, site, service, domain)
    # Running ones first, then those that can be resumed; what is being given up comes last.
    order = {"running": 0, "reserved": 1, "suspended": 2, "stopped": 3, "leaving": 4}
    mine.sort(key=lambda record: order[record["state"]])
    usable = [record for record in mine if record["state"] != "leaving"]
    run, rest = usable[:count], [record for record in mine if record not in usable[:count]]
    fresh = free_names(view, service, domain, count - len(run))
    if fresh and not capsule:
        raise InvalidInput(f"{to_hn} has {len(run)} of {count} instances of {service} of {domain}: say from which capsule the others are to be made.")
    return _plan(view, "scale", site, domain, run, fresh, rest, capsule, surplus)


def plan_standby(view: View, service: str, domain: str, to_hn: str, count: int, capsule: str | None = None) -> plans.Plan:
    """Plan that *count* suspended instances of a service wait in an HN; those that run do not count.

    New ones are made from a capsule with memory and do not run for that; what is beyond the number is removed, the highest ordinals first.

    Args:
        view: the observed mesh.
        service: its name.
        domain: who owns it.
        to_hn: the HN.
        count: how many shall wait.
        capsule: the version that new ones are made from; needed only if there are any.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    names.instance_name(service, 1, domain)
    site = plans.site_of(view, to_hn)
    if not 0 <= count <= MOST:
        raise InvalidInput(f"A service can have 0 to {MOST} standbys in one HN, not {count}.")
    mine = _within_reach(view, site, service, domain)
    waiting = [record for record in mine if record["state"] == "suspended"]
    begun = [record["instance"] for record in mine if record["state"] == "reserved" and site.unfinished.get(record["instance"]) == "standby"]
    rest = waiting[count:]
    fresh = [*begun, *free_names(view, service, domain, count - len(waiting) - len(begun))][: max(0, count - len(waiting))]
    if fresh and not capsule:
        raise InvalidInput(f"{to_hn} has {len(waiting)} of {count} standbys of {service} of {domain}: say from which capsule the others are to be made.")
    manifest, held = (None, []) if not fresh else plans.holders_of(view, names.instance(fresh[0]), str(capsule))
    if manifest and manifest["memory"] is None:
        raise Refused(f"The capsule {service} {capsule} of {domain} holds no memory, so nothing can wait suspended that comes from it.")
    how = {"operation": "standby", "step": f"standby: {count} shall wait"}
    return {
        "operation": "standby",
        "site": plans.site_plan(site),
        "service": service,
        "domain": domain,
        "fresh": fresh,
        "starts": [],
        "surplus": "absent",
        "reserve": [{"instance": name, "operation": "standby", "reservation": reservation(view, site, name, manifest)} for name in fresh],
        # What is not there yet is merely reserved: a run that is cut off must not count it.
        "tell": [{"instance": name, "state": "reserved", **how} for name in fresh]
        + [{"instance": record["instance"], "state": "leaving", **how} for record in rest],
        "rest": [record["instance"] for record in rest],
        # What waits is not in rotation, so no name changes.
        "leaves": [],
        "serves": [],
        "states": {**dict.fromkeys(fresh, "suspended"), **{record["instance"]: "absent" for record in rest}},
        "undo": [{"instance": name, "state": "absent"} for name in fresh]
        + [{"instance": record["instance"], "state": "suspended", "operation_done": True} for record in rest],
        "close": [{"instance": name, "state": "suspended", "operation_done": True} for name in fresh]
        + [{"instance": record["instance"], "state": "absent"} for record in rest],
        "waiting": [record["instance"] for record in waiting[:count]] + fresh,
        "holders": held,
        "peers": plans.peers_of(view),
    }


def plan_clone(view: View, instance: str, clones: t.Sequence[str], capsule: str, to_hn: str | None = None) -> plans.Plan:
    """Plan that *clones* run, made from a capsule that *instance* was published as.

    Args:
        view: the observed mesh.
        instance: what they are clones of.
        clones: their names.
        capsule: the version.
        to_hn: the HN where they shall run; None for that of *instance*.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    origin = plans.plan_here(view, "clone", instance)
    site = plans.site_of(view, to_hn or origin["site"]["hn"])
    name = names.instance(instance)
    if not clones or len(set(clones)) != len(clones):
        raise InvalidInput("Say the names of the clones, each once, such as 'shop-2.example.com'.")
    for clone in clones:
        parts = names.instance(clone)
        if (parts.service, parts.domain) != (name.service, name.domain) or clone == instance:
            raise InvalidInput(f"{clone} cannot be a clone of {instance}: it must be another instance of {name.service} of {name.domain}.")
    here = {record["instance"]: record for record in site.records if record["instance"] in clones}
    for record, home in (found for clone in clones for found in plans.records_of(view, clone)):
        if home.name != site.name:
            raise Refused(f"{record['instance']} lives in {home.name} already (state {record['state']}).")
        if record["capsule"] != capsule:
            raise Refused(f"{record['instance']} is here already, made from the capsule {record['capsule']}, not {capsule}.")
        plans.answering_rm(view, record["rm"])
    return _plan(view, "clone", site, name.domain, list(here.values()), [clone for clone in clones if clone not in here], [], capsule, "suspended")


def plan_publish(view: View, instance: str, capsule: str) -> plans.Plan:
    """Plan to publish *instance* as a capsule, unless some RM holds that already; C(publish) is the RM that does it, or None.

    Raises:
        NotFound, Refused: one sentence for the operator.
    """
    name = names.instance(instance)
    names.version(capsule)
    origin = plans.plan_here(view, "clone", instance)
    try:
        manifest, unused = plans.holders_of(view, name, capsule)
    except NotFound:
        if origin["record"]["state"] not in ("running", "suspended"):
            raise Refused(f"{instance} is {origin['record']['state']}: only a running or suspended instance has a memory to clone.") from None
        return {**origin, "publish": origin["record"]["rm"]}
    if manifest["memory"] is None:
        raise Refused(f"The capsule {name.service} {capsule} of {name.domain} holds no memory; give what {instance} is now another version.")
    return {**origin, "publish": None}


def orders(records: t.Iterable[Record], states: t.Mapping[str, str], common: t.Mapping[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return each RM's part of a wave: C(instances) as the module of that name takes them, and what is *common* to all RMs.

    Args:
        records: the surroundings records of the instances.
        states: what each is to be, by its name; one that is not there gets no order.
        common: what every part has besides.
    """
    parts: dict[str, dict[str, t.Any]] = {}
    for record in records:
        if record["instance"] in states:
            order = {"name": record["instance"], "state": states[record["instance"]], "epoch": record["epoch"]}
            if order["state"] in ("running", "suspended"):
                order.update(capsule=record["capsule"], vlan=record["vlan"], record=record)
            parts.setdefault(record["rm"], {**common, "instances": []})["instances"].append(order)
    return parts


def _plan(
    view: View, operation: str, site: Site, domain: str, run: list[Record], fresh: list[str], rest: list[Record], capsule: str | None, surplus: str
) -> plans.Plan:
    manifest, held = (None, []) if not fresh else plans.holders_of(view, names.instance(fresh[0]), str(capsule))
    resumed = [record["instance"] for record in run if record["state"] == "suspended"]
    begun = fresh + [record["instance"] for record in run if record["state"] not in ("running", "suspended")]
    all_names = [*(record["instance"] for record in run), *fresh]
    how = {"operation": operation, "step": f"{operation}: {len(all_names)} shall run"}
    ended = {"state": "leaving" if surplus == "absent" else surplus, "in_rotation": False}
    return {
        "operation": operation,
        "site": plans.site_plan(site),
        "service": names.instance(all_names[0] if all_names else rest[0]["instance"]).service if all_names or rest else None,
        "domain": domain,
        "fresh": fresh,
        "starts": [*resumed, *begun],
        "surplus": surplus,
        "reserve": [{"instance": name, "operation": operation, "reservation": reservation(view, site, name, manifest)} for name in fresh],
        "tell": [{"instance": name, "state": "running", "in_rotation": True, **how} for name in all_names]
        + [{"instance": record["instance"], **ended, **how} for record in rest],
        "rest": [record["instance"] for record in rest],
        # For the service's name: who leaves the rotation, and what it was served by before that.
        "leaves": [{"hn": site.name, "instance": record["instance"]} for record in rest],
        "serves": [{"hn": site.name, "public_address": one["public_address"], "ports": one["ports"]} for one in rest if one["in_rotation"]][:1],
        "states": {**dict.fromkeys(all_names, "running"), **{record["instance"]: surplus for record in rest}},
        "untell": [{"instance": name, "state": "suspended", "in_rotation": False} for name in resumed]
        + [{"instance": name, "state": "leaving", "in_rotation": False} for name in begun],
        "unstates": {**dict.fromkeys(resumed, "suspended"), **dict.fromkeys(begun, "absent")},
        "undo": [{"instance": name, "state": "suspended", "operation_done": True} for name in resumed]
        + [{"instance": name, "state": "absent"} for name in begun]
        + [{"instance": record["instance"], "state": record["state"], "in_rotation": record["in_rotation"], "operation_done": True} for record in rest],
        "close": [{"instance": name, "operation_done": True} for name in [*resumed, *begun]]
        + [{"instance": record["instance"], **({"state": "absent"} if surplus == "absent" else {"operation_done": True})} for record in rest],
        "holders": held,
        "peers": plans.peers_of(view),
    }


def _within_reach(view: View, site: Site, service: str, domain: str) -> list[Record]:
    silent = plans.silent_rms(view, site)
    return [record for record in records_of_service(site, service, domain) if record["rm"] not in silent]


def records_of_service(site: Site, service: str, domain: str) -> list[Record]:
    """Return the records of a service in an HN, by ordinal."""
    mine = [record for record in site.records if (record["service"], record["domain"]) == (service, domain)]
    return sorted(mine, key=lambda record: names.instance(record["instance"]).ordinal)


def reservation(view: View, site: Site, name: str, manifest: t.Any) -> dict[str, t.Any]:
    """Return what the VMA is asked for a new instance of a capsule, as the module C(vma_instances) takes it."""
    return {
        "capsule": manifest["version"],
        "guest": manifest["guest"],
        "ports": manifest["ports"],
        "balance": manifest.get("balance"),
        "requirements": requirements(manifest),
        "intranet_address": intranet_address(manifest, names.instance(name).ordinal),
        "exclude_rms": plans.silent_rms(view, site),
        "epoch_above": plans.highest_epoch(view, name, site),
    }


def free_names(view: View, service: str, domain: str, count: int) -> list[str]:
    """Return the names of *count* instances that no HN knows, the lowest ordinals first."""
    if count <= 0:
        return []
    plans.all_answered(view)
    taken = {record["instance"] for site in view.sites.values() for record in site.records}
    free = (name for name in (names.instance_name(service, ordinal, domain) for ordinal in range(1, LAST_ORDINAL + 1)) if name not in taken)
    return [next(free) for unused in range(count)]
