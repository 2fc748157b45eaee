# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wherever a controller dies in an operation, it is taken up: brought to its end, or taken back. One life stays, and nothing is left."""

from __future__ import annotations

import contextlib
import copy
from unittest import mock

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import recover, remove, resume
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import devices
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.devices import BEFORE, MIDDLE, SILENT
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_one_life import (
    MAY_END,
    SHOP,
    WISHES,
    Trial,
    differences,
    essence,
    planned,
    told,
)
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import DIED_AFTER, DIED_BEFORE, Died, Fault

ANY = (recover, {"instance": None})


def cut_off(trial, step, mode):
    """Carry a wish out until the controller dies at a step; return the mesh."""
    since = trial._halts[step]
    world = copy.deepcopy(since.world)
    with pytest.raises(Died):
        world.walk(trial.plan, Fault(step, mode), since=since)
    world.forsaken()
    return world


def judged(trial, step, mode):
    """Return what is wrong when what was cut off at a step is taken up, and the wish is then carried out once more."""
    try:
        world = cut_off(trial, step, mode)
        report = world.walk(planned(world, ANY))
        wrong = []
        if "again" not in report.message:
            # What an RM that is lost ran is amiss until it is rescued.
            wrong += [each for each in world.problems() if each not in trial.start.problems()]
            if trial.wish[0] not in MAY_END:
                wrong += [f"{name} does not run any more" for name in trial.start.lives() if name not in world.lives()]
        if report.result["outcome"] in ("undone", "done") and "again" not in report.message:
            ended = differences(trial.ended, essence(world, trial.wish))
            back = differences(trial.start.picture(), world.picture())
            wrong += ended and back and [f"it is neither as it was nor as it should be: {ended} {back}"]
        again = world.walk(planned(world, ANY))
        wrong += [] if again.result["outcome"] == "nothing" or report.result["outcome"] in ("unknown",) else [f"there is more to recover: {again.message}"]
        for unused in range(3):
            last = world.walk(planned(world, trial.wish))
            if not last.failed:
                break
        wrong += [f"run again it failed: {last.message} (after {report.message!r})"] if last.failed else []
        wrong += [f"run again {each}" for each in [*world.problems(), *differences(trial.ended, essence(world, trial.wish))]]
        return wrong
    except MeshError as exc:
        return [f"it is refused: {exc.message}"]
    except AssertionError as exc:
        return [str(exc).partition("\n")[0]]


@pytest.mark.parametrize("name", WISHES)
def test_a_controller_may_die_at_each_step(name):
    trial = Trial(name)
    steps = [step for step in trial.steps if step in trial._halts]
    wrong = {f"{mode} {step}": judged(trial, step, mode) for step in steps for mode in (DIED_BEFORE, DIED_AFTER)}
    assert not any(wrong.values()), told(wrong)


@pytest.mark.parametrize("name", WISHES)
def test_what_was_cut_off_between_two_stages_is_brought_to_its_end(name):
    trial = Trial(name)
    for halted in {halt.number: halt for halt in trial._halts.values() if halt.number and halt.part != "take_back"}.values():
        world = copy.deepcopy(halted.world)
        report = world.walk(planned(world, ANY))
        if not [run for known in halted.world.registries().values() for run in known["runs"]]:
            # Nothing was recorded yet, so there is nothing to take up.
            assert report.result["outcome"] == "nothing" and not differences(trial.start.picture(), world.picture())
            continue
        assert not report.failed and report.message.startswith("Taken up was the "), (halted.number, report.message)
        assert not world.problems() and not differences(trial.ended, essence(world, trial.wish)), (halted.number, world.problems())
        assert world.walk(planned(world, ANY)).result["outcome"] == "nothing"


@pytest.mark.parametrize("name", ["place", "suspend", "move", "move within", "scale up", "update", "remove"])
def test_a_recovery_may_be_cut_off_itself(name):
    trial = Trial(name)
    wrong = {}
    for step in [step for step in trial.steps if step in trial._halts][:: 2 if name in ("update", "scale up") else 1]:
        world = cut_off(trial, step, DIED_AFTER)
        plan = planned(world, ANY)
        walked = copy.deepcopy(world)
        walked.walk(plan)
        for again in dict.fromkeys(walked.done):
            trying = copy.deepcopy(world)
            with pytest.raises(Died):
                trying.walk(plan, Fault(again, DIED_AFTER))
            trying.forsaken()
            report = trying.walk(planned(trying, ANY))
            if report.result["outcome"] not in ("done", "undone", "nothing") or trying.problems():
                wrong[f"{step}, then {again}"] = [report.message, *trying.problems()]
    assert not wrong, told(wrong)


