# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of the flows that the kernel tracks are live connections of members."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import connections
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.connections import Connection
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.conntrack import ASSURED, DST_NAT, Flow

WEB = Flow(socket.IPPROTO_TCP, "198.18.7.1", 80, "192.168.1.11", 3, ASSURED | DST_NAT)
DNS = Flow(socket.IPPROTO_UDP, "198.18.7.1", 53, "192.168.1.12", None, ASSURED | DST_NAT)


@pytest.fixture(name="tracked")
def _tracked(monkeypatch):
    """The flows that there are."""
    there = []
    monkeypatch.setattr(connections, "call_inside", lambda namespace, function: function())
    monkeypatch.setattr(connections.conntrack, "flows", lambda server=None: iter([flow for flow in there if server in (None, flow.server)]))
    return there


def test_a_connection_says_whom_the_caller_meant_and_who_serves_it(tracked):
    tracked += [WEB, WEB, DNS]
    web, dns = Connection("tcp", "198.18.7.1", 80, "192.168.1.11"), Connection("udp", "198.18.7.1", 53, "192.168.1.12")
    assert connections.live("router") == {web: 2, dns: 1}
    assert connections.count("router", ["192.168.1.11"]) == 2 and connections.count("router", ["192.168.1.11", "192.168.1.12"]) == 3


def test_no_connections_are_no_error(tracked):
    assert connections.live("router") == {} and connections.count("router", ["192.168.1.11"]) == 0


@pytest.mark.parametrize(("state", "lives"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 1), (7, 0), (8, 0)])
def test_a_connection_lives_until_both_sides_have_closed_it(tracked, state, lives):
    tracked.append(WEB._replace(state=state))
    assert connections.count("router", [WEB.server]) == lives


def test_what_was_not_sent_to_a_member_or_was_never_answered_does_not_count(tracked):
    tracked += [WEB._replace(status=ASSURED), DNS._replace(status=DST_NAT), WEB._replace(protocol=socket.IPPROTO_SCTP)]
    assert connections.live("router") == {}
