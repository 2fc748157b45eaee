# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far an operation is: what is to be done next, which way it goes, and what is said in the end."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import progress
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Count, FollowUp, Peer, Plan, Stage, Step, Unknown, Unless
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.progress import Call, Stalled, Verdict

PEERS = {"rm-1": {"name": "rm-1", "address": "10.0.0.1"}, "rm-2": {"name": "rm-2", "address": "10.0.0.2"}}


def step(name, device="gw-1", call="record", arguments=None, **more):
    return Step(name, device, call, arguments or {}, f"do {name}", **more)


def stage(name, *steps, **more):
    return Stage(name, name.capitalize(), steps, **more)


def plan(*prepare, **more):
    return Plan("move", "it", prepare=prepare, peers=PEERS, **{"was": "All is as it was.", "stopped": "Run it again.", "done": "It is done.", **more})


def answer(result=None, device="gw-1", **more):
    return {"device": device, "changed": True, "failed": False, "unreachable": False, "msg": "", "result": result or {}, **more}


def failed(msg="No.", device="gw-1", **more):
    return answer(**{"device": device, "failed": True, "changed": False, "msg": msg, **more})


def silent(device="gw-1"):
    return answer(device=device, unreachable=True, changed=False)


def ids(made):
    return [each.ids for each in made]


# What a device has to do


def test_references_are_filled_in_by_what_was_answered():
    told = {"tell": answer({"records": [{"rm": "rm-2", "epoch": 4}], "router": {"generation": 7}})}
    arguments = {
        "document": Answer("tell", ("router",)),
        "peer": Peer(Answer("tell", ("records", 0, "rm"))),
        "all": [{"epoch": Answer("tell", ("records", 0, "epoch"))}],
        "plain": (1, None),
    }
    made = plan(stage("tell", step("tell")), stage("act", step("act", Answer("tell", ("records", 0, "rm")), "instances", arguments)))
    (call,) = progress.calls(made, "act", "rm-2", told)
    assert call == Call(("act",), "instances", {"document": {"generation": 7}, "peer": PEERS["rm-2"], "all": [{"epoch": 4}], "plain": [1, None]})
    assert progress.calls(made, "act", "rm-1", told) == [], "another was chosen"
    assert progress.calls(made, "tell", "gw-1", {}) == [Call(("tell",), "record", {})]


def test_a_whole_answer_can_be_referred_to():
    assert progress.resolve(Answer("a"), plan(), {"a": answer({"x": 1})}) == {"x": 1}
    assert progress.resolve(Answer("a", ("x",)), plan(), {"a": answer({"x": None})}) is None, "nothing is an answer, too"
    for missing in (Answer("b"), Answer("a", ("y",)), Answer("a", ("x", 0)), Answer("a", ("z", 3))):
        with pytest.raises(progress.Missing):
            progress.resolve(missing, plan(), {"a": answer({"x": 1, "z": []})})


def test_what_a_device_itself_will_have_answered_by_then_it_puts_in_itself():
    arguments = {"document": Answer("tell", ("router",)), "epoch": Answer("tell", ("records", 0, "epoch")), "other": Answer("before", ("x",))}
    made = plan(stage("before", step("before", "gw-2")), stage("act", step("tell"), step("act", call="router", arguments=arguments)))
    tell, act = progress.calls(made, "act", "gw-1", {"before": answer({"x": 1}, "gw-2")})
    assert (tell.ids, act.ids) == (("tell",), ("act",))
    assert progress.written(act.arguments) == {"document": {"_answer": ["tell", "router"]}, "epoch": {"_answer": ["tell", "records", 0, "epoch"]}, "other": 1}


def test_what_is_not_known_is_left_out():
    # In check mode nothing was reserved, or what should have said it was optional and failed.
    made = plan(stage("act", step("tell", optional=True), step("act", "gw-2", arguments={"x": Answer("tell", ("router",))})))
    assert progress.calls(made, "act", "gw-2", {"tell": failed()}) == []
    assert progress.calls(made, "act", "gw-2", {}) == []


