# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A trunk, a WAN or a path further on that carries less than 1500 bytes: nobody waits for what is too large."""

from __future__ import annotations

import contextlib
import socket

import pytest
from gateway_net import CLIENT, MARK, PUBLIC, apply, document, echo, sh, talk

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside

#: linux/in.h, which Python does not know.
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
SOL_IP = socket.IPPROTO_IP


def cut_to_size_by_nobody(namespace, interface="eth0"):
    """Have a host send frames as they will be on the wire, as a guest's kernel does where nobody cuts them after it."""
    sh("ip", "netns", "exec", namespace, "ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off")


@pytest.fixture(autouse=True)
def _nothing_learned(mesh):
    """Have nobody know from another test what fits."""
    for name in (mesh.client, *(guest.namespace for guest in mesh.guests)):
        sh("ip", "-n", name, "route", "flush", "cache")


@pytest.fixture
def narrow_trunk(mesh):
    """What is larger than 1400 bytes is lost without a word between the gateway and its first guest, who believes in 1500."""
    one = mesh.guests[0]
    sh("ip", "link", "add", "trunk0", "type", "veth", "peer", "name", "trunk1")
    sh("ip", "link", "set", "trunk0", "mtu", "1400")
    sh("ip", "link", "set", "g1", "mtu", "1400")
    for namespace in (one.namespace, mesh.client):
        cut_to_size_by_nobody(namespace)
    mesh.switch.uplinks = ["trunk0"]
    try:
        yield mesh
    finally:
        mesh.switch.uplinks = []
        sh("ip", "link", "set", "g1", "mtu", "1500")
        sh("ip", "link", "del", "trunk0")


@pytest.fixture
def far(mesh):
    """A caller behind a link of 1300 bytes, who believes in 1500 and says so."""
    name = f"{MARK}-far"
    sh("ip", "netns", "add", name)
    try:
        sh("ip", "-n", mesh.client, "link", "add", "far0", "mtu", "1300", "type", "veth", "peer", "name", "eth0", "netns", name)
        for where, link, address in ((mesh.client, "far0", "198.51.100.1"), (name, "eth0", "198.51.100.2")):
            sh("ip", "-n", where, "addr", "add", f"{address}/24", "dev", link)
            sh("ip", "-n", where, "link", "set", link, "up")
        sh("ip", "-n", name, "route", "add", "default", "via", "198.51.100.1")
        sh("ip", "route", "add", "198.51.100.0/24", "via", CLIENT)
        call_inside(mesh.client, lambda: sh("sysctl", "-q", "-w", "net.ipv4.ip_forward=1"))
        yield name
    finally:
        sh("ip", "netns", "del", name)
        call_inside(mesh.client, lambda: sh("sysctl", "-q", "-w", "net.ipv4.ip_forward=0"))


def fetched(there, size=3_000_000, timeout=10):
    """Send *size* bytes that come back, and return how many did."""

    def talk_on():
        with socket.create_connection((PUBLIC, 80), timeout=timeout) as sock, contextlib.suppress(socket.timeout):
            got, line = 0, b"x" * 50_000 + b"\n"
            reader = sock.makefile("rb")
            while got < size:
                sock.sendall(line)
                got += len(reader.readline())
            return got
        return 0

    return call_inside(there, talk_on)


def udp(members, port):
    wanted = document(members)
    wanted["services"][0]["ports"] = [{"protocol": "udp", "port": port}]
    return wanted


def too_large(line):
    """Return what the kernel has learned that fits, once it was told that 1500 bytes do not."""
    line.setsockopt(SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)

    def told():
        with contextlib.suppress(OSError):
            line.send(bytes(1472))
        return line.getsockopt(SOL_IP, IP_MTU) < 1500

    wait_for(told, 5, "it is told what fits")
    return line.getsockopt(SOL_IP, IP_MTU)


def test_three_megabytes_come_through_a_trunk_of_1400_bytes(narrow_trunk):
    one = narrow_trunk.guests[0]
    one.serve(80)
    apply(narrow_trunk, document([one.member]))
    assert fetched(narrow_trunk.client) >= 3_000_000


def test_a_caller_is_told_what_the_trunk_carries(narrow_trunk):
    one = narrow_trunk.guests[0]
    with echo(one, 5353):
        apply(narrow_trunk, udp([one.member], 5353))
        line, say = call_inside(narrow_trunk.client, lambda: talk(5353))
        with line:
            assert say() == one.instance
            assert too_large(line) == 1400


def test_a_guest_is_told_what_the_way_to_its_caller_carries(mesh, far):
    """By the router of somebody else, who answers the address that he knows: the public one."""
    one = mesh.guests[0]
    apply(mesh, udp([one.member], 5354))
    server = call_inside(one.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with server:
        server.bind((one.address, 5354))
        server.settimeout(3)
        line, unused = call_inside(far, lambda: talk(5354))
        with line:
            line.send(b"hello")
            server.connect(server.recvfrom(100)[1])
            assert too_large(server) == 1300


def test_a_guest_is_told_what_the_wan_carries(mesh):
    one = mesh.guests[0]
    sh("ip", "link", "set", "wan0", "mtu", "1340")
    try:
        apply(mesh, udp([one.member], 5355))
        server = call_inside(one.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with server:
            server.bind((one.address, 5355))
            server.settimeout(3)
            line, unused = call_inside(mesh.client, lambda: talk(5355))
            with line:
                line.send(b"hello")
                server.connect(server.recvfrom(100)[1])
                assert too_large(server) == 1340
    finally:
        sh("ip", "link", "set", "wan0", "mtu", "1500")


def test_both_sides_of_a_connection_are_told_what_fits_when_it_begins(mesh):
    """Also where whatever is too large is lost without a word: the WAN link is smaller than anybody believes."""
    one = mesh.guests[0]
    one.serve(80)
    sh("ip", "link", "set", "wan0", "mtu", "1340")
    cut_to_size_by_nobody(mesh.client)
    cut_to_size_by_nobody(one.namespace)
    try:
        apply(mesh, document([one.member]))
        assert call_inside(mesh.client, lambda: largest_segment(PUBLIC)) == 1300 - 12
        assert fetched(mesh.client, 500_000) >= 500_000
    finally:
        sh("ip", "link", "set", "wan0", "mtu", "1500")


def largest_segment(address):
    """Return how many bytes TCP puts into a packet to *address*: what the other one said, without the room for time stamps."""
    with socket.create_connection((address, 80), timeout=3) as sock:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


def test_a_trunk_that_has_come_to_carry_less_is_seen(narrow_trunk):
    apply(narrow_trunk, document([]))
    assert not apply(narrow_trunk, document([])).changed
    sh("ip", "link", "set", "trunk0", "mtu", "1300")
    report = apply(narrow_trunk, document([]))
    assert report.changed and report.before["drift"] == ["links"]
