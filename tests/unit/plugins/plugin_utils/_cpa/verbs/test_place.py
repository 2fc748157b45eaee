# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Placing an instance: what an operator may wish for, and the one sentence they get when it cannot be."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import drain, place, resume
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.devices import BEFORE
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.mesh import looked, silent
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_lookups import GROUPS, MANIFEST, RECORD, SHOP, hostvars, view
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_one_life import CAPSULES, placed
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import Fault, World


def plan(seen, instance=SHOP, capsule="1.0.0", to_hn="hn-east", to_rm=None, public_address=None):
    return place.plan(seen, parts.Naming(seen, {}), instance, capsule, to_hn, to_rm, public_address, 120.0)


def steps(made, *ids):
    found = {step.id: step for stage in made.stages for step in stage.steps}
    return [found.get(each) for each in ids]


def reservation(*arguments, **wish):
    (reserve,) = steps(plan(*arguments, **wish), "reserve")
    ((asked),) = reserve.arguments["instances"]
    assert asked["operation"] == "place" and asked["instance"] == wish.get("instance", SHOP)
    return asked["reservation"]


def test_it_is_brought_from_a_holder_and_not_put_where_nobody_answers():
    made = plan(view(rm_west_2=silent()), to_hn="hn-west", public_address="198.18.2.9")
    reserve, bring = steps(made, "reserve", "bring")
    assert (reserve.device, bring.device) == ("gw-west", "rm-east-1")
    asked = reserve.arguments["instances"][0]["reservation"]
    assert (asked["exclude_rms"], asked["rm"], asked["requirements"]["memory_mib"]) == (["rm-west-2"], None, 128)
    assert (asked["public_address"], asked["capsule"], asked["guest"]) == ("198.18.2.9", "1.0.0", MANIFEST["guest"])
    assert made.peers["rm-west-1"] == {"name": "rm-west-1", "address": "10.0.0.2"}


def test_nothing_is_brought_where_whoever_can_be_chosen_holds_it():
    assert steps(plan(view()), "bring") == [None]
    assert steps(plan(view(holders=["rm-west-1"]), to_hn="hn-west", to_rm="rm-west-1"), "bring") == [None]
    assert steps(plan(view(holders=["rm-west-1"]), to_hn="hn-west"), "bring") != [None], "the VMA may choose rm-west-2"


def test_again_in_the_same_hn_is_a_plan():
    pinned = {**RECORD, "requirements": {**RECORD["requirements"], "accelerator": "tcg"}}
    assert reservation(view(east=[pinned]))["requirements"]["accelerator"] == "tcg"
    assert reservation(view(east=[RECORD]))["requirements"]["accelerator"] is None


@pytest.mark.parametrize(
    ("wish", "error", "sentence"),
    [
        ({"instance": "shop"}, InvalidInput, "'shop' is not an instance: it must look like 'shop-1.example.com'"),
        ({"instance": "../etc-1.example.com"}, InvalidInput, "'../etc-1.example.com' is not an instance"),
        ({"instance": ""}, InvalidInput, "'' is not an instance"),
        ({"capsule": "../../1"}, InvalidInput, "'../../1' is not a version"),
        ({"to_hn": "hn-north"}, NotFound, "There is no HN hn-north; known are: hn-east, hn-west."),
        ({"to_hn": "../hn"}, InvalidInput, "'../hn' is not a name for a HN"),
        ({"instance": "blog-1.example.com"}, NotFound, "No RM that answers holds the capsule blog 1.0.0 of example.com; held are: shop 1.0.0 of example.com."),
        ({"capsule": "2.0.0"}, NotFound, "No RM that answers holds the capsule shop 2.0.0 of example.com"),
        ({"to_rm": "rm-north-1"}, NotFound, "There is no RM rm-north-1; known are: rm-east-1, rm-west-1, rm-west-2."),
        ({"to_rm": "rm-west-1"}, InvalidInput, "The RM rm-west-1 stands in hn-west, not in hn-east."),
    ],
)
def test_bad_wishes_get_one_sentence(wish, error, sentence):
    with pytest.raises(error) as caught:
        plan(view(), **wish)
    assert sentence in caught.value.message
    assert caught.value.message.count("\n") == 0


