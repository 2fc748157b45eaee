# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An operation in one run of ansible-playbook."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import run
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Plan, Stage, Step, encode
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import place, suspend
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh

RM = Answer("tell", ("rm",))
PLAN = Plan(
    "place",
    "shop-1.example.com",
    prepare=(Stage("tell", "Tell", (Step("tell", "gw-1", "record", {}, "tell"),), secret=True),),
    cut_over=Stage("cut_over", "Cut over", (Step("start", RM, "instances", {}, "start"), Step("publish", "gw-1", "router", {}, "publish"))),
    settle=(Stage("close", "Close", (Step("close", "gw-1", "record", {}, "close"),)),),
    take_back=(Stage("untell", "Take it back", (Step("untell", "gw-1", "record", {}, "untell", undoes=("tell",)),)),),
    candidates=("rm-2",),
)


def answer(device, **more):
    return {"device": device, "changed": True, "failed": False, "unreachable": False, "msg": "", "result": {}, **more}


def hostvars(plan=PLAN, answers=None, run_id="now", followed=None):
    """Return the variables of a run: the answers of each device, by its name."""
    found = {host: {} for host in ("localhost", "gw-1", "rm-1", "rm-2")}
    found["localhost"] = {run.PLANNED: {"run": "now", "plan": json.dumps(encode(plan))}}
    for device, steps in (answers or {}).items():
        found[device][run.STAGE] = {"run": run_id, "answers": steps}
    for device, steps in (followed or {}).items():
        found[device][run.FOLLOW_UPS] = {"results": [{"run": run_id, "answers": {step: each}} for step, each in steps.items()]}
    return found


TOLD = {"gw-1": {"tell": answer("gw-1", result={"rm": "rm-1"})}}


def test_a_plan_lies_on_localhost():
    assert run.planned(hostvars()) == ("now", PLAN) and run.run_id(hostvars()) == "now"
    assert run.run_id({}) is None and run.run_id({"localhost": {}}) is None
    with pytest.raises(KeyError):
        run.planned({"localhost": {}})


def test_answers_are_those_of_this_run_and_also_of_an_rm_that_was_chosen_on_the_way():
    started = {**TOLD, "rm-1": {"start": answer("rm-1")}}
    assert set(run.answers_so_far(PLAN, "now", hostvars(answers=started))) == {"tell", "start"}
    assert run.answers_so_far(PLAN, "now", hostvars(answers=started, run_id="before")) == {}
    # Which RM that is stands in an answer; without it nobody looks there.
    assert run.answers_so_far(PLAN, "now", hostvars(answers={"rm-1": started["rm-1"]})) == {}
    followed = {"rm-1": {"withdraw": answer("gw-1")}}
    assert set(run.answers_so_far(PLAN, "now", hostvars(answers=started, followed=followed))) == {"tell", "start", "withdraw"}


def test_a_part_concerns_its_devices_and_those_that_may_be_chosen_in_it():
    assert run.hosts(hostvars(), "prepare") == ["gw-1", "rm-2"]
    assert run.hosts(hostvars(answers=TOLD), "cut_over") == ["rm-1", "gw-1", "rm-2"]
    assert run.hosts(hostvars(answers=TOLD), "settle") == ["gw-1", "rm-2"]
    assert run.hosts(hostvars(answers=TOLD), "take_back") == []
    failed = {"gw-1": {"tell": answer("gw-1", failed=True)}}
    assert (run.hosts(hostvars(answers=failed), "settle"), run.hosts(hostvars(answers=failed), "take_back")) == ([], ["gw-1", "rm-2"])
    assert run.hosts(hostvars(answers=TOLD), "taken_up") == [], "it was not cut off"
    assert run.hosts(hostvars(PLAN._replace(recovers="run0")), "taken_up") == ["gw-1", "rm-2"]
    assert run.hosts({}, "prepare") == run.hosts({"localhost": {}}, "prepare") == [], "nothing was planned"


def test_a_part_without_stages_concerns_nobody():
    assert run.hosts(hostvars(PLAN._replace(cut_over=None), TOLD), "cut_over") == []
    nothing = hostvars(Plan("place", "it", nothing="There is nothing to do."))
    assert [run.hosts(nothing, part) for part in ("prepare", "cut_over", "settle", "take_back")] == [[]] * 4


def test_stages_are_what_a_loop_needs():
    assert run.stages(hostvars(), "prepare") == [{"id": "tell", "what": "Tell"}]
    assert [each["id"] for each in run.stages(hostvars(), "cut_over")] == ["cut_over"]


def limited(limit, *hosts):
    """Return the variables of a task in a run with a limit that leaves these hosts."""
    known = {host: {"observe_limited": {}} if host in hosts else {} for host in ("gw-east", "gw-west", "ns-1", *mesh.GROUPS["rms"])}
    return {"hostvars": known, **({"ansible_limit": limit} if limit else {})}


def suspending():
    seen = mesh.view([mesh.record()])
    return suspend.plan(seen, mesh.naming(seen), mesh.SHOP), seen.rms


def test_a_limit_that_leaves_what_is_needed_will_do():
    run.refuse_limit(*suspending(), limited(None))
    run.refuse_limit(*suspending(), limited("gw-east,rm-east-1,ns-1", "gw-east", "rm-east-1", "ns-1"))


def test_a_limit_that_leaves_out_what_is_needed_is_refused():
    with pytest.raises(Refused) as caught:
        run.refuse_limit(*suspending(), limited("gateways", "gw-east", "gw-west"))
    assert caught.value.message == "The limit gateways leaves out ns-1, rm-east-1, which this operation needs; run it without a limit."


def test_where_an_rm_is_chosen_on_the_way_a_limit_must_leave_all_of_them():
    seen = mesh.view()
    made = place.plan(seen, mesh.naming(seen, ""), mesh.SHOP, "1.0.0", "hn-east", None, None, 60)
    with pytest.raises(Refused, match="leaves out rm-west-2, which this operation needs"):
        run.refuse_limit(made, seen.rms, limited("most", *mesh.GROUPS["vmas"], *mesh.GROUPS["rms"][:-1]))
    run.refuse_limit(made, seen.rms, limited("enough", *mesh.GROUPS["vmas"], *mesh.GROUPS["rms"]))


def test_a_limit_that_leaves_out_who_is_to_be_asked_is_refused():
    known = limited("gw-east,rm-east-1", "gw-east", "rm-east-1")
    run.refuse_left_out(["rm-east-1"], known)
    with pytest.raises(Refused, match="The limit gw-east,rm-east-1 leaves out rm-west-1, which this operation needs; run it without a limit."):
        run.refuse_left_out(["rm-east-1", "rm-west-1"], known)


def test_what_is_needed_only_to_take_it_back_is_needed():
    plan = PLAN._replace(cut_over=None, settle=())
    plan = plan._replace(take_back=(Stage("clear", "Clear", (Step("clear", "rm-1", "instances", {}, "clear", undoes=("tell",)),)),))
    with pytest.raises(Refused, match="The limit gw-1 leaves out rm-1"):
        run.refuse_limit(plan, ["rm-1", "rm-2"], {"ansible_limit": "gw-1", "hostvars": {"gw-1": {"observe_limited": {}}, "rm-1": {}}})
