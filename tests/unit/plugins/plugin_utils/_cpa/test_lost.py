# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An HN that is lost is given up, and does not come back as it was."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import leases, lost
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import move, recover, suspend
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_one_life import CAPSULES, MOVE, SHOP, TWO, placed
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import World

WEST = {"to_hn": "hn-west"}
HOLDER = {"run": "run9", "who": "op@ctl", "controller": {"number": 9}, "seconds": 600}
GIVEN_UP = (
    "The VMA of hn-west on gw-west cannot be asked: hn-west was given up as lost by op@ctl at 1970-01-01T00:00:00Z; bring it back by the playbook recover."
)


@pytest.fixture(name="world")
def _world():
    """A mesh in which two instances live in the west, and another HN cannot be asked for them."""
    world = World(mesh.GROUPS, CAPSULES)
    for each in (placed(**WEST), placed(TWO, **WEST)):
        assert not world.walk(world.plan(*each)).failed
    world.copies = True
    return world


def silence(world):
    world.silent = {host for host in (*world.rms, *world.gateways, *world.vmas) if "west" in host}


def without_west(world, verb, wish):
    """Plan while the west is silent and given up."""
    silence(world)
    seen = lost.given_up(world.look(verb, wish), ["hn-west"])
    return leases.leased(verb.plan(seen, mesh.naming(seen), **wish), seen, False, lambda controller: True, **HOLDER)


def replaced(world):
    """Bring the shop to life in the east although it lives in the west, which cannot be asked; the west answers again after that."""
    verb, wish = placed()
    silence(world)
    with pytest.raises(Refused, match="The VMA of hn-west on gw-west cannot be asked: it does not answer."):
        world.plan(verb, wish)
    assert not world.walk(without_west(world, verb, wish)).failed
    return dict(world.lives()[SHOP])


def test_only_what_is_silent_can_be_given_up(world):
    seen = world.look(suspend, {"instance": SHOP})
    with pytest.raises(Refused, match="The VMA of hn-west answers, so hn-west is not lost."):
        lost.given_up(seen, ["hn-west"])
    with pytest.raises(InvalidInput, match="There is no HN hn-north that could be lost; known are: hn-east, hn-west."):
        lost.given_up(seen, ["hn-north"])


def test_who_comes_to_life_elsewhere_is_above_all_that_was_granted(world):
    lives = replaced(world)
    assert sorted(lives) == ["rm-east-1", "rm-west-1"] and lives["rm-east-1"] > 1_000_000


def test_when_it_answers_again_nobody_believes_it(world):
    replaced(world)
    for wish in (placed("shop-3.example.com"), (move, {**MOVE, **WEST}), (suspend, {"instance": TWO})):
        with pytest.raises(Refused) as caught:
            world.plan(*wish)
        assert caught.value.message == GIVEN_UP
    assert not world.walk(world.plan(suspend, {"instance": SHOP})).failed, "the east goes on"


def test_it_comes_back_without_what_lives_elsewhere_by_now(world):
    replaced(world)
    back = world.walk(world.plan(recover, {"instance": None}))
    assert (back.failed, back.message) == (False, f"hn-west is back. Cleared there, since it lives elsewhere by now: {SHOP}.")
    assert list(dict(world.lives()[SHOP])) == ["rm-east-1"] and list(dict(world.lives()[TWO])) == ["rm-west-2"]
    assert world.problems() == []
    assert "there is nothing to recover" in world.walk(world.plan(recover, {"instance": None})).message
    assert not world.walk(world.plan(move, {**MOVE, **WEST})).failed
    assert world.problems() == []


def test_what_stops_its_return_is_mended_by_another_run(world):
    replaced(world)
    world.silent = {"rm-west-1"}
    assert world.walk(world.plan(recover, {"instance": None})).failed
    with pytest.raises(Refused) as caught:
        world.plan(*placed("shop-3.example.com"))
    assert caught.value.message == GIVEN_UP
    assert not world.walk(world.plan(recover, {"instance": None})).failed
    assert world.problems() == [] and len(world.lives()[SHOP]) == 1


def test_what_was_cut_off_there_is_not_taken_up_before(world):
    verb, wish = suspend, {"instance": SHOP}
    halted = next(each for each in world.stages(world.plan(verb, wish)) if each.number == 2)
    assert halted.part
    world.forsaken()
    assert world.look(verb, wish).sites["hn-west"].runs
    replaced(world)
    seen = world.look(recover, {"instance": None})
    assert not seen.sites["hn-west"].runs
    assert world.walk(world.plan(recover, {"instance": None})).message.startswith("hn-west is back.")
    assert world.problems() == [] and list(dict(world.lives()[SHOP])) == ["rm-east-1"]
