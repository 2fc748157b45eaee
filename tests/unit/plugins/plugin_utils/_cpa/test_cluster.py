# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning to move a cluster as one."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.cluster import move_orders, plan_move_cluster
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import test_clone as clones
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_scale import COLD, GUEST, view

CLUSTER = clones.CLUSTER
COMMON = {"capsule": "1.0.0", "balance": {}, "requirements": {"memory_mib": 128, "accelerator": None}}


def shop(**changes):
    return clones.shop(**COMMON, **changes)


def db(**changes):
    return clones.db(**{**COMMON, "rm": "rm-east-2", **changes})


def mesh(east=None, west=(), silent=()):
    capsules = [COLD, {**COLD, "name": "db", "guest": clones.DB_GUEST}]
    seen = view([shop(), db()] if east is None else east, west, silent, capsules=capsules)
    runs = dict.fromkeys(("rm-east-1", "rm-east-2", "rm-west-1"), "tcg")
    return seen._replace(sites={name: site._replace(accelerators=runs) for name, site in seen.sites.items()})


def plan(*arguments, **more):
    return plan_move_cluster(mesh(*arguments, **more), CLUSTER, "hn-west")


def test_all_is_asked_and_told_at_once():
    moving = plan()
    assert not moving["done"] and (moving["source"]["hn"], moving["target"]["hn"], moving["final_state"]) == ("hn-east", "hn-west", "running")
    assert [each["instance"] for each in moving["reserve"]] == CLUSTER and all(each["reservation"]["own_address"] for each in moving["reserve"])
    assert moving["reserve"][0]["reservation"]["requirements"] == {"memory_mib": 128, "accelerator": "tcg"}
    assert [(each["state"], each["in_rotation"]) for each in moving["coming"]] == [("running", True)] * 2
    assert [(each["state"], each["in_rotation"], each["operation_done"]) for each in moving["stays"]] == [("running", True, True)] * 2
    assert moving["gone"] == [{"instance": name, "state": "absent"} for name in CLUSTER]
    assert moving["capsules"] == [{"service": service, "version": "1.0.0", "holders": ["rm-east-1"]} for service in ("shop", "db")]
    assert [(each["service"], each["leaves"], each["elsewhere"]) for each in moving["services"]] == [
        (service, [{"hn": "hn-east", "instance": name}], False) for service, name in (("shop", CLUSTER[0]), ("db", CLUSTER[1]))
    ]
    assert moving["tunnels"] == [] and plan([shop(intranet_address="172.21.162.9"), db()])["tunnels"] == ["shop"]


def test_a_suspended_cluster_stays_out_of_rotation():
    rest = {"state": "suspended", "in_rotation": False}
    moving = plan([shop(**rest), db(**rest)])
    assert [(each["state"], each["in_rotation"]) for each in moving["coming"]] == [("suspended", False)] * 2
    assert [each["serves"] for each in moving["services"]] == [[], []]


def test_a_move_that_was_cut_off_is_taken_up():
    here = [shop(epoch=2), db(epoch=2)]
    assert plan([], here) == {"operation": "move", "way": "cluster", "domain": "example.com", "instances": CLUSTER, "done": True, "target": plan()["target"]}
    half = plan([db(state="leaving", in_rotation=False)], here)
    assert [each["instance"] for each in half["moves"]] == CLUSTER[1:] and half["final_state"] == "running"
    assert [each["instance"] for each in half["close"]] == CLUSTER


@pytest.mark.parametrize(
    ("east", "west", "error", "sentence"),
    [
        ([shop()], [], NotFound, "No HN knows the instance db-1.example.com"),
        ([shop(), db(state="suspended", in_rotation=False)], [], Refused, "shop-1.example.com is to be running and db-1.example.com suspended: a cluster"),
        ([shop(), db(guest=GUEST)], [], Refused, "cannot be a cluster: both have the address 192.168.1.10"),
        (
            [shop(), db()],
            [clones.STRANGER],
            Refused,
            "The rest of its cluster would look for shop-1.example.com at 192.168.1.10, but in hn-west mail-9.example.com goes by that address.",
        ),
        (
            [shop(), db()],
            [shop(state="reserved", in_rotation=False, fabric_address="192.168.1.254")],
            Refused,
            "shop-1.example.com goes by 192.168.1.254 in hn-west, so the rest of its cluster would not find it at 192.168.1.10.",
        ),
    ],
)
def test_what_cannot_move_as_one(east, west, error, sentence):
    with pytest.raises(error) as caught:
        plan(east, west)
    assert sentence in caught.value.message


def test_instances_of_several_owners_are_no_cluster():
    with pytest.raises(InvalidInput, match="shop-1.example.com and db-1.example.org cannot be a cluster: they are not of one domain"):
        plan_move_cluster(mesh(), [CLUSTER[0], "db-1.example.org"], "hn-west")


@pytest.mark.parametrize("strategy", ["live", "clone_first"])
def test_a_cluster_moves_so_that_it_can_be_had_back(strategy):
    with pytest.raises(Refused, match=f"A cluster cannot move with strategy={strategy}, for all of it must be had back"):
        plan_move_cluster(mesh(), CLUSTER, "hn-west", strategy=strategy)
    with pytest.raises(InvalidInput, match="Say in which HN the cluster shall live"):
        plan_move_cluster(mesh(), CLUSTER)


def test_each_rm_gets_its_part_of_the_cutover_in_one():
    moving = plan()
    coming = [{**shop(), "rm": "rm-west-1", "epoch": 7}, {**db(), "rm": "rm-west-1", "epoch": 9}]
    orders = move_orders(moving, coming, 30.0)
    parts = {rm: part["cutovers"] for rm, part in orders["cutovers"].items()}
    assert {rm: (part["side"], part["timeout"], [each["name"] for each in part["instances"]]) for rm, part in parts.items()} == {
        "rm-east-1": ("source", 30.0, CLUSTER[:1]),
        "rm-east-2": ("source", 30.0, CLUSTER[1:]),
        "rm-west-1": ("target", 30.0, CLUSTER),
    }
    assert parts["rm-east-2"]["instances"] == [{"name": CLUSTER[1], "epoch": 9, "peer": {"name": "rm-west-1", "address": "10.0.0.1"}}]
    assert parts["rm-west-1"]["instances"][0] == {"name": CLUSTER[0], "epoch": 7, "state": "running", "vlan": 100, "record": coming[0]}
    assert orders["removals"] == {
        "rm-east-1": [{"name": CLUSTER[0], "epoch": 7, "state": "absent"}],
        "rm-east-2": [{"name": CLUSTER[1], "epoch": 9, "state": "absent"}],
    }
    assert [(each["instance"], each["state"], each["in_rotation"], each["operation"], each["forward_to"]) for each in orders["leaving"]] == [
        (CLUSTER[0], "leaving", False, "move", "198.18.1.1"),
        (CLUSTER[1], "leaving", False, "move", "198.18.1.2"),
    ]
    assert [(each["instance"], each["state"], each["epoch_above"]) for each in orders["again"]] == [(CLUSTER[0], "running", 7), (CLUSTER[1], "running", 9)]
