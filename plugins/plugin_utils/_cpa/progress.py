# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""How far an operation is: from its plan and the answers so far to what each device has to do next, and to what is said in the end. Pure functions."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Count, Peer, Plan, Quoted, Stage, Step, Words, references

#: Calls that do the same for several instances at the same time.
JOINED = ("instances", "hand_over", "publish")

#: What the steps have answered, by id: C(device), C(changed), C(failed), C(unreachable), C(msg) and C(result).
Answers = t.Mapping[str, t.Mapping[str, t.Any]]


class Call(t.NamedTuple):
    """One call of an engine that a device is to make; C(ids) are the steps that it carries out at once."""

    ids: tuple[str, ...]
    call: str
    arguments: dict[str, t.Any]
    rehearses: bool = False
    reserves: bool = False


class Verdict(t.NamedTuple):
    """Where an operation goes from here.

    Attributes:
        way: C(on), C(back), C(stopped) (it can only go on, but does not get any further now) or C(unknown) (it must be left as it is).
        why: for the last one, the sentence that says so.
    """

    way: str
    why: str = ""


class Missing(Exception):
    """A reference leads to no answer."""


class Stalled(Exception):
    """A step that must come first was not carried out; its words say which.

    Attributes:
        steps: the ids of what cannot be carried out therefore.
    """

    def __init__(self, message: str, steps: t.Sequence[str]) -> None:
        super().__init__(message)
        self.steps = tuple(steps)


def resolve(value: t.Any, plan: Plan, answers: Answers) -> t.Any:
    """Return *value* with what its references refer to.

    Raises:
        Missing: an answer is not there.
    """
    if isinstance(value, Answer):
        found: t.Any = answers.get(value.step, {}).get("result")
        for key in value.path:
            try:
                found = found[key]
            except (KeyError, IndexError, TypeError) as exc:
                raise Missing(value.step) from exc
        if found is None and not value.path:
            raise Missing(value.step)
        return found
    if isinstance(value, Count):
        return sum(done(answers, step) for step in value.steps)
    if isinstance(value, (Words, Quoted)):
        try:
            said = resolve(value.answer, plan, answers)
        except Missing:
            return ""
        return str(said) if isinstance(value, Quoted) else value.text if said in value.values else ""
    if isinstance(value, Peer):
        return dict(plan.peers[resolve(value.rm, plan, answers)])
    if isinstance(value, Mapping):
        return {key: resolve(part, plan, answers) for key, part in value.items()}
    return [resolve(part, plan, answers) for part in value] if isinstance(value, (list, tuple)) else value


def calls(plan: Plan, stage: str, device: str, answers: Answers, check: bool = False) -> list[Call]:
    """Return what a device has to do in a stage, in this order; nothing where the operation does not come to that stage.

    Raises:
        Stalled: a step of an earlier stage was left out, as by a host that took no part.
    """
    found, takes_back = stage_of(plan, stage)
    way = verdict(plan, answers).way
    if all(step.call == "journal" for step in found.steps):
        # What was done is read whichever way it leads to.
        way = "on"
    if way != ("back" if takes_back else "on") or (check and (takes_back or _foretold(plan, found, answers))):
        return []
    mine = [step for step in found.steps if _is_of(step, device, plan, answers)]
    if not takes_back and not check and mine:
        _refuse_gap(plan, found, answers, [step.id for step in mine])
    made: list[Call] = []
    for step in found.steps:
        if step.id in answers and (not takes_back or done(answers, step.id)):
            # It was made before the operation was cut off.
            continue
        try:
            if resolve(step.device, plan, answers) == device and _due(step, plan, answers, takes_back, made):
                _add(made, Call((step.id,), step.call, resolve(dict(step.arguments), plan, {**answers, **_own(made)}), step.rehearses, step.reserves))
        except Missing:
            # What it needs was not answered: in check mode, or since what should have said it failed.
            continue
    return made


