# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel of this machine tells of its flows, in a network namespace of their own."""

from __future__ import annotations

import os
import subprocess

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import conntrack
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.conntrack import ASSURED, DST_NAT, Flow
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside

PUBLIC, ONE, TWO = "198.18.7.1", "192.168.1.11", "192.168.1.12"
BITS = ASSURED | DST_NAT


@pytest.fixture(scope="module", name="namespace")
def _namespace():
    """A namespace in which 192.168.1.11 serves three, and 192.168.1.12 one."""
    name = f"t{os.getpid()}-flows"

    def inside(*words):
        subprocess.run(["ip", "netns", "exec", name, *words], check=True, capture_output=True)

    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        # Nothing is tracked where nobody wants it.
        inside("nft", "add table inet t; add chain inet t c { type filter hook prerouting priority 0; }; add rule inet t c ct state new accept")
        usual = ("conntrack", "-I", "--src", "198.18.0.2", "--dst", PUBLIC, "--timeout", "300", "--status", "ASSURED")
        for port, server, state in ((1001, ONE, "ESTABLISHED"), (1002, ONE, "TIME_WAIT"), (1003, TWO, "CLOSE_WAIT")):
            inside(*usual, "-p", "tcp", "--sport", str(port), "--dport", "80", "--state", state, "--dst-nat", server)
        inside(*usual, "-p", "udp", "--sport", "1004", "--dport", "53", "--dst-nat", ONE)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def told(namespace, server=None):
    """Return the flows of a namespace, without the bits of their status that are not ours."""
    return sorted((flow._replace(status=flow.status & BITS) for flow in call_inside(namespace, lambda: list(conntrack.flows(server)))), key=repr)


def test_flows_are_told_as_they_are(namespace):
    tcp = [Flow(6, PUBLIC, 80, server, state, BITS) for server, state in ((ONE, 3), (ONE, 7), (TWO, 5))]
    assert told(namespace) == sorted([*tcp, Flow(17, PUBLIC, 53, ONE, None, BITS)], key=repr)


def test_the_kernel_tells_only_those_of_one_member(namespace, monkeypatch):
    assert {flow.server for flow in told(namespace, ONE)} == {ONE} and len(told(namespace, ONE)) == 3 and len(told(namespace, TWO)) == 1
    assert told(namespace, "192.168.1.13") == []
    # It is the kernel that chooses, where it can.
    looked = []
    real = conntrack.flow
    monkeypatch.setattr(conntrack, "flow", lambda content: (looked.append(real(content)), looked[-1])[1])
    assert len(told(namespace, TWO)) == len(looked) == 1


def test_a_refusal_is_a_sentence(namespace, monkeypatch):
    monkeypatch.setattr(conntrack, "_GET", 200)
    with pytest.raises(CommandFailed, match="^The kernel does not tell its connections: "):
        told(namespace)
