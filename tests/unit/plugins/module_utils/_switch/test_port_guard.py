# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The port guard with real frames through a real Open vSwitch in user space."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.openvswitch import OpenVSwitch
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._switch import frames
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._switch.conftest import sh

BRIDGE = "br-test"
ROUTER = "02:76:6d:00:00:01"
SAME = "52:54:00:00:00:01"
OTHER = "52:54:00:00:00:02"
#: Two domains with the same guest address and MAC, a second guest of the first domain, the router of the first, and a port that nobody guards.
PORTS = {
    "vma1": (101, SAME, ["192.168.1.10/24"]),
    "vmb1": (102, SAME, ["192.168.1.10/24"]),
    "vma2": (101, OTHER, ["192.168.1.11/24"]),
    "vra": (101, ROUTER, ["192.168.1.1/24"]),
}
STRANGER = "vmx1"
TAG101, TAG102 = (0x8100, 101), (0x8100, 102)
#: What nobody but the sender's own domain may hear, and what a guest may not say at all.
FORGED = {
    "another MAC": frames.ipv4("52:54:00:00:00:99", "192.168.1.10", OTHER, "192.168.1.11"),
    "another address": frames.ipv4(SAME, "192.168.1.99", OTHER, "192.168.1.11"),
    "its neighbour's address": frames.ipv4(SAME, "192.168.1.11", ROUTER, "198.18.0.1"),
    "ARP for another": frames.arp(SAME, "192.168.1.1", "192.168.1.11"),
    "ARP reply for another": frames.arp(SAME, "192.168.1.1", "192.168.1.11", OTHER, operation=2),
    "ARP with another MAC inside": frames.arp(SAME, "192.168.1.10", "192.168.1.11", OTHER, claimed="52:54:00:00:00:99", operation=2),
    "gratuitous ARP for the router": frames.arp(SAME, "192.168.1.1", "192.168.1.1", operation=2),
    "router advertisement": frames.ipv6(SAME, "33:33:00:00:00:01"),
    "unicast IPv6": frames.ipv6(SAME, OTHER, 128),
    "DHCP server": frames.ipv4(SAME, "192.168.1.10", OTHER, "192.168.1.11", (67, 68)),
    "broadcast": frames.ipv4(SAME, "192.168.1.10", frames.BROADCAST, "255.255.255.255"),
    "multicast": frames.ipv4(SAME, "192.168.1.10", "01:00:5e:00:00:fb", "224.0.0.251"),
    "spanning tree": frames.ethernet(SAME, "01:80:c2:00:00:00", 0x0026, b"\x42\x42\x03"),
    "its own tag": frames.ipv4(SAME, "192.168.1.10", OTHER, "192.168.1.11", tags=[TAG101]),
    "another domain's tag": frames.ipv4(SAME, "192.168.1.10", OTHER, "192.168.1.11", tags=[TAG102]),
    "a priority tag": frames.ipv4(SAME, "192.168.1.10", OTHER, "192.168.1.11", tags=[(0x8100, 0)]),
    "two tags": frames.ipv4(SAME, "192.168.1.10", OTHER, "192.168.1.11", tags=[TAG101, TAG102]),
    "a service tag": frames.ipv4(SAME, "192.168.1.10", OTHER, "192.168.1.11", tags=[(0x88A8, 102)]),
    "MPLS": frames.ethernet(SAME, OTHER, 0x8847, b"\0" * 46),
    "PPPoE": frames.ethernet(SAME, frames.BROADCAST, 0x8863, b"\x11\x09" + b"\0" * 44),
}


@pytest.fixture(scope="module", autouse=True)
def cables(wires):
    for name in (*PORTS, STRANGER, "trunk0"):
        wires.add(name)
    yield
    for name in (*PORTS, STRANGER, "trunk0"):
        wires.remove(name)


@pytest.fixture
def switch(daemons, book):
    """A switch with all ports guarded but the stranger's, which is in the first domain's VLAN as libvirt would have put it."""
    made = OpenVSwitch(BRIDGE)
    made.ensure(["trunk0"])
    for name, (vlan, mac, addresses) in PORTS.items():
        made.guard_port(name, vlan, mac, addresses, forwards=name.startswith("vr"))
    sh("ovs-vsctl", "add-port", BRIDGE, STRANGER, "tag=101")
    yield made
    made.remove()


