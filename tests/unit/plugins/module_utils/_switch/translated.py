# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What clones say and hear, which is the same on every kind of switch: three with one address and MAC, a neighbour, the router and a trunk."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import ports
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._switch import frames

ROUTER = "02:76:6d:00:00:01"
GUEST, GATEWAY, NEIGHBOUR = "192.168.1.10", "192.168.1.1", "192.168.1.11"
MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
FABRIC = {"vmc2": "192.168.1.254", "vmc3": "192.168.1.253"}
#: The first goes by the address that it believes in.
CLONES = {"vmc1": None, **FABRIC}
TRUNK = "trunk7"
NOBODY = {name: [] for name in (*CLONES, "vmn", "vrc", TRUNK)}
VLAN = 101

#: (port, VLAN, MAC, addresses, whether it forwards, fabric address)
PORTS = [(name, VLAN, MAC, [GUEST], False, fabric) for name, fabric in CLONES.items()]
PORTS += [("vmn", VLAN, OTHER, [NEIGHBOUR], False, None), ("vrc", VLAN, ROUTER, [GATEWAY], True, None)]


def seen(name):
    """Return the MAC and the address by which everybody else knows a clone."""
    fabric = CLONES[name]
    return (ports.fabric_mac(fabric), fabric) if fabric else (MAC, GUEST)


def tagged(frame):
    return frame[:12] + b"\x81\x00" + VLAN.to_bytes(2, "big") + frame[12:]


def packets(source, sender, target, receiver):
    """Return a TCP and a UDP packet with true checksums, one UDP packet without any, and one in two fragments."""
    ends = (source, sender, target, receiver)
    return [frames.tcp(*ends), frames.ipv4(*ends, text=b"hello" * 8, summed=True), frames.ipv4(*ends, text=b"hello" * 8), *frames.fragments(*ends)]


class Clones:
    """The tests; whoever inherits them provides the fixture C(put), which puts frames on a wire and tells who hears what, sorted.

    Attributes:
        rewrites_fragments: whether the later parts of a fragmented packet pass a translated port; if not, they must not come through at all.
    """

    rewrites_fragments = True

    def passed(self, name, *ends):
        """Return what packets() become that a clone sends or hears."""
        return sorted(packets(*ends) if self.rewrites_fragments or not CLONES[name] else packets(*ends)[:-1])

    @pytest.mark.parametrize("name", CLONES)
    def test_each_speaks_as_itself(self, put, name):
        mac, address = seen(name)
        heard = put(name, *packets(MAC, GUEST, OTHER, NEIGHBOUR))
        assert heard == {**NOBODY, "vmn": self.passed(name, mac, address, OTHER, NEIGHBOUR)}

    @pytest.mark.parametrize("name", CLONES)
    def test_each_is_reached_at_its_own_address_whatever_comes(self, put, name):
        mac, address = seen(name)
        heard = put("vrc", *packets(ROUTER, "198.18.100.1", mac, address))
        assert heard == {**NOBODY, name: self.passed(name, ROUTER, "198.18.100.1", MAC, GUEST)}
        heard = put(TRUNK, *map(tagged, packets("52:54:00:00:00:77", "192.168.1.77", mac, address)))
        assert {one: what for one, what in heard.items() if what} == {name: self.passed(name, "52:54:00:00:00:77", "192.168.1.77", MAC, GUEST)}

    @pytest.mark.parametrize("name", CLONES)
    def test_each_asks_and_is_answered(self, put, name):
        mac, address = seen(name)
        asked = put(name, frames.arp(MAC, GUEST, GATEWAY))
        assert asked["vrc"] == [frames.arp(mac, address, GATEWAY)] and asked[TRUNK] == [tagged(frames.arp(mac, address, GATEWAY))]
        assert asked["vmn"] == [] and not any(asked[other] for other in CLONES)
        answered = put("vrc", frames.arp(ROUTER, GATEWAY, address, mac, operation=2))
        assert answered == {**NOBODY, name: [frames.arp(ROUTER, GATEWAY, GUEST, MAC, operation=2)]}

    @pytest.mark.parametrize("name", CLONES)
    def test_each_is_asked_and_answers(self, put, name):
        mac, address = seen(name)
        asked = put("vrc", frames.arp(ROUTER, GATEWAY, address))
        assert {one: what for one, what in asked.items() if what and one != TRUNK} == {name: [frames.arp(ROUTER, GATEWAY, GUEST)]}
        answered = put(name, frames.arp(MAC, GUEST, GATEWAY, ROUTER, operation=2))
        assert answered == {**NOBODY, "vrc": [frames.arp(mac, address, GATEWAY, ROUTER, operation=2)]}

    @pytest.mark.parametrize("name", CLONES)
    def test_who_announces_itself_tells_what_others_know(self, put, name):
        mac, address = seen(name)
        for operation in (1, 2):
            heard = put(name, frames.arp(MAC, GUEST, GUEST, operation=operation))
            assert heard[TRUNK] == [tagged(frames.arp(mac, address, address, operation=operation))]
            assert not any(heard[other] for other in CLONES)

    @pytest.mark.parametrize("name", FABRIC)
    def test_nobody_can_speak_as_a_clone_by_what_others_know(self, put, name):
        mac, address = seen(name)
        forged = [frames.arp(source, address, GATEWAY, claimed=claimed) for source in (mac, MAC) for claimed in (mac, MAC)]
        forged += [frames.ipv4(source, address, OTHER, NEIGHBOUR) for source in (mac, MAC, OTHER)]
        forged += [frames.ipv4(mac, GUEST, OTHER, NEIGHBOUR), frames.arp(mac, GUEST, GATEWAY)]
        for liar in (*CLONES, "vmn"):
            assert put(liar, *forged) == NOBODY

    def test_no_clone_hears_what_is_for_another(self, put):
        mac, address = seen("vmc3")
        for frame in (
            frames.ipv4(ROUTER, "198.18.100.1", mac, GUEST),
            frames.ipv4(ROUTER, "198.18.100.1", MAC, address),
            frames.ipv4(ROUTER, "198.18.100.1", frames.BROADCAST, address),
        ):
            heard = put("vrc", frame)
            assert heard["vmc2"] == [] and not any(payload[30:34] == frames.packed(GUEST) for payload in heard["vmc3"])
        assert [one for one, what in put("vrc", frames.arp(ROUTER, GATEWAY, GUEST)).items() if what] == ["vmc1", TRUNK]

    def test_twins_never_hear_themselves(self, put):
        mac, address = seen("vmc2")
        one = [frames.arp(MAC, GUEST, address), frames.arp(MAC, GUEST, address, mac, operation=2), frames.ipv4(MAC, GUEST, mac, address)]
        assert put("vmc1", *one)["vmc2"] == []

    def test_clones_with_addresses_of_their_own_reach_each_other(self, put):
        (mac2, address2), (mac3, address3) = seen("vmc2"), seen("vmc3")
        heard = put("vmc2", *packets(MAC, GUEST, mac3, address3))
        assert heard == {**NOBODY, "vmc3": self.passed("vmc3", mac2, address2, MAC, GUEST)}
