# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which name gets which addresses."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.naming import plan_name, plan_names
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View

PORTS = [{"protocol": "udp", "port": 53}, {"protocol": "tcp", "port": 80}, {"protocol": "tcp", "port": 443}]
NAMING = {
    "zone": "steer.example.net",
    "zones": ["example.net", "com", "example.com"],
    "ttl": "5",
    "margin": 30.0,
    "answers": 1,
    "order": ["hn-west"],
    "regions": [{"name": "office", "prefixes": ["192.0.2.0/24"], "latency": {"hn-east": 9, "hn-west": 90}}],
    "places": {},
    "checks": True,
    "services": {},
}
WEST = {"hn": "hn-west", "addresses": ["198.18.2.1"], "ports": PORTS}


def record(instance, public_address="198.18.1.1", in_rotation=True, service="shop"):
    return {
        "instance": instance,
        "service": service,
        "domain": "example.com",
        "in_rotation": in_rotation,
        "public_address": public_address,
        "ports": PORTS,
    }


def view(east=(), west=(), problem=None):
    found = {"hn-east": ("gw-east", list(east)), "hn-west": ("gw-west", list(west))}
    return View({hn: Site(hn, vma, vma, "wan0", records, {}, {}, {}, problem if hn == "hn-west" else None) for hn, (vma, records) in found.items()}, {})


def leaving(hn):
    return [{"hn": hn, "serving": "what its VMA says"}]


def test_a_new_place_is_published_with_all_that_a_name_says():
    assert plan_name(view(), "shop", "example.com", NAMING, [WEST]) == {
        "name": "shop.example.com.steer.example.net",
        "zone": "steer.example.net",
        "alias": {"name": "shop.example.com", "zone": "example.com"},
        "ttl": 5,
        "answers": 1,
        "order": ["hn-west", "hn-east"],
        "regions": [{"name": "office", "prefixes": ["192.0.2.0/24"], "order": ["hn-east", "hn-west"]}],
        "check": {"type": "tcp", "port": 80},
        "ask": {"type": "tcp", "port": 80},
        "publish": [{"hn": "hn-west", "addresses": ["198.18.2.1"]}],
        "leaves": [],
        "only": False,
        "hold": None,
    }


def test_whether_others_serve_on_shows_when_an_instance_leaves():
    both = view([record("shop-1.example.com"), record("shop-2.example.com"), record("store-1.example.com", service="store")])
    plan = plan_name(both, "shop", "example.com", NAMING, leaves=leaving("hn-east"))
    assert (plan["publish"], plan["leaves"], plan["hold"]) == ([], leaving("hn-east"), 30)


def test_nobody_waits_for_what_was_not_in_rotation():
    rests = view([record("shop-1.example.com", in_rotation=False)])
    assert plan_name(rests, "shop", "example.com", NAMING, leaves=leaving("hn-east"))["hold"] is None
    # What an operation that is undone had begun in the west was never seen there.
    assert plan_name(view([record("shop-1.example.com")]), "shop", "example.com", NAMING, leaves=leaving("hn-west"))["hold"] is None


def test_what_was_cut_off_may_have_been_in_rotation_a_moment_ago():
    rests = view([record("shop-1.example.com", in_rotation=False)])
    rests.sites["hn-east"].unfinished["shop-1.example.com"] = "remove"
    assert plan_name(rests, "shop", "example.com", NAMING, leaves=leaving("hn-east"))["hold"] == 30
    assert plan_name(rests, "store", "example.com", NAMING, leaves=leaving("hn-east"))["hold"] is None


def test_the_same_instance_may_leave_one_hn_for_another():
    moving = view([record("shop-1.example.com")], [record("shop-1.example.com", "198.18.2.1")])
    plan = plan_name(moving, "shop", "example.com", NAMING, [WEST], leaving("hn-east"))
    assert (plan["publish"], plan["leaves"], plan["hold"]) == ([{"hn": "hn-west", "addresses": ["198.18.2.1"]}], leaving("hn-east"), 30)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"check": {"type": "http", "path": "/health"}}, {"type": "http", "port": 80, "host": "shop.example.com", "path": "/health"}),
        ({"check": {"type": "tcp", "port": 443}}, {"type": "tcp", "port": 443, "host": "shop.example.com"}),
        ({"check": {"type": "none"}}, {"type": "none", "port": 80, "host": "shop.example.com"}),
        ({}, {"type": "tcp", "port": 80}),
    ],
)
def test_how_a_service_is_asked(own, expected):
    naming = {**NAMING, "services": {"shop.example.com": own}}
    plan = plan_name(view(), "shop", "example.com", naming, [WEST])
    assert plan["ask"] == plan["check"] == expected
    without = plan_name(view(), "shop", "example.com", {**naming, "checks": False}, [WEST])
    assert (without["ask"], without["check"]) == (expected, {"type": "none"}), "a name server without checks leaves the first request to us"


def test_a_service_without_tcp_cannot_be_asked():
    plan = plan_name(view(), "shop", "example.com", NAMING, [{**WEST, "ports": PORTS[:1]}])
    assert plan["ask"] == plan["check"] == {"type": "none"}


def test_a_service_may_have_settings_of_its_own():
    own = {"ttl": 60, "answers": 2, "order": ["hn-east"], "regions": []}
    plan = plan_name(view(), "shop", "example.com", {**NAMING, "services": {"shop.example.com": own}}, [WEST])
    assert (plan["ttl"], plan["answers"], plan["order"], plan["regions"]) == (60, 2, ["hn-east", "hn-west"], [])
    with pytest.raises(InvalidInput, match="The name of shop.example.com cannot have a setting colour"):
        plan_name(view(), "shop", "example.com", {**NAMING, "services": {"shop.example.com": {"colour": 1}}}, [WEST])


def test_without_the_owners_zone_there_is_no_alias_but_it_is_known_which_there_could_be():
    alias = plan_name(view(), "shop", "example.com", {**NAMING, "zones": ["example.net", "ple.com"]}, [WEST])["alias"]
    assert alias == {"name": "shop.example.com", "zone": None}


def test_a_name_that_is_too_long_is_refused_before_anything_is_touched():
    zone = ".".join(["z" * 63, "z" * 63, "z" * 63, "z" * 63])
    assert plan_name(view(), "shop", "example.com", {**NAMING, "zone": zone[:233]}, [WEST])
    with pytest.raises(InvalidInput, match="has 251 characters, and at most 250 can be: its domain or the steering zone is too long"):
        plan_name(view(), "shop", "example.com", {**NAMING, "zone": zone[:234]}, [WEST])


def test_all_names_say_what_is_in_rotation():
    mesh = view(
        [record("shop-1.example.com"), record("shop-2.example.com"), record("store-1.example.com", in_rotation=False, service="store")],
        [record("shop-3.example.com", "198.18.2.1")],
    )
    shop, store = plan_names(mesh, NAMING)
    assert shop["publish"] == [{"hn": "hn-east", "addresses": ["198.18.1.1"]}, {"hn": "hn-west", "addresses": ["198.18.2.1"]}]
    assert (store["name"], store["publish"]) == ("store.example.com.steer.example.net", [])
    assert all(plan["only"] and plan["ask"] == {"type": "none"} and plan["hold"] is None for plan in (shop, store))


def test_all_names_need_all_answers():
    with pytest.raises(Refused, match="The VMA of hn-west on gw-west cannot be asked: it does not answer."):
        plan_names(view(problem="it does not answer"), NAMING)
