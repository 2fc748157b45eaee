# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The plan of a move inside an HN, from one RM to another: nothing around the instance changes. Pure functions."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import holders, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, FollowUp, Peer, Plan, Step, Unknown, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View

HERE = Answer("begin", ("records", 0))


def plan(view: View, decided: t.Mapping[str, t.Any], timeout: float) -> Plan:
    """Return the plan of a move that C(move.plan_move) decided; *timeout* is what the cut-over may take on either side, in seconds."""
    instance, record, to_rm = decided["instance"], decided["record"], decided["to_rm"]
    site, live, rm = view.sites[decided["site"]["hn"]], decided["live"], record["rm"]
    step = f"move from {rm} to {to_rm}"
    begin = {"instance": instance, "move": "begin", "rm": to_rm, "epoch_above": decided["epoch_above"], "operation": "move", "step": step}
    identity = {key: decided["manifest"][key] for key in ("domain", "name", "version")}
    holder = sorted(decided["holders"], key=lambda held: (held != rm, held))[0]
    brings = [] if to_rm in decided["holders"] else [parts.bring("bring", holder, identity, to_rm, decided["holders"])]

    def side(prefix: str, which: str, epoch: t.Any, **how: t.Any) -> Step:
        order: dict[str, t.Any] = {"name": instance, "epoch": epoch, "state": record["state"]}
        if which == "source":
            order["peer"] = Peer(to_rm)
        else:
            there = {**{key: Answer("begin", ("records", 0, key)) for key in record}, "rm": to_rm, "moves_to": None}
            order.update(vlan=record["vlan"], record=there, peer=Peer(rm))
        arguments = {"side": which, "live": live, "timeout": timeout, "instances": [order]}
        device, what = (rm, "hand it over") if which == "source" else (to_rm, "take it over")
        return Step(f"{prefix}.{which}", device, "hand_over", arguments, what, **how)

    epoch = Answer("begin", ("records", 0, "epoch"))
    source, target = side("cut_over", "source", epoch), side("cut_over", "target", epoch)
    acted, at_once = (source.id, target.id), {"stop_timeout": 0, "stop_force": True}
    gone = {"name": instance, "state": "absent", "epoch": epoch}
    ended = [{"instance": instance, "move": "end", "operation_done": True}]
    stays = [{"instance": instance, "move": "give_up", "epoch_above": epoch, "operation_done": True}]
    never = [{"instance": instance, "move": "give_up", "operation_done": True}]
    how = {"undoes": ("begin",), "until": source.id, "if_changed": "begin"}
    # Where an earlier run has begun, it may live on the other RM already.
    early = [] if record["moves_to"] else [parts.tell("give_up_early", site, never, f"give the room on {to_rm} back", **how)]
    # What was never handed over alive runs where it was, and cannot run there; a suspended one can, as long as the other RM is not cleared.
    needs = () if live else ("clear",)
    paused = f"{instance} may be paused on {to_rm} and is nowhere else then; run the move again."
    elsewhere = f"{instance} was handed over to another RM by another operation, so it does not run here again."
    still = ", standing still for {downtime} s" if live else ""
    spares = [parts.spare("spare", site, record["domain"], [instance], timeout)] if record["in_rotation"] else []
    answers = [parts.answers_again("answers_again", site, record, "live_again", acted)] if record["in_rotation"] else []
    again, revived = parts.revived(instance, "live_again", "answers_again" if answers else None)
    made = Plan(
        operation="move",
        subject=instance,
        prepare=in_order(
            parts.stage("bring", "Bring the capsule's bases to the other RM", *brings),
            # Its check mode opens the way to the other RM and looks for room there, while the service is not disturbed yet.
            parts.stage(
                "rehearse",
                "Be sure that it can be handed over",
                parts.awake(instance, rm, decided["epoch_above"]) if record["moves_to"] else parts.as_recorded(record),
                side("rehearse", "source", decided["epoch_above"] + 1, rehearses=True),
            ),
            parts.stage(
                "begin",
                "Take room on the other RM, and an epoch",
                parts.tell("begin", site, [begin], f"take room on {to_rm}, and an epoch", reserves=True),
                *spares,
            ),
        ),
        cut_over=parts.stage("cut_over", "Cut over", source, target),
        follow_ups=(FollowUp(source.id, False, parts.stop_waiting("cut_over.stop_waiting", to_rm, instance, epoch)),),
        settle=in_order(
            parts.stage("retire", "Clear where it was", parts.instance("retire", rm, [gone], f"remove {instance} from {rm}", **at_once)),
            parts.stage("close", "Leave it to the other RM alone", parts.tell("close", site, ended, f"record that {instance} lives on {to_rm}")),
        ),
        take_back=in_order(
            parts.stage(
                "clear",
                "Clear the other RM",
                parts.instance("clear", to_rm, [gone], f"remove {instance} from {to_rm}", how={"undoes": acted}, **at_once),
            ),
            parts.stage(
                "give_up",
                "Give the room on the other RM back",
                *early,
                parts.tell("give_up", site, stays, f"give the room on {to_rm} back", undoes=acted, needs=needs),
            ),
            parts.stage(
                "live_again",
                "Let it live again where it was",
                parts.instance(
                    "live_again",
                    rm,
                    [parts.order(instance, record["state"], Answer("give_up", ("records", 0)))],
                    f"have {instance} {record['state']} again",
                    how={"undoes": acted, "needs": ("give_up",)},
                ),
            ),
            parts.stage("answers_again", "Wait until it answers", *answers),
        ),
        forward=(target.id,),
        unknown=(
            *((parts.paused(source.id, target.id, paused),) if live else ()),
            Unknown(source.id, elsewhere, ("instances", 0, "handed_to"), (None,)),
            *((parts.retired("rehearse.source", record),) if record["moves_to"] else ()),
        ),
        was=f"{instance} is {record['state']} on {rm}, as before.{again}",
        stopped=f"{instance} lives on {to_rm} already; run the move again when this is mended.",
        done=f"{instance} moved from {rm} to {to_rm} in {site.name} (epoch {{epoch}}){still}.",
        facts={"epoch": epoch, **revived, **({"downtime": Answer(target.id, ("instances", 0, "downtime"))} if live else {})},
        result={"records": [HERE], "sources": [Answer(source.id, ("instances", 0))], "targets": [Answer(target.id, ("instances", 0))]},
        peers=parts.peers(view),
    )
    return holders.recorded(made, view, [holders.Holding(site, decided["manifest"], (to_rm,))])
