# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Planning: what an operator may wish for, and the one sentence they get when it cannot be."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import plan_here, plan_move, plan_place
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view

SHOP = "shop-1.example.com"
MANIFEST = {
    "schema": 1,
    "name": "shop",
    "version": "1.0.0",
    "domain": "example.com",
    "guest": {"address": "192.168.1.10/24", "gateway": "192.168.1.1", "mac": "52:54:00:12:34:56"},
    "ports": [{"protocol": "tcp", "port": 80}],
    "machine": {"type": "pc-i440fx-7.2", "cpu": "qemu64", "vcpus": 1, "memory_mib": 128},
    "boot": None,
    "disks": [{"name": "root", "format": "qcow2", "virtual_size": 1 << 28, "blob": {"sha256": "0" * 64, "size": 4096}}],
    "memory": None,
}
RECORD = {
    "instance": SHOP,
    "service": "shop",
    "domain": "example.com",
    "capsule": "1.0.0",
    "rm": "rm-east-1",
    "epoch": 3,
    "state": "running",
    "in_rotation": True,
    "guest": MANIFEST["guest"],
    "fabric_address": "192.168.1.10",
    "vlan": 100,
    "public_address": "198.18.1.1",
    "ports": MANIFEST["ports"],
    "requirements": {"memory_mib": 128, "accelerator": None},
}
GROUPS = {"vmas": ["gw-east", "gw-west"], "gateways": ["gw-east", "gw-west"], "rms": ["rm-east-1", "rm-west-1", "rm-west-2"]}


def hostvars(east=(), west=(), holders=("rm-east-1",), **changes):
    """The variables of a mesh in which hn-east and hn-west have these records, and these RMs hold the capsule."""
    found = {
        "gw-east": {
            "hn": "hn-east",
            "observe_vma": {
                "records": [dict(record) for record in east],
                "epochs": {SHOP: 3} if east else {},
                "rms": [{"name": "rm-east-1", "accelerator": "tcg"}],
            },
        },
        "gw-west": {"hn": "hn-west", "observe_vma": {"records": [dict(record) for record in west]}},
    }
    for number, rm in enumerate(GROUPS["rms"], start=1):
        capsules = [{"manifest": copy.deepcopy(MANIFEST), "complete": True, "problems": []}] if rm in holders else []
        hn = "hn-" + rm.split("-")[1]
        found[rm] = {"hn": hn, "rm_address": f"10.0.0.{number}", "observe_capsules": {"capsules": capsules}}
    for host, answer in changes.items():
        found[host.replace("_", "-")].update(answer)
    return found


def view(*args, **kwargs):
    return mesh_view(GROUPS, hostvars(*args, **kwargs))


def test_place_names_the_holders_and_the_silent():
    plan = plan_place(view(rm_west_2={"observe_capsules": {"unreachable": True}}), SHOP, "1.0.0", "hn-west")
    assert plan["site"] == {"hn": "hn-west", "vma": "gw-west", "gateway": "gw-west"}
    assert plan["holders"] == ["rm-east-1"]
    assert plan["exclude_rms"] == ["rm-west-2"]
    assert plan["to_rm"] is None
    assert plan["requirements"]["memory_mib"] == 128
    assert plan["peers"]["rm-west-1"] == {"name": "rm-west-1", "address": "10.0.0.2"}


def test_place_again_in_the_same_hn_is_a_plan():
    pinned = {**RECORD, "requirements": {**RECORD["requirements"], "accelerator": "tcg"}}
    assert plan_place(view(east=[pinned]), SHOP, "1.0.0", "hn-east")["requirements"]["accelerator"] == "tcg"
    assert plan_place(view(east=[RECORD]), SHOP, "1.0.0", "hn-east")["requirements"]["accelerator"] is None


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
def test_place_bad_wishes_get_one_sentence(wish, error, sentence):
    with pytest.raises(error) as caught:
        plan_place(view(), **{"instance": SHOP, "capsule": "1.0.0", "to_hn": "hn-east", **wish})
    assert sentence in caught.value.message
    assert caught.value.message.count("\n") == 0


def test_place_asks_for_an_epoch_above_all_that_were_granted_elsewhere():
    west = {"observe_vma": {"records": [], "epochs": {SHOP: 15, "other-1.example.com": 99}}}
    assert plan_place(view(gw_west=west), SHOP, "1.0.0", "hn-east")["epoch_above"] == 15
    assert plan_place(view(gw_west=west), SHOP, "1.0.0", "hn-west")["epoch_above"] == 0
    assert plan_move(view(east=[RECORD], gw_west=west), SHOP, "hn-west")["epoch_above"] == 3


def test_place_elsewhere_is_a_move():
    with pytest.raises(Refused, match="lives in hn-east already .* move it instead"):
        plan_place(view(east=[RECORD]), SHOP, "1.0.0", "hn-west")


def test_place_on_a_silent_rm_is_refused():
    with pytest.raises(Refused, match="The RM rm-east-1 cannot be used: it does not answer"):
        plan_place(view(holders=["rm-west-1"], rm_east_1={"observe_capsules": {"unreachable": True}}), SHOP, "1.0.0", "hn-east", "rm-east-1")


def test_place_with_a_silent_vma_is_refused():
    with pytest.raises(Refused, match="The VMA of hn-east on gw-east cannot be asked: it does not answer"):
        plan_place(view(gw_east={"observe_vma": {"unreachable": True}}), SHOP, "1.0.0", "hn-east")