def instances(name, number, **more):
    return step(name, "rm-1", "instances", {"instances": [{"name": f"shop-{number}"}], **more.pop("common", {})}, **more)


def test_several_instances_are_one_call():
    one, two, three = instances("one", 1), instances("two", 2), instances("three", 3, common={"stop_timeout": 0})
    assert progress.calls(plan(stage("act", one, two, three)), "act", "rm-1", {}) == [
        Call(("one", "two"), "instances", {"instances": [{"name": "shop-1"}, {"name": "shop-2"}]}),
        Call(("three",), "instances", {"instances": [{"name": "shop-3"}], "stop_timeout": 0}),
    ]
    rehearsed = one._replace(id="rehearsed", rehearses=True)
    assert ids(progress.calls(plan(stage("act", rehearsed, two)), "act", "rm-1", {})) == [("rehearsed",), ("two",)]
    assert ids(progress.calls(plan(stage("act", one, step("between", "rm-1", "ready"), two)), "act", "rm-1", {})) == [("one",), ("between",), ("two",)]


@pytest.mark.parametrize("call", ["instances", "hand_over", "publish"])
def test_these_calls_are_joined(call):
    one, two = (instances(name, number)._replace(call=call) for number, name in enumerate(("one", "two")))
    assert ids(progress.calls(plan(stage("act", one, two)), "act", "rm-1", {})) == [("one", "two")]


def test_what_is_recorded_is_never_joined():
    one, two = (step(name, arguments={"instances": [{"instance": name}]}) for name in ("one", "two"))
    assert ids(progress.calls(plan(stage("act", one, two)), "act", "gw-1", {})) == [("one",), ("two",)]


def test_the_same_is_done_once():
    same = {"to": Peer("rm-2"), "version": "1.0.0"}
    one, two, other = (step(name, "rm-1", "bring", {**same, "to": Peer(rm)}) for name, rm in (("one", "rm-2"), ("two", "rm-2"), ("other", "rm-1")))
    assert ids(progress.calls(plan(stage("act", one, other, two)), "act", "rm-1", {})) == [("one", "two"), ("other",)]


def test_a_step_is_left_out_where_an_answer_is_among_some():
    made = plan(stage("reserve", step("reserve", "vma-1")), stage("act", step("act", unless=Unless(Answer("reserve", ("rm",)), ("rm-1", "rm-3")))))
    reserved = {rm: {"reserve": answer({"rm": rm}, "vma-1")} for rm in ("rm-1", "rm-2")}
    assert progress.calls(made, "act", "gw-1", reserved["rm-1"]) == [] and ids(progress.calls(made, "act", "gw-1", reserved["rm-2"])) == [("act",)]


def test_a_step_stands_in_for_one_that_was_not_done():
    made = plan(stage("first", step("first", "gw-2", optional=True)), stage("act", step("act", instead_of="first")))
    assert progress.calls(made, "act", "gw-1", {"first": answer(device="gw-2")}) == []
    for told in (failed(device="gw-2"), silent("gw-2")):
        assert ids(progress.calls(made, "act", "gw-1", {"first": told})) == [("act",)]


def test_a_step_may_depend_on_whether_another_was_done():
    made = plan(stage("first", step("first", "gw-2", optional=True)), stage("act", step("act", if_done="first")))
    assert ids(progress.calls(made, "act", "gw-1", {"first": answer(device="gw-2")})) == [("act",)]
    for told in ({}, {"first": failed(device="gw-2")}, {"first": silent("gw-2")}):
        assert progress.calls(made, "act", "gw-1", told) == []


