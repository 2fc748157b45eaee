# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Planning how many instances of a service run, or wait, in an HN. Pure functions; C(starts) says what their plans hold."""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import choice, concern
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import lookups as plans
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.starts import Record, as_before, not_yet_there, reservation, starting
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View

#: A rotation holds no more members.
MOST = 60


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
    if fresh:
        _refuse_first_of_tunnel(view, site, fresh[0], str(capsule))
    plan = starting(view, "scale", site, domain, run, dict.fromkeys(fresh, str(capsule)), rest, surplus)
    return {**plan, "swept": _released(site, service, domain, fresh) if surplus == "absent" and not rest else []}


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
    rest = waiting[count:] + [record for record in mine if record["state"] == "leaving" and site.unfinished.get(record["instance"]) == "standby"]
    fresh = [*begun, *free_names(view, service, domain, count - len(waiting) - len(begun))][: max(0, count - len(waiting))]
    if fresh and not capsule:
        raise InvalidInput(f"{to_hn} has {len(waiting)} of {count} standbys of {service} of {domain}: say from which capsule the others are to be made.")
    manifest, held = (None, []) if not fresh else plans.holders_of(view, names.instance(fresh[0]), str(capsule))
    if manifest and manifest["memory"] is None:
        raise Refused(f"The capsule {service} {capsule} of {domain} holds no memory, so nothing can wait suspended that comes from it.")
    if fresh:
        _refuse_first_of_tunnel(view, site, fresh[0], str(capsule))
    how = {"operation": "standby", "step": f"standby: {count} shall wait"}
    return {
        "operation": "standby",
        "site": plans.site_plan(site),
        "domain": domain,
        "fresh": fresh,
        "starts": [],
        "surplus": "absent",
        "reserve": [{"instance": name, "operation": "standby", "reservation": reservation(view, site, name, manifest)} for name in fresh],
        # What is not there yet is merely reserved: a run that is cut off must not count it.
        "tell": [{"instance": name, "state": "reserved", **how} for name in fresh]
        + [{"instance": record["instance"], "state": "leaving", **how} for record in rest],
        "rest": [record["instance"] for record in rest],
        "gone": [record["instance"] for record in rest],
        "late": {},
        "swept": [] if rest else _released(site, service, domain, fresh),
        # What waits is not in rotation, so no name changes.
        "services": [],
        "states": {**dict.fromkeys(fresh, "suspended"), **{record["instance"]: "absent" for record in rest}},
        # Open until it is gone, for a second run looks for what is.
        "untell": [{"instance": name, "state": "leaving", "operation": "standby"} for name in fresh],
        "unstates": dict.fromkeys(fresh, "absent"),
        "undo": [{"instance": name, "state": "absent", "expected": ["reserved", "leaving"]} for name in fresh] + [as_before(record) for record in rest],
        "close": [{"instance": name, "state": "suspended", "operation_done": True} for name in fresh]
        + [{"instance": record["instance"], "state": "absent"} for record in rest],
        "waiting": [record["instance"] for record in waiting[:count]] + fresh,
        "capsules": [{"service": service, "version": capsule, "holders": held, "manifest": manifest}] if fresh else [],
        "tunnels": [],
    }


def concerned(view: View, service: str, domain: str, to_hn: str, new: int, capsule: str | None = None) -> concern.Concern:
    """Return whom a plan for instances of a service depends on.

    These are the RMs that they are on, holders of what is not there yet, and the RMs that may be chosen. What an RM holds that does not answer is made anew,
    so RMs are looked for even where there seems to be nothing new.

    Args:
        view: what the VMAs said.
        service: its name.
        domain: who owns it.
        to_hn: the HN.
        new: how many new ones there will be if all RMs answer.
        capsule: the version that new ones are made from, if any.
    """
    site = plans.site_of(view, to_hn)
    mine = records_of_service(site, service, domain)
    versions = {record["capsule"] for record in mine if not_yet_there(record)} | ({capsule} if capsule else set())
    # What was restarted or only has to answer is asked for what it comes from.
    wanted = [concern.Capsule(domain, service, version) for version in sorted(versions or {record["capsule"] for record in mine})]
    order = concern.order(view, concern.Capsule(domain, service, capsule)) if capsule else []
    return concern.asking(view, site, wanted, [*(record["rm"] for record in mine), *choice.candidates(site, order * max(new, 1))])


def _released(site: Site, service: str, domain: str, fresh: list[str]) -> list[str]:
    """Return the names of the instances of a service that lived in an HN and are gone, but for those that are *fresh* now."""
    recorded = {*fresh, *(record["instance"] for record in site.records)}
    gone = {name: names.instance(name) for name in site.epochs if name not in recorded}
    return sorted(name for name, parts in gone.items() if (parts.service, parts.domain) == (service, domain))


def _refuse_first_of_tunnel(view: View, site: Site, name: str, capsule: str) -> None:
    """Raise Refused when the service's tunnel, if it has one, is not in the HN yet: what that needs comes with another operation."""
    parts = names.instance(name)
    manifest, unused = plans.holders_of(view, parts, capsule)
    if "vpn" in manifest and not records_of_service(site, parts.service, parts.domain):
        raise Refused(f"{parts.service} of {parts.domain} has a tunnel, and no instance in {site.name}: its first one comes there by place, move or clone.")


def _within_reach(view: View, site: Site, service: str, domain: str) -> list[Record]:
    silent = plans.silent_rms(view, site)
    mine = [record for record in records_of_service(site, service, domain) if record["rm"] not in silent]
    for record in mine:
        plans.at_rest(record)
    return mine


def records_of_service(site: Site, service: str, domain: str) -> list[Record]:
    """Return the records of a service in an HN, by ordinal."""
    mine = [record for record in site.records if (record["service"], record["domain"]) == (service, domain)]
    return sorted(mine, key=lambda record: names.instance(record["instance"]).ordinal)


def free_names(view: View, service: str, domain: str, count: int) -> list[str]:
    """Return the names of *count* instances that no HN knows, the lowest ordinals first."""
    if count <= 0:
        return []
    plans.all_answered(view)
    taken = {record["instance"] for site in view.sites.values() for record in site.records}
    free = (name for name in (names.instance_name(service, ordinal, domain) for ordinal in range(1, names.LAST_ORDINAL + 1)) if name not in taken)
    return [next(free) for unused in range(count)]