def possible(step: Step, plan: Plan, answers: Answers) -> bool:
    """Whether a step that leads forward is to be made some time, as far as it can be known by now."""
    try:
        resolve(step.device, plan, answers)
        return not step.optional and _wanted(step, plan, answers, False)
    except Missing:
        return False


def _is_of(step: Step, device: str, plan: Plan, answers: Answers) -> bool:
    try:
        return bool(resolve(step.device, plan, answers) == device)
    except Missing:
        return False


def _refuse_gap(plan: Plan, stage: Stage, answers: Answers, steps: t.Sequence[str]) -> None:
    """Raise Stalled unless all that must come before *stage* was carried out."""
    for earlier in plan.stages[: plan.stages.index(stage)]:
        for step in earlier.steps:
            try:
                gap = step.id not in answers and not step.optional and _wanted(step, plan, answers, False)
            except Missing:
                gap = True
            if gap:
                raise Stalled(f"Nobody was there to {step.what}, which has to come first.", steps)


def answers_of(told: t.Mapping[str, t.Any], device: str | None) -> dict[str, dict[str, t.Any]]:
    """Return the answer of each step that a call carried out, from what *device* told of the call.

    Of a call for several instances each step gets its own part: what became of the others is not its business.
    """
    common = {"device": device, "unreachable": False, **{key: told[key] for key in ("changed", "failed", "msg", "unreachable", "seconds") if key in told}}
    answers = {}
    for number, step in enumerate(told["ids"]):
        result = dict(told.get("result") or {})
        mine = dict(common)
        for key in ("instances", "capsules"):
            listed = result.get(key)
            if isinstance(listed, list) and len(listed) == len(told["ids"]):
                result[key] = [listed[number]]
                if told["failed"]:
                    # Of a call that failed nobody says what it changed.
                    mine["changed"] = None
                if told["failed"] and listed[number].get("error", "") is None:
                    mine.update(failed=False, msg="")
        answers[step] = {**mine, "result": result}
    return answers


def follow_ups(plan: Plan, stage: str, device: str, answers: Answers) -> list[dict[str, t.Any]]:
    """Return what other devices are to be told as soon as *device* has done its part of the cut-over: the C(device) and C(calls) of each."""
    if plan.cut_over is None or stage != plan.cut_over.id:
        return []
    mine = {step.id for step in plan.cut_over.steps if step.id in answers and answers[step.id]["device"] == device}
    # Several of its steps can lead to the same one.
    due = {each.step.id: each.step for each in plan.follow_ups if each.after in mine and each.if_done == done(answers, each.after)}
    found: dict[str, list[dict[str, t.Any]]] = {}
    for step in due.values():
        call = {"ids": [step.id], "call": step.call, "arguments": resolve(dict(step.arguments), plan, answers)}
        found.setdefault(resolve(step.device, plan, answers), []).append(call)
    return [{"device": each, "calls": told} for each, told in found.items()]


def _own(made: t.Sequence[Call]) -> dict[str, dict]:
    """Stand for the answers of a device's own earlier steps, which it puts in itself."""
    return {each: {"result": _Later(each)} for call in made for each in call.ids}


class _Later:
    """A part of an answer that the device itself will have by then; written as C({"_answer": [step, ...path]})."""

    def __init__(self, step: str, path: tuple[t.Any, ...] = ()) -> None:
        self.step, self.path = step, path

    def __getitem__(self, key: t.Any) -> _Later:
        return _Later(self.step, (*self.path, key))


def written(value: t.Any) -> t.Any:
    """Return the arguments of a call as JSON, in which what the device itself will have answered by then stands as C({"_answer": [step, ...]})."""
    if isinstance(value, _Later):
        return {"_answer": [value.step, *value.path]}
    if isinstance(value, Mapping):
        return {key: written(part) for key, part in value.items()}
    return [written(part) for part in value] if isinstance(value, (list, tuple)) else value


