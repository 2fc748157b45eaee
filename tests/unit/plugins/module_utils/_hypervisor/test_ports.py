# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest's port is guarded before the guest runs, and released when it is gone; the simulated network refuses any other order."""

from __future__ import annotations

import os

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import state
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import tap_name
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import fake_libvirt
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME

GUARDED = {tap_name(NAME): (101, "52:54:00:12:34:56", ["192.168.1.10/24"])}
BROKEN = CommandFailed("The switch does not answer.")


def test_the_port_is_guarded_for_as_long_as_the_guest_lives(rm):
    for wanted, guarded in (("running", GUARDED), ("suspended", {}), ("running", GUARDED), ("stopped", {}), ("running", GUARDED), ("absent", {})):
        rm.order(wanted, stop_force=True)
        assert rm.ports.guarded == guarded, wanted


def test_a_guest_whose_port_cannot_be_guarded_never_runs(rm):
    rm.ports.failures = [BROKEN]
    with pytest.raises(CommandFailed, match="does not answer"):
        rm.order("running")
    assert (rm.connection.lives, rm.connection.domains, rm.found.state, rm.leftovers()) == ([], {}, "absent", [])


def test_a_stopped_guest_whose_port_cannot_be_guarded_stays_as_it_was(rm):
    rm.order("running")
    rm.order("stopped", stop_force=True)
    rm.ports.failures = [BROKEN]
    with pytest.raises(CommandFailed):
        rm.order("running")
    assert (len(rm.connection.lives), rm.found.state) == (1, "stopped")
    assert not os.path.exists(rm.places.starting(NAME))


def test_a_suspended_guest_whose_port_cannot_be_guarded_can_be_resumed_later(rm):
    rm.order("running")
    rm.order("suspended")
    rm.ports.failures = [BROKEN]
    with pytest.raises(CommandFailed):
        rm.order("running")
    assert (len(rm.connection.lives), rm.found.state, rm.ports.guarded) == (1, "suspended", {})
    rm.ports.failures = []
    rm.order("running")
    assert (len(rm.connection.lives), rm.ports.guarded) == (2, GUARDED)


def test_a_guest_that_ended_by_itself_is_released_with_the_next_order(rm):
    rm.order("running")
    rm.connection.domains.clear()
    rm.order("stopped")
    assert rm.ports.guarded == {}


def test_a_start_that_was_cut_short_is_begun_again(rm):
    """The process died when the guest was made, but did not run yet."""
    rm.order("running")
    rm.order("stopped", stop_force=True)
    rm.connection._add(f"<domain><name>{NAME}</name></domain>", fake_libvirt.VIR_DOMAIN_PAUSED, "boot")
    with open(rm.places.starting(NAME), "wb"):
        pass
    assert rm.found.state == "stopped"
    rm.order("running")
    assert (rm.found.live, len(rm.connection.lives), rm.ports.guarded) == ("running", 2, GUARDED)
    assert not os.path.exists(rm.places.starting(NAME))


def test_a_start_whose_end_was_not_noted_is_left_alone(rm):
    rm.order("running")
    with open(rm.places.starting(NAME), "wb"):
        pass
    state.settle(rm.host, NAME)
    assert (rm.found.live, len(rm.connection.lives), rm.ports.guarded) == ("running", 1, GUARDED)
    assert not os.path.exists(rm.places.starting(NAME))
