# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Planning a move: by which way, and everything that this way has to know. Pure functions."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import choice, concern
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import lookups as plans
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.clone_first import passing, plan_clone_first
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View

STRATEGIES = ("best", "suspend", "clone_first", "live")


def plan_move(view: View, instance: str, to_hn: str | None = None, to_rm: str | None = None, strategy: str = "best") -> plans.Plan:
    """Plan to move an instance into another HN, or to another RM of its HN.

    The plan's C(way) is C(within) for a move inside its HN, C(clone_first), or C(hand_over); C(done) says that it lives there already; C(live), for the
    first and the last, whether it runs on meanwhile.

    Args:
        view: the observed mesh.
        instance: the instance's name.
        to_hn: the HN; None for its own.
        to_rm: the RM; without an HN it says which, and with another HN its VMA can choose.
        strategy: one of STRATEGIES. C(best) is live inside an HN, where connections survive it, and suspend between HNs, unless it does not run.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    names.instance(instance)
    found = plans.records_of(view, instance)
    at_home = len(found) == 1 and (not to_hn or found[0][1].name == to_hn)
    if at_home and to_rm:
        if strategy == "clone_first":
            raise Refused(f"{instance} stays in {found[0][1].name}, where a copy of it would have its name; move it with strategy=live or strategy=suspend.")
        return _within(view, instance, to_rm, strategy)
    if not to_hn:
        plans.all_answered(view)
        if not found:
            raise NotFound(f"No HN knows the instance {instance}; known are: {plans.known_instances(view)}.")
        if len(found) > 1:
            raise Refused(f"{instance} is on its way between {' and '.join(site.name for unused, site in found)}; finish that move first.")
        raise InvalidInput(f"Say where {instance} shall live: an HN, or an RM of its own HN.")
    if strategy == "clone_first":
        return {**plan_clone_first(view, instance, to_hn, to_rm), "way": "clone_first"}
    plan = plans.plan_move(view, instance, to_hn, to_rm)
    live = strategy == "live" and not plan["done"]
    if live and plan["final_state"] != "running":
        raise Refused(f"{instance} is {plan['final_state']}, so there is nothing to move alive; move it with strategy=suspend.")
    return {**plan, "way": "hand_over", "live": live}


def _within(view: View, instance: str, to_rm: str, strategy: str) -> plans.Plan:
    """Plan a move inside an HN; one that was cut off is taken up."""
    plans.all_answered(view)
    ((record, site),) = plans.records_of(view, instance)
    common = {"operation": "move", "instance": instance, "way": "within", "record": record, "site": plans.site_plan(site), "to_rm": to_rm}
    if record["rm"] == to_rm and not record["moves_to"]:
        return {**common, "done": True}
    if record["moves_to"] not in (None, to_rm):
        raise Refused(f"{instance} is on its way from {record['rm']} to {record['moves_to']}; finish that move first.")
    if record["state"] not in ("running", "suspended"):
        raise Refused(f"{instance} is {record['state']} in {site.name}; only a running or suspended instance can be moved.")
    if strategy == "live" and record["state"] != "running":
        raise Refused(f"{instance} is suspended, so there is nothing to move alive; move it with strategy=suspend.")
    plans.wanted_rm(view, site, to_rm)
    plans.answering_rm(view, record["rm"])
    manifest, holders = plans.holders_of(view, names.instance(instance), record["capsule"])
    return {
        **common,
        "done": False,
        "live": strategy != "suspend" and record["state"] == "running",
        # What was begun has an epoch of its own already.
        "epoch_above": record["epoch"] - 1 if record["moves_to"] else record["epoch"],
        "manifest": manifest,
        "holders": holders,
    }


def concerned(view: View, instances: t.Sequence[str], to_hn: str | None = None, to_rm: str | None = None, strategy: str = "best") -> concern.Concern:
    """Return whom a move depends on: the RMs that the instances are on, those where they may come to, and holders of their capsules."""
    found = [(record, site) for instance in instances for record, site in plans.records_of(view, instance)]
    if not found:
        return concern.Concern()
    target = plans.site_of(view, to_hn or found[0][1].name)
    rms = [record[key] for record, unused in found for key in ("rm", "moves_to")]
    orders = [choice.Order({**record["requirements"], "accelerator": site.accelerators.get(record["rm"])}) for record, site in found if site is not target]
    targets = [to_rm] if to_rm else choice.candidates(target, orders)
    wanted = [concern.Capsule(record["domain"], record["service"], record["capsule"]) for record, unused in found]
    if strategy == "clone_first":
        # Capsules that were made for moves are looked for, too.
        rms += [rm for capsule in wanted for rm in concern.some_holders(view, target, capsule)] + [
            rm for record, unused in found for rm in passing(view, record)
        ]
        wanted = [capsule._replace(version=None) for capsule in wanted]
    return concern.asking(view, target, wanted, [*rms, *targets])