def _due(step: Step, plan: Plan, answers: Answers, takes_back: bool, made: t.Sequence[Call]) -> bool:
    """Whether a step is to be carried out now, after the calls that its device has been *made* to do before."""
    if not _wanted(step, plan, answers, takes_back) or _blocked(step, plan, answers, takes_back, made):
        return False
    # Who did not answer once costs no second time-out.
    return not _silent(resolve(step.device, plan, answers), answers)


def _wanted(step: Step, plan: Plan, answers: Answers, takes_back: bool) -> bool:
    """Whether what was answered so far makes a step necessary."""
    if step.unless and resolve(step.unless.answer, plan, answers) in step.unless.values:
        return False
    if step.instead_of and done(answers, step.instead_of) or step.until in answers:
        return False
    if step.if_done and not done(answers, step.if_done):
        return False
    if step.if_changed and not _may_have_changed(answers.get(step.if_changed)):
        return False
    return not takes_back or any(each in answers for each in step.undoes)


def _may_have_changed(answer: t.Mapping[str, t.Any] | None) -> bool:
    """Whether a step that was begun changed something, or nobody can say."""
    return answer is not None and (answer["unreachable"] or answer.get("changed") is not False)


def _blocked(step: Step, plan: Plan, answers: Answers, takes_back: bool, made: t.Sequence[Call]) -> bool:
    """Whether a step that this one needs was necessary and is not done; a device ends with the first of its calls that fails."""
    steps = {each.id: each for stage in (plan.take_back if takes_back else plan.stages) for each in stage.steps}
    coming = {each for call in made for each in call.ids}
    missing = [need for need in step.needs if not done(answers, need) and need not in coming]
    return any(need in answers or _wanted(steps[need], plan, answers, takes_back) for need in missing)


def _silent(device: str, answers: Answers) -> bool:
    return any(answer["unreachable"] for answer in answers.values() if answer["device"] == device)


def _add(made: list[Call], call: Call) -> None:
    """Append a call, or make it a part of the last one, if that is the same for other instances."""
    last = made[-1] if made else None
    if last and call.call in JOINED and (last.call, last.rehearses, _rest(last)) == (call.call, call.rehearses, _rest(call)):
        instances = [*last.arguments["instances"], *call.arguments["instances"]]
        made[-1] = last._replace(ids=(*last.ids, *call.ids), arguments={**last.arguments, "instances": instances})
    elif any((other.call, other.arguments) == (call.call, call.arguments) for other in made):
        index = next(index for index, other in enumerate(made) if (other.call, other.arguments) == (call.call, call.arguments))
        made[index] = made[index]._replace(ids=(*made[index].ids, *call.ids))
    else:
        made.append(call)


def _rest(call: Call) -> dict[str, t.Any]:
    return {key: value for key, value in call.arguments.items() if key != "instances"}


def done(answers: Answers, step: str) -> bool:
    """Whether a step was carried out."""
    return step in answers and not answers[step]["failed"] and not answers[step]["unreachable"]


def failed(plan: Plan, stages: t.Iterable[Stage], answers: Answers) -> list[Step]:
    """Return the steps of *stages* that were begun and not done, and matter."""
    return [step for stage in stages for step in stage.steps if step.id in answers and not done(answers, step.id) and not step.optional]


def verdict(plan: Plan, answers: Answers) -> Verdict:
    """Return where the operation goes from here."""
    if any(step.id in answers for stage in plan.take_back for step in stage.steps):
        # Whoever takes it up may hear that all was done, where the one before him had no answer and turned back.
        return Verdict("back")
    if not failed(plan, plan.stages, answers):
        return Verdict("on")
    if plan.forward and all(done(answers, step) for step in plan.forward):
        # What could have been taken back does not matter any more; what nothing takes back has to be done.
        undone = {each for stage in plan.take_back for step in stage.steps for each in step.undoes}
        return Verdict("stopped" if any(step.id not in undone for step in failed(plan, plan.stages, answers)) else "on")
    for each in plan.unknown:
        told, other = answers.get(each.step), each.unless and answers.get(each.unless.answer.step)
        if each.unless and other and _part(other, each.unless.answer.path) in each.unless.values:
            continue
        unsaid = told and (_part(told, each.path) not in each.known if each.path else not done(answers, each.step) and _may_have_changed(told))
        if unsaid:
            return Verdict("unknown", each.why)
    return Verdict("back" if plan.take_back else "stopped")


