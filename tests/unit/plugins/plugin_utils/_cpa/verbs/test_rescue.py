# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is brought back of what ran on an RM that is lost, what is not and why; and that the lost RM cannot make a second life of it."""

from __future__ import annotations

import copy
from unittest import mock

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import records
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import recover, rescue
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import devices, mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.devices import BEFORE
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.mesh import DB, SHOP
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_one_life import RESCUE, Trial, placed, planned
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import DIED_AFTER, Died, Fault

LOST, OTHER = "rm-east-1", "rm-east-2"
TWO = "shop-2.example.com"
WISH = {**RESCUE, "rm": LOST}
HELD = {LOST: [mesh.manifest(), mesh.manifest("db")], OTHER: [mesh.manifest(), mesh.manifest("db")], "rm-west-1": [mesh.manifest()]}


@pytest.fixture(autouse=True)
def _simulated():
    with devices.simulated():
        yield


def view(*there, silent_hosts=(LOST,), held=None, **how):
    return mesh.view(list(there), held=held or HELD, silent_hosts=silent_hosts, **how)


def plan(seen, **different):
    return rescue.plan(seen, mesh.naming(seen), **{**WISH, **different})


def steps(made, call):
    return {step.id: step for stage in made.stages for step in stage.steps if step.call == call}


def test_how_it_is_kept_from_coming_back_has_to_be_said():
    with pytest.raises(InvalidInput, match=f"Say how {LOST} is kept from coming back meanwhile: by rescue_fence, .* or by rescue_dead=true if it is off"):
        plan(view(mesh.record()), dead=False)


def test_an_rm_that_answers_is_refused_unless_a_command_switches_it_off():
    alive = view(mesh.record(), silent_hosts=())
    with pytest.raises(Refused, match=f"{LOST} answers, so it need not be rescued"):
        plan(alive)
    assert plan(alive, fence=["power", "off"], dead=False).stages
    half = alive._replace(rms={**alive.rms, LOST: alive.rms[LOST]._replace(problem="its libvirt does not answer")})
    with pytest.raises(Refused, match=f"{LOST} answers \\(its libvirt does not answer\\), so it need not be rescued"):
        plan(half)


def test_whom_it_asks():
    seen = view(mesh.record(), mesh.record(DB))
    asked = rescue.concerned(seen, **WISH)
    assert asked.rms[0] == LOST and set(asked.rms) == {LOST, OTHER, "rm-west-1"}
    fenced = rescue.concerned(seen, **{**WISH, "fence": ["power", "off"]})
    assert LOST not in fenced.rms, "what it answers does not count, so its time-out is spared"
    assert {capsule.name for capsule in fenced.capsules} == {"shop", "db"}


def test_one_that_the_inventory_has_no_more_is_rescued_too():
    groups = {**mesh.GROUPS, "rms": [rm for rm in mesh.GROUPS["rms"] if rm != LOST]}
    seen = view(mesh.record())
    gone = seen._replace(rms={name: rm for name, rm in seen.rms.items() if name in groups["rms"]})
    assert steps(plan(gone), "instances")[f"start.{SHOP}"].device == OTHER
    with pytest.raises(NotFound, match="There is no RM rm-east-9; known are: rm-east-1, rm-east-2, rm-west-1, rm-west-2"):
        plan(seen, rm="rm-east-9")


def test_nothing_is_there_to_be_rescued():
    assert "nothing lives on rm-east-1; there is nothing to rescue" in plan(view(mesh.record(rm=OTHER), silent_hosts=())).nothing


@pytest.mark.parametrize(
    "change, unfinished, why",
    [
        ({"state": "suspended", "in_rotation": False}, None, f"{SHOP} is suspended, and its memory is on {LOST} alone; it stays so."),
        ({"state": "reserved", "in_rotation": False}, None, f"{SHOP} is only reserved for on {LOST}, so there is no life to rescue."),
        ({"state": "leaving", "in_rotation": False}, None, f"{SHOP} is being removed on {LOST}, so there is no life to rescue."),
        ({"state": "stopped", "in_rotation": False}, None, f"{SHOP} is stopped, so it is not started."),
        ({"moves_to": OTHER}, "move", f"{SHOP} is on its way from {LOST} to {OTHER}; finish that move first by running it again, or recover it."),
        ({"rm": OTHER, "moves_to": LOST}, "move", f"{SHOP} is on its way from {OTHER} to {LOST}; finish that move first"),
        ({"moves_to": "rm-east-9"}, "rescue", f"{SHOP} was about to be rescued on rm-east-9, which does not answer"),
        ({"capsule": "7.0.0"}, None, f"{SHOP} stays on {LOST}, where it does not run: No RM that answers holds the capsule shop 7.0.0 of example.com"),
        ({"requirements": {**mesh.REQUIREMENTS, "memory_mib": 9999}}, None, f"{SHOP} stays on {LOST}, where it does not run: hn-east has no room for {SHOP}"),
    ],
)
def test_what_cannot_be_rescued_stays_and_the_others_are(change, unfinished, why):
    shop, kinds = mesh.record(**change), {SHOP: unfinished} if unfinished else {}
    with pytest.raises(Refused) as told:
        plan(view(shop, unfinished=kinds))
    assert told.value.message.startswith(why)
    made = plan(view(shop, mesh.record(DB), unfinished=kinds))
    assert f"{DB} runs on {OTHER} from its capsule 1.0.0; what it had written since is on {LOST}." in made.done and why in made.done
    assert list(steps(made, "instances")) == [f"start.{DB}", f"clear.{DB}"] and made.result["left"][0].startswith(why)