def test_what_failed_may_be_kept_instead_of_being_undone():
    made = undoing(step("keep", undoes=("two",), if_done="two"), step("undo", undoes=("two",), instead_of="two"), keeps="keep", kept="It was kept.")
    told = {"one": answer(), "two": answer(), "three": failed()}
    assert ids(progress.calls(made, "back", "gw-1", told)) == [("keep",)]
    report = progress.report(made, {**told, "keep": answer()})
    assert (report.failed, report.message, report.result["outcome"]) == (True, "gw-1: No. It was kept.", "kept")
    told = {"one": answer(), "two": failed()}
    assert ids(progress.calls(made, "back", "gw-1", told)) == [("undo",)]
    report = progress.report(made, {**told, "undo": answer()})
    assert (report.message, report.result["outcome"]) == ("gw-1: No. All is as it was.", "undone")


def test_a_step_may_depend_on_whether_another_changed_something():
    made = plan(stage("first", step("first", "gw-2")), stage("act", step("act", if_changed="first")))
    assert ids(progress.calls(made, "act", "gw-1", {"first": answer(device="gw-2")})) == [("act",)]
    assert progress.calls(made, "act", "gw-1", {"first": answer(device="gw-2", changed=False)}) == []


def test_what_may_have_changed_something_is_undone():
    made = undoing(step("undo", "gw-2", undoes=("one",), if_changed="one"))
    assert progress.calls(made, "back", "gw-2", {"one": failed()}) == [], "a refusal changes nothing"
    for told in (silent(), failed(changed=None)):
        assert ids(progress.calls(made, "back", "gw-2", {"one": told})) == [("undo",)]
    asked_again = undoing(step("undo", undoes=("one",), if_changed="one"))
    assert progress.report(asked_again, {"one": silent()}).message.endswith("Nobody could do undo. Run this again when that is mended.")


def undoing(*steps, **more):
    """Return a plan whose first three steps can be undone by these."""
    forward = (stage("a", step("one")), stage("b", step("two")), stage("c", step("three")))
    return plan(*forward, take_back=(stage("back", *steps),), **more)


def test_only_what_was_begun_is_undone():
    made = undoing(step("undo.one", undoes=("one",)), step("undo.two", undoes=("two",)), step("undo.any", undoes=("two", "three", "one")))
    assert progress.calls(made, "back", "gw-1", {"one": answer()}) == [], "nothing failed"
    assert ids(progress.calls(made, "back", "gw-1", {"one": failed()})) == [("undo.one", "undo.any")], "it may have been done nevertheless"
    assert ids(progress.calls(made, "back", "gw-1", {"one": answer(), "two": failed()})) == [("undo.one", "undo.two", "undo.any")]


def test_what_is_due_only_until_something_was_begun():
    made = undoing(step("undo.early", undoes=("one",), until="two"))
    assert ids(progress.calls(made, "back", "gw-1", {"one": failed()})) == [("undo.early",)]
    assert progress.calls(made, "back", "gw-1", {"one": answer(), "two": failed()}) == []


def test_what_is_undone_may_need_that_something_else_was():
    def back(**told):
        clear = stage("clear", step("clear", "rm-1", "instances", undoes=("two",)))
        made = undoing(step("again", undoes=("one",), needs=("clear",)))
        made = made._replace(take_back=(clear, *made.take_back))
        return ids(progress.calls(made, "back", "gw-1", told))

    assert back(one=failed()) == [("again",)], "there was nothing to clear"
    assert back(one=answer(), two=failed()) == [], "it was not cleared"
    assert back(one=answer(), two=failed(), clear=failed(device="rm-1")) == [] == back(one=answer(), two=failed(), clear=silent("rm-1"))
    assert back(one=answer(), two=failed(), clear=answer(device="rm-1")) == [("again",)]


def test_what_needs_an_earlier_call_of_the_same_device_comes_after_it():
    made = undoing(step("clear", call="instances", undoes=("two",)), step("again", call="router", undoes=("one",), needs=("clear",)))
    assert ids(progress.calls(made, "back", "gw-1", {"one": answer(), "two": failed()})) == [("clear",), ("again",)]
    elsewhere = undoing(step("clear", "rm-1", "instances", undoes=("two",)), step("again", undoes=("one",), needs=("clear",)))
    assert progress.calls(elsewhere, "back", "gw-1", {"one": answer(), "two": failed()}) == [], "nobody waits for another device within a stage"


