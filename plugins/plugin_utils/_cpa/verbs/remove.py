# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Take an instance down, with its disk and all that surrounds it."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import lookups, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Plan, Stage, Step, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View


def plan(view: View, names: parts.Naming, instance: str) -> Plan:
    """Plan to remove an instance; one that is gone is nothing to do.

    Args:
        view: the observed mesh.
        names: how names follow.
        instance: the instance's name.

    Raises:
        InvalidInput, Refused: one sentence for the operator.
    """
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
            *clear(site, instance, record["rm"], record["epoch"]),
        ),
        stopped="What was done stays done; run it again when this is mended.",
        done="{instance} is gone from {rm} in {hn}.",
        facts={**lookups.facts(site, instance), "rm": record["rm"]},
    )


def nothing_left(view: View, operation: str, instance: str) -> Plan:
    """Return the plan of an operation that removes what is gone already."""
    said = f"No HN knows the instance {instance}; there is nothing to remove."
    swept = parts.swept(view, [instance], view.sites.values())
    if not swept:
        return Plan(operation, instance, nothing=said)
    return Plan(operation, instance, prepare=swept, stopped="Run this again when this is mended.", done=said)


def clear(
    site: Site, instance: str, rm: str | Answer, epoch: int | Answer, prefix: str = "", with_it: t.Sequence[t.Mapping[str, t.Any]] = (), **how: t.Any
) -> tuple[Stage, ...]:
    """Return the stages that remove what was withdrawn: from its RM, from the registry, and from the router that may hold nobody else.

    Args:
        site: its HN.
        instance: its name.
        rm: where it is.
        epoch: the epoch in which the RM gives up the right to run it.
        prefix: what the ids of the steps begin with.
        with_it: what is recorded of others in the same transaction.
        how: further fields of all steps.
    """
    order = {"name": instance, "state": "absent", "epoch": epoch}
    # Its disk goes with it, so a clean shutdown would save nothing.
    at_once = {"stop_timeout": 0, "stop_force": True}
    removed = Step(f"{prefix}clear", rm, "instances", {"instances": [order], **at_once}, f"remove {instance}", **how)
    told = [{"instance": instance, "state": "absent"}, *with_it]
    release = parts.tell(f"{prefix}release", site, told, f"give the room and the addresses of {instance} back", **how)
    return (
        parts.stage(f"{prefix}clear", "Remove it from its RM", removed),
        parts.stage(f"{prefix}release", "Give its room and addresses back", release),
        parts.stage(
            f"{prefix}close_router",
            "Close its public address when nobody is left behind it",
            parts.route(f"{prefix}close_router", site, f"{prefix}release", "close the public address if nobody is left behind it", how=how),
        ),
    )