def test_what_is_in_two_hns_is_left_to_its_move():
    seen = mesh.view([mesh.record()], [mesh.record(rm="rm-west-1")], held=HELD, silent_hosts=(LOST,))
    with pytest.raises(Refused, match=f"{SHOP} is on its way between hn-east and hn-west; finish the move first"):
        plan(seen)


def test_a_silent_vma_may_know_of_more():
    with pytest.raises(Refused, match="The VMA of hn-west on gw-west cannot be asked"):
        plan(view(mesh.record(), silent_hosts=(LOST, "gw-west")))


def test_the_lost_rm_is_no_holder_whatever_it_says():
    with pytest.raises(Refused, match="No RM that answers holds the capsule"):
        plan(view(mesh.record(), held={LOST: [mesh.manifest()]}, silent_hosts=()), fence=["power", "off"])


def test_capsules_come_from_near_and_once_to_each_rm():
    two = mesh.record(TWO, rm=LOST, fabric_address="192.168.1.254")
    far = plan(view(mesh.record(), two, held={"rm-west-1": [mesh.manifest()], LOST: [mesh.manifest()]}))
    (brought,) = steps(far, "bring").values()
    assert (brought.device, brought.arguments["to"].rm) == ("rm-west-1", OTHER)
    assert not steps(plan(view(mesh.record(), two)), "bring")


def test_domains_are_rescued_in_the_same_stages():
    other = {**mesh.manifest("db"), "domain": "example.org"}
    held = {OTHER: [mesh.manifest(), other]}
    foreign = {**mesh.record("db-1.example.org", rm=LOST), "domain": "example.org"}
    made = plan(view(mesh.record(), foreign, held=held))
    reserved = made.stages[0]
    assert [step.id for step in reserved.steps] == ["out_of_service", "reserve.example.org", "reserve.example.com"]
    assert list(steps(made, "router"))[:2] == ["publish.example.org", "publish.example.com"]
    assert len([stage for stage in made.stages if any(step.id.startswith("start.") for step in stage.steps)]) == 1


def test_names_and_addresses_stay_and_the_epoch_is_above_all_that_is_known():
    west = mesh.view([mesh.record()], held=HELD, silent_hosts=(LOST,))
    west = west._replace(sites={**west.sites, "hn-west": west.sites["hn-west"]._replace(epochs={SHOP: 8})})
    told = steps(plan(west), "record")["reserve.example.com"].arguments["instances"][0]
    assert told["rescue"] == {"lost": LOST, "rm": OTHER, "epoch_above": 8} and "reservation" not in told


def lost():
    """Return what a rescue of three instances is walked in, from its beginning."""
    trial = Trial("rescue")
    return trial, trial.wish[1]["rm"]


def test_an_rm_that_returns_starts_nothing():
    trial, rm = lost()
    world = copy.deepcopy(trial.start)
    assert not world.walk(trial.plan).failed
    world.off.clear()
    left = world.rms[rm].powerless()
    assert len(left) == 3 and set(world.vmas["gw-east"].restart(rm, left)["never"]) == set(left)
    assert len([each for each in world.problems() if "stopped on rm-east-2, which no VMA knows" in each]) == 3, "and that is all that is amiss"


def returned(trial, rm, step):
    """Have the controller die at a step; the lost RM returns, and the rescue is taken up."""
    world = copy.deepcopy(trial._halts[step].world)
    with pytest.raises(Died):
        world.walk(trial.plan, Fault(step, DIED_AFTER), since=trial._halts[step])
    world.forsaken()
    world.off.clear()
    told = world.vmas["gw-east"].restart(rm, world.rms[rm].powerless())
    assert not told["granted"]
    assert not world.walk(world.plan(recover, {"instance": None})).failed
    assert all([where for where, unused in places] == ["rm-east-1"] for places in world.lives().values()) and len(world.lives()) == 4


def test_an_rm_that_returns_in_the_middle_gets_no_life_back():
    trial, rm = lost()
    began = trial.steps.index("reserve.example.com")
    for step in trial.steps[began:]:
        if step.partition(".")[0] != "end":
            returned(trial, rm, step)


def test_without_a_newer_epoch_it_would():
    """The recovery starts again what lost its power in the epoch that is recorded, wherever the record says that it is."""
    write = records.write

    def as_before(tx, record):
        before = records.one(tx, record["instance"])
        write(tx, {**record, "epoch": before["epoch"]} if before and record["moves_to"] else record)

    with mock.patch.object(records, "write", as_before):
        trial, rm = lost()
        with pytest.raises(AssertionError, match="lives on"):
            returned(trial, rm, f"start.{SHOP}")


def test_what_could_not_be_started_lives_again_where_its_disk_is_if_that_returns():
    trial, rm = lost()
    world, report, unused = trial.attempt(Fault(f"start.{SHOP}", BEFORE))
    assert report.result["outcome"] == "stopped" and "rm-east-1: It broke before." in report.message
    world.rms[rm].guests[SHOP].wrote = 7
    world.off.clear()
    assert not world.walk(world.plan(*placed(SHOP))).failed
    (where,) = world.lives()[SHOP]
    assert where[0] == rm and world.rms[rm].guests[SHOP].wrote == 7


def test_who_does_not_answer_yet_is_named():
    trial, unused = lost()
    world = copy.deepcopy(trial.start)
    world.mute |= {SHOP, DB}
    said = world.walk(planned(world, trial.wish)).message
    assert f"{DB} does not answer yet. {SHOP} does not answer yet. rm-east-2 is out of service." in said
