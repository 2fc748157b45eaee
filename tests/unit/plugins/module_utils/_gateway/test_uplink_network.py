# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A WAN interface that goes down and comes back, as a caller notices it."""

from __future__ import annotations

import threading

import pytest
from gateway_net import DOMAIN, PUBLIC, apply, ask, connect, document, sh

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import namespace, state, uplink
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside


@pytest.fixture
def served(mesh):
    one = mesh.guests[0]
    one.serve(80)
    apply(mesh, document([one.member]))
    assert call_inside(mesh.client, ask)[0] == one.instance
    return mesh


@pytest.fixture
def watch(mesh):
    return uplink.Watch(lambda _bridge: mesh.switch, mesh.directory)


def reached(mesh):
    # The caller asks anew who has the address.
    sh("ip", "-n", mesh.client, "neigh", "flush", "all")
    return call_inside(mesh.client, lambda: connect(PUBLIC, 80, 1)) == "open"


def test_public_addresses_come_back_when_the_wan_interface_does(served, watch):
    assert watch.look() == []
    sh("ip", "link", "set", "wan0", "down")
    assert watch.look() == [], "there is nothing to be brought back to yet"
    sh("ip", "link", "set", "wan0", "up")
    assert not reached(served), "nobody else brings them back"
    assert watch.look() == [f"The public addresses of {DOMAIN} are back on wan0"]
    assert reached(served)
    assert watch.look() == []


def test_public_addresses_come_back_when_the_wan_interface_is_made_anew(served, watch):
    sh("ip", "link", "del", "wan0")
    assert watch.look() == []
    sh("ip", "link", "add", "wan0", "type", "veth", "peer", "name", "eth0", "netns", served.client)
    sh("ip", "addr", "add", "198.18.0.1/15", "dev", "wan0")
    sh("ip", "link", "set", "wan0", "up")
    sh("ip", "-n", served.client, "addr", "add", "198.18.0.2/15", "dev", "eth0")
    sh("ip", "-n", served.client, "link", "set", "eth0", "up")
    assert watch.look() == [f"The public addresses of {DOMAIN} are back on wan0"]
    assert reached(served)
    # Else the kernel would take up to 0.8 s for each answer.
    with open("/proc/sys/net/ipv4/neigh/wan0/proxy_delay", encoding="ascii") as handle:
        assert handle.read().strip() == "0"


def test_a_route_that_was_lost_comes_back(served, watch):
    sh("ip", "route", "del", PUBLIC)
    assert watch.look() == [f"The public addresses of {DOMAIN} are back on wan0"]
    assert reached(served)


def test_who_knew_another_mac_is_told_the_new_one(served, watch):
    watch.look()
    assert reached(served)
    before = neighbour(served)
    sh("ip", "link", "set", "wan0", "address", "02:00:00:00:07:01")
    assert neighbour(served) == before
    watch.look()
    wait_for(lambda: neighbour(served) == "02:00:00:00:07:01", 2, "the caller hears of it")


def neighbour(mesh):
    found = sh("ip", "-n", mesh.client, "neigh", "show", PUBLIC).split()
    return found[found.index("lladdr") + 1]


def test_nobody_brings_back_what_was_removed(served, watch):
    known = state.load(DOMAIN, served.directory)
    sh("ip", "link", "set", "wan0", "down")
    sh("ip", "link", "set", "wan0", "up")
    state.forget(DOMAIN, served.directory)
    assert watch.look() == []
    # Also where it was removed in the same moment.
    uplink.router.restore(known, served.switch, served.directory)
    assert namespace.lost([known.document], "wan0") == [DOMAIN]
    state.save(known, served.directory)
    assert watch.look()


def test_the_kernel_says_when_it_is_time_to_look(served, watch):
    with uplink.listen() as line:
        heard = threading.Event()

        def go_on():
            uplink.hear(line, 30)
            heard.set()

        def there():
            threading.Thread(target=go_on, daemon=True).start()

        there()
        assert not heard.wait(0.5)
        sh("ip", "link", "set", "wan0", "down")
        assert heard.wait(2)
        uplink.hear(line, 0)
        heard.clear()
        there()
        sh("ip", "link", "set", "wan0", "up")
        assert heard.wait(2)
    assert watch.look() and reached(served)
