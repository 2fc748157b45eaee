# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Take an instance down, with its disk and all that surrounds it."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names as core_names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import concern, lookups, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Plan, Stage, Step, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View


def plan(view: View, names: parts.Naming, instance: str, rm: str | None = None, stop_timeout: float = 0) -> Plan:
    """Plan to remove an instance; one that is gone is nothing to do.

    Args:
        view: the observed mesh.
        names: how names follow.
        instance: the instance's name.
        rm: only what this RM holds of it without a record there, if it is given.
        stop_timeout: seconds that its guest has for shutting down, and for taking leave of those whom it is connected with; then it is switched off.

    Raises:
        InvalidInput, Refused: one sentence for the operator.
    """
    if rm:
        return _stray(view, instance, rm)
    try:
        record, site = lookups.one_of(view, instance)
    except NotFound:
        return nothing_left(view, "remove", instance)
    leaves = [parts.leaving(site, record["service"], "tell")]
    leave = parts.name("leave", names, record["service"], record["domain"], "have its name lose the HN", leaves=leaves)
    leaving = {
        "instance": instance,
        "state": "leaving",
        "in_rotation": False,
        "operation": "remove",
        "step": f"withdraw and remove from {record['rm']}",
    }
    tell = parts.tell("tell", site, [leaving], f"record that {instance} leaves")
    return Plan(
        operation="remove",
        subject=instance,
        prepare=in_order(
            *parts.first(record, tell, leave),
            parts.stage("withdraw", "Withdraw it from its domain router", parts.route("withdraw", site, "tell", f"withdraw {instance}")),
            *clear(site, instance, record["rm"], record["epoch"], moves_to=record["moves_to"], stop_timeout=stop_timeout),
        ),
        stopped="What was done stays done; run it again when this is mended.",
        done="{instance} is gone from {rm} in {hn}.",
        facts={**lookups.facts(site, instance), "rm": record["rm"]},
    )


def concerned(_view: View, rm: str | None = None, **_other: t.Any) -> concern.Concern:
    """Return that the RM is asked from which something is removed that nobody else knows of there."""
    return concern.Concern((rm,), holdings=True) if rm else concern.Concern()


def _stray(view: View, instance: str, rm: str) -> Plan:
    core_names.instance(instance)
    machine = lookups.answering_rm(view, rm)
    for record, site in lookups.records_of(view, instance):
        if rm in (record["rm"], record["moves_to"]):
            raise Refused(f"{instance} lives on {rm} by the record of {site.name}; without remove_rm all of it is taken down.")
    held = {each["name"]: each for each in machine.instances or ()}
    if instance not in held:
        return Plan("remove", instance, nothing=f"{rm} holds nothing of {instance}; there is nothing to remove.")
    site = lookups.site_of(view, machine.hn)
    order = {"name": instance, "state": "absent", "epoch": held.pop(instance)["epoch"]}
    clear_it = parts.instance("clear", rm, [order], f"remove {instance}", stop_timeout=0, stop_force=True)
    told: list[Stage] = []
    if not any(record["instance"] == instance for record in site.records):
        gone = parts.tell("gone", site, [{"instance": instance, "state": "absent"}], f"be sure that {instance} left nothing behind")
        router = parts.route("sweep", site, "gone", "close public addresses that nobody is left behind", prepare=True)
        told = [parts.stage("gone", "Be sure that nothing was left behind", gone), parts.stage("sweep", "Close public addresses of nobody", router)]
    # Whatever else the RM holds is said then, but does not matter here.
    hear = Step("hear", site.vma, "hear", {"held": {rm: list(held.values())}}, f"tell what {rm} runs", optional=True)
    return Plan(
        operation="remove",
        subject=f"{instance} on {rm}",
        prepare=in_order(parts.stage("clear", "Remove it from its RM", clear_it), *told, parts.stage("hear", "Tell its VMA what the RM runs", hear)),
        stopped="What was done stays done; run it again when this is mended.",
        done="{instance} is gone from {rm}.",
        facts={"instance": instance, "rm": rm},
    )


def nothing_left(view: View, operation: str, instance: str) -> Plan:
    """Return the plan of an operation that removes what is gone already."""
    said = f"No HN knows the instance {instance}; there is nothing to remove."
    swept = parts.swept(view, [instance], view.sites.values())
    if not swept:
        return Plan(operation, instance, nothing=said)
    return Plan(operation, instance, prepare=swept, stopped="Run this again when this is mended.", done=said)


def clear(
    site: Site,
    instance: str,
    rm: str | Answer,
    epoch: int | Answer,
    prefix: str = "",
    with_it: t.Sequence[t.Mapping[str, t.Any]] = (),
    moves_to: str | None = None,
    stop_timeout: float = 0,
    **how: t.Any,
) -> tuple[Stage, ...]:
    """Return the stages that remove what was withdrawn: from its RM, from the registry, and from the router that may hold nobody else.

    Args:
        site: its HN.
        instance: its name.
        rm: where it is.
        epoch: the epoch in which the RM gives up the right to run it.
        prefix: what the ids of the steps begin with.
        with_it: what is recorded of others in the same transaction.
        moves_to: the RM that it was on its way to when a move inside the HN broke off, where there may be something of it, too.
        stop_timeout: seconds that its guest has for shutting down.
        how: further fields of all steps.
    """
    order = {"name": instance, "state": "absent", "epoch": epoch}
    # Its disk goes with it, but those whom it is connected with would wait for it.
    ending = {"stop_timeout": stop_timeout, "stop_force": True}
    removed = Step(f"{prefix}clear", rm, "instances", {"instances": [order], **ending}, f"remove {instance}", **how)
    elsewhere = [removed._replace(id=f"{prefix}clear.{moves_to}", device=moves_to)] if moves_to else []
    told = [{"instance": instance, "state": "absent"}, *with_it]
    release = parts.tell(f"{prefix}release", site, told, f"give the room and the addresses of {instance} back", **how)
    return (
        parts.stage(f"{prefix}clear", "Remove it from its RM", removed, *elsewhere),
        parts.stage(f"{prefix}release", "Give its room and addresses back", release),
        parts.stage(
            f"{prefix}close_router",
            "Close its public address when nobody is left behind it",
            parts.route(f"{prefix}close_router", site, f"{prefix}release", "close the public address if nobody is left behind it", how=how),
        ),
    )
