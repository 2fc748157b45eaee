# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of a publication that the router itself takes for good: nobody outside reaches it, or nothing large comes through."""

from __future__ import annotations

import os
import time

import pytest
from gateway_net import CLIENT, DOMAIN, PUBLIC, apply, connect, document, sh

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import connections, firewalls, namespace, neighbour, outside
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside

DROPPING = "table ip {name} {{ chain FORWARD {{ type filter hook forward priority 0; policy drop; }}; chain {more} {{ }}; }}"


@pytest.fixture(autouse=True)
def _bridge_without_netfilter(net):
    """Have the bridge forward frames without the firewalls for packets: it stands for a switch, which has none."""
    path = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    if os.path.exists(path):
        with open(path, "w", encoding="ascii") as handle:
            handle.write("0")


@pytest.fixture
def one(mesh):
    guest = mesh.guests[0]
    guest.serve(80)
    return guest


def told(mesh, guest, ports=(80,)):
    return list(apply(mesh, document([guest.member], ports=ports), answer_timeout=10).warnings)


@pytest.fixture
def lossy(mesh):
    """What is larger than about 1400 bytes is lost without a word between the router and the first guest, and no interface says so."""
    sh("ip", "link", "set", "g1", "mtu", "1396")
    sh("ip", "-n", mesh.guests[0].namespace, "route", "flush", "cache")
    yield
    sh("ip", "link", "set", "g1", "mtu", "1500")


@pytest.fixture
def deaf_to_pings(mesh):
    where = mesh.guests[0].namespace
    call_inside(where, lambda: sh("sysctl", "-q", "-w", "net.ipv4.icmp_echo_ignore_all=1"))
    yield
    call_inside(where, lambda: sh("sysctl", "-q", "-w", "net.ipv4.icmp_echo_ignore_all=0"))


def test_nothing_is_doubted_where_all_is_well(mesh, one):
    assert told(mesh, one) == []
    # Or a drain would wait for a caller who has gone.
    assert connections.count(namespace.names(DOMAIN).namespace, [one.address]) == 0
    assert {link for link in namespace.host_addresses() if link.startswith("vv")} == set(), "the visitor has gone"


def test_nothing_is_doubted_of_a_guest_that_answers_no_pings(mesh, one, deaf_to_pings):
    assert told(mesh, one) == []


def test_it_is_told_what_size_of_packet_passes(mesh, one, lossy):
    [sentence] = told(mesh, one)
    assert sentence.startswith(f"Packets of more than 1400 bytes do not reach {one.instance} at {one.address}, though its router sends up to 1500: ")


def test_it_is_told_of_a_guest_that_answers_no_pings_too(mesh, one, lossy, deaf_to_pings):
    [sentence] = told(mesh, one)
    assert sentence.startswith("Packets of more than 1400 bytes do not reach")


def test_a_guest_that_answers_nothing_is_not_judged(mesh):
    apply(mesh, document([mesh.guests[0].member]))
    assert call_inside(namespace.names(DOMAIN).namespace, lambda: neighbour.largest("192.168.1.99")) is None


@pytest.mark.parametrize(
    ("name", "more", "who", "remedy"),
    [
        ("filter", "DOCKER-USER", "Docker", "iptables -I DOCKER-USER"),
        ("filter", "ufw-user-forward", "Ufw", "ufw default allow routed"),
        ("mine", "more", "Another firewall", "let it accept what"),
    ],
)
def test_a_firewall_of_others_is_named_when_nobody_outside_reaches_what_was_published(mesh, one, name, more, who, remedy):
    run(["nft", "-f", "-"], stdin=DROPPING.format(name=name, more=more))
    try:
        began = time.monotonic()
        [found] = told(mesh, one)
        assert time.monotonic() - began < 5
        assert call_inside(mesh.client, lambda: connect(PUBLIC, 80, 0.5)) == "silent", "the world does not reach it either"
    finally:
        sh("nft", "delete", "table", "ip", name)
    assert found.startswith(
        f"shop answers its router, but its public address {PUBLIC} does not answer a caller from outside at port 80 (no reply). "
        f"{who} drops what this gateway forwards unless it knows it (table ip {name}, policy drop in forward); {remedy}"
    )


