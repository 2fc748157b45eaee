# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What a plan is: the ordered stages of an operation, for each device the steps that it carries out, and for each step what undoes it. Plain data.

A plan is made before anything is touched. What is not known then, such as the RM that a VMA will choose, stands in it as a reference to an answer.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping


class Answer(t.NamedTuple):
    """What an earlier step will have answered, or a part of it.

    Attributes:
        step: the step's id.
        path: keys and indexes that lead to the part.
    """

    step: str
    path: t.Tuple[t.Union[str, int], ...] = ()


class Peer(t.NamedTuple):
    """Where other RMs reach an RM: its name and address.

    Attributes:
        rm: its name, or an answer that is its name.
    """

    rm: t.Union[str, Answer]


class Count(t.NamedTuple):
    """How many of these steps were done."""

    steps: t.Tuple[str, ...]


class Words(t.NamedTuple):
    """What a sentence says besides where an answer, that is one of C(values), calls for it: the C(text), or nothing."""

    answer: Answer
    values: t.Tuple[t.Any, ...]
    text: str


class Quoted(t.NamedTuple):
    """What a sentence says besides where an answer holds it: further sentences, or nothing."""

    answer: Answer


class Unless(t.NamedTuple):
    """When a step is left out: when *answer* is among *values*.

    Attributes:
        answer: an answer.
        values: what it may be.
    """

    answer: Answer
    values: t.Tuple[t.Any, ...]


class Unknown(t.NamedTuple):
    """When nothing may be taken back, because nobody can say whether a step was done.

    Attributes:
        step: the step's id.
        why: the sentence that says so and what to do, as Plan.done.
        path: where its answer says whether it was done; without one it is enough that its device answered, if only that it failed.
        known: what may stand there (None for nothing) when there is something to take back.
        unless: an answer of somebody else that says so all the same, by what it may be.
    """

    step: str
    why: str
    path: t.Tuple[t.Union[str, int], ...] = ()
    known: t.Tuple[t.Any, ...] = ()
    unless: t.Optional[Unless] = None


class Step(t.NamedTuple):
    """One call of an engine on one device.

    Attributes:
        id: what it is known by in the plan, in answers and in the journal; stable from version to version.
        device: the host, or an answer that is its name.
        call: the engine's call, by the name under C(_steps).
        arguments: what it takes; references stand for what is not known yet.
        what: what it does, for a person.
        unless: when it is left out.
        undoes: of a step that takes back, the ids of those that it undoes; it is due when one of them was begun.
        rehearses: whether it only finds out if it could be done.
        reserves: whether what follows cannot be foretold in check mode once it would change something.
        optional: whether it does not matter that it fails.
        needs: ids of steps that must not have failed for this one to be carried out.
        instead_of: the id of an earlier step; this one is due only if that was not done.
        if_done: the id of an earlier step; this one is due only if that was done.
        if_changed: the id of an earlier step; this one is due only if that changed something, or nobody can say.
        until: the id of a step; this one is due only as long as that was not begun.
    """

    id: str
    device: t.Union[str, Answer]
    call: str
    arguments: t.Mapping[str, t.Any]
    what: str
    unless: t.Optional[Unless] = None
    undoes: t.Tuple[str, ...] = ()
    rehearses: bool = False
    reserves: bool = False
    optional: bool = False
    needs: t.Tuple[str, ...] = ()
    instead_of: t.Optional[str] = None
    if_done: t.Optional[str] = None
    if_changed: t.Optional[str] = None
    until: t.Optional[str] = None


class FollowUp(t.NamedTuple):
    """A step of another device that must not wait until all devices have made their part of the cut-over.

    Attributes:
        after: the id of the step that it follows.
        if_done: whether it follows when that was done, or when it failed.
        step: the step.
    """

    after: str
    if_done: bool
    step: Step