@pytest.fixture
def put(wires, switch):
    """Put frames on a wire and see who hears them, which is sure when two last frames of the router, one after the other, have come through."""

    def call(name, *sent):
        wires.drain()
        wires.send(name, *sent)
        found = {one: [] for one in NOBODY}
        last = [frames.arp(ROUTER, "192.168.1.1", f"192.168.1.{200 + turn}") for turn in range(2)]
        tagged = [frame[:12] + b"\x81\x00\x00\x65" + frame[12:] for frame in last]
        for turn in range(2):
            wires.send("vra", last[turn])
            for one, what in wires.heard("trunk0", tagged[turn]).items():
                found[one] += what
        return {one: [frame for frame in what if frame not in (*last, *tagged)] for one, what in found.items()}

    return call


NOBODY = {name: [] for name in (*PORTS, STRANGER, "trunk0")}


@pytest.mark.parametrize("what", FORGED)
def test_what_is_forged_reaches_nobody(put, what):
    assert put("vma1", FORGED[what]) == NOBODY


def test_all_at_once_from_every_guest_reaches_nobody(put):
    for name in ("vma1", "vmb1", STRANGER):
        assert put(name, *FORGED.values()) == NOBODY


def test_a_port_of_which_nothing_is_known_is_mute(put):
    frame = frames.ipv4(OTHER, "192.168.1.11", SAME, "192.168.1.10")
    assert put(STRANGER, frame, frames.arp(OTHER, "192.168.1.11", "192.168.1.10")) == NOBODY


def test_neighbours_of_one_domain_talk(put):
    frame = frames.ipv4(SAME, "192.168.1.10", OTHER, "192.168.1.11")
    assert put("vma1", frame) == {**NOBODY, "vma2": [frame]}


def test_the_trunk_gets_the_tag_and_takes_it_back(put):
    out = frames.ipv4(SAME, "192.168.1.10", "52:54:00:00:00:77", "192.168.1.77")
    heard = put("vmb1", out)
    assert heard["trunk0"] == [out[:12] + b"\x81\x00\x00\x66" + out[12:]]
    assert heard["vma1"] == heard["vma2"] == heard["vra"] == []
    back = frames.ipv4("52:54:00:00:00:77", "192.168.1.77", SAME, "192.168.1.10", tags=[TAG102])
    untagged = frames.ipv4("52:54:00:00:00:77", "192.168.1.77", SAME, "192.168.1.10")
    assert {name: what for name, what in put("trunk0", back).items() if what} == {"vmb1": [untagged + b"\0" * (len(back) - 4 - len(untagged))]}


def test_the_router_speaks_for_others_but_with_its_own_mac_only(put):
    frame = frames.ipv4(ROUTER, "198.18.100.1", SAME, "192.168.1.10")
    assert put("vra", frame)["vma1"] == [frame]
    assert put("vra", frames.ipv4(OTHER, "198.18.100.1", SAME, "192.168.1.10"), FORGED["router advertisement"])["vma1"] == []


def test_only_the_asked_hears_an_arp_request(put):
    request = frames.arp(ROUTER, "192.168.1.1", "192.168.1.11")
    heard = put("vra", request)
    assert heard["vma2"] == [request] and heard["vma1"] == heard["vmb1"] == []
    answer = frames.arp(OTHER, "192.168.1.11", "192.168.1.1", ROUTER, operation=2)
    assert put("vma2", answer)["vra"] == [answer]


def test_what_is_not_for_a_guest_does_not_reach_it(put):
    for tag in (TAG101, TAG102, (0x8100, 103), (0x8100, 0)):
        heard = put(
            "trunk0",
            frames.ipv4(ROUTER, "198.18.100.1", "52:54:00:00:00:88", "192.168.1.88", tags=[tag]),
            frames.ipv4(ROUTER, "198.18.100.1", frames.BROADCAST, "255.255.255.255", tags=[tag]),
            frames.ipv4(ROUTER, "198.18.100.1", "01:00:5e:00:00:fb", "224.0.0.251", tags=[tag]),
            frames.arp(ROUTER, "192.168.1.1", "192.168.1.88", tags=[tag]),
        )
        assert [heard[name] for name in ("vma1", "vma2", "vmb1")] == [[]] * 3


