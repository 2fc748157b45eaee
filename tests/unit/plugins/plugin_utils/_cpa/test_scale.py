# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Planning how many instances of a service run, or wait."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.scale import plan_scale, plan_standby
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.mesh import looked

GUEST = {"address": "192.168.1.10/24", "gateway": "192.168.1.1", "mac": "52:54:00:12:34:56"}
COLD = {
    "schema": 1,
    "name": "shop",
    "version": "1.0.0",
    "domain": "example.com",
    "guest": GUEST,
    "ports": [{"protocol": "tcp", "port": 80}],
    "machine": {"type": "pc-i440fx-7.2", "cpu": "qemu64", "vcpus": 1, "memory_mib": 128},
    "boot": None,
    "disks": [{"name": "root", "format": "qcow2", "virtual_size": 1 << 28, "blob": {"sha256": "0" * 64, "size": 4096}}],
    "memory": None,
}
BLOB = {"sha256": "1" * 64, "size": 4096}
WARM = {**COLD, "version": "warm", "disks": [{**COLD["disks"][0], "overlay": BLOB}], "memory": {"accelerator": "tcg", "blob": BLOB}}
GROUPS = {"vmas": ["gw-east", "gw-west"], "gateways": ["gw-east", "gw-west"], "rms": ["rm-east-1", "rm-east-2", "rm-west-1"]}


def record(ordinal, state="running", rm="rm-east-1", **changes):
    """Return the surroundings record of the shop's instance with this ordinal, in rotation if it runs."""
    return {
        "instance": f"shop-{ordinal}.example.com",
        "service": "shop",
        "domain": "example.com",
        "capsule": "warm",
        "rm": rm,
        "epoch": ordinal,
        "state": state,
        "in_rotation": state == "running",
        "vlan": 100,
        "public_address": "198.18.1.1",
        "ports": COLD["ports"],
        **changes,
    }


def view(east=(), west=(), silent=(), epochs=None, capsules=(COLD, WARM)):
    """The mesh as it is observed; rm-east-1 holds the capsules."""
    hostvars = {
        "gw-east": {"hn": "hn-east", **looked("look", {"records": list(east)})},
        "gw-west": {"hn": "hn-west", **looked("look", {"records": list(west), "epochs": epochs or {}})},
    }
    for rm in GROUPS["rms"]:
        held = [{"manifest": copy.deepcopy(each), "complete": True, "problems": []} for each in capsules] if rm == "rm-east-1" else []
        hostvars[rm] = {"hn": "hn-" + rm.split("-")[1], "rm_address": "10.0.0.1", **looked("capsules", {"capsules": held})}
    for host in silent:
        hostvars[host].update(mesh.silent())
    return mesh_view(GROUPS, hostvars, GROUPS["rms"])


def scale(seen, count, capsule="warm", **more):
    return plan_scale(seen, "shop", "example.com", "hn-east", count, capsule, **more)


def short(names):
    return [name.split(".")[0] for name in names]


def running(plan):
    return sorted(short(name for name, state in plan["states"].items() if state == "running"))


def test_suspended_ones_are_resumed_before_new_ones_are_made_and_names_are_free_in_the_whole_mesh():
    east = [record(1), record(3, "suspended"), record(5, "suspended")]
    plan = scale(view(east, [record(2)], epochs={"shop-4.example.com": 7}), 4)
    assert short(plan["starts"]) == ["shop-3", "shop-5", "shop-4"] and short(plan["fresh"]) == ["shop-4"]
    assert running(plan) == ["shop-1", "shop-3", "shop-4", "shop-5"] and plan["rest"] == []
    [asked] = plan["reserve"]
    assert asked["reservation"]["epoch_above"] == 7 and asked["reservation"]["capsule"] == "warm"
    assert asked["reservation"]["requirements"]["accelerator"] == "tcg"
    assert short(each["instance"] for each in plan["tell"] if each["in_rotation"]) == ["shop-1", "shop-3", "shop-5", "shop-4"]
    assert {name.split(".")[0]: state for name, state in plan["unstates"].items()} == {"shop-3": "suspended", "shop-5": "suspended", "shop-4": "absent"}
    assert {each["instance"].split(".")[0]: each["state"] for each in plan["undo"]} == {"shop-3": "suspended", "shop-5": "suspended", "shop-4": "absent"}


@pytest.mark.parametrize(("surplus", "told", "closed"), [("suspended", "suspended", {"operation_done": True}), ("absent", "leaving", {"state": "absent"})])
def test_the_highest_ordinals_go_first(surplus, told, closed):
    plan = scale(view([record(10), record(2), record(1), record(3, "suspended")]), 1, surplus=surplus)
    assert plan["starts"] == [] and running(plan) == ["shop-1"] and short(plan["rest"]) == ["shop-2", "shop-10", "shop-3"]
    assert [(each["state"], each["in_rotation"]) for each in plan["tell"][1:]] == [(told, False)] * 3
    assert {state for name, state in plan["states"].items() if name != "shop-1.example.com"} == {surplus}
    assert plan["close"] == [{"instance": name, **closed} for name in plan["rest"]]
    (shop,) = plan["services"]
    assert (shop["service"], shop["arrives"]) == ("shop", []) and shop["leaves"] == [{"hn": "hn-east", "instance": name} for name in plan["rest"]]
    assert [record["public_address"] for record in shop["serves"]] == ["198.18.1.1"]
    assert plan["undo"][0] == {"instance": "shop-2.example.com", "state": "running", "in_rotation": True, "operation_done": True}


