# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Taking up an operation that was cut off: its plan, and what its devices have written down, say what is to be done. Pure functions.

VMAs keep the plan of a run until it has ended, and each device writes down what it does in it. So the operation goes on as it would have gone on: to its end if
nothing failed, or nothing can be taken back any more; back if something failed. A step that was begun, and of which nobody wrote down what became of it, is
made once more on the way forward: every call brings its device into a state, and finds it there if it has been made before. On the way back it counts as
begun.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.journal import CUT_OFF
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import parts, progress
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Plan, Stage, Step, Unknown, decode, references
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View

#: What the ids of steps begin with that read a device's part of the run.
READ = "journal."


def cut_off(view: View, instance: str | None = None) -> dict[str, t.Any] | None:
    """Return the oldest run that has not ended, as a VMA keeps it; only one with *instance*, if that is given."""
    runs = {run["run"]: run for site in view.sites.values() for run in site.runs if instance in (None, *run["instances"])}
    return min(runs.values(), key=lambda run: run["began"], default=None)


def taken_up(run: t.Mapping[str, t.Any], view: View) -> Plan:
    """Return the plan of a run that was cut off, as a VMA keeps it, which first reads what was done, and starts again what lost its power since."""
    plan = decode(json.loads(run["plan"]))
    which = f"the {run['operation']} of {run['subject']} that {run['who']} began at {run['began'].partition('.')[0]}Z and that was cut off"
    began = f"Taken up was {which}:"
    read = [_reading(f"{READ}{device}", device, run["run"]) for device in _named(plan)]
    # Who they are may stand in what the others wrote down.
    chosen = [_reading(f"{READ}chosen.{number}", device, run["run"]) for number, device in enumerate(_chosen(plan))]
    silent = "{} does not say what it did, so all is left as it is. Run this again when it answers."
    stages = [Stage("journal", "Read what was done", tuple(read))]
    stages += [Stage("journal.chosen", "Read what was done where a VMA has chosen", tuple(step._replace(optional=True) for step in chosen))] if chosen else []
    mine = [record for site in view.sites.values() for record in site.records if record["instance"] in run["instances"]]
    again = [parts.awake(record["instance"], record["rm"], record["epoch"], optional=True) for record in mine]
    stages.append(Stage("awake", "Start again what has lost its power", tuple(again)))
    return plan._replace(
        prepare=(*stages, *plan.prepare),
        unknown=(*(Unknown(step.id, _braced(f"{began} {silent.format(step.device)}")) for step in read), *plan.unknown),
        was=f"{_braced(began)} {plan.was}",
        kept=f"{_braced(began)} {plan.kept}",
        stopped=f"{_braced(began)} {plan.stopped}",
        done=f"{_braced(began)} {plan.done}",
        # Whom the VMAs have chosen stands in what they wrote down, so all RMs are at hand.
        candidates=tuple(plan.peers),
        recovers=run["run"],
    )


def expanded(plan: Plan, answers: progress.Answers) -> progress.Answers:
    """Return the answers with those that devices wrote down before the operation was taken up (C(taken_up)); what was answered since counts more."""
    steps = {step.id: step for stage in (*plan.stages, *plan.take_back) for step in stage.steps} | {each.step.id: each.step for each in plan.follow_ups}
    done: dict[str, t.Any] = {}
    failed: dict[str, t.Any] = {}
    cut_short: dict[str, t.Any] = {}
    secret: dict[str, t.Any] = {}
    for read in [step for step in answers if step.startswith(READ) and progress.done(answers, step)]:
        for told in answers[read]["result"]["told"]:
            kind = cut_short if told["changed"] is None else failed if told["failed"] else secret if told.get("secret") else done
            for step, said in progress.answers_of(told, answers[read]["device"]).items():
                if step in steps and steps[step].call not in ("awake", "lease", "release"):
                    kind[step] = {**said, "taken_up": True}
    known = {**done, **answers}
    # What is secret was not written down: who still needs it has it made once more.
    known = {**{step: said for step, said in secret.items() if not _needed(step, steps.values(), known)}, **known}
    if not _all_read(plan, known):
        return known
    back = {step.id for stage in plan.take_back for step in stage.steps}
    # Where the only way is forward, what failed is tried once more.
    turned = {step: said for step, said in cut_short.items() if step in back}
    if progress.verdict(plan, {**failed, **turned, **known}).way != "back":
        return known
    begun = {**cut_short, **failed, **known}
    begun = {**_sent(plan, begun), **begun}
    # What nobody can say of what was cut off is found out by making it once more, with what failed beside it.
    return known if progress.verdict(plan, begun).way == "unknown" else begun


def _sent(plan: Plan, begun: progress.Answers) -> dict[str, t.Any]:
    """Return the steps that other devices had to make at the same time as one that was begun: they may have been asked, and not have heard of it."""
    found = {}
    for stage in (stage for stage in plan.stages if any(step.id in begun for step in stage.steps)):
        # A device that has begun with its part ended before what it did not begin.
        asked = {begun[step.id]["device"] for step in stage.steps if step.id in begun}
        for step in stage.steps:
            if step.id not in begun and progress.possible(step, plan, begun) and progress.resolve(step.device, plan, begun) not in asked:
                device = progress.resolve(step.device, plan, begun)
                found[step.id] = {"device": device, "changed": None, "failed": True, "unreachable": False, "msg": CUT_OFF, "result": {}, "taken_up": True}
    return found


def _needed(secret: str, steps: t.Iterable[Step], answers: progress.Answers) -> bool:
    """Whether a step that was not made yet refers to the answer of another one."""
    return any(step.id not in answers and secret in {each.step for each in references(dict(step.arguments))} for step in steps)


def _all_read(plan: Plan, answers: progress.Answers) -> bool:
    """Whether all devices that can be known by now were asked what they did."""
    for step in (step for stage in plan.prepare for step in stage.steps if step.id.startswith(READ) and step.id not in answers):
        try:
            progress.resolve(step.device, plan, answers)
        except progress.Missing:
            continue
        return False
    return True


def _reading(step: str, device: str | Answer, run: str) -> Step:
    return Step(step, device, "journal", {"run": run}, "read what was done")


def _named(plan: Plan) -> list[str]:
    steps = [step for stage in (*plan.stages, *plan.take_back) for step in stage.steps]
    return list(dict.fromkeys(step.device for step in steps if isinstance(step.device, str)))


def _chosen(plan: Plan) -> list[Answer]:
    steps = [step for stage in (*plan.stages, *plan.take_back) for step in stage.steps]
    return list(dict.fromkeys(step.device for step in steps if isinstance(step.device, Answer)))


def _braced(text: str) -> str:
    """Return a text as str.format() leaves it as it is."""
    return text.replace("{", "{{").replace("}", "}}")
