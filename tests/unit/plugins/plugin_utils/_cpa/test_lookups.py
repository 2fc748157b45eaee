# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the planners look up in the mesh, and the one sentence that is said when it is not there."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.lookups import one_of, plan_move
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.mesh import looked, offer, silent, told

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
    "moves_to": None,
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
            **looked(
                "look",
                {
                    "records": [dict(record) for record in east],
                    "epochs": {SHOP: 3} if east else {},
                    "rms": [offer("rm-east-1")],
                    "capsules": told({"rm-east-1": [MANIFEST]} if "rm-east-1" in holders else {}),
                },
            ),
        },
        "gw-west": {"hn": "hn-west", **looked("look", {"records": [dict(record) for record in west]})},
    }
    for number, rm in enumerate(GROUPS["rms"], start=1):
        capsules = [{"manifest": copy.deepcopy(MANIFEST), "complete": True, "problems": []}] if rm in holders else []
        hn = "hn-" + rm.split("-")[1]
        found[rm] = {"hn": hn, "rm_address": f"10.0.0.{number}", **looked("capsules", {"capsules": capsules})}
    for host, answer in changes.items():
        found[host.replace("_", "-")].update(answer)
    return found


def view(*args, **kwargs):
    return mesh_view(GROUPS, hostvars(*args, **kwargs), GROUPS["rms"])


def test_an_instance_is_found_where_it_lives():
    record, site = one_of(view(west=[{**RECORD, "rm": "rm-west-1"}]), SHOP)
    assert (site.name, record["rm"]) == ("hn-west", "rm-west-1")


def test_what_no_hn_knows_is_said():
    with pytest.raises(NotFound, match="No HN knows the instance blog-1.example.com; known are: shop-1.example.com."):
        one_of(view(east=[RECORD]), "blog-1.example.com")
    with pytest.raises(NotFound, match="No HN knows the instance shop-1.example.com; known are: none."):
        one_of(view(), SHOP)
    with pytest.raises(InvalidInput, match="'shop' is not an instance: it must look like 'shop-1.example.com'"):
        one_of(view(), "shop")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (silent(), "it does not answer"),
        ({"observe_look": None}, "it does not answer"),
        ({"observe_look": {"failed": True, "msg": "The registry is not set up.", "answers": {}}}, "The registry is not set up"),
        ({"observe_look": {"failed": True, "answers": {"look": {"failed": True, "unreachable": False}}}}, "it gave no answer"),
    ],
)
def test_nobody_knows_only_when_everybody_was_asked(answer, why):
    with pytest.raises(Refused, match=f"The VMA of hn-west on gw-west cannot be asked: {why}."):
        one_of(view(gw_west=answer), SHOP)
    assert one_of(view(east=[RECORD], gw_west=answer), SHOP)[1].name == "hn-east", "what is found needs no other answer"


def test_what_is_on_its_way_is_refused():
    with pytest.raises(Refused, match="shop-1.example.com is on its way between hn-east and hn-west; finish the move first by running it again."):
        one_of(view(east=[RECORD], west=[RECORD]), SHOP)


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


def test_a_move_has_an_epoch_above_all_that_were_granted():
    west = looked("look", {"records": [], "epochs": {SHOP: 15}})
    assert plan_move(view(east=[RECORD], gw_west=west), SHOP, "hn-west")["epoch_above"] == 3, "the VMA of the HN knows its own"


@pytest.mark.parametrize("host", ["gw_east", "gw_west"])
def test_nothing_moves_while_a_vma_does_not_answer(host):
    with pytest.raises(Refused, match=f"The VMA of hn-{host[3:]} on gw-{host[3:]} cannot be asked"):
        plan_move(view(east=[RECORD], west=[{**RECORD, "state": "reserved"}], **{host: silent()}), SHOP, "hn-west")


def test_planning_changes_nothing_it_was_given():
    before = hostvars(east=[RECORD])
    given = copy.deepcopy(before)
    plan_move(mesh_view(GROUPS, given, GROUPS["rms"]), SHOP, "hn-west")
    assert given == before
