# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VMA knows which operations have not ended, with their plans, and what became of those that have."""

from __future__ import annotations

import pytest
from postgresql import BOTH

from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import vma
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import leases, overview

pytestmark = BOTH

SHOP = "shop-1.example.com"
OPENING = {"operation": "move", "subject": SHOP, "who": "ada@ctl", "instances": [SHOP], "plan": "the plan"}
STEPS = [{"id": "reserve", "device": "gw-west", "failed": False, "seconds": 0.1}]


def claim(run, **more):
    return {"run": run, "operation": "move", "who": "ada@ctl", "controller": {}, "seconds": 600, "above": 9, **more}


def lease(url, run, instances=(SHOP,), **more):
    return vma.lease({"registry": url, "instances": list(instances), "lease": claim(run, **more)}, False)


def release(url, run, **more):
    vma.release({"registry": url, "lease": claim(run, **more)}, False)


def told(url, **more):
    return vma.history({"registry": url, **more}, False).result["runs"]


def test_a_plan_is_kept_until_its_run_has_ended(url):
    lease(url, "aa", opening=OPENING)
    lease(url, "aa", opening={**OPENING, "plan": "another"})
    (run,) = overview.overview(url)["runs"]
    assert {key: run[key] for key in OPENING} == OPENING and (run["run"], run["ended"]) == ("aa", None)
    release(url, "aa")
    assert len(overview.overview(url)["runs"]) == 1, "it gave its leases back, but it has not ended"
    release(url, "aa", closing={"outcome": "done", "steps": STEPS})
    assert overview.overview(url)["runs"] == []
    (run,) = told(url)
    assert (run["outcome"], run["steps"]) == ("done", STEPS) and run["ended"] >= run["began"] and "plan" not in run


def test_who_takes_a_run_up_goes_on_with_it(url):
    lease(url, "aa", opening=OPENING)
    with pytest.raises(leases.Busy):
        lease(url, "aa.bb", resumes="aa")
    assert lease(url, "aa.bb", resumes="aa", over={SHOP: [10]}, opening=OPENING).result == {"leased": {SHOP: 11}}
    with pytest.raises(leases.Busy):
        lease(url, "aa")
    release(url, "aa.bb", closing={"outcome": "undone", "steps": []})
    assert [(run["run"], run["outcome"]) for run in told(url)] == [("aa", "undone")]


def test_what_another_operation_came_to_is_not_taken_up(url, monkeypatch):
    lease(url, "aa", opening=OPENING)
    monkeypatch.setattr(leases, "_now", lambda: 4e9)
    lease(url, "cc", above=10)
    monkeypatch.setattr(leases, "_now", lambda: 5e9)
    assert lease(url, "aa.bb", resumes="aa", above=20).result == {"leased": {}}


def test_a_history_is_that_of_an_instance_and_not_too_long(url):
    for number in range(4):
        name = f"shop-{number % 2 + 1}.example.com"
        run = f"a{number}"
        lease(url, run, [name], above=number * 10 + 9, opening={**OPENING, "instances": [name]})
        if number < 3:
            release(url, run, closing={"outcome": "done", "steps": []})
    assert [run["run"] for run in told(url)] == ["a0", "a1", "a2", "a3"]
    assert [run["run"] for run in told(url, last="1", instance="")] == ["a2", "a3"]
    assert [run["run"] for run in told(url, instance="shop-2.example.com")] == ["a1", "a3"]
    assert overview.overview(url, domain="example.org")["runs"] == [] and len(overview.overview(url, domain="example.com")["runs"]) == 1