class Stage(t.NamedTuple):
    """Steps that are carried out at the same time, one device beside the other; of one device in their order.

    Attributes:
        id: what it is known by.
        what: what it does, for a person.
        steps: its steps.
        secret: whether its answers must not be shown.
    """

    id: str
    what: str
    steps: t.Tuple[Step, ...]
    secret: bool = False


class Plan(t.NamedTuple):
    """An operation from its first step to its last.

    Attributes:
        operation: its verb.
        subject: what it is done to, for a sentence.
        prepare: the stages before the one in which devices wait for each other.
        cut_over: that stage, or None.
        follow_ups: what other devices do in it as soon as one has made its part.
        settle: the stages after it.
        take_back: the stages that undo what was begun.
        forward: ids of steps. Once all are done, the only way is forward: nothing is taken back any more, and what nothing takes back has to be done. Without
            C(take_back) that is the only way from the first step on.
        unknown: when nobody can say whether there is something to take back.
        short: ids of steps that are made instead of what was wished for: where one of them was done all has come to its end, but not as it should.
        keeps: the id of a step that takes back, and does so by keeping what failed as it is.
        was: what is said when all was taken back: a sentence with the names of C(facts) in braces, as str.format() takes them, like the next three.
        kept: what is said instead when the step C(keeps) was done.
        stopped: what is said when it could not be brought to its end, or fell C(short), and the only way is forward.
        done: what is said when all is done.
        facts: what the sentences refer to, by name.
        result: what the operation returns, by name, with references.
        peers: where other RMs reach each RM, by name.
        candidates: RMs that a VMA may choose on the way, one of which may have to act at once.
        nothing: why there is nothing to do; then there are no stages.
        claim: what its calls say of the operation where they need a lease, as C(_vma.leases) takes it.
        recovers: the run that was cut off and is taken up by this, if it is that.
    """

    operation: str
    subject: str
    prepare: t.Tuple[Stage, ...] = ()
    cut_over: t.Optional[Stage] = None
    follow_ups: t.Tuple[FollowUp, ...] = ()
    settle: t.Tuple[Stage, ...] = ()
    take_back: t.Tuple[Stage, ...] = ()
    forward: t.Tuple[str, ...] = ()
    unknown: t.Tuple[Unknown, ...] = ()
    short: t.Tuple[str, ...] = ()
    keeps: t.Optional[str] = None
    was: str = ""
    kept: str = ""
    stopped: str = ""
    done: str = ""
    facts: t.Mapping[str, t.Any] = {}
    result: t.Mapping[str, t.Any] = {}
    peers: t.Mapping[str, t.Mapping[str, str]] = {}
    candidates: t.Tuple[str, ...] = ()
    nothing: t.Optional[str] = None
    claim: t.Mapping[str, t.Any] = {}
    recovers: t.Optional[str] = None

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages that lead forward, in their order."""
        return (*self.prepare, *self.part("cut_over"), *self.settle)

    def part(self, name: str) -> tuple[Stage, ...]:
        """Return the stages of C(prepare), C(cut_over), C(settle) or C(take_back)."""
        if name == "cut_over":
            return (self.cut_over,) if self.cut_over else ()
        return t.cast(t.Tuple[Stage, ...], getattr(self, name))


#: What a plan is made of, by the names under which it is written down.
_KINDS: t.Mapping[str, t.Any] = {kind.__name__: kind for kind in (Answer, Peer, Count, Words, Quoted, Unless, Unknown, Step, FollowUp, Stage, Plan)}
_KEY = "_is"


def encode(value: t.Any) -> t.Any:
    """Return a plan, or a part of one, as plain JSON; defaults are left out."""
    if isinstance(value, tuple) and type(value).__name__ in _KINDS:
        usual = type(value)._field_defaults
        fields = {name: part for name, part in zip(value._fields, value) if name not in usual or part != usual[name]}
        return {_KEY: type(value).__name__, **{name: encode(part) for name, part in fields.items()}}
    if isinstance(value, Mapping):
        return {str(key): encode(part) for key, part in value.items()}
    return [encode(part) for part in value] if isinstance(value, (list, tuple)) else value


def decode(value: t.Any) -> t.Any:
    """Return the plan, or the part of one, that encode() made *value* of."""
    if isinstance(value, Mapping):
        kind = _KINDS.get(value.get(_KEY, ""))
        parts = {key: decode(part) for key, part in value.items() if key != _KEY or kind is None}
        if kind is None:
            return parts
        return kind(**{name: _tupled(kind, name, part) for name, part in parts.items()})
    return [decode(part) for part in value] if isinstance(value, (list, tuple)) else value


def _tupled(kind: t.Any, name: str, part: t.Any) -> t.Any:
    return tuple(part) if isinstance(part, list) and name != "arguments" else part


def references(value: t.Any) -> t.Iterator[Answer]:
    """Yield all answers that *value* refers to."""
    if isinstance(value, Answer):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from references(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from references(part)


def in_order(*stages: Stage) -> tuple[Stage, ...]:
    """Return *stages* with as few of them as possible: what one and the same device does alone, stage by stage, becomes one stage.

    But what can only be made a call of when an earlier step has been answered comes in a later stage.
    """
    made: list[Stage] = []
    for stage in stages:
        if not stage.steps:
            continue
        alone = {step.device for step in stage.steps}
        together = made and len(alone) == 1 and alone == {step.device for step in made[-1].steps} and made[-1].secret == stage.secret
        if together and not {each for step in stage.steps for each in _decisive(step)} & {step.id for step in made[-1].steps}:
            made[-1] = made[-1]._replace(what=f"{made[-1].what}, {stage.what[0].lower()}{stage.what[1:]}", steps=(*made[-1].steps, *stage.steps))
        else:
            made.append(stage)
    return tuple(made)


def _decisive(step: Step) -> set[str]:
    """Return the ids of the steps that must have been answered before anybody can say whether this one is due, and which peer it is about."""
    answers = [*_peers(dict(step.arguments)), *([step.unless.answer] if step.unless else ())]
    return {*(each.step for each in answers), *(each for each in (step.instead_of, step.if_done, step.if_changed, step.until) if each)}


def _peers(value: t.Any) -> t.Iterator[Answer]:
    """Yield the answers that say which peers *value* is about."""
    if isinstance(value, Peer):
        yield from references(value)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _peers(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _peers(part)


def check(plan: Plan) -> None:
    """Raise ValueError where a plan contradicts itself: an id that is there twice, a reference to no earlier step, an undo of nothing."""
    both = {stage.id for stage in plan.stages} & {stage.id for stage in plan.take_back}
    if both:
        raise ValueError(f"The stages {sorted(both)} lead forward and back.")
    seen: set[str] = set()
    undone = {each for stage in plan.take_back for step in stage.steps for each in step.undoes}
    every = {step.id for stage in plan.stages for step in stage.steps} | {each.step.id for each in plan.follow_ups}
    for stages, begun in ((plan.stages, set()), (plan.take_back, every)):
        known = set(begun)
        for stage in stages:
            for step in stage.steps:
                if step.id in seen:
                    raise ValueError(f"The step {step.id} is there twice.")
                seen.add(step.id)
                needed = {each.step for each in references((step.device, dict(step.arguments), step.unless))} | set(step.undoes)
                needed |= {*step.needs, *(each for each in (step.instead_of, step.if_done, step.if_changed) if each)}
                # Steps of one device come in their order, so one may refer to another of its own stage.
                own = {other.id for other in stage.steps[: stage.steps.index(step)] if other.device == step.device}
                if needed - known - own:
                    raise ValueError(f"The step {step.id} refers to {sorted(needed - known - own)}, which is no earlier step.")
            known |= {step.id for step in stage.steps} | ({each.step.id for each in plan.follow_ups} if stage is plan.cut_over else set())
    stray = undone - every
    if stray:
        raise ValueError(f"{sorted(stray)} is undone, but no step.")
