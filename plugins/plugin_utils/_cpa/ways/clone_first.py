# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The plan of a move of a service that may run twice for a moment: a copy serves at the target before the source goes. Pure functions."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.patience import patience
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import concern, holders, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Plan, Stage, Step, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs.remove import clear
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View

Decided = t.Mapping[str, t.Any]
TOLD, EPOCH = Answer("tell", ("records", 0)), Answer("tell", ("records", 0, "epoch"))


class Wanted(t.NamedTuple):
    """What is wished for, besides the move: the public address at the target, the seconds of the cut-over, and how long the source is drained."""

    public_address: str | None
    timeout: float
    waiting: t.Mapping[str, t.Any]


def plan(view: View, names: parts.Naming, decided: Decided, wanted: Wanted) -> Plan:
    """Return the plan of a move that C(clone_first.plan_clone_first) decided."""
    instance, record = decided["instance"], decided["record"]
    source, target = view.sites[decided["source"]["hn"]], view.sites[decided["target"]["hn"]]
    run = parts.instance("cut_over.rm", Answer("tell", ("records", 0, "rm")), [parts.order(instance, "running", TOLD)], "start the copy")
    publish = parts.publish(target, [instance], "publish the copy when it answers", wanted.timeout)
    serving = [parts.served_by(target, record["service"], TOLD, record["ports"])]
    follow = parts.name("follow", names, record["service"], record["domain"], "have its name follow", serving)
    # Callers know the copy alone when the name has followed, so from there on the only way is forward. An earlier run may have come so far already.
    taken_over = not record["in_rotation"]
    counts = {key: Answer("drain", (key,)) for key in ("connections", "ended", "cut")}
    acts = parts.stage("cut_over", "Start and publish the copy", run, publish)
    made = Plan(
        operation="move",
        subject=instance,
        prepare=in_order(*_prepare(view, names, source, target, decided, wanted)),
        cut_over=acts,
        follow_ups=(parts.call_off(run, "cut_over.call_off", target, "tell"),),
        settle=in_order(parts.stage("follow", "Have its name follow", *follow), *_retired(names, source, target, decided, wanted)),
        take_back=() if taken_over else _taken_back(names, target, decided),
        **parts.once_published(acts, follow),
        was=f"{instance} serves on as it was on {record['rm']} in {source.name}.",
        stopped=f"The copy of {instance} in {target.name} has taken over already; run the move again when this is mended.",
        done=(
            f"A copy of {instance} took over on {{rm}} in {target.name}, behind {{public_address}} (epoch {{epoch}}), from {record['rm']} in {source.name}; "
            f"of its {{connections}} connections at the end {{ended}} ended by themselves, {{cut}} were cut."
        ),
        facts={**{key: Answer("tell", ("records", 0, key)) for key in ("rm", "public_address", "epoch")}, **counts},
        result={"record": TOLD, **counts},
        peers=parts.peers(view),
    )
    copied = Answer("publish", ("capsules", 0, "capsule")) if decided["publish"] else decided["copied"]
    of_service = {key: decided["manifest"][key] for key in ("domain", "name")}
    gone = [holders.Gone(concern.Capsule(**of_service, version=each["version"]), each["rm"]) for each in decided["passing"]]
    return holders.recorded(made, view, [holders.Holding(target, copied, (decided["to_rm"] or Answer("tell", ("records", 0, "rm")),))], gone)


