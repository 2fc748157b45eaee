# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of a domain router as a pure function of its document."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.document import SLOTS
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.rules import digest, render, spread

addresses = st.sets(st.integers(2, 254).map(lambda last: f"192.168.1.{last}"), min_size=1, max_size=SLOTS)
ports = st.sets(st.integers(1, 65535), min_size=1, max_size=5)


def document(members, declared, name="shop"):
    service = {
        "name": name,
        "public_address": "198.18.1.1",
        "ports": [{"protocol": "tcp", "port": port} for port in sorted(declared)],
        "members": [{"instance": f"shop-{number}.example.com", "address": address} for number, address in enumerate(sorted(members), 1)],
    }
    return {"domain": "example.com", "vlan": 101, "generation": 1, "gateways": ["192.168.1.1/24"], "services": [service]}


@given(addresses)
def test_slots_are_shared_evenly_and_nobody_is_left_out(members):
    counts = [spread(dict.fromkeys(members, 1)).count(member) for member in members]
    assert sum(counts) == SLOTS
    assert max(counts) - min(counts) <= 1


@given(addresses)
def test_the_order_of_members_does_not_matter(members):
    assert spread(dict.fromkeys(sorted(members), 1)) == spread(dict.fromkeys(sorted(members, reverse=True), 1))


@given(st.dictionaries(st.integers(2, 254).map(lambda last: f"192.168.1.{last}"), st.integers(1, 100), min_size=1, max_size=SLOTS))
def test_slots_go_by_weight_and_nobody_is_left_out(weights):
    slots = spread(weights)
    assert len(slots) == SLOTS
    exact = {address: SLOTS * weight / sum(weights.values()) for address, weight in weights.items()}
    for address in weights:
        assert slots.count(address) >= 1
        # Where some weigh too little for a slot, those that have most make room for them.
        if min(exact.values()) >= 1:
            assert int(exact[address]) <= slots.count(address) <= int(exact[address]) + 1


def test_callers_stay_with_their_member_where_that_is_wanted():
    wanted = document(["192.168.1.9", "192.168.1.10"], {80})
    assert "numgen inc mod" in render(wanted) and "jhash" not in render(wanted)
    wanted["services"][0]["balance"] = {"policy": "sticky"}
    assert "dnat ip to jhash ip saddr mod 60 seed 0x766d6573 map" in render(wanted) and "numgen" not in render(wanted)


@given(st.sets(st.integers(2, 254).map(lambda last: f"192.168.1.{last}"), min_size=2, max_size=SLOTS))
def test_a_member_that_leaves_moves_few_slots(members):
    leaver = min(members)
    moved = sum(before != after for before, after in zip(spread(dict.fromkeys(members, 1)), spread(dict.fromkeys(members - {leaver}, 1))))
    # Its own share has to move; the bound on the others' shares moves a few more, never a second round of them.
    assert moved <= SLOTS / len(members) + 12


def test_no_members_have_no_slots():
    assert spread({}) == []


@given(addresses, ports)
def test_only_declared_ports_of_members_are_opened(members, declared):
    text = render(document(members, declared))
    accepted = [line for line in text.splitlines() if "oifname" in line and "accept" in line]
    assert len(accepted) == 1 and "ct status dnat" in accepted[0]
    assert set(re.findall(r"([\d.]+) \. (\d+)", accepted[0])) == {(member, str(port)) for member in members for port in declared}
    assert set(map(int, re.findall(r"tcp dport (\d+) dnat", text))) == declared
    assert len(re.findall(r"policy drop", text)) == 2


@given(ports)
def test_without_members_declared_ports_refuse_and_nothing_is_translated(declared):
    text = render(document([], declared))
    refused = [line for line in text.splitlines() if "reject with tcp reset" in line]
    assert set(re.findall(r"198\.18\.1\.1 \. (\d+)", refused[0])) == set(map(str, declared))
    assert "dnat" not in text


def test_equal_documents_give_equal_rules():
    assert render(document(["192.168.1.9", "192.168.1.10"], {80, 443})) == render(document(["192.168.1.10", "192.168.1.9"], {443, 80}))


def listing(handle, elements, verdict="accept"):
    return json.dumps(
        {
            "nftables": [
                {"metainfo": {"version": "1.0.6"}},
                {"map": {"name": "slots", "handle": handle, "elem": elements}},
                {"rule": {"chain": "forward", "handle": handle + 1, "expr": [{verdict: None}]}},
            ]
        }
    )


def test_a_digest_heeds_what_matters_only():
    assert digest(listing(1, [[0, "a"], [1, "b"]])) == digest(listing(7, [[1, "b"], [0, "a"]]))
    assert digest(listing(1, [[0, "a"], [1, "b"]])) != digest(listing(1, [[0, "b"], [1, "a"]]))
    assert digest(listing(1, [], "accept")) != digest(listing(1, [], "drop"))


def test_connections_are_told_what_fits_before_anything_lets_them_pass():
    """Also those into tunnels, which another table marks."""
    chain = render(document(["192.168.1.9"], {80})).partition("chain forward {")[2].splitlines()
    assert "maxseg size set rt mtu" in chain[2] and "policy drop" in chain[1]