def test_who_did_not_answer_is_not_asked_again():
    made = undoing(step("undo.one", undoes=("one",)), step("undo.two", "gw-2", undoes=("one",)))
    told = {"one": answer(), "two": silent()}
    assert progress.calls(made, "back", "gw-1", told) == []
    assert ids(progress.calls(made, "back", "gw-2", told)) == [("undo.two",)]


def test_nothing_is_done_before_what_has_to_come_first():
    made = plan(stage("a", step("one", "gw-2"), step("may", "gw-2", optional=True)), stage("b", step("two"), step("three")))
    with pytest.raises(Stalled) as caught:
        progress.calls(made, "b", "gw-1", {})
    assert str(caught.value) == "Nobody was there to do one, which has to come first." and caught.value.steps == ("two", "three")
    assert progress.calls(made, "b", "gw-2", {}) == [], "who has nothing to do is not stopped"
    assert ids(progress.calls(made, "b", "gw-1", {"one": answer(device="gw-2")})) == [("two", "three")]
    assert ids(progress.calls(made, "b", "gw-1", {}, check=True)) == [("two", "three")], "nothing has to come first where nothing is done"


def test_what_was_not_due_does_not_have_to_come_first():
    made = plan(stage("a", step("one", "gw-2")), stage("b", step("bring", "gw-3", unless=Unless(Answer("one", ("rm",)), ("rm-1",)))), stage("c", step("two")))
    assert ids(progress.calls(made, "c", "gw-1", {"one": answer({"rm": "rm-1"}, "gw-2")})) == [("two",)]
    with pytest.raises(Stalled, match="Nobody was there to do bring"):
        progress.calls(made, "c", "gw-1", {"one": answer({"rm": "rm-2"}, "gw-2")})


def test_what_is_taken_back_need_not_be_whole():
    made = undoing(step("undo", undoes=("one",)))._replace(
        take_back=(stage("x", step("clear", "rm-1", undoes=("one",))), stage("back", step("undo", undoes=("one",))))
    )
    assert ids(progress.calls(made, "back", "gw-1", {"one": failed()})) == [("undo",)]


def test_check_mode_ends_where_something_would_be_reserved():
    made = plan(stage("reserve", step("reserve", reserves=True)), stage("b", step("two", "gw-2")))
    assert ids(progress.calls(made, "b", "gw-2", {"reserve": answer(changed=False)}, check=True)) == [("two",)], "it was reserved before"
    assert progress.calls(made, "b", "gw-2", {"reserve": answer()}, check=True) == []
    assert ids(progress.calls(made, "b", "gw-2", {"reserve": answer()})) == [("two",)]
    (call,) = progress.calls(made, "reserve", "gw-1", {}, check=True)
    assert call.reserves


def test_check_mode_takes_nothing_back():
    assert progress.calls(undoing(step("undo", undoes=("one",))), "back", "gw-1", {"one": failed()}, check=True) == []


def test_there_are_only_the_stages_of_the_plan():
    with pytest.raises(KeyError):
        progress.calls(plan(), "a", "gw-1", {})


def test_who_is_busy_is_known_as_far_as_it_was_answered():
    stages = (stage("a", step("one")), stage("b", step("two", Answer("one", ("rm",))), step("three")))
    assert progress.busy(plan(*stages), stages, {}) == ["gw-1"]
    assert progress.busy(plan(*stages), stages, {"one": answer({"rm": "rm-2"})}) == ["gw-1", "rm-2"]


# What a device told


