# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Planning clones, of one instance and of a cluster."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.clone import plan_clone
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_scale import COLD, GUEST, WARM, record, short, view

DB_GUEST = {**GUEST, "address": "192.168.1.40/24", "mac": "52:54:00:12:34:57"}
DB = {**WARM, "name": "db", "guest": DB_GUEST}
CLUSTER = ["shop-1.example.com", "db-1.example.com"]
COPIES = ["shop-2.example.com", "db-2.example.com"]


def shop(ordinal=1, **changes):
    return {**record(ordinal), "guest": GUEST, "fabric_address": "192.168.1.10", **changes}


def db(ordinal=1, **changes):
    names = {"instance": f"db-{ordinal}.example.com", "service": "db", "public_address": "198.18.1.2"}
    return {**shop(ordinal), **names, "guest": DB_GUEST, "fabric_address": "192.168.1.40", **changes}


def seen(west=(), east=None, capsules=(COLD, WARM, DB)):
    return view([shop(), db(rm="rm-east-2")] if east is None else east, west, capsules=capsules)


def clone(mesh, *clones, capsule="warm", **more):
    return plan_clone(mesh, ["shop-1.example.com"], clones, capsule, **more)


def running(plan):
    return sorted(short(name for name, state in plan["states"].items() if state == "running"))


def of_capsules(plan):
    return [(each["service"], each["version"], each["holders"]) for each in plan["capsules"]]


def test_clones_that_are_there_are_left_alone_and_others_made():
    plan = clone(view([shop(), record(2)]), "shop-2.example.com", "shop-4.example.com")
    assert short(plan["starts"]) == short(plan["fresh"]) == ["shop-4"] and running(plan) == ["shop-2", "shop-4"] and plan["rest"] == []
    assert [asked["reservation"]["own_address"] for asked in plan["reserve"]] == [False]
    elsewhere = clone(view([shop()]), "shop-2.example.com", to_hn="hn-west")
    assert elsewhere["site"]["hn"] == "hn-west" and of_capsules(elsewhere) == [("shop", "warm", ["rm-east-1"])]
    assert elsewhere["tunnels"] == []


def test_what_a_tunnel_needs_comes_from_where_the_service_runs():
    pool = ["172.21.162.9", "172.21.162.16/30"]
    mesh = view([shop(intranet_address="172.21.162.9")], capsules=[{**WARM, "vpn": {"pool": pool}}])
    there, here = clone(mesh, "shop-2.example.com", to_hn="hn-west"), clone(mesh, "shop-2.example.com")
    assert there["tunnels"] == [{"service": "shop", "gateway": "gw-east"}] and here["tunnels"] == []
    assert there["reserve"][0]["reservation"]["intranet_address"] == "172.21.162.16"


@pytest.mark.parametrize(
    ("clones", "error", "sentence"),
    [
        ([], InvalidInput, "Say the names of the clones, each once, such as 'shop-2.example.com'."),
        (["shop-2.example.com"] * 2, InvalidInput, "Say the names of the clones, each once, such as 'shop-2.example.com'."),
        (["shop-1.example.com"], InvalidInput, "shop-1.example.com cannot be a clone of shop-1.example.com: it must be another instance of shop"),
        (["mail-2.example.com"], InvalidInput, "it must be another instance of shop of example.com."),
        (["shop-7.example.com"], Refused, "shop-7.example.com lives in hn-west already (state running)."),
        (["shop-8.example.com"], Refused, "shop-8.example.com is here already, made from the capsule 1.0.0, not warm."),
    ],
)
def test_clones_that_cannot_be(clones, error, sentence):
    mesh = view([shop(), record(8, capsule="1.0.0")], [record(7)])
    # Whether or not there is still something to publish.
    for capsule in ("warm", "warmer"):
        with pytest.raises(error) as caught:
            clone(mesh, *clones, capsule=capsule)
        assert sentence.replace("warm", capsule) in caught.value.message


@pytest.mark.parametrize("to_hn", ["hn-east", "hn-west", None])
@pytest.mark.parametrize("host", ["gw-east", "gw-west"])
def test_nothing_is_cloned_while_a_vma_does_not_answer(host, to_hn):
    # A second life of what runs behind it would have the same name.
    with pytest.raises(Refused, match=f"The VMA of hn-{host[3:]} on {host} cannot be asked: it does not answer."):
        clone(view([shop()], silent=[host]), "shop-2.example.com", to_hn=to_hn)


def test_what_is_cloned_is_on_an_rm_that_answers():
    with pytest.raises(Refused, match="The RM rm-east-2 cannot be used: it does not answer."):
        clone(view([shop(rm="rm-east-2")], silent=["rm-east-2"]), "shop-2.example.com")


def publish(mesh, capsule, instances=("shop-1.example.com",), clones=("shop-2.example.com",), to_hn=None):
    return plan_clone(mesh, instances, clones, capsule, to_hn)["publish"]


def test_an_instance_is_published_once():
    mesh = view([shop()])
    assert publish(mesh, "warmer") == [{"instance": "shop-1.example.com", "service": "shop", "version": "warmer", "rm": "rm-east-1"}]
    assert publish(mesh, "warm") == []
    with pytest.raises(Refused, match="holds no memory; give what shop-1.example.com is now another version"):
        publish(mesh, "1.0.0")
    with pytest.raises(Refused, match="is stopped: only a running or suspended instance has a memory to clone"):
        publish(view([shop(state="stopped")]), "warmer")


