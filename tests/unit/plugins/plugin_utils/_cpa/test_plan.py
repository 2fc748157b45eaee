# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans as data: what holds for the plans of all verbs, and what is found where one contradicts itself."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.main import CALLS
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import progress
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import (
    Answer,
    Count,
    FollowUp,
    Peer,
    Plan,
    Quoted,
    Stage,
    Step,
    Unknown,
    Unless,
    Words,
    check,
    decode,
    encode,
    in_order,
    references,
)
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh

PLANS = {
    f"{name}, {where}, {'names follow' if host else 'without names'}": (plan, groups)
    for where, groups in (("a VMA on its gateway", mesh.GROUPS), ("a VMA of its own", mesh.APART), ("all in one", mesh.ALL_IN_ONE))
    for host in ("ns-1", "")
    for name, plan in mesh.every_plan(groups, host).items()
}
every = pytest.mark.parametrize(("plan", "groups"), PLANS.values(), ids=PLANS)


def steps_of(plan):
    return [step for stage in (*plan.stages, *plan.take_back) for step in stage.steps]


@every
def test_a_plan_is_the_same_after_it_was_written_down(plan, groups):
    written = json.loads(json.dumps(encode(plan)))
    assert decode(written) == plan and encode(decode(written)) == encode(plan)


@every
def test_no_plan_contradicts_itself(plan, groups):
    check(plan)


@every
def test_every_call_is_one_that_devices_know(plan, groups):
    hosts = {*mesh.NAMES["host"].split(), *(host for named in groups.values() for host in named)}
    for step in [*steps_of(plan), *(each.step for each in plan.follow_ups)]:
        assert step.call in CALLS and step.what
        assert isinstance(step.device, Answer) or step.device in hosts


@every
def test_every_stage_and_sentence_can_be_said(plan, groups):
    stages = [*plan.stages, *plan.take_back]
    assert len({stage.id for stage in stages}) == len(stages) and all(stage.what and stage.steps for stage in stages)
    if plan.nothing is not None:
        assert not stages and plan.nothing.endswith(".")
        return
    facts = {name: "" if isinstance(value, (Words, Quoted)) else "?" for name, value in plan.facts.items()}
    assert all(value.text.endswith(".") for value in plan.facts.values() if isinstance(value, Words))
    said = [
        plan.done,
        *(each.why for each in plan.unknown),
        *([plan.was] if plan.take_back else []),
        *([plan.kept] if plan.keeps else []),
        *([plan.stopped] if plan.forward or not plan.take_back else []),
    ]
    assert all(sentence.format(**facts).endswith(".") for sentence in said)


@every
def test_whatever_is_referred_to_is_a_step_of_the_plan(plan, groups):
    ids = {step.id for stage in plan.stages for step in stage.steps}
    assert {each.step for each in references(tuple(plan.result.values()))} <= ids
    for value in (*plan.facts.values(), *plan.result.values()):
        assert not isinstance(value, Count) or set(value.steps) <= ids
    assert set(plan.forward) <= ids and {each.step for each in plan.unknown} <= ids
    undoing = {step.id for stage in plan.take_back for step in stage.steps}
    assert {plan.keeps} - {None} <= undoing
    assert {each.step for each in references(tuple(plan.facts.values()))} <= ids | undoing
    for step in steps_of(plan):
        assert {step.until, step.instead_of, step.if_done, step.if_changed} - {None} <= ids | undoing | {each.step.id for each in plan.follow_ups}
        assert set(step.needs) <= (undoing if step.id in undoing else ids)
    acts = {step.id for step in plan.cut_over.steps} if plan.cut_over else set()
    assert {each.after for each in plan.follow_ups} <= acts


def step(name="one", device="gw-1", **more):
    return Step(name, device, "record", more.pop("arguments", {}), "do it", **more)


def stage(name, *steps, **more):
    return Stage(name, name.capitalize(), steps, **more)


def plan(*prepare, **more):
    return Plan("place", "it", prepare=prepare, **more)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (plan(stage("a", step(), step())), "The step one is there twice."),
        (plan(stage("a", step()), take_back=(stage("b", step(undoes=("one",))),)), "The step one is there twice."),
        (plan(stage("a", step(arguments={"x": [{"y": Answer("two")}]}))), "The step one refers to ['two'], which is no earlier step."),
        (plan(stage("a", step(device=Answer("one", ("rm",))))), "The step one refers to ['one'], which is no earlier step."),
        (plan(stage("a", step(), step("two", "gw-2", arguments={"x": Answer("one")}))), "The step two refers to ['one'], which is no earlier step."),
        (plan(stage("a", step("two"), step(unless=Unless(Answer("three"), ())))), "The step one refers to ['three'], which is no earlier step."),
        (plan(stage("a", step(instead_of="two"))), "The step one refers to ['two'], which is no earlier step."),
        (plan(stage("a", step(if_changed="two"))), "The step one refers to ['two'], which is no earlier step."),
        (plan(stage("a", step(needs=("two",)))), "The step one refers to ['two'], which is no earlier step."),
        (plan(stage("a", step()), take_back=(stage("b", step("undo", undoes=("two",))),)), "The step undo refers to ['two'], which is no earlier step."),
        (plan(stage("a", step()), take_back=(stage("a", step("undo", undoes=("one",))),)), "The stages ['a'] lead forward and back."),
        (plan(stage("a", step(arguments={"peer": Peer(Answer("two"))}))), "The step one refers to ['two'], which is no earlier step."),
    ],
)
def test_what_contradicts_itself_is_found(wrong, sentence):
    with pytest.raises(ValueError) as caught:
        check(wrong)
    assert str(caught.value) == sentence