def test_each_step_of_a_call_gets_its_part_of_the_answer():
    listed = [{"name": "shop-1", "error": None}, {"name": "shop-2", "error": "No room."}]
    told = {"ids": ["one", "two"], "changed": True, "failed": True, "msg": "No room.", "result": {"instances": listed, "common": 1}, "seconds": 2}
    found = progress.answers_of(told, "rm-1")
    assert found["one"] == {
        "device": "rm-1",
        "unreachable": False,
        "changed": None,
        "failed": False,
        "msg": "",
        "seconds": 2,
        "result": {"instances": listed[:1], "common": 1},
    }
    assert (found["two"]["failed"], found["two"]["msg"], found["two"]["result"]["instances"]) == (True, "No room.", listed[1:])
    made = progress.answers_of({**told, "failed": False, "msg": "", "result": {"capsules": [{"version": "a"}, {"version": "b"}]}}, "rm-1")
    assert [made[name]["result"]["capsules"] for name in ("one", "two")] == [[{"version": "a"}], [{"version": "b"}]]


def test_a_call_that_failed_as_a_whole_failed_for_each():
    told = {"ids": ["one", "two"], "changed": False, "failed": True, "msg": "libvirt does not answer.", "result": {}}
    assert all(each["failed"] and each["msg"] == "libvirt does not answer." for each in progress.answers_of(told, "rm-1").values())
    gone = progress.answers_of({"ids": ["one"], "changed": False, "failed": False, "unreachable": True, "msg": "ssh", "result": {}}, "rm-1")
    assert gone["one"]["unreachable"] and not progress.done(gone, "one")


def test_the_same_call_for_several_steps_answers_all_of_them():
    told = {"ids": ["one", "two"], "changed": True, "failed": False, "msg": "", "result": {"records": [{"rm": "rm-1"}]}}
    assert progress.answers_of(told, "gw-1")["one"]["result"] == progress.answers_of(told, "gw-1")["two"]["result"] == {"records": [{"rm": "rm-1"}]}


# The cut-over


def cutting():
    """Return a plan in which gw-1 waits for rm-1, and gw-2 is told when that is away."""
    source, publish = step("source", "rm-1", "hand_over"), step("publish", call="router")
    off = step("off", call="call_off", arguments={"document": Answer("tell", ("router",))})
    away = step("away", "gw-2", "router")
    follow_ups = (FollowUp("source", False, off), FollowUp("source", True, away))
    return plan(stage("tell", step("tell")), cut_over=stage("cut", source, publish), follow_ups=follow_ups)


def test_another_device_is_told_as_soon_as_one_has_made_its_part():
    told = {"tell": answer({"router": {"generation": 7}})}
    well, ill = {**told, "source": answer(device="rm-1")}, {**told, "source": failed(device="rm-1")}
    assert progress.follow_ups(cutting(), "cut", "rm-1", well) == [{"device": "gw-2", "calls": [{"ids": ["away"], "call": "router", "arguments": {}}]}]
    off = [{"device": "gw-1", "calls": [{"ids": ["off"], "call": "call_off", "arguments": {"document": {"generation": 7}}}]}]
    assert progress.follow_ups(cutting(), "cut", "rm-1", ill) == progress.follow_ups(cutting(), "cut", "rm-1", {**told, "source": silent("rm-1")}) == off


def test_nobody_else_tells_another_device():
    told = {"tell": answer({"router": {}}), "source": failed(device="rm-1"), "publish": failed()}
    assert not progress.follow_ups(cutting(), "cut", "gw-1", told), "nobody waits for the gateway"
    assert not progress.follow_ups(cutting(), "cut", "rm-2", told)
    assert not progress.follow_ups(cutting(), "tell", "rm-1", told)
    assert not progress.follow_ups(plan(stage("cut", step("a"))), "cut", "gw-1", {"a": failed()})


def test_one_of_several_that_fails_calls_the_wait_off():
    one, two = (step(name, "rm-1", "hand_over") for name in ("one", "two"))
    waits = tuple(FollowUp(each.id, False, step(f"stop_{each.id}", "rm-2")) for each in (one, two))
    made = plan(cut_over=stage("cut", one, two), follow_ups=(*(FollowUp(each.id, False, step("off")) for each in (one, two)), *waits))

    def told(**answers):
        found = progress.follow_ups(made, "cut", "rm-1", answers)
        return {each["device"]: [call["ids"] for call in each["calls"]] for each in found}

    well, ill = answer(device="rm-1"), failed(device="rm-1")
    assert told(one=well, two=ill) == {"gw-1": [["off"]], "rm-2": [["stop_two"]]} and told(one=well, two=well) == {}
    assert told(one=ill, two=ill) == {"gw-1": [["off"]], "rm-2": [["stop_one"], ["stop_two"]]}


