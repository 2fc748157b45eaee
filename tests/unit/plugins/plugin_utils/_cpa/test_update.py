# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Planning to replace or restart the instances of a service one after the other."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.update import plan_restart, plan_update
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import test_scale
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.mesh import looked

SERVICE = ("shop", "example.com", "hn-east")
NEW = {"guest": test_scale.GUEST, "ports": [], "balance": {}, "requirements": {}, "intranet_address": None, "public_address": "198.18.1.1"}


def record(ordinal, state="running", rm="rm-east-1", **changes):
    return test_scale.record(ordinal, state, rm, **{**NEW, **changes})


def names(plan):
    return [(pair["old"]["instance"], pair["new"]["instance"]) for pair in plan["pairs"]]


def test_each_that_runs_gets_a_successor_of_a_name_of_its_own_and_a_way_back():
    plan = plan_update(test_scale.view([record(1), record(2), record(3, "suspended")]), *SERVICE, "1.0.0")
    assert names(plan) == [("shop-1.example.com", "shop-4.example.com"), ("shop-2.example.com", "shop-5.example.com")]
    assert plan["pairs"][0]["new"]["reservation"]["capsule"] == "1.0.0" and plan["pairs"][0]["new"]["holders"] == ["rm-east-1"]
    back = plan["pairs"][0]["back"]
    assert (back["instance"], back["reservation"]["capsule"], back["reservation"]["rm"]) == ("shop-1.example.com", "warm", "rm-east-1")


def test_what_comes_from_the_capsule_already_stays():
    assert plan_update(test_scale.view([record(1, capsule="1.0.0")]), *SERVICE, "1.0.0")["pairs"] == []


def unfinished(kind):
    view = test_scale.view([record(1), record(2), record(4, capsule="1.0.0")])
    operation = {"instance": "shop-4.example.com", "kind": kind, "closed": None}
    return view._replace(sites={**view.sites, "hn-east": view.sites["hn-east"]._replace(unfinished={operation["instance"]: operation["kind"]})})


def test_a_run_that_was_cut_off_is_taken_up():
    assert names(plan_update(unfinished("update"), *SERVICE, "1.0.0")) == [
        ("shop-1.example.com", "shop-4.example.com"),
        ("shop-2.example.com", "shop-3.example.com"),
    ]
    assert names(plan_update(unfinished("place"), *SERVICE, "1.0.0"))[0] == ("shop-1.example.com", "shop-3.example.com")


def test_what_was_replaced_but_not_removed_goes_and_what_is_done_is_closed():
    view = test_scale.view([record(1, "leaving"), record(2, "leaving"), record(4, capsule="1.0.0")])
    open_here = {"shop-1.example.com": "update", "shop-4.example.com": "update"}
    east = view.sites["hn-east"]._replace(unfinished=open_here)
    plan = plan_update(view._replace(sites={**view.sites, "hn-east": east}), *SERVICE, "1.0.0")
    assert plan["pairs"] == [] and [each["instance"] for each in plan["leftovers"]] == ["shop-1.example.com"]
    assert plan["close"] == [{"instance": "shop-4.example.com", "operation_done": True}]


def test_who_serves_already_takes_nobody_elses_place():
    view = test_scale.view([record(1, "leaving"), record(2), record(4, capsule="1.0.0")])
    open_here = {"shop-1.example.com": "update", "shop-4.example.com": "update"}
    east = view.sites["hn-east"]._replace(unfinished=open_here)
    plan = plan_update(view._replace(sites={**view.sites, "hn-east": east}), *SERVICE, "1.0.0")
    assert names(plan) == [("shop-2.example.com", "shop-3.example.com")]
    assert [each["instance"] for each in (*plan["leftovers"], *plan["close"])] == ["shop-1.example.com", "shop-4.example.com"]


def test_what_is_open_is_seen():
    groups = {"vmas": ["gw-east"], "gateways": ["gw-east"], "rms": []}
    operations = [{"instance": "a-1.b.c", "kind": "update", "closed": None}, {"instance": "a-2.b.c", "kind": "place", "closed": "then"}]
    seen = mesh_view(groups, {"gw-east": {"hn": "hn-east", **looked("look", {"records": [], "operations": operations})}})
    assert seen.sites["hn-east"].unfinished == {"a-1.b.c": "update"}


def test_a_restart_concerns_what_runs_and_leaves_no_gap():
    plan = plan_restart(test_scale.view([record(2), record(1), record(3, "suspended")]), *SERVICE)
    assert [each["instance"] for each in plan["restarts"]] == ["shop-1.example.com", "shop-2.example.com"]
    with pytest.raises(Refused, match="would leave none; scale it to two first"):
        plan_restart(test_scale.view([record(1)]), *SERVICE)


def test_what_cannot_be_is_said():
    with pytest.raises(NotFound, match="hn-east has no instance of shop of example.com"):
        plan_update(test_scale.view(), *SERVICE, "1.0.0")
    with pytest.raises(NotFound, match="In hn-east runs no instance"):
        plan_restart(test_scale.view([record(1, "suspended")]), *SERVICE)
    with pytest.raises(Refused, match="rm-east-2 cannot be used"):
        plan_update(test_scale.view([record(1, rm="rm-east-2")], silent=["rm-east-2"]), *SERVICE, "1.0.0")
    with pytest.raises(NotFound, match="No RM that answers holds the capsule shop 9.9.9"):
        plan_update(test_scale.view([record(1)]), *SERVICE, "9.9.9")
    with pytest.raises(Refused, match="The VMA of hn-west on gw-west cannot be asked: it does not answer."):
        plan_update(test_scale.view([record(1)], silent=["gw-west"]), *SERVICE, "1.0.0")