def test_one_that_lets_it_pass_is_not_doubted(mesh, one):
    """A policy to drop says nothing about what the rules before it do."""
    run(["nft", "-f", "-"], stdin=DROPPING.format(name="mine", more="more"))
    for way in ("iifname", "oifname"):
        sh("nft", "add", "rule", "ip", "mine", "FORWARD", way, "vo*", "accept")
    try:
        assert told(mesh, one) == []
        assert [each.table for each in firewalls.others()] == ["ip mine"]
    finally:
        sh("nft", "delete", "table", "ip", "mine")


def test_a_gateway_that_does_not_forward_is_told_so(mesh, one):
    sh("sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
    try:
        [found] = told(mesh, one)
    finally:
        sh("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    assert found.endswith("The gateway does not forward: its net.ipv4.ip_forward is 0.")


def test_a_guest_takes_the_visitor_for_its_router(mesh, one):
    """Some hold addresses of that kind for their neighbours', and would not answer through it."""
    sh("ip", "-n", one.namespace, "route", "add", "169.254.0.0/16", "dev", "eth0")
    try:
        assert told(mesh, one) == []
    finally:
        sh("ip", "-n", one.namespace, "route", "del", "169.254.0.0/16", "dev", "eth0")


def test_no_visitor_outlasts_its_visit(mesh, one):
    before = set(namespace.host_addresses())
    for generation in range(1, 4):
        apply(mesh, document([], generation=2 * generation))
        apply(mesh, document([one.member], generation=2 * generation + 1), answer_timeout=5)
    after = {link for link in namespace.host_addresses() if not link.startswith(("vo", "vr"))}
    assert after <= before


@pytest.fixture
def next_router(mesh):
    """The client is the router that leads to the world."""
    sh("ip", "route", "add", "default", "via", CLIENT, "dev", "wan0")
    yield
    sh("ip", "route", "del", "default")
    sh("ip", "-n", mesh.client, "link", "set", "eth0", "mtu", "1500")


def test_a_wan_that_carries_less_than_its_interface_says_is_named(mesh, next_router):
    assert outside.in_the_way("wan0") == []
    sh("ip", "-n", mesh.client, "link", "set", "eth0", "mtu", "1396")
    [sentence] = outside.in_the_way("wan0")
    assert sentence == f"Packets of more than 1400 bytes do not reach the next router {CLIENT} by wan0, which takes 1500: give wan0 an MTU of 1400."


def test_a_next_router_that_answers_nothing_is_not_judged(mesh, next_router):
    sh("ip", "route", "replace", "default", "via", "198.18.0.99", "dev", "wan0")
    assert outside.in_the_way("wan0") == [] == outside.in_the_way("wan9")


def test_firewalls_of_others_are_named_before_anything_is_published(mesh):
    """Those that drop what comes to the gateway itself, too; and none of those that let all pass, nor our own."""
    run(["nft", "-f", "-"], stdin="table inet firewalld { chain filter_INPUT { type filter hook input priority 10; policy drop; }; }")
    run(["nft", "-f", "-"], stdin="table ip fine { chain FORWARD { type filter hook forward priority 0; policy accept; }; }")
    run(["nft", "-f", "-"], stdin="table inet vmatrix_guard { chain f { type filter hook forward priority 0; policy drop; }; }")
    try:
        found = outside.in_the_way("wan0")
    finally:
        for table in ("inet firewalld", "ip fine", "inet vmatrix_guard"):
            sh("nft", "delete", "table", *table.split())
    assert found == ["Firewalld drops what comes to this gateway itself unless it knows it (table inet firewalld, policy drop in input)."]
