# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planning to move a cluster as one."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.cluster import plan_move_cluster
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import move as moves
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import test_clone as clones
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.mesh import NAMES
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


def steps(*arguments, host="ns-1"):
    """Return the steps of the whole plan by their ids."""
    seen = mesh(*arguments)
    made = moves.plan(seen, parts.Naming(seen, {**NAMES, "host": host}), CLUSTER, "best", "hn-west", None, None, 30)
    return {step.id: step for stage in (*made.stages, *made.take_back) for step in stage.steps}


def told(step):
    return [{key: each.get(key) for key in ("instance", "state", "in_rotation")} for each in step.arguments["instances"]]


def test_all_move_from_one_hn_to_another():
    moving = plan()
    assert (moving["operation"], moving["way"], moving["instances"], moving["done"]) == ("move", "cluster", CLUSTER, False)
    assert [each["instance"] for each in moving["moves"]] == CLUSTER
    assert [(each["source"]["hn"], each["target"]["hn"], each["final_state"]) for each in moving["moves"]] == [("hn-east", "hn-west", "running")] * 2


def test_all_is_asked_and_told_at_once():
    made = steps()
    asked = made["reserve"].arguments["instances"]
    assert [each["instance"] for each in asked] == CLUSTER and all(each["reservation"]["own_address"] for each in asked)
    assert asked[0]["reservation"]["requirements"] == {"memory_mib": 128, "accelerator": "tcg"}
    running, leaving = {"state": "running", "in_rotation": True}, {"state": "leaving", "in_rotation": False}
    assert told(made["coming"]) == [{"instance": name, **running} for name in CLUSTER]
    assert told(made["leaving"]) == [{"instance": name, **leaving} for name in CLUSTER]
    assert [each["forward_to"] for each in made["leaving"].arguments["instances"]] == [Answer("reserve", ("records", n, "public_address")) for n in (0, 1)]
    assert told(made["stay_early"]) == told(made["coming"])
    assert told(made["stay"]) == [{"instance": name, "state": "running", "in_rotation": False} for name in CLUSTER]
    assert [each["in_rotation"] for each in made["enter"].arguments["instances"]] == [True, True]
    assert [each["epoch_above"] for each in made["stay"].arguments["instances"]] == [Answer("coming", ("records", n, "epoch")) for n in (0, 1)]
    gone = [{"instance": name, "state": "absent"} for name in CLUSTER]
    assert made["release"].arguments["instances"] == [made[f"give_back.{name}"].arguments["instances"][0] for name in CLUSTER] == gone
    assert made["close"].arguments["instances"] == [{"instance": name, "operation_done": True} for name in CLUSTER]
    assert [made[f"bring.{name}"].device for name in CLUSTER] == ["rm-east-1"] * 2
    assert [each["hn"] for service in ("shop", "db") for each in made[f"follow.{service}"].arguments["leaves"]] == ["hn-east"] * 2
    assert not [name for name in made if name.startswith(("elsewhere", "tunnel", "wrapping"))]


def test_tunnels_come_from_the_sources_gateway():
    made = steps([shop(intranet_address="172.21.162.9"), db()])
    assert (made["wrapping_key"].device, made["tunnel.shop"].device, "tunnel.db" in made) == ("gw-west", "gw-east", False)
    assert made["network"].arguments["tunnels"] == [Answer("tunnel.shop", ("tunnel",))]


def test_callers_go_where_a_service_is_served_besides():
    other = clones.shop(2, **COMMON, public_address="198.18.2.1", fabric_address="192.168.1.12")
    made = steps([shop(), db()], [other])
    assert [each["hn"] for each in made["elsewhere.shop"].arguments["leaves"]] == ["hn-east"] and "elsewhere.db" not in made
    (east,) = made["name_again.shop"].arguments["publish"]
    assert (east["hn"], east["addresses"]) == ("hn-east", ["198.18.1.1"])


def test_a_suspended_cluster_stays_out_of_rotation():
    rest = {"state": "suspended", "in_rotation": False}
    made = steps([shop(**rest), db(**rest)])
    assert told(made["coming"]) == told(made["stay"]) == [{"instance": name, **rest} for name in CLUSTER]
    assert [each["in_rotation"] for each in made["enter"].arguments["instances"]] == [False, False]
    assert [each["forward_to"] for each in made["leaving"].arguments["instances"]] == [None, None]
    assert not [name for name in made if name.startswith(("follow", "rehearse.shop", "name_again"))], "nobody is sent to what rests"


def test_a_move_that_was_cut_off_is_taken_up():
    here = [shop(epoch=2), db(epoch=2)]
    assert plan([], here) == {"operation": "move", "way": "cluster", "instances": CLUSTER, "done": True}
    half = plan([db(state="leaving", in_rotation=False)], here)
    assert [each["instance"] for each in half["moves"]] == CLUSTER[1:] and half["moves"][0]["final_state"] == "running"
    made = steps([db(state="leaving", in_rotation=False)], here)
    assert made["close"].arguments["instances"] == [{"instance": name, "operation_done": True} for name in CLUSTER], "of all that move together"


@pytest.mark.parametrize("host", ["gw-east", "gw-west"])
def test_no_cluster_moves_while_a_vma_does_not_answer(host):
    with pytest.raises(Refused, match=f"The VMA of hn-{host[3:]} on {host} cannot be asked: it does not answer."):
        plan(silent=[host])


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


def test_a_cluster_cannot_say_one_public_address():
    seen = mesh()
    with pytest.raises(Refused, match="The services of a cluster get their public addresses by themselves; leave move_public_address out."):
        moves.plan(seen, parts.Naming(seen, {}), CLUSTER, "best", "hn-west", None, "198.18.2.9", 30)


def test_each_side_of_the_cutover_is_one_step_for_each_instance():
    made = steps()
    acts = [step for step in made.values() if step.id.startswith(("cut_over.source", "cut_over.target"))]
    sides = {step.id: (step.device, step.arguments["side"], step.arguments["timeout"]) for step in acts}
    rms = [Answer("coming", ("records", number, "rm")) for number in (0, 1)]
    assert sides == {
        "cut_over.source.shop-1.example.com": ("rm-east-1", "source", 30),
        "cut_over.source.db-1.example.com": ("rm-east-2", "source", 30),
        "cut_over.target.shop-1.example.com": (rms[0], "target", 30),
        "cut_over.target.db-1.example.com": (rms[1], "target", 30),
    }
    (order,) = made["cut_over.source.db-1.example.com"].arguments["instances"]
    assert (order["name"], order["epoch"], order["peer"].rm) == (CLUSTER[1], Answer("coming", ("records", 1, "epoch")), rms[1])
    for number, (name, rm) in enumerate(zip(CLUSTER, ("rm-east-1", "rm-east-2"))):
        retire = made[f"retire.{name}"]
        epoch = Answer("coming", ("records", number, "epoch"))
        assert (retire.device, retire.arguments["instances"]) == (rm, [{"name": name, "state": "absent", "epoch": epoch}])
