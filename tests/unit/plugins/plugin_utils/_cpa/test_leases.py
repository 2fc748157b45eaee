# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every plan leases what it changes before it does so, and gives it back when it has done all that could be in the way of others."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import leases, plan
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import place, suspend
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh

SHOP = mesh.SHOP
HOLDER = {"run": "now", "who": "ada@ctl", "controller": {"where": "here"}, "seconds": 600}
GROUPS = {"the usual": mesh.GROUPS, "a VMA of its own": mesh.APART, "all in one": mesh.ALL_IN_ONE}
#: By what kind of HNs, and by what names that follow.
PLANS = {(title, host): mesh.every_plan(groups, host) for title, groups in GROUPS.items() for host in ("ns-1", None)}
EVERY = [
    pytest.param(GROUPS[title], made, id=f"{title}, {'names' if host else 'no names'}: {name}")
    for (title, host), plans in PLANS.items()
    for name, made in plans.items()
]


def leased(made, seen, take_over=False, gone=lambda controller: False):
    return leases.leased(made, seen, take_over, gone, **HOLDER)


@pytest.mark.parametrize("groups, made", EVERY)
def test_nothing_is_changed_without_a_lease(groups, made):
    made = leased(made, mesh.view(groups=groups))
    plan.check(made)
    held: set[str] = set()
    for stage in made.stages:
        begun = {}
        for step in stage.steps:
            mine = begun.setdefault(step.device, set())
            if step.call in ("lease", "record"):
                mine |= {each if step.call == "lease" else each["instance"] for each in step.arguments["instances"]}
            elif step.call in ("instances", "hand_over", "publish") and not step.rehearses:
                assert {each.get("name") or each["instance"] for each in step.arguments["instances"]} <= held | mine, step.id
            elif step.call not in leases.HARMLESS and not step.rehearses:
                assert held | mine or not leases.instances(made), step.id
        held |= {each for mine in begun.values() for each in mine}


@pytest.mark.parametrize("groups, made", EVERY)
def test_each_vma_gets_its_leases_back_after_all_that_could_be_in_the_way(groups, made):
    made = leased(made, mesh.view(groups=groups))
    steps = [(number, step) for number, stage in enumerate(made.stages) for step in stage.steps]
    for vma in groups["vmas"]:
        mine = [(number, step) for number, step in steps if step.device == vma and step.call in ("lease", "record", "release", "consent")]
        if not any(step.call in ("lease", "record") for unused, step in mine):
            continue
        number, last = mine[-1]
        assert last.call in ("release", "consent") or last.arguments.get("last"), (vma, last.id)
        if last.call == "consent":
            continue
        place = made.stages[number].steps.index(last)
        after = [step for other, step in steps if other > number] + list(made.stages[number].steps[place + 1 :])
        assert not [step.id for step in after if step.device == vma and step.call not in leases.HARMLESS]
        beside = [step for step in made.stages[number].steps if step.device not in groups["vmas"]]
        assert number == len(made.stages) - 1 and (not [step for step in beside if step.call != "hold"] or made.stages[number] is made.cut_over)


def test_what_is_recorded_first_anyway_costs_no_further_step():
    seen = mesh.view([mesh.record()])
    made = suspend.plan(seen, mesh.naming(seen, None), SHOP)
    after = leased(made, seen)
    assert [[step.id for step in stage.steps] for stage in after.stages] == [[step.id for step in stage.steps] for stage in made.stages]
    assert after.stages[-1].steps[-1].arguments["last"] is True


def test_a_name_that_is_new_is_leased_by_one_and_the_same_vma():
    seen = mesh.view()
    wish = {"instance": SHOP, "capsule": "1.0.0", "to_rm": None, "public_address": None, "answer_timeout": 60}
    here, there = (leased(place.plan(seen, mesh.naming(seen, None), to_hn=hn, **wish), seen) for hn in ("hn-east", "hn-west"))
    (first,) = there.stages[0].steps
    assert (first.call, first.device, first.arguments) == ("lease", "gw-east", {"instances": [SHOP]})
    assert next(step for step in here.stages[0].steps if step.call == "record").device == "gw-east"


LEASE = {"instance": SHOP, "number": 4, "run": "other", "operation": "move", "who": "bob@awx", "controller": {"where": "there"}, "since": "then", "left": 9}


def busy():
    seen = mesh.view([mesh.record()])
    return seen._replace(sites={**seen.sites, "hn-east": seen.sites["hn-east"]._replace(leases=[LEASE], lease=4)})


def test_who_is_at_work_is_named_before_anything_is_touched():
    seen = busy()
    made = suspend.plan(seen, mesh.naming(seen), SHOP)
    with pytest.raises(Refused, match=f"{SHOP} is busy in hn-east: move by bob@awx since then"):
        leased(made, seen)
    with pytest.raises(Refused):
        leased(made, seen, gone=lambda controller: controller["where"] == "here")
    for how in ({"take_over": True}, {"gone": lambda controller: controller["where"] == "there"}):
        claim = leased(made, seen, **how).claim
        assert claim["over"] == {SHOP: [4]} and claim["above"] == 4 and claim["who"] == "ada@ctl"


def test_others_may_be_at_work_on_other_instances():
    seen = busy()
    other = mesh.record("shop-2.example.com")
    seen = seen._replace(sites={**seen.sites, "hn-east": seen.sites["hn-east"]._replace(records=[mesh.record(), other])})
    assert leased(suspend.plan(seen, mesh.naming(seen), other["instance"]), seen).claim["over"] == {}


def test_calls_say_what_was_granted_to_them():
    seen = mesh.view([mesh.record()])
    made = leased(suspend.plan(seen, mesh.naming(seen), SHOP), seen)
    answers = {"lease.gw-east": {"result": {"leased": {SHOP: 3}}}, "coming": {"result": {"leased": {SHOP: 5}}}, "bring": {"result": None}}
    signed = leases.signed("instances", {"instances": []}, made, answers)
    assert signed["lease"]["numbers"] == {SHOP: 5} and signed["lease"]["run"] == "now"
    assert leases.signed("drain", {"domain": "example.com"}, made, answers) == {"domain": "example.com"}
    assert leases.signed("instances", {}, made._replace(claim={}), answers) == {}


def answer(device, failed=False, unreachable=False, **result):
    return {"device": device, "changed": False, "failed": failed, "unreachable": unreachable, "result": result}


def test_after_a_failure_the_vmas_are_known_that_still_have_leases():
    seen = mesh.view([mesh.record()])
    made = leased(suspend.plan(seen, mesh.naming(seen), SHOP), seen)
    granted = answer("gw-east", leased={SHOP: 3})
    first = next(step.id for stage in made.stages for step in stage.steps if step.call == "record")
    assert leases.holders(made, {}) == []
    assert leases.holders(made, {first: granted}) == ["gw-east"]
    assert leases.holders(made, {first: answer("gw-east", failed=True)}) == []
    assert leases.holders(made, {first: granted, "rest": answer("gw-east", unreachable=True)}) == [], "it would cost another time-out"
    ended = {step.id: granted for stage in made.stages for step in stage.steps if step.call in ("lease", "record", "release")}
    assert leases.holders(made, ended) == []
