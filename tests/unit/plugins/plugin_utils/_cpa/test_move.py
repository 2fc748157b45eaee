# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which way a move goes, and what it has to know for it."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.move import plan_move
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.mesh import looked, silent
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.devices import BEFORE
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_lookups import GROUPS, RECORD, SHOP, hostvars
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_one_life import Trial
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import Fault

HERE = {**RECORD, "moves_to": None, "intranet_address": None}
MORE = {"hn": "hn-east", "rm_address": "10.0.0.9", **looked("capsules", {"capsules": []})}


def view(east=(HERE,), **changes):
    """A mesh with a second RM in the east."""
    groups = {**GROUPS, "rms": [*GROUPS["rms"], "rm-east-2"]}
    return mesh_view(groups, {**hostvars(east=east, **changes), "rm-east-2": MORE}, groups["rms"])


def test_inside_its_hn_what_runs_moves_alive():
    plan = plan_move(view(), SHOP, to_rm="rm-east-2")
    assert (plan["way"], plan["done"], plan["live"], plan["to_rm"], plan["epoch_above"]) == ("within", False, True, "rm-east-2", 3)
    assert plan == plan_move(view(), SHOP, to_hn="hn-east", to_rm="rm-east-2", strategy="live")
    assert not plan_move(view(), SHOP, to_rm="rm-east-2", strategy="suspend")["live"]
    assert not plan_move(view(east=[{**HERE, "state": "suspended"}]), SHOP, to_rm="rm-east-2")["live"]
    assert plan_move(view(), SHOP, to_rm="rm-east-1")["done"] and plan_move(view(), SHOP, to_hn="hn-east")["done"]


def test_what_was_begun_inside_is_taken_up_in_its_epoch():
    begun = {**HERE, "moves_to": "rm-east-2", "epoch": 4}
    assert plan_move(view(east=[begun]), SHOP, to_rm="rm-east-2")["epoch_above"] == 3
    with pytest.raises(Refused, match="on its way from rm-east-1 to rm-east-2; finish that move first"):
        plan_move(view(east=[begun]), SHOP, to_rm="rm-east-1")


def test_between_hns_the_strategy_decides():
    ways = {strategy: plan_move(view(), SHOP, to_hn="hn-west", strategy=strategy) for strategy in ("best", "suspend", "live", "clone_first")}
    assert {strategy: (plan["way"], plan.get("live")) for strategy, plan in ways.items()} == {
        "best": ("hand_over", False),
        "suspend": ("hand_over", False),
        "live": ("hand_over", True),
        "clone_first": ("clone_first", None),
    }


@pytest.mark.parametrize(
    ("wish", "kind", "sentence"),
    [
        ({}, InvalidInput, "Say where shop-1.example.com shall live: an HN, or an RM of its own HN."),
        ({"instance": "blog-1.example.com", "to_rm": "rm-east-2"}, NotFound, "No HN knows the instance blog-1.example.com; known are: shop-1.example.com."),
        ({"to_rm": "rm-west-1"}, InvalidInput, "The RM rm-west-1 stands in hn-west, not in hn-east."),
        ({"to_rm": "rm-north-1"}, NotFound, "There is no RM rm-north-1; known are: rm-east-1, rm-east-2, rm-west-1, rm-west-2."),
        ({"to_rm": "rm-east-2", "strategy": "clone_first"}, Refused, "shop-1.example.com stays in hn-east, where a copy of it would have its name; "),
    ],
)
def test_bad_wishes_get_one_sentence(wish, kind, sentence):
    with pytest.raises(MeshError) as caught:
        plan_move(view(), **{"instance": SHOP, **wish})
    assert isinstance(caught.value, kind) and caught.value.message.startswith(sentence)


@pytest.mark.parametrize("wish", [{"to_rm": "rm-east-2"}, {"to_hn": "hn-west"}])
def test_only_what_runs_moves_alive(wish):
    with pytest.raises(Refused, match="nothing to move alive; move it with strategy=suspend"):
        plan_move(view(east=[{**HERE, "state": "suspended"}]), SHOP, strategy="live", **wish)


@pytest.mark.parametrize("wish", [{"to_rm": "rm-east-2"}, {"to_hn": "hn-west"}, {"to_hn": "hn-west", "strategy": "clone_first"}, {}])
@pytest.mark.parametrize("host", ["gw_east", "gw_west"])
def test_nothing_moves_while_a_vma_does_not_answer(wish, host):
    # What runs behind it could have a higher epoch, or be on its way.
    with pytest.raises(Refused, match=f"The VMA of hn-{host[3:]} on gw-{host[3:]} cannot be asked: it does not answer."):
        plan_move(view(**{host: silent()}), SHOP, **wish)


def test_what_is_on_its_way_to_another_hn_moves_nowhere_else():
    seen = view(east=[{**HERE, "state": "leaving"}], west=[{**HERE, "rm": "rm-west-1"}])
    with pytest.raises(Refused, match=f"{SHOP} is on its way between hn-east and hn-west; finish that move first."):
        plan_move(seen, SHOP, to_rm="rm-east-2")


@pytest.mark.parametrize(
    ("name", "source", "told"),
    [
        ("move", f"cut_over.source.{SHOP}", ["cut_over.call_off", f"cut_over.stop_waiting.{SHOP}"]),
        ("move alive", f"cut_over.source.{SHOP}", ["cut_over.call_off", f"cut_over.stop_waiting.{SHOP}"]),
        ("move within", "cut_over.source", ["cut_over.stop_waiting"]),
        ("move a cluster", f"cut_over.source.{SHOP}", ["cut_over.call_off", f"cut_over.stop_waiting.{SHOP}"]),
    ],
)
def test_nobody_waits_for_a_source_that_has_failed(name, source, told):
    """Neither who would publish, nor the RM that would take it over."""
    trial = Trial(name)
    world, report, unused = trial.attempt(Fault(source, BEFORE))
    assert report.failed and [step for step in dict.fromkeys(world.done) if step in told] == told
    assert not set(told) & set(trial.steps), "nobody is told when all goes well"


@pytest.mark.parametrize(
    ("name", "source", "back"),
    [
        ("move", f"cut_over.source.{SHOP}", "is running again in hn-east."),
        ("move within", "cut_over.source", "is running on rm-east-1, as before."),
        ("suspend", "rest", "is as it was."),
        ("drain and suspend", "rest", "is as it was."),
    ],
)
def test_it_is_said_when_what_runs_again_has_lost_its_memory(name, source, back):
    """Its QEMU was killed as the cut-over began, so nothing but its disk is left: it boots, which takes a while."""
    trial = Trial(name)
    halted = trial._halts[source]
    lost = f"{SHOP} {back} {SHOP} was started from its disk there: what was in its memory alone is lost."
    for mute, said in (set(), lost), ({SHOP}, f"{lost} {SHOP} does not answer yet."):
        world = copy.deepcopy(halted.world)
        world.rms["rm-east-1"].guests[SHOP].state = "stopped"
        world.mute = mute
        report = world.walk(trial.plan, since=halted)
        assert report.message.endswith(said) and world.problems() == []
    world, report, done = trial.attempt(Fault(source, BEFORE))
    assert report.message.endswith(back) and not [step for step in done if step.startswith("answers_again")], "it merely went on"
