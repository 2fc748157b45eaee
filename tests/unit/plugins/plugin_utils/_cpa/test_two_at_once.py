# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever two controllers do at the same time, and however their stages come in between each other: an instance has one life.

Orders in which both look, plan and carry out their stages are tried, spread over all that there are; simulated devices answer.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import random
from unittest import mock

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import agreement, leases
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import leases as planned_leases
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import progress
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import clone, drain, move, remove, resume, scale, suspend, update
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.devices import BEFORE
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_one_life import (
    BOTH,
    CAPSULES,
    CLONE,
    MOVE,
    ONE,
    SCALE,
    SHOP,
    UPDATE,
    placed,
)
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import Fault, World

WEST = {"to_hn": "hn-west"}
#: How many orders are tried of each pair.
TRIED = 80
#: How many are tried until one goes wrong that has to.
MANY = 1500
#: What is there before, and what two controllers wish for then.
PAIRS = {
    "place and place": ([], placed(), placed(**WEST)),
    "place twice": ([], placed(), placed()),
    "scale and scale": ([], (scale, {**SCALE, "count": 1, "capsule": "1.0.0"}), (scale, {**SCALE, **WEST, "count": 1, "capsule": "1.0.0"})),
    "place and scale": ([], placed(), (scale, {**SCALE, **WEST, "count": 1, "capsule": "1.0.0"})),
    "clone and place": (ONE, (clone, CLONE), placed("shop-2.example.com", **WEST)),
    "move and suspend": (ONE, (move, MOVE), (suspend, {"instance": SHOP})),
    "move and remove": (ONE, (move, MOVE), (remove, {"instance": SHOP})),
    "move and move": (ONE, (move, MOVE), (move, {**MOVE, "to_hn": None, "to_rm": "rm-east-2"})),
    "move and scale": (ONE, (move, MOVE), (scale, {**SCALE, "count": 2, "capsule": "1.0.0"})),
    "move and place": (ONE, (move, MOVE), placed("shop-2.example.com", **WEST)),
    "update and drain": (BOTH, (update, UPDATE), (drain, {"instance": SHOP, "then": "suspend", **mesh.DRAIN})),
    "remove and remove": (ONE, (remove, {"instance": SHOP}), (remove, {"instance": SHOP})),
    "suspend and resume": (ONE, (suspend, {"instance": SHOP}), (resume, {"instance": SHOP, "answer_timeout": 60})),
}
#: Those that give life to a name that is new.
NEW = ["place and place", "scale and scale", "place and scale", "clone and place"]


def planned(world, wish, dead=False):
    return world.plan(*wish, dead=dead)


def acts(world, wish):
    """One controller: look and plan, then stage after stage; what it reports in the end. It does nothing before it is asked for the first time."""
    try:
        plan = planned(world, wish)
    except MeshError as exc:
        return progress.Report(True, exc.message, {})
    halted = None
    for halted in world.stages(plan):
        if halted.part:
            yield
    return world.reported(plan, halted.hostvars)


def began(pair):
    before, *wishes = PAIRS[pair]
    world = World(mesh.GROUPS, CAPSULES)
    for each in before:
        assert not world.walk(planned(world, each)).failed
    return world, wishes


def turns(controller):
    """Count the turns that a controller takes when it is alone."""
    return sum(1 for unused in controller) + 1


def nth_order(first, second, number):
    """Return one of all orders in which two controllers can take so many turns, as the numbers of the turns that are the first one's."""
    order, turn = [], 0
    while first:
        begins = math.comb(first + second - 1, first - 1)
        if number < begins:
            order.append(turn)
            first -= 1
        else:
            number -= begins
            second -= 1
        turn += 1
    return tuple(order)


def tried(start, wishes, order):
    """Have two controllers take their turns in an order, and then each once more; return what is wrong in the end, and what they reported."""
    world = copy.deepcopy(start)
    # The world watches that nobody lives twice.
    controllers, said = [acts(world, wish) for wish in wishes], [None, None]
    left = [True, True]
    for turn in itertools.count():
        if not any(left):
            break
        which = 0 if turn in order else 1
        which = which if left[which] else 1 - which
        try:
            next(controllers[which])
        except StopIteration as ended:
            left[which], said[which] = False, ended.value
    wrong = [] if any(not report.failed for report in said) else ["both were refused"]
    wrong += [f"{each['instance']} is still leased" for known in world.registries().values() for each in known["leases"]]
    # Each can be run again, and then nothing is left of what came in between.
    for wish in wishes * 2:
        with contextlib.suppress(MeshError):
            world.walk(planned(world, wish))
    return [*wrong, *world.problems()], said


def spread(start, wishes):
    """Return orders, spread over all that there are."""
    counts = [turns(acts(copy.deepcopy(start), wish)) for wish in wishes]
    possible = math.comb(sum(counts), counts[0])
    return [nth_order(*counts, number) for number in range(0, possible, max(1, possible // TRIED))]


@pytest.mark.parametrize("pair", PAIRS)
def test_an_instance_has_one_life_whoever_acts_at_once(pair):
    start, wishes = began(pair)
    for order in spread(start, wishes):
        wrong, said = tried(start, wishes, order)
        assert not wrong, (order, [report.message for report in said])


def all_tried(start, wishes):
    """Return what goes wrong in each order, where anything does."""
    found = {}
    for order in spread(start, wishes):
        wrong = gone_wrong(start, wishes, order)
        if wrong:
            found[order] = wrong
    return found


def gone_wrong(start, wishes, order):
    try:
        return tried(start, wishes, order)[0]
    except AssertionError as exc:
        return [str(exc)]


def goes_wrong(pair, words=""):
    """Say whether anything that *words* stand in goes wrong in one of many orders; of some pairs only one in a hundred does."""
    start, wishes = began(pair)
    counts = [turns(acts(copy.deepcopy(start), wish)) for wish in wishes]
    chance, possible = random.Random(pair), math.comb(sum(counts), counts[0])
    for unused in range(MANY):
        wrong = gone_wrong(start, wishes, nth_order(*counts, chance.randrange(possible)))
        if wrong and words in wrong[0]:
            return True
    return False


@pytest.mark.parametrize("pair", [*NEW, "move and move", "move and remove"])
def test_without_leases_something_would_go_wrong(pair):
    with mock.patch.object(leases, "take", lambda tx, lease, instances: dict.fromkeys(instances, 1)):
        assert goes_wrong(pair, "lives on" if pair == "move and move" else "")


def test_who_fails_beside_another_one_removes_nothing_of_what_that_has_started():
    """Not even if there were no leases: what was there before it began is not what it takes back."""
    world, wish = World(mesh.GROUPS, CAPSULES), placed()
    with mock.patch.object(leases, "take", lambda tx, lease, instances: dict.fromkeys(instances, 1)):
        first, second = world.plan(*wish), world.plan(*wish)
        assert not world.walk(first).failed
        assert world.walk(second, Fault("cut_over.publish", BEFORE)).failed
    assert list(world.lives()) == [SHOP] and world.serving("198.18.1.1") == [SHOP]


@pytest.mark.parametrize("pair", NEW)
def test_where_controllers_know_of_different_hns_the_consent_of_others_is_what_counts(pair):
    """Then they do not agree on who leases a name that is new."""
    with mock.patch.object(planned_leases, "_arbiter", lambda view: []):
        assert all(wrong == ["both were refused"] for wrong in all_tried(*began(pair)).values())
        with mock.patch.object(agreement, "consent", lambda url, lives: None):
            assert any("lives on" in wrong[0] for wrong in all_tried(*began(pair)).values())
