# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a router document may say, and how two of them differ."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.document import checked, left_members, merged, new_members, prepared

DOCUMENT = {
    "domain": "example.com",
    "vlan": 101,
    "generation": 17,
    "gateways": ["192.168.1.1/24"],
    "services": [
        {
            "name": "shop",
            "public_address": "198.18.1.1",
            "ports": [{"protocol": "tcp", "port": 443}, {"protocol": "tcp", "port": 80}],
            "members": [
                {"instance": "shop-2.example.com", "address": "192.168.1.11"},
                {"instance": "shop-1.example.com", "address": "192.168.1.10"},
            ],
        },
        {"name": "mail", "public_address": "198.18.1.1", "ports": [{"protocol": "tcp", "port": 25}], "members": []},
    ],
}


def changed(path, value):
    document = copy.deepcopy(DOCUMENT)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document


def test_the_order_of_lists_does_not_matter():
    turned = copy.deepcopy(DOCUMENT)
    turned["services"].reverse()
    for service in turned["services"]:
        service["ports"].reverse()
        service["members"].reverse()
    assert checked(DOCUMENT) == checked(turned)
    assert [service["name"] for service in checked(DOCUMENT)["services"]] == ["mail", "shop"]
    assert checked(checked(DOCUMENT)) == checked(DOCUMENT)


SHOP = ("services", 0)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("domain",), "../etc", "is not a domain"),
        (("domain",), "example.com/..", "is not a domain"),
        (("domain",), "example.com\n", "is not a domain"),
        (("domain",), "example", "is not a domain"),
        (("vlan",), 0, "0 is not a VLAN: it must be a whole number from 1 to 4094"),
        (("vlan",), 4095, "4095 is not a VLAN"),
        (("vlan",), True, "True is not a VLAN"),
        (("generation",), -1, "-1 is not a generation"),
        (("generation",), None, "None is not a generation"),
        (("gateways",), [], "needs at least one gateway address"),
        (("gateways",), ["192.168.1.1"], "not an IPv4 address with its prefix"),
        (("gateways",), ["192.168.1.1/32"], "leaves its guests no network"),
        (("gateways",), ["192.168.1.0/24"], "leaves its guests no network"),
        (("gateways",), ["fd00::1/64"], "not an IPv4 address with its prefix"),
        (("gateways",), ["192.168.1.1/24", "192.168.1.1/16"], "The gateway 192.168.1.1 is there twice"),
        (("surprise",), 1, "has no 'surprise': it knows domain, vlan"),
        ((*SHOP, "name"), "shop; flush ruleset", "is not a name for a service"),
        ((*SHOP, "name"), "mail", "The service mail is there twice"),
        ((*SHOP, "public_address"), "198.18.1.256", "not an IPv4 address such as"),
        ((*SHOP, "public_address"), "example.com", "not an IPv4 address such as"),
        ((*SHOP, "public_address"), "2001:db8::1", "not an IPv4 address such as"),
        ((*SHOP, "public_address"), "127.0.0.1", "no single host can have"),
        ((*SHOP, "public_address"), "192.168.1.77", "in the private network of its own guests"),
        ((*SHOP, "ports"), [], "declares no port"),
        ((*SHOP, "ports"), [{"protocol": "tcp", "port": 0}], "0 is not a port of the service shop: it must be a whole number from 1 to 65535"),
        ((*SHOP, "ports"), [{"protocol": "tcp", "port": 65536}], "65536 is not a port of the service shop"),
        ((*SHOP, "ports"), [{"protocol": "tcp", "port": "80"}], "'80' is not a port"),
        ((*SHOP, "ports"), [{"protocol": "sctp", "port": 80}], "'sctp' is not a protocol"),
        ((*SHOP, "ports"), [{"protocol": "tcp", "port": 25}], "The public port 198.18.1.1 tcp/25 is there twice"),
        ((*SHOP, "ports"), [{"protocol": "tcp", "port": 20, "last_port": 30}], "The public port 198.18.1.1 tcp/25 is there twice"),
        ((*SHOP, "ports"), [{"port": 80}], "consists of protocol and port"),
        ((*SHOP, "ports", 0, "target"), 8080, "consists of protocol and port"),
        ((*SHOP, "members"), "all", "must be a list"),
        ((*SHOP, "members", 0), "shop-1", "must be a mapping"),
        ((*SHOP, "members", 0, "instance"), "../shop", "is not an instance"),
        ((*SHOP, "members", 0, "address"), "10.9.9.9", "lies in none of its gateways' networks"),
        ((*SHOP, "members", 0, "address"), "192.168.1.1", "is the gateway's own"),
        ((*SHOP, "members", 0, "address"), "192.168.1.10", "The member address of service shop 192.168.1.10 is there twice"),
    ],
)
def test_what_is_invalid_gets_one_clear_sentence(path, value, words):
    with pytest.raises(InvalidInput) as caught:
        checked(changed(path, value))
    assert words in caught.value.message
    assert caught.value.message.endswith(".") and "\n" not in caught.value.message


def test_a_rotation_has_no_more_members_than_slots():
    members = [{"instance": f"shop-{number}.example.com", "address": f"192.168.1.{number + 1}"} for number in range(1, 62)]
    checked(changed((*SHOP, "members"), members[:60]))
    with pytest.raises(InvalidInput, match="has 61 members; a rotation holds at most 60"):
        checked(changed((*SHOP, "members"), members))


