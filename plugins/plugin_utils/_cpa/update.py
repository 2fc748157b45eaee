# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Planning to replace the instances of a service in an HN, one after the other, by those of another capsule. Pure functions."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import choice, concern
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import lookups as plans
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import scale, starts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View

#: What of a record a reservation of the same again needs.
_AGAIN = ("capsule", "guest", "ports", "balance", "requirements", "intranet_address", "rm", "public_address")


def plan_update(view: View, service: str, domain: str, to_hn: str, capsule: str) -> plans.Plan:
    """Plan that all running instances of a service in an HN come from *capsule*.

    The plan's C(pairs) say for each that does not: C(old), its record; C(new), the order for the one that takes its place, under a name of its own, so
    that the old one stays until the new one serves; C(back), the order that would bring the old one back. A run that was cut off is taken up: what it
    had begun comes first, C(leftovers) are the records of what it had replaced but not removed, and C(close) ends what it had done but not closed.

    Args:
        view: the observed mesh.
        service: its name.
        domain: who owns it.
        to_hn: the HN.
        capsule: the version.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    names.instance_name(service, 1, domain)
    site = plans.site_of(view, to_hn)
    mine = scale.records_of_service(site, service, domain)
    if not mine:
        raise NotFound(f"{to_hn} has no instance of {service} of {domain}.")
    manifest, holders = plans.holders_of(view, names.instance(mine[0]["instance"]), capsule)
    # What an earlier run took out of rotation comes first: meanwhile the others serve.
    old = sorted((record for record in mine if record["state"] == "running" and record["capsule"] != capsule), key=lambda record: record["in_rotation"])
    for record in old:
        plans.at_rest(record)
        plans.answering_rm(view, record["rm"])
    open_here = [record for record in mine if site.unfinished.get(record["instance"]) == "update"]
    # What leaves, and what a roll-back has only reserved for.
    leftovers = [record for record in open_here if record["capsule"] != capsule and record["state"] in ("leaving", "reserved")]
    begun = [record for record in open_here if record["capsule"] == capsule]
    # Each leftover has a successor that serves; only the others are still to take somebody's place.
    serving, waiting = ([record for record in begun if record["in_rotation"] is serves] for serves in (True, False))
    pending = [record["instance"] for record in (*serving[len(leftovers) :], *waiting)]
    # What was leaving may have been given up, and comes back in a newer epoch only.
    given_up = {record["instance"]: record["epoch"] for record in begun if record["state"] == "leaving"}
    fresh = [*pending, *scale.free_names(view, service, domain, len(old) - len(pending))][: len(old)]
    leftovers += [record for record in waiting if record["instance"] not in fresh]
    return {
        "operation": "update",
        "site": plans.site_plan(site),
        "service": service,
        "domain": domain,
        "capsule": capsule,
        "manifest": manifest,
        "pairs": [
            {
                "old": record,
                # A roll-back has recorded it, but perhaps not started it.
                "unsure": record in open_here and record["in_rotation"],
                "new": {
                    "instance": name,
                    "reservation": starts.reservation(view, site, name, manifest),
                    "holders": holders,
                    "given_up": given_up.get(name, 0),
                },
                "back": {"instance": record["instance"], "reservation": {key: record[key] for key in _AGAIN}, "holders": [record["rm"]]},
            }
            for record, name in zip(old, fresh)
        ],
        "leftovers": leftovers,
        "close": [{"instance": record["instance"], "operation_done": True} for record in serving if record["instance"] not in fresh],
    }


def plan_restart(view: View, service: str, domain: str, to_hn: str) -> plans.Plan:
    """Plan that all running instances of a service in an HN start anew, from the disks that they have; C(restarts) are their records.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    names.instance_name(service, 1, domain)
    site = plans.site_of(view, to_hn)
    # What an earlier run took out of rotation and did not put back comes first: meanwhile the others serve.
    mine = [
        {**record, "in_rotation": record["in_rotation"] or site.unfinished.get(record["instance"]) == "update"}
        for record in sorted(scale.records_of_service(site, service, domain), key=lambda record: record["in_rotation"])
        if record["state"] == "running"
    ]
    if not mine:
        raise NotFound(f"In {to_hn} runs no instance of {service} of {domain}.")
    if sum(record["in_rotation"] for record in mine) < 2:
        raise Refused(f"Only one instance of {service} of {domain} serves in {to_hn}, so a restart would leave none; scale it to two first.")
    for record in mine:
        plans.at_rest(record)
        plans.answering_rm(view, record["rm"])
    return {"operation": "restart", "site": plans.site_plan(site), "service": service, "domain": domain, "restarts": mine}


def concerned(view: View, service: str, domain: str, to_hn: str, capsule: str | None) -> concern.Concern:
    """Return whom an update depends on, or a restart: the RMs of the instances, and holders of the capsule and the RMs that may be chosen."""
    asked = scale.concerned(view, service, domain, to_hn, 0, capsule)
    if capsule is None:
        return asked
    wanted = concern.Capsule(domain, service, capsule)
    site = plans.site_of(view, to_hn)
    replaced = [record for record in scale.records_of_service(site, service, domain) if record["state"] == "running" and record["capsule"] != capsule]
    orders = [order._replace(instead_of=record) for record in replaced for order in concern.order(view, wanted)]
    return concern.asking(view, site, asked.capsules, [*asked.rms, *choice.candidates(site, orders)])


def possible_rms(view: View, site: Site, pairs: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[str, ...]:
    """Return the RMs that the VMA may choose for what takes the place of others: those that were asked and answer, and whatever it would choose now."""
    orders = [choice.Order(pair["new"]["reservation"]["requirements"], pair["old"]) for pair in pairs]
    answering = [rm.name for rm in view.rms.values() if rm.hn == site.name and rm.asked and not rm.problem]
    return tuple(dict.fromkeys([*answering, *choice.chosen(site, orders, plans.silent_rms(view, site))]))
