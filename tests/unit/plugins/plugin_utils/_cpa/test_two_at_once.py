# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever two controllers do at the same time, and however their stages come in between each other: an instance has one life.

Orders in which both look, plan and carry out their stages are tried, spread over all that there are; simulated devices answer.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import shutil
import tempfile
from unittest import mock

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import agreement, journal, registry
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import clone, move, remove, resume, scale, suspend
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_one_life import CAPSULES, CLONE, MEMORY, MOVE, ONE, SCALE, SHOP, placed
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import World

WEST = {"to_hn": "hn-west"}
#: How many orders are tried of each pair.
TRIED = 40
#: What is there before, and what two controllers wish for then.
PAIRS = {
    "place and place": ([], placed(), placed(**WEST)),
    "scale and scale": ([], (scale, {**SCALE, "count": 1, "capsule": "1.0.0"}), (scale, {**SCALE, **WEST, "count": 1, "capsule": "1.0.0"})),
    "place and scale": ([], placed(), (scale, {**SCALE, **WEST, "count": 1, "capsule": "1.0.0"})),
    "clone and place": (ONE, (clone, CLONE), placed("shop-2.example.com", **WEST)),
    "move and suspend": (ONE, (move, MOVE), (suspend, {"instance": SHOP})),
    "move and remove": (ONE, (move, MOVE), (remove, {"instance": SHOP})),
    "suspend and resume": (ONE, (suspend, {"instance": SHOP}), (resume, {"instance": SHOP, "answer_timeout": 60})),
}

#: Those that give life to a name. After these both can be run again, and leave nothing behind.
NEW = [pair for pair in PAIRS if "place" in pair or "scale" in pair]


@pytest.fixture(scope="module")
def root():
    """Where the registries are."""
    directory = tempfile.mkdtemp(dir=MEMORY)
    engine = functools.lru_cache(maxsize=None)(registry._engine)
    with mock.patch.object(registry, "_engine", engine), mock.patch.object(journal, "_now", lambda: "2026-11-24T03:00:00Z"):
        yield directory
    shutil.rmtree(directory)


def planned(world, wish):
    verb, wishes = wish
    seen = world.look(verb, wishes)
    return verb.plan(seen, mesh.naming(seen), **wishes)


def acts(world, wish):
    """One controller: look and plan, then stage after stage; what it says in the end. It does nothing before it is asked for the first time."""
    try:
        plan = planned(world, wish)
    except MeshError as exc:
        return exc.message
    halted = None
    for halted in world.stages(plan):
        if halted.part:
            yield
    return world.reported(plan, halted.hostvars).message


def began(root, pair):
    before, *wishes = PAIRS[pair]
    world = World(tempfile.mkdtemp(dir=root), mesh.GROUPS, CAPSULES)
    for each in before:
        assert not world.walk(planned(world, each)).failed
    return world, wishes


def turns(controller):
    """Count the turns that a controller takes when it is alone."""
    return sum(1 for unused in controller) + 1


def orders(first, second):
    """All orders in which two controllers can take so many turns, each as the numbers of the turns that are the first one's."""
    return itertools.combinations(range(first + second), first)


@pytest.mark.parametrize("pair", PAIRS)
def test_an_instance_has_one_life_whoever_acts_at_once(root, pair):
    start, wishes = began(root, pair)
    counts = [turns(acts(copy.deepcopy(start), wish)) for wish in wishes]
    possible = list(orders(*counts))
    for order in possible[:: max(1, len(possible) // TRIED)]:
        world = copy.deepcopy(start)
        # The world watches that nobody lives twice.
        controllers, said = [acts(world, wish) for wish in wishes], ["", ""]
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
        for wish in wishes * 2 if pair in NEW else ():
            with contextlib.suppress(MeshError):
                world.walk(planned(world, wish))
        assert pair not in NEW or not world.problems(), (order, said, world.problems())


@pytest.mark.parametrize("pair", ["place and place", "scale and scale"])
def test_without_the_consent_of_others_there_would_be_two_lives(root, pair):
    start, wishes = began(root, pair)
    with mock.patch.object(agreement, "consent", lambda url, lives: None):
        world = copy.deepcopy(start)
        controllers = [acts(world, wish) for wish in wishes]
        with pytest.raises(AssertionError, match="lives on"):
            for unused in range(20):
                for controller in controllers:
                    next(controller, None)
