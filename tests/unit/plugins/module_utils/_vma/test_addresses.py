# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses and VLANs: what is let through and what is given out."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import addresses
from hypothesis import given
from hypothesis import strategies as st

GUEST = {"address": "192.168.1.10/24", "gateway": "192.168.1.1", "mac": "52:54:00:12:34:56"}


def test_pools_are_sorted_by_address_and_kept_once():
    assert addresses.pools(["198.18.10.0/24", "198.18.9.0/24", "198.18.9.0/24"]) == ["198.18.9.0/24", "198.18.10.0/24"]


@pytest.mark.parametrize(
    ("cidrs", "sentence"),
    [
        (["198.18.1.5/24"], "The public pool '198.18.1.5/24' must be written as its network: 198.18.1.0/24."),
        (["198.18.0.0/16", "198.18.1.0/24"], "The public pools 198.18.0.0/16 and 198.18.1.0/24 overlap."),
        (["2001:db8::/64"], "The public pool '2001:db8::/64' is not an IPv4 network such as '198.18.1.0/24'."),
        (["pool"], "The public pool 'pool' is not an IPv4 network such as '198.18.1.0/24'."),
        ([""], "The public pool '' is not an IPv4 network such as '198.18.1.0/24'."),
    ],
)
def test_bad_pools(cidrs, sentence):
    with pytest.raises(InvalidInput) as caught:
        addresses.pools(cidrs)
    assert caught.value.message == sentence


@given(st.integers(24, 32), st.integers(0, 255))
def test_a_pool_gives_all_its_hosts_and_nothing_else(prefix, last):
    pool = ipaddress.ip_network(f"198.18.1.{last}/{prefix}", strict=False)
    given_out = []
    while True:
        try:
            given_out.append(addresses.choose_public("hn-east", [str(pool)], given_out, []))
        except Refused:
            break
    assert given_out == [str(host) for host in pool.hosts()]
    assert all(addresses.in_pools(address, [str(pool)]) == (address in given_out) for address in map(str, pool))


def test_what_was_never_used_goes_before_what_rests():
    assert addresses.choose_public("hn-east", ["198.18.1.0/29"], ["198.18.1.1"], ["198.18.1.2", "198.18.1.3"]) == "198.18.1.4"
    everything = [f"198.18.1.{number}" for number in (1, 2, 4, 6)]
    assert addresses.choose_public("hn-east", ["198.18.1.0/29"], everything, ["198.18.1.5", "198.18.1.3"]) == "198.18.1.5"
    assert addresses.choose_public("hn-east", ["198.18.1.0/30"], ["198.18.1.1"], ["198.18.9.9", "198.18.1.2"]) == "198.18.1.2"


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("198.18.2.1", "The public address 198.18.2.1 is outside the pools of hn-east (198.18.1.0/24)."),
        ("198.18.1.0", "The public address 198.18.1.0 is outside the pools of hn-east (198.18.1.0/24)."),
        ("198.18.1.255", "The public address 198.18.1.255 is outside the pools of hn-east (198.18.1.0/24)."),
        ("198.18.1.7", "The public address 198.18.1.7 is taken by the service mail of example.org."),
        ("198.18.1", "The public address '198.18.1' is not an IPv4 address such as '198.18.1.1'."),
        ("1", "The public address '1' is not an IPv4 address such as '198.18.1.1'."),
        ("198.18.1.1/24", "The public address '198.18.1.1/24' is not an IPv4 address such as '198.18.1.1'."),
        ("198.18.01.1", "The public address '198.18.01.1' is not an IPv4 address such as '198.18.1.1'."),
    ],
)
def test_public_addresses_that_cannot_be_given(address, sentence):
    with pytest.raises(MeshError) as caught:
        addresses.checked_public("hn-east", address, ["198.18.1.0/24"], {"198.18.1.7": "the service mail of example.org"})
    assert caught.value.message == sentence


def test_vlans_come_in_order_then_the_longest_rested():
    assert addresses.choose_vlan("hn-east", 100, 103, [100], [101]) == 102
    assert addresses.choose_vlan("hn-east", 100, 103, [100, 102], [99, 103, 101]) == 103
    with pytest.raises(Refused, match=r"^hn-east has no free VLAN: all of 100 to 101 are in use\.$"):
        addresses.choose_vlan("hn-east", 100, 101, [100, 101], [])


def test_a_guest_is_kept_as_said_but_for_the_mac_case():
    assert addresses.guest({**GUEST, "mac": "52:54:00:AB:CD:EF"}) == {**GUEST, "mac": "52:54:00:ab:cd:ef"}


