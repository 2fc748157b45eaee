# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clones on a real Open vSwitch in user space and on a real bridge of the kernel, with real frames."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.bridge_rules import render
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.linux_bridge import commands
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.openvswitch import OpenVSwitch
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._switch import frames, translated
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._switch.conftest import NAMESPACE, sh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._switch.translated import FABRIC, GATEWAY, MAC, NOBODY, PORTS, ROUTER, TRUNK, VLAN

LAST = [frames.arp(ROUTER, GATEWAY, f"192.168.1.{200 + turn}") for turn in range(2)]


@pytest.fixture(scope="class")
def cables(wires):
    for name in NOBODY:
        wires.add(name)
    yield wires
    for name in NOBODY:
        wires.remove(name)


def listened(wires, name, sent, marks):
    """Put frames on a wire and return who hears what, which is sure when a last frame of the router (as the trunk hears it) has come through, twice."""
    wires.drain()
    wires.send(name, *sent)
    found = {one: [] for one in NOBODY}
    for last, mark in zip(LAST, marks):
        wires.send("vrc", last)
        for one, what in wires.heard(TRUNK, mark).items():
            if one in NOBODY:
                found[one] += what
    return {one: sorted(frame for frame in what if frame not in (*LAST, *marks)) for one, what in found.items()}


class TestOpenVSwitch(translated.Clones):
    rewrites_fragments = False

    @pytest.fixture
    def switch(self, daemons, book, cables):
        made = OpenVSwitch("br-clones")
        made.ensure([TRUNK])
        for port in PORTS:
            made.guard_port(*port)
        yield made
        made.remove()

    @pytest.fixture
    def put(self, switch, cables):
        return lambda name, *sent: listened(cables, name, sent, list(map(translated.tagged, LAST)))

    def test_the_port_book_keeps_the_translation_and_brings_it_back(self, switch, put):
        assert switch.observe().drift == []
        assert {name: ports.load("br-clones")[name].fabric_address for name in FABRIC} == FABRIC
        before = sh("ovs-ofctl", "--no-stats", "dump-flows", "br-clones")
        sh("ovs-ofctl", "del-flows", "br-clones")
        assert switch.observe().drift == ["guard"]
        switch.restore()
        assert switch.observe().drift == [] and sh("ovs-ofctl", "--no-stats", "dump-flows", "br-clones") == before
        self.test_each_speaks_as_itself(put, "vmc2")

    def test_a_released_clone_is_mute_and_the_others_are_not(self, switch, put):
        switch.release_port("vmc2")
        assert put("vmc2", *translated.packets(MAC, translated.GUEST, translated.OTHER, translated.NEIGHBOUR)) == NOBODY
        self.test_each_speaks_as_itself(put, "vmc3")


class TestLinuxBridge(translated.Clones):
    """Without VLANs, which this kernel's bridge may not filter; what the trunk hears is tagged for the tests to be the same."""

    @pytest.fixture(scope="class")
    def bridge(self, cables):
        sh("ip", "-n", NAMESPACE, "link", "add", "brc", "type", "bridge", "mcast_snooping", "0")
        sh("ip", "netns", "exec", NAMESPACE, "sysctl", "-qw", "net.ipv6.conf.brc.disable_ipv6=1")
        guarded = {port[0]: ports.checked(*port) for port in PORTS}
        for name in NOBODY:
            sh("ip", "-n", NAMESPACE, "link", "set", name, "master", "brc")
        sh("ip", "-n", NAMESPACE, "link", "set", "brc", "up")
        told = commands({name: {} for name in NOBODY}, guarded, guarded)
        told = [line.replace(f" vlan {VLAN}", "") for line in told if not line.startswith("vlan ")]
        told += [f"link set dev {TRUNK} flood off"]
        subprocess.run(["ip", "netns", "exec", NAMESPACE, "bridge", "-batch", "-"], input="\n".join(told), text=True, check=True)
        for script in (render("brc", guarded.values()), ""):
            subprocess.run(["ip", "netns", "exec", NAMESPACE, "nft", "-f", "-"], input=script, text=True, check=True)
        yield cables
        subprocess.run(["ip", "netns", "exec", NAMESPACE, "nft", "delete table bridge ports-brc"], check=True)
        sh("ip", "-n", NAMESPACE, "link", "del", "brc")

    @pytest.fixture
    def put(self, bridge):
        def call(name, *sent):
            sent = [frame[:12] + frame[16:] for frame in sent] if name == TRUNK else sent
            heard = listened(bridge, name, sent, LAST)
            return {**heard, TRUNK: sorted(map(translated.tagged, heard[TRUNK]))}

        return call
