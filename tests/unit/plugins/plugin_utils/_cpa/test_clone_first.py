# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves in which a copy serves before the source goes."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.clone_first import moved_version, plan_clone_first
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.lookups import plan_move
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import RealMachine, Site, View

SHOP = "shop-1.example.com"
MANIFEST = {"name": "shop", "domain": "example.com", "version": "1.0.0", "memory": None}
RECORD = {
    "instance": SHOP,
    "service": "shop",
    "domain": "example.com",
    "capsule": "1.0.0",
    "rm": "rm-east-1",
    "epoch": 3,
    "state": "running",
    "in_rotation": True,
    "intranet_address": None,
    "requirements": {"memory_mib": 128, "accelerator": None},
}
COPY = {**RECORD, "capsule": "1.0.0-moved-4", "rm": "rm-west-1", "epoch": 4}


def view(east=(), west=(), held=(("rm-east-1", "1.0.0"),)):
    """The mesh with these records, and these capsules on RMs."""
    sites = {
        hn: Site(hn, gateway, gateway, "wan0", list(map(copy.deepcopy, records)), {SHOP: 3} if records else {}, {rm: "tcg"}, {}, None)
        for hn, gateway, rm, records in (("hn-east", "gw-east", "rm-east-1", east), ("hn-west", "gw-west", "rm-west-1", west))
    }
    rms = {
        rm: RealMachine(rm, hn, "10.0.0.1", [{**MANIFEST, "version": version} for holder, version in held if holder == rm], [], None)
        for rm, hn in (("rm-east-1", "hn-east"), ("rm-west-1", "hn-west"))
    }
    return View(sites, rms)


def test_the_copy_comes_from_a_capsule_of_its_own():
    plan = plan_clone_first(view([RECORD]), SHOP, "hn-west")
    assert (plan["version"], plan["publish"], plan["holders"], plan["final_state"]) == ("1.0.0-moved-4", True, ["rm-east-1"], "running")
    assert plan["requirements"]["accelerator"] == "tcg" and plan["epoch_above"] == 3
    assert plan["passing"] == [{"rm": "rm-east-1", "version": "1.0.0-moved-4"}], "what was imported stays"


def test_the_capsule_of_the_move_before_goes_unless_somebody_else_is_made_from_it():
    moved = {**RECORD, "capsule": "1.0.0-moved-3"}
    # A move by suspend has left one in the west.
    held = [("rm-east-1", "1.0.0-moved-3"), ("rm-west-1", "1.0.0-moved-3"), ("rm-west-1", "1.0.0")]
    new = {"rm": "rm-east-1", "version": "1.0.0-moved-4"}
    old = [{"rm": rm, "version": "1.0.0-moved-3"} for rm in ("rm-east-1", "rm-west-1")]
    assert plan_clone_first(view([moved], held=held), SHOP, "hn-west")["passing"] == [*old, new]
    twin = {**moved, "instance": "shop-2.example.com"}
    assert plan_clone_first(view([moved, twin], held=held), SHOP, "hn-west")["passing"] == [new]


@pytest.mark.parametrize("state", ["running", "leaving"])
def test_a_move_that_was_cut_off_is_taken_up(state):
    held = [("rm-east-1", "1.0.0"), ("rm-east-1", "1.0.0-moved-4"), ("rm-west-1", "1.0.0-moved-4")]
    source = {**RECORD, "state": state, "in_rotation": False}
    plan = plan_clone_first(view([source], [COPY], held), SHOP, "hn-west")
    assert (plan["done"], plan["version"], plan["publish"], plan["holders"]) == (False, "1.0.0-moved-4", False, ["rm-east-1", "rm-west-1"])
    assert plan_clone_first(view(west=[COPY], held=held), SHOP, "hn-west")["done"] is True


@pytest.mark.parametrize(
    ("east", "west", "sentence"),
    [
        ([{**RECORD, "state": "suspended", "in_rotation": False}], [], "does not serve, .* move it with strategy=suspend"),
        ([{**RECORD, "in_rotation": False}], [], "does not serve"),
        ([{**RECORD, "intranet_address": "172.21.162.9"}], [], "has a tunnel, .* move it with strategy=suspend"),
        ([{**RECORD, "state": "leaving"}], [{**COPY, "capsule": "1.0.0"}], "finish the move as it was begun, with strategy=suspend"),
        ([], [], "No HN knows the instance"),
    ],
)
def test_what_cannot_be_gets_one_sentence(east, west, sentence):
    with pytest.raises(MeshError, match=sentence):
        plan_clone_first(view(east, west), SHOP, "hn-west")


def test_the_other_strategy_keeps_its_hands_off_a_copy():
    with pytest.raises(MeshError, match="finish the move as it was begun, with strategy=clone_first"):
        plan_move(view([RECORD], [COPY]), SHOP, "hn-west")


def test_callers_may_go_elsewhere_while_an_instance_is_away():
    twin = {**RECORD, "instance": "shop-2.example.com"}
    assert plan_move(view([RECORD], [twin]), SHOP, "hn-west")["served_elsewhere"] is True
    assert plan_move(view([RECORD, twin]), SHOP, "hn-west")["served_elsewhere"] is False
    assert plan_move(view([RECORD], [{**twin, "in_rotation": False}]), SHOP, "hn-west")["served_elsewhere"] is False
    assert plan_move(view([RECORD], [{**twin, "service": "store"}]), SHOP, "hn-west")["served_elsewhere"] is False


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.0.0", "1.0.0-moved-7"),
        ("1.0.0-moved-6", "1.0.0-moved-7"),
        ("1" * 64, "1" * 56 + "-moved-7"),
        ("a" * 55 + ".b", "a" * 55 + "-moved-7"),
    ],
)
def test_versions_of_moved_capsules(version, expected):
    assert moved_version(version, 7) == expected == names.version(expected)
