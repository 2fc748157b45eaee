# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records and the router document made from them."""

from __future__ import annotations

import copy
import random

import pytest
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import surroundings


def record(instance, host, **different):
    service, _hyphen, rest = instance.partition("-")
    return {
        "instance": instance,
        "service": service,
        "domain": rest.partition(".")[2],
        "capsule": "1.0.0",
        "rm": "rm-east-1",
        "moves_to": None,
        "epoch": 1,
        "state": "running",
        "in_rotation": True,
        "guest": {"address": f"192.168.1.{host}/24", "gateway": "192.168.1.1", "mac": "52:54:00:12:34:56"},
        "fabric_address": f"192.168.1.{host}",
        "intranet_address": None,
        "vlan": 101,
        "public_address": "198.18.1.1",
        "forward_to": None,
        "ports": [{"protocol": "tcp", "port": 80}],
        "balance": {},
        "requirements": {},
        **different,
    }


RECORDS = [
    record("shop-10.example.com", 20),
    record("shop-2.example.com", 12),
    record("mail-1.example.com", 30, public_address="198.18.1.2", state="suspended", in_rotation=False, ports=[{"protocol": "tcp", "port": 25}]),
    record("shop-1.example.org", 10, vlan=102, public_address="198.18.1.3"),
]


def test_the_document_is_exactly_the_contract():
    assert surroundings.router_document(RECORDS, "example.com", 17) == {
        "domain": "example.com",
        "vlan": 101,
        "generation": 17,
        "gateways": ["192.168.1.1/24"],
        "services": [
            {"name": "mail", "public_address": "198.18.1.2", "ports": [{"protocol": "tcp", "port": 25}], "members": []},
            {
                "name": "shop",
                "public_address": "198.18.1.1",
                "ports": [{"protocol": "tcp", "port": 80}],
                "members": [
                    {"instance": "shop-2.example.com", "address": "192.168.1.12"},
                    {"instance": "shop-10.example.com", "address": "192.168.1.20"},
                ],
            },
        ],
    }


def test_a_service_with_a_tunnel_has_mappings_of_what_runs_and_the_others_have_none():
    home = [
        record("shop-1.example.com", 10, intranet_address="172.21.162.9"),
        record("shop-2.example.com", 12, intranet_address="172.21.162.16", in_rotation=False),
        *(
            record(f"shop-{number}.example.com", 20 + number, intranet_address=f"172.21.162.{20 + number}", state=state, in_rotation=False)
            for number, state in enumerate(("reserved", "suspended", "leaving", "stopped"), start=3)
        ),
        record("mail-1.example.com", 30, public_address="198.18.1.2"),
    ]
    mail, shop = surroundings.router_document(home, "example.com", 1)["services"]
    assert "mappings" not in mail
    assert shop["mappings"] == [
        {"instance": "shop-1.example.com", "fabric_address": "192.168.1.10", "intranet_address": "172.21.162.9"},
        {"instance": "shop-2.example.com", "fabric_address": "192.168.1.12", "intranet_address": "172.21.162.16"},
    ]
    (gone,) = surroundings.router_document(home[2:4], "example.com", 1)["services"]
    assert gone["mappings"] == [], "a tunnel stays as long as its service has an instance here"


def test_it_depends_on_nothing_but_the_records_and_changes_none():
    untouched = copy.deepcopy(RECORDS)
    first = surroundings.router_document(RECORDS, "example.com", 1)
    for seed in range(20):
        shuffled = random.Random(seed).sample(RECORDS, len(RECORDS))
        assert surroundings.router_document(shuffled, "example.com", 1) == first
    assert RECORDS == untouched


def test_the_balance_of_the_service_is_that_of_its_first_instance_and_weights_are_each_ones_own():
    first = record("shop-1.example.com", 11, balance={"policy": "sticky", "check": "http", "weight": 3})
    service = surroundings.router_document([*RECORDS, first], "example.com", 1)["services"][1]
    assert service["balance"] == {"policy": "sticky", "check": "http"}
    assert [member.get("weight") for member in service["members"]] == [3, None, None]


def test_ports_of_two_versions_are_united():
    newer = record("shop-3.example.com", 13, ports=[{"protocol": "tcp", "port": 80}, {"protocol": "tcp", "port": 443}])
    document = surroundings.router_document([*RECORDS, newer], "example.com", 1)
    assert document["services"][1]["ports"] == [{"protocol": "tcp", "port": 80}, {"protocol": "tcp", "port": 443}]
    assert RECORDS[0]["ports"] == [{"protocol": "tcp", "port": 80}]


def test_a_domain_without_records_has_an_empty_document():
    assert surroundings.router_document(RECORDS, "example.net", 3, 107) == {
        "domain": "example.net",
        "vlan": 107,
        "generation": 3,
        "gateways": [],
        "services": [],
    }


@pytest.mark.parametrize("state", ["reserved", "suspended", "leaving", "stopped"])
def test_only_what_runs_is_in_rotation(state):
    assert surroundings.with_state(RECORDS[0], state, None)["in_rotation"] is False
    with pytest.raises(Refused) as caught:
        surroundings.with_state(RECORDS[0], state, True)
    assert caught.value.message == f"shop-10.example.com cannot be in rotation while it is {state}: only what is running can."


def test_what_is_not_said_stays():
    assert surroundings.with_state(RECORDS[0], None, None) == RECORDS[0]
    assert surroundings.with_state(RECORDS[2], "running", None)["in_rotation"] is False


@pytest.mark.parametrize(("key", "value", "least"), [("memory_mib", 0, 1), ("vcpus", -1, 1), ("disk_bytes", -1, 0), ("vcpus", 1.5, 1)])
def test_bad_requirements(key, value, least):
    needs = {"memory_mib": 128, "vcpus": 1, "disk_bytes": 0, "machine_type": "pc", "cpu": "qemu64", "accelerator": None}
    assert surroundings.requirements(needs) == needs
    with pytest.raises(InvalidInput) as caught:
        surroundings.requirements({**needs, key: value})
    assert caught.value.message == f"The requirement {key} must be a whole number of at least {least}, not {value!r}."


def test_an_accelerator_that_does_not_exist():
    with pytest.raises(InvalidInput) as caught:
        surroundings.requirements({"memory_mib": 1, "vcpus": 1, "disk_bytes": 0, "machine_type": "pc", "cpu": "qemu64", "accelerator": "xen"})
    assert caught.value.message == "The requirement accelerator must be kvm, tcg or null, not 'xen'."