def test_place_says_what_is_wrong_with_the_only_capsule():
    broken = {"capsules": [{"manifest": MANIFEST, "complete": False, "problems": ["The capsule shop 1.0.0 of example.com lacks the blob 00."]}]}
    with pytest.raises(Refused, match="lacks the blob 00"):
        plan_place(view(holders=[], rm_east_1={"observe_capsules": broken}), SHOP, "1.0.0", "hn-east")


@pytest.mark.parametrize("operation", ["suspend", "resume", "drain", "remove"])
def test_here_finds_the_home(operation):
    plan = plan_here(view(west=[{**RECORD, "rm": "rm-west-1"}]), operation, SHOP)
    assert plan["site"]["hn"] == "hn-west"
    assert plan["record"]["rm"] == "rm-west-1"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"rc": 0, "stdout": ""}, None),
        ({"unreachable": True, "msg": "no route"}, "it does not answer"),
        ({"rc": 127, "failed": True, "msg": "non-zero return code"}, "non-zero return code"),
    ],
)
def test_here_an_rm_only_has_to_answer(answer, why):
    variables = hostvars(east=[RECORD])
    for rm in GROUPS["rms"]:
        del variables[rm]["observe_capsules"]
        variables[rm]["observe_answer"] = answer if rm == "rm-east-1" else {"unreachable": True}
    if why is None:
        assert plan_here(mesh_view(GROUPS, variables), "suspend", SHOP)["record"]["rm"] == "rm-east-1"
    else:
        with pytest.raises(Refused, match=f"The RM rm-east-1 cannot be used: {why}"):
            plan_here(mesh_view(GROUPS, variables), "suspend", SHOP)


def test_here_unknown_instance():
    with pytest.raises(NotFound, match="No HN knows the instance blog-1.example.com; known are: shop-1.example.com"):
        plan_here(view(east=[RECORD]), "suspend", "blog-1.example.com")
    assert plan_here(view(), "remove", SHOP)["record"] is None


def test_nobody_knows_only_when_everybody_was_asked():
    with pytest.raises(Refused, match="The VMA of hn-west on gw-west cannot be asked"):
        plan_here(view(gw_west={"observe_vma": {"unreachable": True}}), "remove", SHOP)


def test_here_refuses_what_is_on_its_way():
    with pytest.raises(Refused, match="on its way between hn-east and hn-west"):
        plan_here(view(east=[RECORD], west=[RECORD]), "remove", SHOP)


def test_move_from_running():
    plan = plan_move(view(east=[RECORD]), SHOP, "hn-west")
    assert (plan["source"]["hn"], plan["target"]["hn"], plan["final_state"], plan["done"]) == ("hn-east", "hn-west", "running", False)
    assert plan["requirements"]["accelerator"] == "tcg", "a memory image is pinned to what it was made with"


def test_move_of_a_suspended_instance_leaves_it_suspended():
    assert plan_move(view(east=[{**RECORD, "state": "suspended"}]), SHOP, "hn-west")["final_state"] == "suspended"


def test_move_done_already():
    plan = plan_move(view(west=[RECORD]), SHOP, "hn-west")
    assert plan["done"] is True


@pytest.mark.parametrize(("coming", "final"), [("running", "running"), ("suspended", "suspended"), ("reserved", "running")])
def test_move_cut_off_is_taken_up(coming, final):
    plan = plan_move(view(east=[{**RECORD, "state": "leaving"}], west=[{**RECORD, "state": coming, "rm": "rm-west-1"}]), SHOP, "hn-west")
    assert plan["done"] is False
    assert plan["source"]["hn"] == "hn-east"
    assert plan["final_state"] == final


@pytest.mark.parametrize(
    ("east", "wish", "sentence"),
    [
        ([RECORD], {"to_hn": "hn-north"}, "There is no HN hn-north"),
        ([RECORD], {"instance": "blog-1.example.com"}, "No HN knows the instance blog-1.example.com"),
        ([RECORD], {"to_rm": "rm-east-1"}, "The RM rm-east-1 stands in hn-east, not in hn-west."),
        ([{**RECORD, "state": "stopped"}], {}, "is stopped in hn-east"),
        ([{**RECORD, "state": "reserved"}], {}, "is reserved in hn-east"),
    ],
)
def test_move_bad_wishes_get_one_sentence(east, wish, sentence):
    with pytest.raises(MeshError, match=sentence):
        plan_move(view(east=east), **{"instance": SHOP, "to_hn": "hn-west", **wish})


def test_planning_changes_nothing_it_was_given():
    before = hostvars(east=[RECORD])
    given = copy.deepcopy(before)
    plan_move(mesh_view(GROUPS, given), SHOP, "hn-west")
    assert given == before


def test_an_instance_is_the_same_in_the_intranet_wherever_it_is_placed():
    vpn = {"gateway": {}, "pool": ["172.21.162.9", "172.21.162.16/30"], "backends": [], "inbound": [], "credentials": {"sha256": "1" * 64, "size": 5}}
    for to_hn in ("hn-east", "hn-west"):
        variables = hostvars()
        assert plan_place(mesh_view(GROUPS, variables), SHOP, "1.0.0", to_hn)["intranet_address"] is None
        for rm in GROUPS["rms"]:
            for held in variables[rm]["observe_capsules"]["capsules"]:
                held["manifest"]["vpn"] = vpn
        view = mesh_view(GROUPS, variables)
        assert plan_place(view, SHOP, "1.0.0", to_hn)["intranet_address"] == "172.21.162.9"
        assert plan_place(view, "shop-5.example.com", "1.0.0", to_hn)["intranet_address"] == "172.21.162.19"
        with pytest.raises(InvalidInput, match="has intranet addresses for 5 instances, so there is none for instance 6"):
            plan_place(view, "shop-6.example.com", "1.0.0", to_hn)
