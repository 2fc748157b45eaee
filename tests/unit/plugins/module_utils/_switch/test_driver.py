# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Threads that guard ports of one switch at the same time, on a switch made of air."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.driver import SwitchDriver

BRIDGE, MAC = "br-test", "52:54:00:00:00:01"
FIRST, OTHERS = "vm0", ["vm1", "vm2", "vm3"]


class Air(SwitchDriver):
    """A switch that has these interfaces, and works on its first order until it may go on."""

    def __init__(self, there):
        super().__init__(BRIDGE)
        self.there, self.orders, self.go_on = set(there), [], threading.Event()

    def _enforce(self, guarded, fresh):
        self.orders.append(sorted(fresh))
        assert self.go_on.wait(5)
        return self.there & set(guarded)

    def _nothing(self, *_arguments):
        pass

    wanted = observe = ensure = remove = _vlan = _attach = _detach = _nothing


@pytest.fixture(autouse=True)
def book(tmp_path, monkeypatch):
    monkeypatch.setattr(ports, "DIRECTORY", str(tmp_path))


def guarded(switch):
    """Guard the first port, and while that is done the others; returns what each raised."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(switch.guard_port, FIRST, 101, MAC, ["192.168.1.10"])]
        wait_for(lambda: switch.orders, 2, "the first is being done")
        asked += [pool.submit(switch.guard_port, port, 101, MAC, ["192.168.1.10"]) for port in OTHERS]
        # Nobody else may look at how many wait.
        wait_for(lambda: len(switch._waiting) == 4, 2, "the others wait")  # pylint: disable=protected-access
        switch.go_on.set()
        return [each.exception() for each in asked]


def test_those_that_came_meanwhile_are_guarded_in_one_step():
    switch = Air([FIRST, *OTHERS])
    assert guarded(switch) == [None] * 4
    assert switch.orders == [[FIRST], OTHERS] and sorted(ports.load(BRIDGE)) == [FIRST, *OTHERS]


def test_one_that_is_not_there_keeps_none_of_the_others():
    switch = Air([FIRST, "vm1", "vm3"])
    failed = guarded(switch)
    assert [type(each) for each in failed] == [type(None), type(None), CommandFailed, type(None)]
    assert sorted(ports.load(BRIDGE)) == [FIRST, "vm1", "vm3"]


def test_what_was_known_of_one_that_is_not_there_stays():
    before = {"vm2": ports.checked("vm2", 102, MAC, ["192.168.1.12"])}
    ports.save(BRIDGE, before)
    guarded(Air([FIRST, "vm1", "vm3"]))
    assert sorted(ports.load(BRIDGE)) == [FIRST, *OTHERS] and ports.load(BRIDGE)["vm2"] == before["vm2"]


def test_a_switch_that_fails_once_fails_one_only(monkeypatch):
    switch, real = Air([FIRST, *OTHERS]), Air._enforce

    def enforce(self, book, fresh):
        real(self, book, fresh)
        if len(self.orders) == 2:
            raise CommandFailed("not now")
        return self.there & set(book)

    monkeypatch.setattr(Air, "_enforce", enforce)
    failed = guarded(switch)
    assert [type(each) for each in failed].count(CommandFailed) == 1 and failed[0] is None
    assert len(ports.load(BRIDGE)) == 3