def test_what_follows_counts_for_what_stands_in_for_it():
    made = cutting()._replace(settle=(stage("settle", step("again", "gw-2", instead_of="away")),))
    told = {"tell": answer({"router": {}}), "source": answer(device="rm-1"), "publish": answer()}
    assert progress.calls(made, "settle", "gw-2", {**told, "away": answer(device="gw-2")}) == []
    assert ids(progress.calls(made, "settle", "gw-2", {**told, "away": failed(device="gw-2")})) == [("again",)]
    assert progress.verdict(made, {**told, "away": failed(device="gw-2")}).way == "on", "what follows is no part of what must be done"


# Which way it goes


def going(**more):
    undo = (stage("back", step("undo", undoes=("one", "source", "publish"))),)
    cut_over, settle = stage("b", step("source", "rm-1"), step("publish", "gw-2")), (stage("c", step("close")),)
    return plan(stage("a", step("one")), cut_over=cut_over, settle=settle, **{"take_back": undo, **more})


PUBLISHED = {"one": answer(), "publish": answer(device="gw-2"), "source": answer(device="rm-1")}


@pytest.mark.parametrize(
    ("told", "way"),
    [
        ({}, "on"),
        ({"one": answer()}, "on"),
        ({"one": failed()}, "back"),
        ({"one": silent()}, "back"),
        (PUBLISHED, "on"),
        ({**PUBLISHED, "source": failed(device="rm-1")}, "on"),
        ({**PUBLISHED, "publish": failed(device="gw-2")}, "back"),
        ({**PUBLISHED, "close": failed()}, "stopped"),
        ({**PUBLISHED, "source": failed(device="rm-1"), "close": silent()}, "stopped"),
        ({**PUBLISHED, "close": answer()}, "on"),
    ],
)
def test_once_it_is_published_the_only_way_is_forward(told, way):
    assert progress.verdict(going(forward=("publish",)), told).way == way


def test_what_nothing_takes_back_has_to_be_done():
    closing = going(forward=("publish",))
    closing = closing._replace(cut_over=closing.cut_over._replace(steps=(*closing.cut_over.steps, step("end"))))
    assert progress.verdict(closing, {**PUBLISHED, "end": failed()}).way == "stopped"
    assert progress.verdict(closing, {**PUBLISHED, "source": failed(device="rm-1"), "end": answer()}).way == "on"


def test_without_such_a_point_all_is_taken_back():
    assert progress.verdict(going(), {**PUBLISHED, "close": failed()}).way == "back"


def test_where_nothing_takes_back_the_only_way_is_forward():
    assert progress.verdict(going(take_back=()), {"one": failed()}).way == "stopped"


def test_all_of_such_a_point_must_be_done():
    both = going(forward=("source", "publish"))
    assert progress.verdict(both, {**PUBLISHED, "source": failed(device="rm-1")}).way == "back"
    assert progress.verdict(both, {**PUBLISHED, "close": failed()}).way == "stopped"


def test_what_does_not_matter_may_fail():
    made = plan(stage("a", step("one", optional=True)), stage("b", step("two")))
    assert progress.verdict(made, {"one": failed()}).way == "on" and ids(progress.calls(made, "b", "gw-1", {"one": failed()})) == [("two",)]


