# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a kernel with everything in it does: real tags on the trunk, domain routers on nftables, kernel ESP."""

from __future__ import annotations

import json

from isolation import DESK, OTHER_SHOP, SHOP
from wire import EARS, Ear

from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import tap_name
from ansible_collections.vmatrix.mesh.tests.vms.conftest import GUESTS, INSIDE, OTHER_VLAN, PUBLIC, VLAN, called

BACKEND, INTRANET, OWNER = "172.21.162.10", "172.21.162.9", "198.18.0.63"
LISTEN = [*INSIDE, "python3", "-u", "-c", EARS]
TAG, IPV4, ARP, ESP = 0x8100, 0x0800, 0x0806, 50


def call_backend(site, instance):
    script = f"ip netns exec {tap_name(instance)} curl -s -m 3 http://{BACKEND}/ || true"
    return site.shell(GUESTS[instance][0], script).strip() or None


def number(frame, at):
    return int.from_bytes(frame[at : at + 2], "big")


def test_public_addresses_lead_to_the_guests_of_their_domains(site):
    site.settle()
    for instance, address in PUBLIC.items():
        assert called(address) == f"{instance} answers 198.18.255.254"


def test_each_frame_on_the_trunk_carries_the_tag_of_its_domain(site):
    """The wire lies outside of the machines, where nobody has taken a tag off yet."""
    ear = Ear(LISTEN, "v1-trunk0")
    for address in PUBLIC.values():
        assert called(address)
    frames = [frame for unused, direction, frame, count in ear.heard()]
    assert frames and all(number(frame, 12) == TAG and number(frame, 16) in (IPV4, ARP) for frame in frames)
    assert {number(frame, 14) & 0xFFF for frame in frames} == {VLAN, OTHER_VLAN}


def test_the_bridge_filters_by_vlan(site):
    (bridge,) = json.loads(site.shell(site.rm, "ip -j -d link show br-mesh"))
    assert bridge["linkinfo"]["info_data"]["vlan_filtering"] == 1
    assert site.switch(site.rm)["driver"] == site.switch(site.gateway)["driver"] == "linux_bridge"


def test_the_back_end_sees_the_shop_by_its_intranet_address(site):
    assert call_backend(site, SHOP) == f"backend answers {INTRANET}"


def test_the_other_domain_does_not_reach_it(site):
    assert call_backend(site, OTHER_SHOP) is None
    assert call_backend(site, DESK) is None


def test_the_kernel_encrypts_at_both_ends(site):
    looks = {site.gateway: "ip netns exec router-example.com", "owner-vm": ""}
    for host, inside in looks.items():
        states = site.shell(host, f"{inside} ip xfrm state")
        assert states.count("proto esp") >= 2 and "rfc4106(gcm(aes))" in states
        (device,) = json.loads(site.shell(host, f"{inside} ip -j -d link show ipsec0"))
        assert device["linkinfo"]["info_kind"] == "xfrm"


def test_nothing_but_esp_is_on_the_wire(site):
    ear = Ear(LISTEN, "v0-wan0")
    assert call_backend(site, SHOP)
    packets = [frame[14:] for unused, direction, frame, count in ear.heard() if number(frame, 12) == IPV4]
    ends = {bytes(map(int, address.split("."))) for address in (PUBLIC[SHOP], OWNER)}
    between = [packet for packet in packets if {packet[12:16], packet[16:20]} == ends]
    # IKE's own questions whether the other end is alive are UDP.
    assert {packet[9] for packet in between} - {17} == {ESP}
    inner = {bytes(map(int, address.split("."))) for address in (BACKEND, INTRANET, GUESTS[SHOP][3])}
    assert not [packet for packet in packets if inner & {packet[12:16], packet[16:20]}]