def test_a_vlan_that_nobody_has_here_is_not_let_in(put):
    frame = frames.arp(ROUTER, "192.168.1.1", "192.168.1.10", tags=[(0x8100, 103)])
    assert put("trunk0", frame, frames.arp(ROUTER, "192.168.1.1", "192.168.1.10")) == NOBODY


def trunks():
    return sh("ovs-vsctl", "get", "Port", "trunk0", "trunks").strip()


def test_trunks_follow_the_ports(switch, wires):
    assert trunks() == "[101, 102, 4095]"
    switch.release_port("vmb1")
    assert trunks() == "[101, 4095]"
    switch.remove_port("vra")
    assert trunks() == "[101, 4095]"
    for name in ("vma1", "vma2"):
        switch.release_port(name)
    assert trunks() == "[4095]"
    assert switch.observe().present == {} and switch.observe().drift == []


def test_a_released_port_is_mute(switch, put):
    frame = frames.ipv4(SAME, "192.168.1.10", OTHER, "192.168.1.11")
    switch.release_port("vma1")
    assert put("vma1", frame) == NOBODY


def test_to_set_it_up_again_changes_nothing(switch):
    before = switch.observe()
    assert before.drift == [] and sorted(before.present) == sorted(PORTS) and before.settings == switch.wanted()
    switch.ensure(["trunk0"])
    assert switch.observe() == before


@pytest.mark.parametrize(
    ("by_hand", "part"),
    [
        (["ovs-ofctl", "del-flows", BRIDGE, "table=0,in_port=vma1"], "guard"),
        (["ovs-ofctl", "add-flow", BRIDGE, "priority=999,actions=normal"], "guard"),
        (["ovs-vsctl", "set", "Port", "trunk0", "trunks=[]"], "trunks"),
        (["ovs-vsctl", "set", "Port", "vma1", "tag=102"], "access ports"),
        (["ovs-ofctl", "mod-port", BRIDGE, "vma1", "flood"], "flooding"),
    ],
)
def test_a_change_by_hand_is_seen_and_mended(switch, by_hand, part):
    sh(*by_hand)
    assert part in switch.observe().drift
    switch.ensure(["trunk0"])
    assert switch.observe().drift == []


def test_a_switch_that_died_is_closed_until_the_guard_is_back(switch, daemons, put, wires):
    frame = frames.ipv4(SAME, "192.168.1.10", OTHER, "192.168.1.11")
    daemons.stop()
    daemons.start()
    wires.drain()
    wires.send("vma1", frame, *FORGED.values())
    assert switch.observe().drift == ["flooding", "guard"]
    switch.restore()
    assert switch.observe().drift == []
    assert put("vma1", frame) == {**NOBODY, "vma2": [frame]}


def test_an_interface_that_is_not_there_cannot_be_guarded(switch):
    with pytest.raises(CommandFailed, match="cannot use the interface vmgone"):
        switch.guard_port("vmgone", 101, SAME, ["192.168.1.12"])
    assert "vmgone" not in sh("ovs-vsctl", "list-ports", BRIDGE)
    assert switch.observe().drift == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("vma1", 0, SAME, ["192.168.1.10"]),
        ("vma1", 4095, SAME, ["192.168.1.10"]),
        ("vma1,", 101, SAME, ["192.168.1.10"]),
        ("vma1", 101, "01:54:00:00:00:01", ["192.168.1.10"]),
        ("vma1", 101, "52:54:00:00:00:01,actions=normal", ["192.168.1.10"]),
        ("vma1", 101, SAME, []),
        ("vma1", 101, SAME, ["192.168.1.300"]),
        ("vma1", 101, SAME, ["fe80::1"]),
        ("vma1", 101, SAME, ["192.168.1.10"], False, "192.168.1.300"),
        ("vma1", 101, SAME, ["192.168.1.10"], True, "192.168.1.254"),
        ("vma1", 101, SAME, ["192.168.1.10", "192.168.1.11"], False, "192.168.1.254"),
    ],
)
def test_what_is_invalid_is_refused(book, arguments):
    with pytest.raises(InvalidInput):
        OpenVSwitch(BRIDGE).guard_port(*arguments)