def test_nothing_is_taken_back_where_nobody_can_say_what_was_done():
    unknown = (Unknown("publish", "Nobody can say."), Unknown("source", "It may be there.", ("instances", 0, "handed_over"), ("no",)))
    made = going(forward=("publish",), unknown=unknown)
    ill = {**PUBLISHED, "publish": failed(device="gw-2")}
    said = {value: failed(device="rm-1", result={"instances": [{"handed_over": value}]}) for value in ("no", "unknown", "yes")}
    assert progress.verdict(made, {**ill, "publish": silent("gw-2")}) == Verdict("unknown", "Nobody can say.")
    assert progress.verdict(made, {**ill, "source": said["no"]}) == Verdict("back")
    assert (
        progress.verdict(made, {**ill, "source": said["unknown"]})
        == progress.verdict(made, {**ill, "source": said["yes"]})
        == Verdict("unknown", "It may be there.")
    )
    assert progress.verdict(made, {**ill, "source": failed(device="rm-1")}).way == "unknown", "it did not say"
    assert progress.verdict(made, {**ill, "source": silent("rm-1")}).way == "unknown"
    there = going(unknown=(Unknown("source", "Somebody else has it.", ("instances", 0, "handed_to"), (None,)),))
    assert progress.verdict(there, {**ill, "source": silent("rm-1")}).way == "back", "nobody says that somebody else has it"
    assert progress.verdict(made, {"one": failed()}).way == "back", "it was not begun"
    assert progress.calls(made._replace(take_back=(stage("back", step("undo", undoes=("one",))),)), "back", "gw-1", {**ill, "publish": silent("gw-2")}) == []


def test_what_may_stand_there_can_be_nothing():
    made = going(unknown=(Unknown("source", "Somebody else has it.", ("instances", 0, "handed_to"), (None,)),))
    ill = {**PUBLISHED, "publish": failed(device="gw-2")}
    elsewhere = answer({"instances": [{"handed_to": "rm-9"}]}, "rm-1")
    assert progress.verdict(made, ill).way == "back" and progress.verdict(made, {**ill, "source": elsewhere}) == Verdict("unknown", "Somebody else has it.")


# What is said in the end


def test_what_is_done_is_said_with_what_was_answered():
    made = plan(
        stage("a", step("one"), step("two")),
        done="{rm} has {count} of {missing}.",
        facts={"rm": Answer("one", ("rm",)), "count": Count(("one", "two")), "missing": Answer("two", ("x",))},
        result={"rm": Answer("one", ("rm",)), "missing": Answer("two", ("x",)), "count": Count(("one", "two", "three"))},
    )
    told = progress.report(made, {"one": answer({"rm": "rm-1"}), "two": answer()})
    assert told == progress.Report(False, "rm-1 has 2 of ?.", {"operation": "move", "outcome": "done", "rm": "rm-1", "count": 2})


def test_what_devices_doubt_is_told_once():
    made = plan(stage("a", step("one"), step("two"), step("three")))
    small = answer({"warnings": ["It is small."]})
    told = progress.report(made, {"one": small, "two": small, "three": answer({"warnings": []})})
    assert told == progress.Report(False, "It is done.", {"operation": "move", "outcome": "done", "warnings": ["It is small."]})


def test_what_was_not_done_is_not_told_as_done():
    # The source did not answer in the cut-over, which did not matter, and is not asked again.
    made = going(forward=("publish",))._replace(settle=(stage("c", step("retire", "rm-1")),))
    told = {"one": answer(), "publish": answer(device="gw-2"), "source": silent("rm-1")}
    report = progress.report(made, told)
    assert report == progress.Report(True, "Nobody could do retire. Run it again.", {"operation": "move", "outcome": "stopped"})
    assert not progress.report(made, {**told, "retire": answer(device="rm-1")}).failed


def test_nothing_to_do_is_no_failure():
    assert progress.report(plan(nothing="It is there already."), {}) == progress.Report(
        False, "It is there already.", {"operation": "move", "outcome": "nothing"}
    )