def _part(answer: t.Mapping[str, t.Any], path: t.Sequence[str | int]) -> t.Any:
    """Return a part of an answer, None where there is no such part."""
    found: t.Any = answer.get("result")
    for key in path:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            return None
    return found


def stage_of(plan: Plan, stage: str) -> tuple[Stage, bool]:
    """Return a stage by its id, and whether it takes back."""
    for takes_back, stages in ((False, plan.stages), (True, plan.take_back)):
        for each in stages:
            if each.id == stage:
                return each, takes_back
    raise KeyError(stage)


def _foretold(plan: Plan, stage: Stage, answers: Answers) -> bool:
    """Whether check mode ends before *stage*: an earlier step would have reserved what this one is about."""
    for earlier in plan.stages[: plan.stages.index(stage)]:
        for step in earlier.steps:
            if step.reserves and answers.get(step.id, {}).get("changed"):
                return True
    return False


def busy(plan: Plan, stages: t.Iterable[Stage], answers: Answers) -> list[str]:
    """Return the devices that have something to do in *stages*, as far as it can be known now."""
    found = []
    for stage in stages:
        for step in stage.steps:
            try:
                found.append(resolve(step.device, plan, answers))
            except Missing:
                continue
    return list(dict.fromkeys(found))


def sentences(plan: Plan, answers: Answers, stages: t.Iterable[Stage]) -> list[str]:
    """Return one sentence for each device and reason for which a step was not done."""
    told = []
    for step in failed(plan, stages, answers):
        answer = answers[step.id]
        told.append(f"{answer['device']}: {'it does not answer.' if answer['unreachable'] else answer['msg']}")
    return list(dict.fromkeys(told))


class Report(t.NamedTuple):
    """What is said in the end: whether it failed, one sentence or more, and the operation's result as data."""

    failed: bool
    message: str
    result: dict[str, t.Any]


def report(plan: Plan, answers: Answers, check: bool = False) -> Report:
    """Return what became of an operation."""
    if plan.nothing is not None:
        return Report(False, plan.nothing, {"operation": plan.operation, "outcome": "nothing"})
    way, why = verdict(plan, answers)
    facts = _facts(plan, answers)
    if way == "on" and not check:
        left = _left_undone(plan, answers, takes_back=False)
        if left or fell_short(plan, answers):
            # Who did not answer before was not asked again, though what failed then did not matter any more.
            said = [*_hindrances(plan, answers), *left, _said(plan.stopped, facts)]
            return Report(True, " ".join(said).strip(), {"operation": plan.operation, "outcome": "stopped"})
        result = {"operation": plan.operation, "outcome": "done", **_known(plan, answers)}
        return Report(False, _said(plan.done, facts), {**result, **_doubted(answers)})
    if way == "on":
        return Report(False, f"This is what {plan.operation} would do.", {"operation": plan.operation, "outcome": "planned"})
    reasons = sentences(plan, answers, plan.stages)
    if check:
        return Report(True, " ".join([*reasons, "Nothing was changed."]), {"operation": plan.operation, "outcome": "undone"})
    if way == "back":
        left = [*sentences(plan, answers, plan.take_back), *_left_undone(plan, answers, takes_back=True)]
        said = _said(plan.kept if keeps(plan, answers) else plan.was, facts)
        ending = [f"Not all of it could be undone: {' '.join(left)} Run this again when that is mended."] if left else [said]
    else:
        ending = [_said(plan.stopped if way == "stopped" else why, facts)]
    return Report(True, " ".join([*reasons, *ending]).strip(), {"operation": plan.operation, "outcome": outcome(plan, answers, way)})