@pytest.mark.parametrize("name", ["place", "suspend", "move", "scale up"])
def test_who_comes_back_after_that_changes_nothing(name):
    trial = Trial(name)
    for halted in {halt.number: halt for halt in trial._halts.values() if halt.number and halt.part != "take_back"}.values():
        world = copy.deepcopy(halted.world)
        if world.walk(planned(world, ANY)).result["outcome"] == "nothing":
            continue
        before = world.picture()
        # The first controller had merely slept.
        hostvars = copy.deepcopy(halted.hostvars)
        world.walk(trial.plan, since=halted._replace(world=world, hostvars=hostvars))
        assert not differences(before, world.picture()) and not world.problems(), halted.number


def test_nothing_is_touched_while_a_device_does_not_say_what_it_did():
    trial = Trial("move")
    world = cut_off(trial, "cut_over.publish", DIED_BEFORE)
    before = world.picture()
    world.silent.add("rm-east-1")
    plan = planned(world, ANY)
    world.silent.add("rm-east-1")
    report = world.walk(plan)
    assert report.result["outcome"] == "unknown" and "rm-east-1 does not say what it did, so all is left as it is." in report.message
    assert not differences(before, world.picture())
    report = world.walk(planned(world, ANY))
    assert not report.failed and not world.problems()


def test_what_somebody_else_has_brought_to_an_end_is_not_taken_up():
    trial = Trial("move")
    world = cut_off(trial, "release", DIED_BEFORE)
    assert not world.walk(planned(world, trial.wish)).failed
    report = world.walk(planned(world, ANY))
    assert report.message == "No operation was cut off; there is nothing to recover." and not world.problems()


def test_a_living_one_is_not_taken_up():
    trial = Trial("move")
    world = cut_off(trial, "coming", DIED_AFTER)
    with pytest.raises(Refused, match="shop-1.example.com is busy in hn-"):
        world.plan(*ANY, dead=False)


@pytest.mark.parametrize("again", [True, False])
def test_nobody_follows_what_was_cut_off_before_it_was_taken_up(again):
    trial = Trial("suspend")
    world = cut_off(trial, "withdraw", DIED_AFTER)
    wish = trial.wish if again else (remove, {"instance": SHOP})
    with pytest.raises(Refused, match="was cut off. The playbook recover takes that up"):
        world.plan(*wish)
    assert not world.walk(planned(world, ANY)).failed and not world.walk(world.plan(*wish)).failed


@pytest.mark.parametrize("fenced", [True, False])
def test_the_fence_of_its_rm_is_what_keeps_whoever_slept_from_a_later_life(fenced):
    """A suspend slept, was taken up, and then the instance was resumed; its RM is the first device that hears of that suspend again."""
    trial = Trial("suspend")
    halted = trial._halts["rest"]
    world = copy.deepcopy(halted.world)
    for wish in (ANY, (resume, {"instance": SHOP, "answer_timeout": 60})):
        assert not world.walk(planned(world, wish)).failed
    states: list[str] = []
    with mock.patch.object(devices.Rm, "flush", staticmethod(lambda guest: states.append(guest.state))):
        with contextlib.nullcontext() if fenced else mock.patch.object(devices.Rm, "follow", lambda rm, order, common, check: None):
            world.walk(trial.plan, since=halted._replace(world=world, hostvars=copy.deepcopy(halted.hostvars)))
    assert ("suspended" in states) != fenced


def test_no_public_address_stays_that_others_have_published_for_what_was_merely_reserved():
    trial = Trial("place beside another")
    world = copy.deepcopy(trial.start)
    with pytest.raises(Died):
        world.walk(trial.plan, Fault("consent.hn-west", BEFORE), Fault("give_back", DIED_BEFORE))
    world.forsaken()
    # Its router documents hold the address of whoever has a record.
    assert not world.walk(world.plan(*WISHES["move"][1])).failed
    assert world.walk(planned(world, ANY)).result["outcome"] == "undone" and not world.problems()


def test_whether_it_was_published_beside_a_target_that_failed_is_found_out():
    world = copy.deepcopy(Trial("move").start)
    plan = planned(world, WISHES["move"][1])
    with pytest.raises(Died):
        world.walk(plan, Fault("cut_over.target.shop-1.example.com", MIDDLE), Fault("cut_over.publish", DIED_BEFORE))
    world.forsaken()
    report = world.walk(planned(world, ANY))
    assert report.result["outcome"] == "done" and world.lives() == {SHOP: [("rm-west-1", 2)]} and not world.problems()


@pytest.mark.parametrize("name", ["move", "move alive"])
def test_what_its_source_has_kept_was_published_nowhere_whatever_the_gateway_says(name):
    trial = Trial(name)
    world = copy.deepcopy(trial.start)
    world.walk(trial.plan, Fault(f"cut_over.source.{SHOP}", BEFORE), Fault("cut_over.publish", SILENT))
    world.forsaken()
    assert world.walk(planned(world, ANY)).result["outcome"] in ("undone", "nothing")
    assert not world.problems() and not differences(trial.start.picture(), world.picture())