def test_each_device_says_once_why_it_failed():
    undo = (stage("back", step("undo", undoes=("four",))),)
    made = plan(stage("a", step("one"), step("two"), step("three", "gw-2"), step("four", "gw-3", optional=True)), take_back=undo)
    told = {"one": failed("No room."), "two": failed("No room."), "three": silent("gw-2"), "four": failed("Who cares?", "gw-3"), "undo": answer()}
    report = progress.report(made, told)
    assert report == progress.Report(True, "gw-1: No room. gw-2: it does not answer. All is as it was.", {"operation": "move", "outcome": "undone"})


@pytest.mark.parametrize(
    ("more", "told", "sentence", "outcome"),
    [
        ({"forward": ("publish",)}, {**PUBLISHED, "close": failed("Locked.")}, "gw-1: Locked. Run it again.", "stopped"),
        (
            {"unknown": (Unknown("publish", "Nobody can say."),)},
            {**PUBLISHED, "publish": silent("gw-2")},
            "gw-2: it does not answer. Nobody can say.",
            "unknown",
        ),
        ({}, {**PUBLISHED, "publish": failed("No answer.", "gw-2"), "undo": answer()}, "gw-2: No answer. All is as it was.", "undone"),
    ],
)
def test_a_failure_says_which_way_it_went(more, told, sentence, outcome):
    assert progress.report(going(**more), told) == progress.Report(True, sentence, {"operation": "move", "outcome": outcome})


def test_what_could_not_be_undone_is_said():
    made = undoing(step("undo.one", undoes=("one",)), step("undo.two", "gw-2", undoes=("two",)), step("may", "gw-2", undoes=("one",), optional=True))
    told = {"one": answer(), "two": failed("No.")}
    left = progress.report(made, {**told, "undo.one": answer()})
    assert left.message == "gw-1: No. Not all of it could be undone: Nobody could do undo.two. Run this again when that is mended."
    assert progress.report(made, {**told, "undo.one": failed("Locked."), "undo.two": answer(device="gw-2")}).message == (
        "gw-1: No. Not all of it could be undone: gw-1: Locked. Run this again when that is mended."
    )
    assert progress.report(made, {**told, "undo.one": answer(), "undo.two": answer(device="gw-2")}).message == "gw-1: No. All is as it was."


def test_check_mode_says_what_would_be_done():
    report = progress.report(going(), {"one": answer()}, check=True)
    assert report == progress.Report(False, "This is what move would do.", {"operation": "move", "outcome": "planned"})


@pytest.mark.parametrize("more", [{}, {"forward": ("one",), "unknown": (Unknown("two", "Nobody can say."),)}])
def test_check_mode_has_nothing_to_undo(more):
    made = undoing(step("undo", undoes=("one",)), **more)
    report = progress.report(made, {"one": answer(), "two": failed("No room.")}, check=True)
    assert report == progress.Report(True, "gw-1: No room. Nothing was changed.", {"operation": "move", "outcome": "undone"})


def test_a_person_reads_the_plan_step_by_step():
    made = plan(stage("a", step("one")), stage("b", step("two", Answer("one", ("rm",)))))
    assert progress.rows(made, {}) == [("gw-1", "do one"), ("the RM that will be chosen", "do two")]
    assert progress.rows(made, {"one": answer({"rm": "rm-2"})})[1] == ("rm-2", "do two")


def test_what_was_done_instead_is_an_end_but_not_a_good_one():
    start, back, end = step("start", optional=True), step("back", instead_of="start", optional=True), step("end", instead_of="back", needs=("start",))
    made = plan(stage("a", start), stage("b", back), stage("c", end), short=("back",))
    well = {"start": answer(), "end": answer()}
    assert progress.report(made, well).message == "It is done." and progress.settled(made, well)
    instead = {"start": failed("It broke."), "back": answer()}
    assert progress.report(made, instead)[:2] == (True, "gw-1: It broke. Run it again.") and progress.settled(made, instead), "there is nothing to take up"
    stuck = {"start": failed("It broke."), "back": failed("No.")}
    assert progress.report(made, stuck).message == "gw-1: It broke. Nobody could do end. Run it again." and not progress.settled(made, stuck)