def test_a_device_learns_from_its_own_earlier_steps_of_a_stage():
    check(plan(stage("a", step(), step("two", arguments={"x": Answer("one")}))))
    check(plan(stage("a", step()), stage("b", step("two", "gw-2", arguments={"x": Answer("one")}))))
    check(plan(stage("a", step()), take_back=(stage("b", step("undo", arguments={"x": Answer("one")}, undoes=("one",))),)))


def test_what_is_quoted_is_there_or_nothing_is_said():
    seen = Quoted(Answer("clear", ("instances", 0, "evidence")))
    made = Plan("place", "shop", facts={"seen": seen})
    assert decode(encode(made)) == made
    for told, said in (({}, ""), ({"clear": {"result": {"instances": [{}]}}}, ""), ({"clear": {"result": {"instances": [{"evidence": " So."}]}}}, " So.")):
        assert progress.resolve(seen, made, told) == said


def test_a_follow_up_is_a_step_of_the_cut_over():
    following = (FollowUp("one", True, step("two", "gw-2")),)
    cut_over, settle = stage("a", step()), (stage("b", step("three", "gw-2", instead_of="two")),)
    check(plan(cut_over=cut_over, follow_ups=following, settle=settle, take_back=(stage("c", step("undo", undoes=("two",))),)))
    with pytest.raises(ValueError, match="three refers to"):
        check(plan(cut_over=cut_over, settle=settle))


def test_stages_of_one_device_become_one():
    made = in_order(stage("a", step()), stage("nothing"), stage("b", step("two")), stage("c", step("three", "gw-2")), stage("d", step("four")))
    assert [(each.id, [one.id for one in each.steps]) for each in made] == [("a", ["one", "two"]), ("c", ["three"]), ("d", ["four"])]
    assert made[0].what == "A, b"
    assert in_order() == in_order(stage("nothing")) == ()


@pytest.mark.parametrize(
    "second",
    [
        step("two", unless=Unless(Answer("one", ("rm",)), ("rm-1",))),
        step("two", arguments={"to": [Peer(Answer("one", ("rm",)))]}),
        step("two", if_changed="one"),
        step("two", instead_of="one"),
        step("two", until="one"),
    ],
)
def test_what_an_answer_decides_about_waits_for_it(second):
    assert [each.id for each in in_order(stage("a", step()), stage("b", second))] == ["a", "b"]


def test_what_a_device_puts_in_itself_need_not_wait():
    second = step("two", arguments={"document": Answer("one", ("router",))}, needs=("one",))
    assert [each.id for each in in_order(stage("a", step()), stage("b", second))] == ["a"]


def test_stages_of_several_devices_stay_apart_and_so_do_secrets():
    several = stage("b", step("two"), step("three", "gw-2"))
    assert len(in_order(stage("a", step()), several, stage("c", step("four")))) == 3
    assert len(in_order(stage("a", step()), stage("b", step("two"), secret=True), stage("c", step("three")))) == 3
    chosen = Answer("one", ("rm",))
    assert len(in_order(stage("a", step("two", chosen)), stage("b", step("three", chosen)))) == 1, "whoever it is, it is the same"


def test_what_refers_to_answers_is_found_wherever_it_lies():
    value = {"a": [Answer("one", ("x", 0))], "b": Peer(Answer("two")), "c": ("plain", {"d": Unless(Answer("three"), (1,))})}
    assert {each.step for each in references(value)} == {"one", "two", "three"}


def test_what_is_as_usual_is_not_written():
    assert encode(step(arguments={"x": Answer("two", ("rm", 0))})) == {
        "_is": "Step",
        "id": "one",
        "device": "gw-1",
        "call": "record",
        "arguments": {"x": {"_is": "Answer", "step": "two", "path": ["rm", 0]}},
        "what": "do it",
    }
    every_kind = plan(
        stage("a", step()), follow_ups=(FollowUp("one", True, step("two")),), unknown=(Unknown("one", "?", ("x",), (None, "no")),), facts={"n": Count(("one",))}
    )
    assert decode(json.loads(json.dumps(encode(every_kind)))) == every_kind


def test_data_that_only_looks_like_a_plan_stays_data():
    value = {"_is": "something else", "arguments": [{"name": "Step"}], "unless": None}
    assert decode(encode(value)) == value
