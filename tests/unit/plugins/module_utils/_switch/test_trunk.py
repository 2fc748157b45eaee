# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What passes a trunk, between two hosts in network namespaces of their own."""

from __future__ import annotations

import os
import subprocess

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import trunk

MARK = f"t{os.getpid()}"
GATEWAY, BETWEEN, RM = (f"{MARK}-{name}" for name in ("gateway", "between", "rm"))
ROUTER = bytes.fromhex("02766d000001")


def sh(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def ip(namespace, *argv):
    sh("ip", "-n", namespace, *argv)


@pytest.fixture
def hosts():
    """A gateway and an RM, and a switch between them."""
    for name in (GATEWAY, BETWEEN, RM):
        sh("ip", "netns", "add", name)
    try:
        ip(BETWEEN, "link", "add", "switch", "type", "bridge")
        ip(BETWEEN, "link", "set", "switch", "up")
        for host, port in ((GATEWAY, "gw"), (RM, "rm")):
            ip(host, "link", "add", "trunk", "type", "veth", "peer", "name", port, "netns", BETWEEN)
            ip(host, "link", "set", "trunk", "up")
            ip(BETWEEN, "link", "set", port, "master", "switch", "up")
        yield
    finally:
        for name in (GATEWAY, BETWEEN, RM):
            sh("ip", "netns", "del", name)


@pytest.fixture
def answering(hosts):
    call_inside(GATEWAY, lambda: trunk.follow({}, ["trunk"]))
    # It listens only some moments later.
    wait_for(lambda: asked(None) is not None, 5, "the gateway answers")


def asked(*vlans):
    return call_inside(RM, lambda: trunk.largest("trunk", vlans, ROUTER))


@pytest.mark.parametrize("vlan", [None, 101])
def test_a_trunk_that_carries_all_is_known(answering, vlan):
    assert asked(vlan) == 1500


@pytest.mark.parametrize("vlan", [None, 101])
@pytest.mark.parametrize("narrow", ["gw", "rm"])
def test_it_is_known_what_passes_whichever_way_it_is_lost(answering, narrow, vlan):
    ip(BETWEEN, "link", "set", narrow, "mtu", "1400")
    assert asked(vlan) == pytest.approx(1400, abs=4)


def test_the_link_of_a_host_itself_may_carry_less(answering):
    ip(RM, "link", "set", "trunk", "mtu", "1450")
    assert asked(None) == 1450


def test_a_gateway_that_does_not_answer_is_not_judged(hosts):
    assert asked(None, 101) is None


def test_a_gateway_answers_again_when_its_trunk_was_down(hosts):
    answering = {}
    call_inside(GATEWAY, lambda: trunk.follow(answering, ["trunk"]))
    wait_for(lambda: asked(None) == 1500, 5, "it answers")
    ip(GATEWAY, "link", "set", "trunk", "down")
    answering["trunk"].join(5)
    ip(GATEWAY, "link", "set", "trunk", "up")
    call_inside(GATEWAY, lambda: trunk.follow(answering, ["trunk"]))
    wait_for(lambda: asked(None) == 1500, 5, "it answers again")