def test_new_members_are_those_that_have_not_served_these_ports_yet():
    before = checked(changed((*SHOP, "members"), [DOCUMENT["services"][0]["members"][0]]))
    after = checked(DOCUMENT)
    assert [member["instance"] for member in new_members(after, before)] == ["shop-1.example.com"]
    assert [member["instance"] for member in new_members(after, None)] == ["shop-1.example.com", "shop-2.example.com"]
    assert new_members(after, after) == []
    more = checked(changed((*SHOP, "ports"), [{"protocol": "tcp", "port": 8080}]))
    assert len(new_members(more, after)) == 2


def test_left_members_are_those_that_serve_nothing_any_more():
    fewer = checked(changed((*SHOP, "members"), []))
    assert left_members(fewer, checked(DOCUMENT)) == ["192.168.1.10", "192.168.1.11"]
    assert left_members(checked(DOCUMENT), fewer) == []
    assert left_members(checked(DOCUMENT), None) == []


def test_a_prepared_network_keeps_the_rotation_as_it_was():
    before = checked(changed((*SHOP, "members"), [DOCUMENT["services"][0]["members"][0]]))
    after = {**checked(DOCUMENT), "generation": 18}
    assert prepared(after, before) == before
    first = prepared(after, None)
    assert first["generation"] == 0
    assert [service["members"] for service in first["services"]] == [[], []]
    assert checked(first) == first


ONE, TWO, MAIL = "shop-1.example.com", "shop-2.example.com", "mail-1.example.com"


def router(generation, services, forward_to=None):
    """Return a document; *services* are the numbers of the members of each."""
    described = [
        {
            "name": name,
            "public_address": "198.18.1.1",
            "ports": [{"protocol": "tcp", "port": 25 if name == "mail" else 80}],
            "members": [{"instance": f"{name}-{number}.example.com", "address": f"192.168.1.{number}{len(name)}"} for number in numbers],
            **({"forward_to": forward_to} if forward_to else {}),
        }
        for name, numbers in services.items()
    ]
    return checked({"domain": "example.com", "vlan": 101, "generation": generation, "gateways": ["192.168.1.1/24"], "services": described})


def shown(document):
    return {service["name"]: [int(member["instance"].split("-")[1].split(".")[0]) for member in service["members"]] for service in document["services"]}


NOTHING = {"domain": "example.com", "generation": 3, "gateways": [], "services": []}


@pytest.mark.parametrize(
    "desired, previous, mine, expected",
    [
        (router(7, {"shop": [1, 2]}), None, [ONE], {"shop": [1]}),
        (router(7, {"shop": [1, 2]}), router(6, {"shop": [2]}), [ONE], {"shop": [1, 2]}),
        (router(7, {"shop": [1, 2], "mail": [1]}), router(6, {"shop": [2]}), [ONE], {"shop": [1, 2], "mail": []}),
        (router(7, {"shop": [1]}), router(6, {"shop": [2]}), [ONE], {"shop": [1]}),
        (router(7, {"shop": [1, 2]}), router(6, {"shop": [2]}), [], {"shop": [2]}),
        # What is in force is newer.
        (router(3, {"shop": [1]}), router(6, {"shop": [2]}), [ONE], {"shop": [1, 2]}),
        (router(3, {"shop": [2]}), router(6, {"shop": [1, 2]}), [ONE], {"shop": [2]}),
        (router(3, {"shop": [2]}), router(6, {"shop": [1], "mail": [1]}), [ONE], {"shop": [], "mail": [1]}),
        (router(3, {"shop": [2], "mail": [1]}), router(6, {"shop": [2]}), [MAIL], {"shop": [2], "mail": [1]}),
        (router(3, {"shop": [], "mail": [1]}), router(6, {"mail": [1]}), [ONE], {"shop": [], "mail": [1]}),
        (router(3, {"mail": [1]}), router(6, {"shop": [1], "mail": [1]}), [ONE], {"mail": [1]}),
        (router(3, {"mail": [1]}), router(6, {"shop": [1, 2], "mail": [1]}), [ONE], {"shop": [2], "mail": [1]}),
        (router(3, {"shop": [1], "mail": [1]}), router(6, {"shop": [1]}), [ONE], {"shop": [1]}),
        (NOTHING, router(6, {"shop": [1, 2], "mail": []}), [ONE, TWO], {"mail": []}),
        (NOTHING, router(6, {"shop": [1]}), [ONE], {}),
        (NOTHING, router(2, {"shop": [1, 2]}), [ONE], {}),
    ],
)
def test_an_operation_speaks_for_its_own_instances(desired, previous, mine, expected):
    found = merged(desired, previous, mine)
    assert shown(found) == expected
    assert found["generation"] == max(desired["generation"], previous["generation"] if previous else 0)
    assert merged(found, previous, mine) == found or previous is None
    if found["services"]:
        assert checked(found) == found


def test_where_nobody_is_left_callers_are_led_to_where_the_last_one_went():
    left = merged(router(3, {"shop": []}, "198.18.2.1"), router(6, {"shop": [1]}), [ONE])
    assert left["services"][0]["forward_to"] == "198.18.2.1"
    assert "forward_to" not in merged(router(3, {"shop": []}, "198.18.2.1"), router(6, {"shop": [1, 2]}), [ONE])["services"][0]
    assert "forward_to" not in merged(router(3, {"shop": [1]}), router(6, {"shop": []}, "198.18.2.1"), [ONE])["services"][0]
