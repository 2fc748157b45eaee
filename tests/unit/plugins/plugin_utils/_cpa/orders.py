# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What plans order of whom, in short: carried out with answers out of a can."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import main
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import progress
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh

#: Who each VMA chooses for what is new there, and in which epoch.
CHOSEN = {"gw-east": "rm-east-2", "gw-west": "rm-west-1"}
EPOCH = 9
#: Whether others agree, and what the records of instances must be like (C(seen)), is not shown: test_two_at_once tells what becomes of that.
AGREED = ("consent",)

Order = t.Tuple[t.Any, ...]


Stages = t.List[t.Tuple[str, t.Dict[str, t.List[Order]]]]


def ordered(plan: Plan, new: t.Collection[str] = (), fails: str = "", served: bool = False) -> tuple[Stages, Stages]:
    """Return what is ordered in each stage, of each device, in order: on the way forward, and on the way back.

    Args:
        plan: the plan.
        new: the instances that are new to the VMA of the east; those that come to the west are new there.
        fails: the id of a step that fails.
        served: whether others of the services serve on.
    """
    answers: dict[str, t.Any] = {}
    placed: dict[str, str] = {}
    found: tuple[Stages, Stages] = ([], [])
    for way, stages in zip(found, (plan.stages, plan.take_back)):
        for stage in stages:
            asked: dict[str, list[Order]] = {}
            fresh: dict[str, t.Any] = {}
            for device in progress.busy(plan, [stage], answers):
                known: dict[str, t.Any] = {}
                for call in progress.calls(plan, stage.id, device, answers):
                    arguments = main._filled(json.loads(json.dumps(progress.written(call.arguments))), known)
                    if call.call not in AGREED:
                        asked.setdefault(device, []).append((*_short(call.call, arguments), *(["rehearsal"] if call.rehearses else [])))
                    failed = fails in call.ids
                    told = {
                        "ids": list(call.ids),
                        "changed": not failed,
                        "failed": failed,
                        "msg": "No.",
                        "result": _answer(call, device, arguments, new, placed, served),
                    }
                    fresh.update(progress.answers_of(told, device))
                    known.update(dict.fromkeys(call.ids, told["result"]))
                    if failed:
                        break
                for told_next in progress.follow_ups(plan, stage.id, device, {**answers, **fresh}):
                    for call in told_next["calls"]:
                        asked.setdefault(told_next["device"], []).append(("then", *_short(call["call"], call["arguments"])))
                        done = {"ids": call["ids"], "changed": True, "failed": False, "msg": "", "result": {}}
                        fresh.update(progress.answers_of(done, told_next["device"]))
            answers.update(fresh)
            if asked:
                way.append((stage.id, asked))
    return found


def _answer(
    call: progress.Call, device: str, arguments: dict[str, t.Any], new: t.Collection[str], placed: dict[str, str], served: bool
) -> dict[str, t.Any]:
    """Return what a device answers; documents are called like the step that answered them."""
    if call.call == "record":
        for each in arguments["instances"]:
            if (each.get("reservation") or {}).get("rm"):
                placed[each["instance"]] = each["reservation"]["rm"]
        records = [_record(device, each, new) for each in arguments["instances"]]
        serving = {each["service"]: {"served": served, "addresses": [], "number": 1, "since": 1} for each in records}
        return {"records": [{**each, "rm": placed.get(each["instance"], each["rm"])} for each in records], "router": call.ids[0], "serving": serving}
    return {
        "drain": {"connections": 3, "ended": 2, "cut": 1},
        "wrapping_key": {"public_key": "the key", "fingerprint": "the print"},
        "wrap_tunnel": {"tunnel": {"service": arguments.get("service")}},
        "unpack_tunnel": {"tunnel": {"service": arguments.get("name")}},
        "hand_over": {"instances": [{"handed_over": "no", "instance": {"state": "suspended"}} for unused in call.ids]},
        "publish": {
            "capsules": [
                {
                    "capsule": {"name": each["instance"].split("-")[0], "version": each["version"]},
                    "requirements": {**mesh.REQUIREMENTS, "accelerator": "tcg"},
                    "made": True,
                }
                for each in arguments.get("instances", ())
                if call.call == "publish"
            ]
        },
    }.get(call.call, {})