@pytest.mark.parametrize(
    ("different", "sentence"),
    [
        ({"address": "192.168.1.10"}, "The guest address '192.168.1.10' needs a prefix length of 8 to 30, as in '192.168.1.10/24'."),
        ({"address": "192.168.1.10/31"}, "The guest address '192.168.1.10/31' needs a prefix length of 8 to 30, as in '192.168.1.10/24'."),
        ({"address": "shop/24"}, "The guest address 'shop' is not an IPv4 address such as '198.18.1.1'."),
        ({"address": "192.168.1.255/24"}, "The guest address 192.168.1.255 is not a host's address in 192.168.1.0/24."),
        ({"gateway": "192.168.2.1"}, "The guest's gateway 192.168.2.1 is not a host's address in 192.168.1.0/24."),
        ({"gateway": "192.168.1.10"}, "The guest address 192.168.1.10 is its gateway too."),
        ({"mac": "52:54:00:12:34"}, "The guest's MAC '52:54:00:12:34' is not the address of one station, such as '52:54:00:12:34:56'."),
        ({"mac": "53:54:00:12:34:56"}, "The guest's MAC '53:54:00:12:34:56' is not the address of one station, such as '52:54:00:12:34:56'."),
    ],
)
def test_bad_guests(different, sentence):
    with pytest.raises(InvalidInput) as caught:
        addresses.guest({**GUEST, **different})
    assert caught.value.message == sentence


def test_a_fabric_address_is_the_guest_address_once():
    other = {"instance": "mail-1.example.com", "fabric_address": "192.168.1.11", "guest": {**GUEST, "address": "192.168.1.11/24"}}
    assert addresses.fabric_address("shop-1.example.com", GUEST, [other]) == "192.168.1.10"
    with pytest.raises(Refused, match="one has the other's gateway as its address"):
        addresses.fabric_address("shop-1.example.com", {**GUEST, "gateway": "192.168.1.11"}, [other])
    with pytest.raises(Refused, match="have the gateway 192.168.1.1, but different prefix lengths"):
        addresses.fabric_address("shop-1.example.com", {**GUEST, "address": "192.168.1.10/25"}, [other])


def known(instance, fabric_address, guest):
    return {"instance": f"{instance}.example.com", "fabric_address": fabric_address, "guest": {**GUEST, **guest}}


def test_a_clone_gets_the_highest_address_that_is_nobodys():
    others = [known("shop-1", "192.168.1.10", {}), known("old-1", "192.168.1.7", {"address": "192.168.1.254/24"})]
    others.append(known("far-1", "192.168.1.8", {"address": "192.168.1.9/24", "gateway": "192.168.1.253"}))
    others.append(known("shop-2", "192.168.1.252", {}))
    assert addresses.fabric_address("shop-3.example.com", GUEST, others) == "192.168.1.251"


def test_whoever_comes_after_a_clone_and_finds_its_address_claimed_is_given_another():
    others = [known("shop-1", "192.168.1.10", {}), known("shop-2", "192.168.1.254", {})]
    assert addresses.fabric_address("mail-1.example.com", {**GUEST, "address": "192.168.1.254/24"}, others) == "192.168.1.253"
    with pytest.raises(Refused, match="one has the other's gateway as its address"):
        addresses.fabric_address("mail-1.example.com", {**GUEST, "address": "192.168.1.5/24", "gateway": "192.168.1.254"}, others)


@given(st.integers(26, 30), st.integers(0, 3))
def test_clones_fill_a_network_and_not_one_more(prefix, part):
    network = ipaddress.ip_network(f"192.168.1.{part * 64}/{prefix}")
    gateway, address, *_rest = map(str, network.hosts())
    guest = {**GUEST, "address": f"{address}/{prefix}", "gateway": gateway}
    given_out = []
    for ordinal in range(1, network.num_addresses - 2):
        others = [known(f"shop-{number}", fabric, guest) for number, fabric in enumerate(given_out, start=1)]
        given_out.append(addresses.fabric_address(f"shop-{ordinal}.example.com", guest, others))
    assert given_out[0] == address and sorted([gateway, *given_out]) == sorted(map(str, network.hosts()))
    others = [known(f"shop-{number}", fabric, guest) for number, fabric in enumerate(given_out, start=1)]
    with pytest.raises(Refused, match="has no other address left"):
        addresses.fabric_address("shop-99.example.com", guest, others)


def test_a_public_address_never_lies_among_the_guests():
    assert addresses.outside_guests("198.18.1.1", GUEST) == "198.18.1.1"
    with pytest.raises(Refused, match=r"^The public address 192.168.1.77 lies in the guest's own network 192.168.1.0/24, "):
        addresses.outside_guests("192.168.1.77", GUEST)
