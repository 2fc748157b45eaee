# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two controllers, two HNs, one instance: every order in which they can ask their hosts; with
C(VMATRIX_FAULTS), so many crashes and losses at every point of every order, too.

Walks at random miss narrow windows; here none is left out. States that are alike are followed once.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import types
import typing as t

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import main
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import move, recover, remove, suspend
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.devices import LOST
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_one_life import BOTH, CAPSULES, MOVE, ONE, SHOP, TWO, WITHIN, placed
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import DIED_AFTER, Controller, Died, Fault, World

#: What is there before, what two controllers wish for then.
SCOPES = {
    "place and place": ([], placed(), placed(to_hn="hn-west")),
    "move and move": (ONE, (move, MOVE), (move, WITHIN)),
    "move and suspend": (ONE, (move, MOVE), (suspend, {"instance": SHOP})),
    "move and remove": (ONE, (move, MOVE), (remove, {"instance": SHOP})),
    # Of two instances of one service, which has one name.
    "suspend and place": (ONE, (suspend, {"instance": SHOP}), placed(TWO)),
    "suspend and suspend": (BOTH, (suspend, {"instance": SHOP}), (suspend, {"instance": TWO})),
    "move and place": (ONE, (move, MOVE), placed(TWO)),
}
#: So many things go wrong, at every point of every order.
BUDGET = int(os.environ.get("VMATRIX_FAULTS", "0"))
#: What goes wrong with a step: its controller dies when it is made, or the answer is lost.
MODES = (DIED_AFTER, LOST)


@pytest.fixture(autouse=True)
def nothing_takes_time(monkeypatch):
    """How long a step took would tell states apart that are alike."""
    monkeypatch.setattr(main, "time", types.SimpleNamespace(monotonic=lambda: 0.0))


class State(t.NamedTuple):
    """A mesh, those who are at work in it, which of them are dead, how many things may still go wrong, and whether nobody was told to do anything more."""

    world: World
    controllers: list[Controller | None]
    dead: frozenset[int]
    budget: int
    content: bool = True


def digest(state: State) -> str:
    """Return what tells a state from all others."""
    world = state.world
    devices = [
        (rm.name, {name: vars(guest) for name, guest in rm.guests.items()}, rm.epochs, rm.leases, sorted(map(str, rm.parcels.items())))
        for rm in world.rms.values()
    ]
    gateways = [(gateway.name, gateway.routers, gateway.leases) for gateway in world.gateways.values()]
    at_work = [each and (each.number, each.part, list(each.due or ()), each.hostvars) for each in state.controllers]
    names = [world.names.names, world.names.numbers, world.names.leases]
    said = [devices, gateways, names, world.registries(), sorted(world.silent), at_work, sorted(state.dead), state.budget, state.content]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def turned(state: State, which: int, fault: Fault | None) -> State:
    """Return the state after the turn of a controller."""
    world, controllers = copy.deepcopy((state.world, state.controllers))
    controller, dead, content = controllers[which], state.dead, state.content
    world.faults = [fault] if fault else []
    try:
        world.turn(controller)
        if controller.ended:
            report = world.reported(controller.plan, controller.hostvars)
            content = content and report.result["outcome"] in ("done", "undone") and "again" not in report.message
    except Died:
        world.shut(controller)
        controller.ended, content = True, False
    if controller.ended:
        controllers[which], dead = None, dead | {controller.plan.claim["controller"]["number"]}
    world.faults = []
    if fault:
        # Who did not answer once answers again.
        world.silent = set()
    return State(world, controllers, dead, state.budget - bool(fault), content)


def judged(state: State, wishes: t.Sequence[t.Any]) -> list[str]:
    """Return what is wrong if nobody was told to do anything more, or when all is done that recovers, and each wish is made once more."""
    world = copy.deepcopy(state.world)
    if state.content and world.problems():
        return world.problems()
    for unused in range(4):
        if world.walk(world.plan(recover, {"instance": None})).result["outcome"] == "nothing":
            break
    for wish in wishes:
        try:
            world.walk(world.plan(*wish))
        except MeshError:
            continue
    return world.problems()


def explored(start: State, wishes: t.Sequence[t.Any]) -> int:
    """Follow every order; return how many states there were."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        state = todo.pop()
        known = digest(state)
        if known in seen:
            continue
        seen.add(known)
        if not any(state.controllers):
            wrong = judged(state, wishes)
            assert not wrong, wrong
            continue
        for which, controller in enumerate(state.controllers):
            if controller is None:
                continue
            todo.append(turned(state, which, None))
            if state.budget:
                todo += [turned(state, which, Fault(step, mode)) for mode in MODES for step in controller.next_steps()[:1]]
    return len(seen)


@pytest.mark.parametrize("scope", SCOPES)
def test_every_order_of_two_operations_ends_well(scope):
    before, *wishes = SCOPES[scope]
    world = World(mesh.GROUPS, CAPSULES)
    for each in before:
        assert not world.walk(world.plan(*each)).failed
    controllers = [world.sent(world.plan(*wish, dead=False)) for wish in wishes]
    assert explored(State(world, controllers, frozenset(), BUDGET), wishes) > 300
