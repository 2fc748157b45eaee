# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest that is held still goes on, whatever happens meanwhile."""

from __future__ import annotations

import os

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.standstill import held_still
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import fake_libvirt
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME


@pytest.fixture
def running(rm):
    rm.order("running", capsule="1.0.0", vlan=101)
    return rm


def now(rm):
    return rm.connection.domains[NAME].current


def test_it_stands_still_in_between_only(running, tmp_path):
    with held_still(running.host, NAME, str(tmp_path / "memory"), 5) as stood:
        assert now(running) == fake_libvirt.VIR_DOMAIN_PAUSED and stood.seconds == 0
        assert fake_libvirt.read_image(tmp_path / "memory")[0].findtext("name") == NAME
    assert now(running) == fake_libvirt.VIR_DOMAIN_RUNNING and stood.seconds > 0
    assert running.connection.lives == [(NAME, "boot")] and running.files() == ["disk-root.qcow2", "instance.json"]


def test_it_goes_on_when_what_is_done_meanwhile_fails(running, tmp_path):
    with pytest.raises(OSError, match="disk full"), held_still(running.host, NAME, str(tmp_path / "memory"), 5):
        raise OSError("disk full")
    assert now(running) == fake_libvirt.VIR_DOMAIN_RUNNING and running.files() == ["disk-root.qcow2", "instance.json"]


@pytest.mark.parametrize("paused", [True, False])
def test_after_a_crash_the_next_call_lets_it_go_on(running, paused):
    """The process dies before the guest is paused, or before it goes on: what it does when it is told of it is skipped then."""
    with open(running.places.still(NAME), "wb"):
        pass
    if paused:
        running.connection.domains[NAME].suspend()
    assert running.found.state == "running"
    running.order("running")
    assert now(running) == fake_libvirt.VIR_DOMAIN_RUNNING and not os.path.exists(running.places.still(NAME))


def test_after_a_crash_of_the_rm_it_is_stopped(running):
    with open(running.places.still(NAME), "wb"):
        pass
    running.connection.domains.clear()
    assert running.found.state == "stopped"
    running.order("running")
    assert now(running) == fake_libvirt.VIR_DOMAIN_RUNNING and not os.path.exists(running.places.still(NAME))