def test_its_epoch_is_above_all_that_were_granted_elsewhere():
    west = looked("look", {"records": [], "epochs": {SHOP: 15, "other-1.example.com": 99}})
    assert reservation(view(gw_west=west), to_hn="hn-east")["epoch_above"] == 15
    assert reservation(view(gw_west=west), to_hn="hn-west")["epoch_above"] == 0


def test_elsewhere_is_a_move():
    with pytest.raises(Refused, match="lives in hn-east already .* move it instead"):
        plan(view(east=[RECORD]), to_hn="hn-west")


def test_a_silent_rm_is_refused():
    with pytest.raises(Refused, match="The RM rm-east-1 cannot be used: it does not answer"):
        plan(view(holders=["rm-west-1"], rm_east_1=silent()), to_rm="rm-east-1")


@pytest.mark.parametrize("host", ["gw_east", "gw_west"])
def test_nothing_is_placed_while_a_vma_does_not_answer(host):
    # A second life of what runs behind it would have the same name.
    with pytest.raises(Refused, match=f"The VMA of hn-{host[3:]} on gw-{host[3:]} cannot be asked: it does not answer"):
        plan(view(**{host: silent()}))


def test_what_is_wrong_with_the_only_capsule_is_said():
    broken = {"capsules": [{"manifest": MANIFEST, "complete": False, "problems": ["The capsule shop 1.0.0 of example.com lacks the blob 00."]}]}
    with pytest.raises(Refused, match="lacks the blob 00"):
        plan(view(holders=[], rm_east_1=looked("capsules", broken)))


def test_an_instance_is_the_same_in_the_intranet_wherever_it_is_placed():
    vpn = {"gateway": {}, "pool": ["172.21.162.9", "172.21.162.16/30"], "backends": [], "inbound": [], "credentials": {"sha256": "1" * 64, "size": 5}}
    for to_hn in ("hn-east", "hn-west"):
        variables = hostvars()
        assert reservation(mesh_view(GROUPS, variables, GROUPS["rms"]), to_hn=to_hn)["intranet_address"] is None
        for rm in GROUPS["rms"]:
            for held in variables[rm]["observe_held"]["answers"]["capsules"]["result"]["capsules"]:
                held["manifest"]["vpn"] = vpn
        seen = mesh_view(GROUPS, variables, GROUPS["rms"])
        assert reservation(seen, to_hn=to_hn)["intranet_address"] == "172.21.162.9"
        assert reservation(seen, instance="shop-5.example.com", to_hn=to_hn)["intranet_address"] == "172.21.162.19"
        with pytest.raises(InvalidInput, match="has intranet addresses for 5 instances, so there is none for instance 6"):
            plan(seen, "shop-6.example.com", to_hn=to_hn)


SILENT = Fault("cut_over.publish", BEFORE)
DRAINED = (drain, {"instance": SHOP, "then": "leave", **mesh.DRAIN})


@pytest.mark.parametrize("before", [[(placed(keep_failed=True), SILENT)], [(placed(),), (DRAINED,)]], ids=["kept", "drained"])
@pytest.mark.parametrize("keep_failed", [True, False])
def test_what_runs_out_of_rotation_stays_so_if_it_does_not_answer(before, keep_failed):
    world = World(mesh.GROUPS, CAPSULES)
    for wish, *faults in before:
        world.walk(world.plan(*wish), *faults)
    was = world.picture()
    ended = world.walk(world.plan(*placed(keep_failed=keep_failed)), SILENT)
    assert ended.result["outcome"] == "kept" and world.picture() == was and not world.problems(), ended.message
    assert not world.walk(world.plan(resume, {"instance": SHOP})).failed and world.serving("198.18.1.1") == [SHOP]


def test_what_could_not_be_started_is_undone_whatever_was_wished_for():
    world = World(mesh.GROUPS, CAPSULES)
    ended = world.walk(world.plan(*placed(keep_failed=True)), Fault("cut_over.rm", BEFORE))
    assert ended.result["outcome"] == "undone" and "Everything was undone." in ended.message and not world.lives() and not world.problems()