def _record(device: str, asked: dict[str, t.Any], new: t.Collection[str]) -> dict[str, t.Any]:
    name = asked["instance"]
    fresh = device == "gw-west" or name in new or name.split(".")[0][-1] not in "12"
    base = mesh.record(name, rm=CHOSEN[device], epoch=EPOCH) if fresh else mesh.record(name, rm="rm-east-2" if "-2." in name else "rm-east-1")
    above = (asked.get("rescue") or asked).get("epoch_above") or 0
    return {
        **base,
        **{key: asked[key] for key in ("state", "in_rotation") if key in asked},
        "epoch": max(EPOCH, above + 1) if base["epoch"] <= above else base["epoch"],
    }


def _short(call: str, arguments: dict[str, t.Any]) -> Order:
    """Return a call with what matters of its arguments; what is as usual is left out."""
    if call == "record":
        return ("record", *(_told(each) for each in arguments["instances"]))
    if call == "router":
        options = {key: value for key, value in arguments.items() if key not in ("document", "wan_interface", "tunnels") and value}
        tunnels = {"tunnels": [each["service"] for each in arguments["tunnels"]]} if arguments["tunnels"] else {}
        return ("router", arguments["document"], *([{**options, **tunnels}] if options or tunnels else []))
    if call == "instances":
        forced = ["at once"] if arguments.get("stop_force") and arguments.get("stop_timeout") == 0 else []
        return ("instances", *((each["name"].split(".")[0], each["state"], each["epoch"]) for each in arguments["instances"]), *forced)
    if call == "hand_over":
        live = ["live"] if arguments["live"] else []
        orders = ((each["name"].split(".")[0], each["epoch"], each["state"], each["peer"]["name"]) for each in arguments["instances"])
        return ("hand_over", arguments["side"], *orders, *live)
    if call == "name":
        says = {key: arguments[key] if key == "hold" else [each["hn"] for each in arguments[key]] for key in ("publish", "leaves", "hold") if arguments[key]}
        return ("name", arguments["name"].split(".")[0], says, *([] if arguments["ask"]["type"] != "none" else ["unasked"]))
    return {
        "bring": lambda: ("bring", f"{arguments['name']} {arguments['version']}", arguments["to"]["name"]),
        "publish": lambda: ("publish", *((each["instance"].split(".")[0], each["version"]) for each in arguments["instances"])),
        "remove_capsule": lambda: ("remove_capsule", f"{arguments['name']} {arguments['version']}"),
        "hold": lambda: ("hold", *_held(arguments)),
        "drain": lambda: ("drain", *arguments["addresses"]),
        "wrap_tunnel": lambda: ("wrap_tunnel", arguments["service"], arguments["recipient"]),
        "unpack_tunnel": lambda: ("unpack_tunnel", f"{arguments['name']} {arguments['version']}", arguments["reader"]),
        "forget": lambda: ("forget", *arguments["addresses"]),
        "spare": lambda: ("spare", *(each.split(".")[0] for each in arguments["instances"])),
        "call_off": lambda: ("call_off", arguments["document"]),
    }.get(call, lambda: (call,))()


def _held(arguments: dict[str, t.Any]) -> t.Iterator[tuple[str, ...]]:
    """Return what a VMA is told of capsules: each with the RMs that hold it, or do not any more."""
    for each in arguments.get("held", ()):
        yield (f"{each['manifest']['name']} {each['manifest']['version']}", *each["rms"])
    for each in arguments.get("gone", ()):
        yield ("gone", f"{each['name']} {each['version']}", *each["rms"])


def _told(each: dict[str, t.Any]) -> tuple[t.Any, ...]:
    """Return what a VMA is told of an instance: its name, then the state if it is said, and what else is said but the journal's words."""
    wish = {key: value for key, value in each.items() if key not in ("instance", "step", "state", "reservation", "seen") and (value or value is False)}
    asked = each.get("reservation")
    if asked is not None:
        kept = ("capsule", "rm", "exclude_rms", "public_address", "intranet_address", "own_address", "epoch_above")
        wish.update({key: asked[key] for key in kept if asked.get(key)}, accelerator=(asked["requirements"] or {}).get("accelerator"))
    return (
        each["instance"].split(".")[0],
        *(["reserve"] if asked is not None else []),
        *([each["state"]] if "state" in each else []),
        *([wish] if wish else []),
    )