def outcome(plan: Plan, answers: Answers, way: str) -> str:
    """Return in a word how an operation ended that went that *way*."""
    if way == "back":
        return "kept" if keeps(plan, answers) else "undone"
    return "stopped" if way == "on" and fell_short(plan, answers) else {"on": "done"}.get(way, way)


def keeps(plan: Plan, answers: Answers) -> bool:
    """Whether what failed was kept as it is."""
    return plan.keeps is not None and done(answers, plan.keeps)


def _doubted(answers: Answers) -> dict[str, list[str]]:
    """Return as C(warnings) what devices doubt of what they did, each once; nothing if they do not."""
    found = dict.fromkeys(sentence for answer in answers.values() for sentence in answer["result"].get("warnings", ()))
    return {"warnings": list(found)} if found else {}


def fell_short(plan: Plan, answers: Answers) -> bool:
    """Whether something was done instead of what was wished for."""
    return any(done(answers, step) for step in plan.short)


def _hindrances(plan: Plan, answers: Answers) -> list[str]:
    """Return one sentence for each device and reason for which something had to be done instead, or could not be done that needs what failed."""
    steps = [step for stage in plan.stages for step in stage.steps]
    instead = [step.instead_of for step in steps if step.id in plan.short and done(answers, step.id)]
    needed = [need for step in steps if step.id not in answers and not step.optional for need in step.needs]
    return sentences(plan, answers, [Stage("", "", tuple(step._replace(optional=False) for step in steps if step.id in (*instead, *needed)))])


def settled(plan: Plan, answers: Answers) -> bool:
    """Whether an operation has come to an end after which there is nothing to take up: all is done, or all was taken back."""
    way = verdict(plan, answers).way
    back = way == "back"
    return way in ("on", "back") and not _left_undone(plan, answers, takes_back=back) and not (back and sentences(plan, answers, plan.take_back))


def _left_undone(plan: Plan, answers: Answers, takes_back: bool) -> list[str]:
    """Return one sentence for each step of the one way that should have been carried out, and was not."""
    steps = [step for stage in (plan.take_back if takes_back else plan.stages) for step in stage.steps]
    left = [step for step in steps if step.id not in answers and not step.optional and _possible(step, plan, answers, takes_back)]
    return [f"Nobody could {step.what}." for step in left]


def _possible(step: Step, plan: Plan, answers: Answers, takes_back: bool) -> bool:
    """Whether a step was necessary; what refers to one that was not necessary is not, either."""
    steps = {each.id: each for stage in (plan.take_back if takes_back else plan.stages) for each in stage.steps}
    needed = {each.step for each in references((step.device, dict(step.arguments)))} - set(answers)
    try:
        if takes_back:
            # Where nobody knows who was chosen, nobody was asked for anything that would have to be undone there.
            resolve(step.device, plan, answers)
        return _wanted(step, plan, answers, takes_back) and all(_possible(steps[each], plan, answers, takes_back) for each in needed if each in steps)
    except Missing:
        return False


def _facts(plan: Plan, answers: Answers) -> dict[str, t.Any]:
    facts = {}
    for name, value in plan.facts.items():
        try:
            facts[name] = resolve(value, plan, answers)
        except Missing:
            facts[name] = "?"
    return facts


def _known(plan: Plan, answers: Answers) -> dict[str, t.Any]:
    result = {}
    for name, value in plan.result.items():
        try:
            result[name] = resolve(value, plan, answers)
        except Missing:
            continue
    return result


def _said(sentence: str, facts: t.Mapping[str, t.Any]) -> str:
    return sentence.format(**facts)


def rows(plan: Plan, answers: Answers) -> list[tuple[str, str]]:
    """Return the plan for a person, step by step: the device, and what it does."""
    return [(_device(step, plan, answers), step.what) for stage in plan.stages for step in stage.steps]


def _device(step: Step, plan: Plan, answers: Answers) -> str:
    try:
        return str(resolve(step.device, plan, answers))
    except Missing:
        return "the RM that will be chosen"
