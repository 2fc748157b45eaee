# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Take an instance out of rotation, wait until its connections have ended, and then leave, suspend or remove it."""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import lookups, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Plan, Stage, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs.remove import clear, nothing_left
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View


def plan(view: View, names: parts.Naming, instance: str, then: str, timeout: float, at_deadline: str, patience: float) -> Plan:
    """Plan to drain an instance.

    Args:
        view: the observed mesh.
        names: how names follow.
        instance: the instance's name.
        then: what becomes of it: C(leave), C(suspend) or C(remove).
        timeout: seconds that its connections have for ending by themselves.
        at_deadline: what becomes of those that have not: C(give_up), C(cut), or C(wait) for C(patience) seconds.
        patience: these seconds.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    try:
        record, site = (lookups.one_of if then == "remove" else lookups.whole_of)(view, instance)
    except NotFound:
        if then != "remove":
            raise
        return nothing_left(view, "drain", instance)
    leaves = [parts.leaving(site, record["service"], "tell")]
    leave = parts.name("leave", names, record["service"], record["domain"], "have its name lose the HN", leaves=leaves)
    leaving = {"instance": instance, "in_rotation": False, "operation": "drain", "step": "withdraw and wait for the connections to end"}
    tell = parts.tell("tell", site, [leaving], f"record that {instance} leaves the rotation")
    wait = parts.waited("drain", site, record["domain"], [record["fabric_address"]], {"timeout": timeout, "at_deadline": at_deadline, "patience": patience})
    told = {key: Answer("drain", (key,)) for key in ("connections", "ended", "cut")}
    undone = {"withdraw": "withdraw", "tell": "tell", **({"rest": "rest"} if then == "suspend" else {})}
    again, revived = parts.revived(instance, "run_again", "answers_again" if record["in_rotation"] else None) if "rest" in undone else ("", {})
    out = "{instance} is out of rotation: of {connections} connections {ended} ended by themselves, {cut} were cut."
    return Plan(
        operation="drain",
        subject=instance,
        prepare=in_order(
            *parts.first(record, tell, leave),
            parts.stage("withdraw", "Withdraw it from its domain router", parts.route("withdraw", site, "tell", f"withdraw {instance}")),
            parts.stage("drain", "Wait until its connections have ended", wait),
            *_afterwards(site, record, then),
        ),
        take_back=parts.back_to_service(names, record, site, undone),
        # What is being removed is out of rotation, and nobody is on it any more.
        forward=("drain",) if then == "remove" else (),
        stopped="What was done stays done; run it again when this is mended.",
        was=f"{{instance}} is as it was.{again}",
        done=out + {"leave": "", "suspend": " It is suspended.", "remove": " It is gone."}[then],
        facts={**lookups.facts(site, instance), **told, **revived},
        result=told,
    )


def _afterwards(site: Site, record: parts.Record, then: str) -> tuple[Stage, ...]:
    """Return what is done with an instance that is drained."""
    instance, rm, epoch = record["instance"], record["rm"], record["epoch"]
    if then == "remove":
        gone = parts.tell("leaving", site, [{"instance": instance, "state": "leaving", "step": f"remove from {rm}"}], f"record that {instance} leaves")
        return (parts.stage("leaving", "Record that it leaves", gone), *clear(site, instance, rm, epoch, moves_to=record["moves_to"]))
    close = parts.stage("close", "Close the operation", parts.tell("close", site, [{"instance": instance, "operation_done": True}], "close the operation"))
    if then == "leave":
        return (close,)
    resting = parts.tell("resting", site, [{"instance": instance, "state": "suspended", "step": f"suspend on {rm}"}], f"record that {instance} is to rest")
    rest = parts.instance("rest", rm, [{"name": instance, "state": "suspended", "epoch": epoch}], f"suspend {instance}")
    # The router is told, too, or a second run would find that it has an older document than the registry would make.
    router = parts.route("resting_router", site, "resting", "bring the router to what is left")
    return (
        parts.stage("resting", "Record that it is to rest", resting),
        parts.stage("resting_router", "Bring the router to what is left", router),
        parts.stage("rest", "Suspend it", rest),
        close,
    )
