# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Linux bridge driver: its rules with real frames on a bridge without VLANs, which every kernel has, and what it tells the VLAN filter."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import linux_bridge
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.bridge_rules import render
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.linux_bridge import commands, parse_vlans, shut_out
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.ports import Guarded
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._switch import frames
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._switch.conftest import NAMESPACE, sh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._switch.test_port_guard import FORGED, OTHER, ROUTER, SAME

SHOP = Guarded("vms1", 101, SAME, ("192.168.1.10",))
WIKI = Guarded("vms2", 101, OTHER, ("192.168.1.11",))
WAY = Guarded("vrs", 101, ROUTER, ("192.168.1.1",), True)
STRANGER, TRUNK = "vms9", "trunk9"
#: The kernel may cut what only fills a packet up.
LONG = b"hello" * 8
NOBODY = {name: [] for name in (SHOP.port, WIKI.port, WAY.port, STRANGER, TRUNK)}


def nft(script):
    subprocess.run(["ip", "netns", "exec", NAMESPACE, "nft", "-f", "-"], input=script, text=True, check=True)


@pytest.fixture(scope="module")
def bridge(wires):
    """A bridge with two guests, a router, a stranger and a trunk, guarded by the rules."""
    sh("ip", "-n", NAMESPACE, "link", "add", "brl", "type", "bridge", "mcast_snooping", "0")
    sh("ip", "netns", "exec", NAMESPACE, "sysctl", "-qw", "net.ipv6.conf.brl.disable_ipv6=1")
    for name in NOBODY:
        wires.add(name)
        sh("ip", "-n", NAMESPACE, "link", "set", name, "master", "brl")
    sh("ip", "-n", NAMESPACE, "link", "set", "brl", "up")
    nft(render("brl", [SHOP, WIKI, WAY]))
    yield wires
    nft("delete table bridge ports-brl")
    for name in NOBODY:
        wires.remove(name)
    sh("ip", "-n", NAMESPACE, "link", "del", "brl")


@pytest.fixture
def put(bridge):
    """Put frames on a wire and see who hears them; the kernel's bridge has passed one on before it takes the next from the same sender."""

    def call(name, *sent):
        bridge.drain()
        bridge.send(name, *sent)
        last = frames.arp(ROUTER, "192.168.1.1", "192.168.1.200")
        bridge.send(WAY.port, last)
        return {one: [frame for frame in what if frame != last] for one, what in bridge.heard(TRUNK, last).items() if one in NOBODY}

    return call


@pytest.mark.parametrize("what", FORGED)
def test_what_is_forged_reaches_nobody(put, what):
    assert put(SHOP.port, FORGED[what]) == NOBODY


def test_a_port_of_which_nothing_is_known_is_mute_and_deaf(put):
    frame = frames.ipv4(SAME, "192.168.1.10", OTHER, "192.168.1.11")
    assert put(STRANGER, frame, frames.arp(SAME, "192.168.1.10", "192.168.1.11")) == NOBODY
    assert put(TRUNK, frames.arp("52:54:00:00:00:77", "192.168.1.77", "192.168.1.99"))[STRANGER] == []


def test_guests_and_router_talk(put):
    frame = frames.ipv4(SAME, "192.168.1.10", OTHER, "192.168.1.11", text=LONG)
    heard = put(SHOP.port, frame)
    assert heard[WIKI.port] == [frame] and heard[STRANGER] == []
    world = frames.ipv4(ROUTER, "198.18.100.1", SAME, "192.168.1.10", text=LONG)
    heard = put(WAY.port, world)
    assert heard[SHOP.port] == [world] and heard[WIKI.port] == []
    request = frames.arp(ROUTER, "192.168.1.1", "192.168.1.11")
    heard = put(WAY.port, request)
    assert heard[WIKI.port] == [request] and heard[SHOP.port] == []
    answer = frames.arp(OTHER, "192.168.1.11", "192.168.1.1", ROUTER, operation=2)
    assert put(WIKI.port, answer)[WAY.port] == [answer]


def test_a_rule_that_was_changed_by_hand_shows_and_order_of_elements_does_not(bridge):
    def look():
        return call_inside(NAMESPACE, linux_bridge.LinuxBridge("brl")._listing)

    before = look()
    nft(render("brl", [WAY, WIKI, SHOP]))
    assert look() == before
    nft("insert rule bridge ports-brl speak accept")
    assert look() != before
    nft(render("brl", [SHOP, WIKI, WAY]))
    assert look() == before


def test_no_guest_needs_no_elements(bridge):
    nft(render("brl", []))
    nft(render("brl", [SHOP, WIKI, WAY]))


def test_vlans_are_read_with_ranges_and_tags():
    shown = [
        {"ifname": "trunk0", "vlans": [{"vlan": 101, "vlanEnd": 103}, {"vlan": 200}]},
        {"ifname": "vms1", "vlans": [{"vlan": 101, "flags": ["PVID", "Egress Untagged"]}]},
        {"ifname": "odd", "vlans": [{"vlan": 7, "flags": ["Egress Untagged"]}]},
    ]
    trunk = {101: False, 102: False, 103: False, 200: False}
    assert parse_vlans(shown) == {"trunk0": trunk, "vms1": {101: True}, "odd": {7: False}}


def test_a_fresh_guest_gets_its_vlan_and_a_place_and_the_trunk_carries_it():
    told = commands({"vms1": {}, "trunk0": {}}, {"vms1": SHOP}, ["vms1"])
    assert told == [
        "vlan add dev vms1 vid 101 pvid untagged",
        "link set dev vms1 flood off mcast_flood off learning off",
        f"fdb replace {SAME} dev vms1 vlan 101 master static",
        "vlan add dev trunk0 vid 101",
    ]


def test_what_is_right_is_left_alone_and_what_nobody_needs_goes():
    members = {"vms1": {101: True}, "vrs": {101: True}, "trunk0": {101: False, 102: False, 1: True}}
    told = commands(members, {"vms1": SHOP, "vrs": WAY}, [])
    assert told == ["vlan del dev trunk0 vid 102", "vlan del dev trunk0 vid 1"]
    assert commands({**members, "trunk0": {101: False}}, {"vms1": SHOP, "vrs": WAY}, []) == []
    assert commands({"vms1": {102: True}}, {"vms1": SHOP}, []) == ["vlan del dev vms1 vid 102", "vlan add dev vms1 vid 101 pvid untagged"]
    assert commands({"trunk0": {101: False}}, {}, []) == ["vlan del dev trunk0 vid 101"]


def test_the_host_itself_is_in_no_vlan():
    told = shut_out("br-mesh", {"br-mesh": {1: True, 101: False}, "trunk0": {101: False}})
    assert told == ["vlan del dev br-mesh vid 1 self", "vlan del dev br-mesh vid 101 self"]
    assert shut_out("br-mesh", {"trunk0": {101: False}}) == []