def test_a_second_run_orders_the_same_and_starts_nothing():
    plan = scale(view([record(1), record(2), record(3, "suspended")]), 2, capsule=None)
    assert (plan["starts"], plan["reserve"], running(plan)) == ([], [], ["shop-1", "shop-2"]) and plan["states"]["shop-3.example.com"] == "suspended"


def test_what_was_cut_off_is_taken_up():
    plan = scale(view([record(1), record(2, "reserved"), record(3, "leaving"), record(4, "suspended")]), 2)
    assert short(plan["starts"]) == ["shop-2"] and plan["fresh"] == [] and plan["unstates"] == {"shop-2.example.com": "absent"}
    assert short(plan["rest"]) == ["shop-4", "shop-3"]


def test_what_lies_on_a_silent_rm_does_not_count_and_nothing_is_put_there():
    plan = scale(view([record(1), record(2, rm="rm-east-2")], silent=["rm-east-2"]), 2)
    assert short(plan["fresh"]) == ["shop-3"] and "shop-2.example.com" not in plan["states"]
    assert plan["reserve"][0]["reservation"]["exclude_rms"] == ["rm-east-2"]


def test_a_tunnel_comes_to_an_hn_with_another_operation():
    vpn = {"pool": ["172.21.162.9", "172.21.162.16/30"]}
    tunneled = [{**COLD, "vpn": vpn}, {**WARM, "vpn": vpn}]
    seen = view([record(1, intranet_address="172.21.162.9")], capsules=tunneled)
    assert scale(seen, 2)["reserve"][0]["reservation"]["intranet_address"] == "172.21.162.16"
    for plan in (plan_scale, plan_standby):
        with pytest.raises(Refused, match="shop of example.com has a tunnel, and no instance in hn-west: its first one comes there by place, move or clone"):
            plan(seen, "shop", "example.com", "hn-west", 1, "warm")


def test_new_names_are_free_only_when_every_vma_was_asked():
    seen = view([record(1), record(2, "suspended")], silent=["gw-west"])
    sentence = "The VMA of hn-west on gw-west cannot be asked: it does not answer."
    for plan, count in ((plan_scale, 3), (plan_standby, 2)):
        with pytest.raises(Refused, match=sentence):
            plan(seen, "shop", "example.com", "hn-east", count, "warm")
    assert running(scale(seen, 2)) == ["shop-1", "shop-2"], "what is there has its name already"
    with pytest.raises(Refused, match="The VMA of hn-east on gw-east cannot be asked"):
        scale(view([record(1)], silent=["gw-east"]), 1)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"count": 61}, InvalidInput, "A service can have 0 to 60 instances in rotation in one HN, not 61."),
        ({"count": -1}, InvalidInput, "A service can have 0 to 60 instances in rotation in one HN, not -1."),
        ({"count": 3, "capsule": None}, InvalidInput, "hn-east has 1 of 3 instances of shop of example.com: say from which capsule the others are to be made."),
        ({"count": 3, "capsule": "none"}, NotFound, "No RM that answers holds the capsule shop none of example.com"),
        ({"service": "../x"}, InvalidInput, "'../x' is not a name for a service"),
        ({"to_hn": "hn-north"}, NotFound, "There is no HN hn-north; known are: hn-east, hn-west."),
        ({"surplus": "stopped"}, InvalidInput, "What is beyond the number can become suspended or absent, not 'stopped'."),
    ],
)
def test_invalid_wishes(arguments, error, sentence):
    wish = {"service": "shop", "domain": "example.com", "to_hn": "hn-east", "count": 1, "capsule": "warm", **arguments}
    with pytest.raises(error) as caught:
        plan_scale(view([record(1)]), **wish)
    assert sentence in caught.value.message


def test_standbys_are_made_from_memory_and_those_beyond_the_number_go():
    seen = view([record(1), record(2, "suspended"), record(3, "suspended")])
    plan = plan_standby(seen, "shop", "example.com", "hn-east", 4, "warm")
    assert plan["waiting"] == [f"shop-{ordinal}.example.com" for ordinal in (2, 3, 4, 5)] and plan["rest"] == []
    assert plan["states"] == {"shop-4.example.com": "suspended", "shop-5.example.com": "suspended"}
    assert {each["state"] for each in plan["tell"]} == {"reserved"} and {each["state"] for each in plan["close"]} == {"suspended"}
    fewer = plan_standby(seen, "shop", "example.com", "hn-east", 1)
    assert (fewer["waiting"], fewer["states"]) == (["shop-2.example.com"], {"shop-3.example.com": "absent"})
    assert plan_standby(seen, "shop", "example.com", "hn-east", 2)["states"] == {}


def test_standbys_that_were_begun_are_taken_up():
    seen = view([record(1), record(7, "reserved")])
    east = seen.sites["hn-east"]._replace(unfinished={"shop-7.example.com": "standby"})
    plan = plan_standby(seen._replace(sites={**seen.sites, "hn-east": east}), "shop", "example.com", "hn-east", 2, "warm")
    assert plan["waiting"] == ["shop-7.example.com", "shop-2.example.com"]


def test_what_cannot_wait_is_said():
    with pytest.raises(Refused, match="holds no memory, so nothing can wait suspended"):
        plan_standby(view([record(1)]), "shop", "example.com", "hn-east", 1, "1.0.0")
    with pytest.raises(InvalidInput, match="hn-east has 0 of 1 standbys of shop of example.com: say from which capsule"):
        plan_standby(view([record(1)]), "shop", "example.com", "hn-east", 1)
    with pytest.raises(InvalidInput, match="0 to 60 standbys"):
        plan_standby(view(), "shop", "example.com", "hn-east", -1)