def test_what_is_still_to_be_published_is_planned_with_like_what_is_held():
    made, held = clone(view([shop()]), "shop-2.example.com", capsule="warmer"), clone(view([shop()]), "shop-2.example.com")
    (asked,), (known,) = made["reserve"], held["reserve"]
    assert asked["reservation"]["requirements"] is None, "what it takes is known when it is made"
    assert known["reservation"]["requirements"]["memory_mib"] == 128
    assert {**asked["reservation"], "requirements": None, "capsule": None} == {**known["reservation"], "requirements": None, "capsule": None}
    assert of_capsules(made) == [("shop", "warmer", ["rm-east-1"])]
    assert made["origins"] == {"shop-2.example.com": "shop-1.example.com"}


def test_a_cluster_is_published_where_it_runs_and_reserved_for_by_one_call():
    asked = plan_clone(seen(), CLUSTER, COPIES, "warmer", "hn-west")
    assert [(each["instance"], each["service"], each["version"], each["rm"]) for each in asked["publish"]] == [
        ("shop-1.example.com", "shop", "warmer", "rm-east-1"),
        ("db-1.example.com", "db", "warmer", "rm-east-2"),
    ]
    assert [each["holders"] for each in asked["capsules"]] == [["rm-east-1"], ["rm-east-2"]]
    plan = plan_clone(seen(), CLUSTER, COPIES, "warm", "hn-west")
    assert (plan["fresh"], plan["starts"], running(plan)) == (COPIES, COPIES, ["db-2", "shop-2"])
    assert [(each["instance"], each["reservation"]["guest"], each["reservation"]["own_address"]) for each in plan["reserve"]] == [
        ("shop-2.example.com", GUEST, True),
        ("db-2.example.com", DB_GUEST, True),
    ]
    assert [(each["service"], each["arrives"]) for each in plan["services"]] == [
        ("shop", [{"hn": "hn-west", "instance": "shop-2.example.com"}]),
        ("db", [{"hn": "hn-west", "instance": "db-2.example.com"}]),
    ]
    assert [each["service"] for each in plan["capsules"]] == ["shop", "db"]
    again = plan_clone(seen([shop(2), db(2)]), CLUSTER, COPIES, "warm", "hn-west")
    assert again["starts"] == again["reserve"] == [] and running(again) == ["db-2", "shop-2"]


def test_several_machines_of_one_service_are_a_cluster_too():
    other = shop(2, guest=DB_GUEST, fabric_address="192.168.1.40")
    asked = plan_clone(seen(east=[shop(), other]), ["shop-1.example.com", other["instance"]], ["shop-3.example.com", "shop-4.example.com"], "warm", "hn-west")
    assert [each["version"] for each in asked["publish"]] == ["warm-1", "warm-2"]
    assert [each["reservation"]["capsule"] for each in asked["reserve"]] == ["warm-1", "warm-2"]


STRANGER = shop(9, instance="mail-9.example.com", service="mail")


@pytest.mark.parametrize(
    ("instances", "clones", "west", "error", "sentence"),
    [
        (CLUSTER, COPIES[:1], [], InvalidInput, "Say the names of the clones, one for each of the cluster, in the same order, such as 'shop-2.example.com'."),
        (
            CLUSTER,
            COPIES[::-1],
            [],
            InvalidInput,
            "db-2.example.com cannot be a clone of shop-1.example.com: it must be another instance of shop of example.com.",
        ),
        ([], COPIES, [], InvalidInput, "Say which instances, each once, such as 'shop-1.example.com,db-1.example.com'."),
        (CLUSTER[:1] * 2, COPIES, [], InvalidInput, "Say which instances, each once, such as 'shop-1.example.com,db-1.example.com'."),
        (
            [CLUSTER[0], "db-1.example.org"],
            COPIES,
            [],
            InvalidInput,
            "shop-1.example.com and db-1.example.org cannot be a cluster: they are not of one domain.",
        ),
        (
            CLUSTER,
            COPIES,
            [STRANGER],
            Refused,
            "The rest of its cluster would look for shop-2.example.com at 192.168.1.10, but in hn-west mail-9.example.com goes by that address.",
        ),
        (
            CLUSTER,
            COPIES,
            [shop(2, fabric_address="192.168.1.254")],
            Refused,
            "shop-2.example.com goes by 192.168.1.254 in hn-west, so the rest of its cluster would not find it at 192.168.1.10.",
        ),
    ],
)
def test_clusters_that_cannot_be(instances, clones, west, error, sentence):
    with pytest.raises(error) as caught:
        plan_clone(seen(west), instances, clones, "warm", "hn-west")
    assert caught.value.message == sentence


def test_a_cluster_cannot_be_cloned_beside_itself_nor_have_an_address_twice():
    with pytest.raises(Refused, match="look for shop-2.example.com at 192.168.1.10, but in hn-east shop-1.example.com goes by that address"):
        plan_clone(seen(), CLUSTER, COPIES, "warm")
    twins = seen(east=[shop(), db(guest=GUEST, fabric_address="192.168.1.254")])
    with pytest.raises(Refused, match="shop-2.example.com and db-2.example.com cannot be a cluster: both have the address 192.168.1.10"):
        plan_clone(twins, CLUSTER, COPIES, "warm", "hn-west")


def test_addresses_of_other_domains_do_not_count():
    foreign = shop(9, instance="mail-9.example.org", domain="example.org")
    assert plan_clone(seen([foreign]), CLUSTER, COPIES, "warm", "hn-west")["fresh"] == COPIES
