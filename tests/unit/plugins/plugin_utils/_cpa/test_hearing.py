# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VMAs hear what their RMs hold before anything new comes to life, and only then."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import concern, hearing, leases
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import place, recover, remove, suspend
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.mesh import SHOP

PLACE = {"instance": SHOP, "capsule": "1.0.0", "to_hn": "hn-east", "to_rm": None, "public_address": None, "answer_timeout": 120}
HOLDER = {"run": "run1", "who": "op@ctl", "controller": {}, "seconds": 600}
RUNS = {"name": "shop-2.example.com", "state": "running", "epoch": 1, "lease": 7}


class Mesh:
    """A mesh whose VMA in the east has started since its RMs told what they hold; they are asked as the planner wishes."""

    def __init__(self, *records, heard=False, holds=None, silent=()):
        self.found = mesh.hostvars(list(records))
        self.holds, self.silent = holds or {}, silent
        for rm in self.known["rms"]:
            rm["heard"] = heard

    @property
    def known(self):
        return self.found["gw-east"]["observe_look"]["answers"]["look"]["result"]

    def asked(self, verb, **wish):
        return concern.of(verb, mesh_view(mesh.GROUPS, self.found), wish)

    def view(self, verb, **wish):
        asked = self.asked(verb, **wish)
        for rm in (rm for rm in asked.rms if rm in self.found):
            held = {"failed": False, "unreachable": False, "result": {"instances": self.holds.get(rm, [])}}
            if rm in self.silent:
                self.found[rm].update(mesh.silent())
            elif asked.holdings:
                self.found[rm]["observe_held"]["answers"]["holdings"] = held
        return mesh_view(mesh.GROUPS, self.found, asked.rms)

    def plan(self, verb, **wish):
        seen = self.view(verb, **wish)
        return leases.leased(verb.plan(seen, mesh.naming(seen), **wish), seen, False, lambda controller: False, **HOLDER)


def test_a_vma_that_has_just_started_hears_its_rms_first():
    plan = Mesh(holds={"rm-east-2": [RUNS]}).plan(place, **PLACE)
    first = plan.prepare[0]
    assert [(step.id, step.device, step.arguments) for step in first.steps] == [
        ("hear.hn-east", "gw-east", {"held": {"rm-east-1": [], "rm-east-2": [RUNS]}})
    ]


def test_once_is_enough():
    heard = Mesh(heard=True)
    assert not heard.asked(place, **PLACE).holdings
    assert all(step.call != "hear" for stage in heard.plan(place, **PLACE).stages for step in stage.steps)


def test_what_brings_nothing_new_to_life_waits_for_nobody():
    there = mesh.record()
    assert all(step.call != "hear" for stage in Mesh(there).plan(suspend, instance=SHOP).stages for step in stage.steps)


def test_who_is_silent_may_run_anything():
    with pytest.raises(Refused) as caught:
        Mesh(silent=["rm-east-2"]).plan(place, **PLACE)
    assert caught.value.message == (
        "gw-east has started since rm-east-2 told what it runs, and rm-east-2 does not answer; take it out of service with rm_service if it is down, and run "
        "this again."
    )


def test_who_is_not_in_the_inventory_may_so_too():
    unknown = Mesh(heard=True)
    unknown.known["rms"].append(mesh.offer("rm-east-9", heard=False))
    with pytest.raises(Refused, match="rm-east-9 told what it runs, and rm-east-9 is not in the inventory"):
        unknown.plan(place, **PLACE)


def test_an_rm_that_has_never_subscribed_may_run_anything():
    new = Mesh(heard=True)
    new.known["rms"] = [rm for rm in new.known["rms"] if rm["name"] != "rm-east-2"]
    with pytest.raises(Refused) as caught:
        new.plan(place, **PLACE)
    assert caught.value.message == (
        "rm-east-2 stands in hn-east by the inventory, but its VMA has never heard what it runs: run the playbook site, or take it out of the inventory."
    )


def test_who_has_told_of_a_stray_is_asked_again():
    told = Mesh(heard=True)
    told.known["strays"] = [{"rm": "rm-east-2", **RUNS}]
    assert told.plan(place, **PLACE).prepare[0].steps[0].arguments == {"held": {"rm-east-2": []}}


def test_whoever_takes_up_a_run_tells_what_there_is_to_tell():
    cut_off = Mesh(silent=["rm-east-2"])
    place_it = Mesh(heard=True).plan(place, **PLACE)
    run = {"run": "run0", "operation": "place", "subject": SHOP, "who": "op@ctl", "instances": [SHOP], "began": "2026-11-24T03:00:00.0Z"}
    cut_off.known["runs"] = [{**run, "plan": place_it.claim["plan"]}]
    plan = cut_off.plan(recover, instance=None)
    assert plan.recovers and [step.arguments for stage in plan.stages for step in stage.steps if step.call == "hear"] == [{"held": {"rm-east-1": []}}]


def test_a_registry_that_was_lost_cannot_be_asked():
    lost = Mesh()
    lost.known["hn"]["older"] = True
    with pytest.raises(Refused) as caught:
        lost.plan(place, **PLACE)
    assert caught.value.message == (
        "The VMA of hn-east on gw-east cannot be asked: its registry was lost, or restored from a copy; rebuild it by the playbook rebuild with "
        "rebuild_hn=hn-east."
    )


def test_a_stray_is_removed_alone():
    there = mesh.record(rm="rm-east-1")
    stray = {"name": SHOP, "state": "running", "epoch": 9, "lease": 7}
    doubled = Mesh(there, heard=True, holds={"rm-east-2": [stray, RUNS]})
    plan = doubled.plan(remove, instance=SHOP, rm="rm-east-2")
    steps = {step.id: step for stage in plan.stages for step in stage.steps}
    assert steps["clear"].device == "rm-east-2"
    assert steps["clear"].arguments["instances"] == [{"name": SHOP, "state": "absent", "epoch": 9}]
    assert steps["hear"].arguments == {"held": {"rm-east-2": [RUNS]}}
    assert "gone" not in steps, "its record is that of the other one"
    assert {step.id for stage in Mesh(heard=True, holds={"rm-east-2": [stray]}).plan(remove, instance=SHOP, rm="rm-east-2").stages for step in stage.steps} >= {
        "gone",
        "sweep",
    }


def test_what_lives_by_its_record_is_no_stray():
    recorded = Mesh(mesh.record(rm="rm-east-1"), heard=True)
    with pytest.raises(Refused) as caught:
        recorded.plan(remove, instance=SHOP, rm="rm-east-1")
    assert caught.value.message == f"{SHOP} lives on rm-east-1 by the record of hn-east; without remove_rm all of it is taken down."
    assert recorded.plan(remove, instance=SHOP, rm="rm-east-2").nothing == f"rm-east-2 holds nothing of {SHOP}; there is nothing to remove."


def test_unheard_are_all_that_have_to_be_asked():
    assert hearing.unheard(mesh_view(mesh.GROUPS, Mesh().found)) == ["rm-east-1", "rm-east-2"]