def _prepare(view: View, names: parts.Naming, source: Site, target: Site, decided: Decided, wanted: Wanted) -> t.Iterator[Stage]:
    """Make the copy ready; the source is not disturbed but for the moment in which its memory is taken."""
    instance, record, version = decided["instance"], decided["record"], decided["version"]
    identity = {**{key: decided["manifest"][key] for key in ("domain", "name")}, "version": version}
    reservation = {
        **{key: record[key] for key in ("guest", "ports", "balance")},
        "capsule": version,
        "requirements": decided["requirements"],
        "rm": decided["to_rm"],
        "exclude_rms": decided["exclude_rms"],
        "public_address": wanted.public_address,
        "epoch_above": decided["epoch_above"],
    }
    asked = [{"instance": instance, "operation": "move", "reservation": reservation}]
    reserve = parts.tell("reserve", target, asked, f"reserve room, addresses and an epoch for the copy of {instance}", reserves=True)
    yield parts.stage("reserve", "Reserve room and addresses at the target", reserve)
    yield parts.stage("network", "Prepare the network at the target", parts.route("network", target, "reserve", "prepare the network", prepare=True))
    serving = [parts.served_by(target, record["service"], Answer("reserve", ("records", 0)), record["ports"])]
    what = "be sure that its name can follow"
    rehearsal = parts.name("rehearse", names, record["service"], record["domain"], what, serving, rehearses=True)
    agreed = parts.agreed(view, [source, target], [(instance, Answer("reserve", ("records", 0, "epoch")))])
    spares = [parts.spare("spare", source, record["domain"], [instance], patience(parts.memory_of([record])))] if decided["publish"] else []
    yield parts.stage("rehearse", "Be sure that its name can follow", *rehearsal, *agreed, *spares)
    if decided["publish"]:
        # It stands still for as long as a suspend and a resume take; callers wait.
        made = {"instances": [{"instance": instance, "version": version}]}
        yield parts.stage(
            "publish", "Make a capsule of what it is now", Step("publish", record["rm"], "publish", made, f"make a capsule of what {instance} is now")
        )
    yield from parts.bringing(view, target, identity, decided["holders"], [Answer("reserve", ("records", 0, "rm"))], decided["to_rm"])
    step = f"start a copy of what runs on {record['rm']} in {source.name}"
    coming = {"instance": instance, "state": "running", "in_rotation": True, "epoch_above": decided["given_up"], "step": step}
    yield parts.stage("tell", "Record what is coming", parts.tell("tell", target, [coming], f"record that a copy of {instance} is to run"))


def _retired(names: parts.Naming, source: Site, target: Site, decided: Decided, wanted: Wanted) -> t.Iterator[Stage]:
    """Drain and remove the source, and what the move needed only on the way."""
    instance, record = decided["instance"], decided["record"]
    leaving = {"instance": instance, "state": "leaving", "in_rotation": False, "operation": "move", "step": f"withdraw and remove from {record['rm']}"}
    yield parts.stage("leave", "Record that the source leaves", parts.tell("leave", source, [leaving], f"record that {instance} leaves"))
    leaves = [parts.leaving(source, record["service"], "leave")]
    lose = parts.name("lose", names, record["service"], record["domain"], "have its name lose the source", leaves=leaves)
    yield parts.stage("lose", "Have its name lose the source", *lose)
    yield parts.stage("withdraw", "Withdraw the source", parts.route("withdraw", source, "leave", f"withdraw {instance}"))
    drain = parts.waited("drain", source, record["domain"], [record["fabric_address"]], wanted.waiting)
    yield parts.stage("drain", "Wait until the connections to the source have ended", drain)
    # What is left at the source is given up in the copy's epoch.
    yield from clear(source, instance, record["rm"], EPOCH)
    passing = [
        Step(
            f"unmake.{number}",
            each["rm"],
            "remove_capsule",
            {**{key: decided["manifest"][key] for key in ("domain", "name")}, "version": each["version"]},
            f"remove the capsule {each['version']} that was made for a move",
        )
        for number, each in enumerate(decided["passing"])
    ]
    close = parts.tell("close", target, [{"instance": instance, "operation_done": True}], "close the operation")
    yield parts.stage("close", "Remove the capsules that were made for moves, and close the operation", *passing, close)


def _taken_back(names: parts.Naming, target: Site, decided: Decided) -> tuple[Stage, ...]:
    """Return what undoes it: the source serves all along, and nothing of it was changed; only the copy and its capsule have to go."""
    instance, record, version = decided["instance"], decided["record"], decided["version"]
    identity = {**{key: decided["manifest"][key] for key in ("domain", "name")}, "version": version}
    what = f"remove the capsule {version} that was made for the move"
    chosen = Answer("reserve", ("records", 0, "rm"))
    unmade = [Step("unmake", record["rm"], "remove_capsule", identity, what, undoes=("reserve",))]
    unmade.append(Step("unmake.target", chosen, "remove_capsule", identity, what, undoes=("reserve",)))
    return in_order(
        # What the forward way does to the source has the same names without the prefix.
        *parts.never_placed(names, target, instance, Answer("tell", ("records", 0, "rm")), EPOCH, prefix="copy.", new=False, shown=("network",)),
        parts.stage("unmake", "Remove its capsule", *unmade),
    )
