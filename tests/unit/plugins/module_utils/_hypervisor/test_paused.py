# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that stand still though nobody here has had them do so."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import footprint
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import disks, state
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import fake_libvirt
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME

FULL = "there was no room left on the RM for what it wrote to vda"


@pytest.fixture(name="halted")
def _halted(rm):
    """An RM whose guest QEMU has paused since the disk is full."""
    rm.order("running")
    rm.connection.domains[NAME].halt(vda=fake_libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE)
    return rm


def test_it_is_told_with_the_reason(halted):
    (told,) = state.tell(halted.host, None)
    assert (told["state"], told["domain_state"], told["paused"]) == ("running", "halted", FULL)
    halted.connection.domains[NAME].halt(vdb=fake_libvirt.VIR_DOMAIN_DISK_ERROR_UNSPEC)
    (told,) = state.tell(halted.host, NAME)
    assert told["paused"] == "the RM could not read or write vdb of it"


def test_it_goes_on_when_it_is_resumed(halted):
    assert halted.order("running").action == "none", "taking something back does not fail on what was so before"
    predicted = halted.order("running", check=True, go_on=True)
    assert halted.found.live == "halted"
    done = halted.order("running", epoch=2, go_on=True)
    assert (predicted.changed, predicted.action) == (done.changed, done.action) == (True, "continued")
    assert (done.before["paused"], halted.found.live, halted.found.paused, halted.found.epoch) == (FULL, "running", None, (2, True))
    assert "paused" not in done.after and halted.order("running", epoch=2, go_on=True).action == "none"


def test_it_does_not_take_what_others_were_promised(halted, monkeypatch):
    halted.order("running", name="shop-2.example.com")
    promised = footprint.promised(halted.places.instances())
    monkeypatch.setattr(disks, "free_bytes", lambda path: promised - (5 << 20))
    for check in (True, False):
        with pytest.raises(Refused, match=rf"{NAME} cannot go on: {5 << 20} bytes .* are missing below .* resume it again"):
            halted.order("running", check=check, go_on=True)
    assert halted.found.live == "halted"
    monkeypatch.setattr(disks, "free_bytes", lambda path: promised)
    assert halted.order("running", go_on=True).action == "continued"


def test_one_that_fails_again_at_once_is_no_success(halted):
    halted.connection.domains[NAME].halt(vda=fake_libvirt.VIR_DOMAIN_DISK_ERROR_UNSPEC)
    with pytest.raises(CommandFailed, match="QEMU paused it again: the RM could not read or write vda"):
        halted.order("running", go_on=True)


def test_it_is_not_suspended_and_the_sentence_says_what_to_do(halted):
    words = f"its guest is paused, for {FULL}. Mend that and resume it first."
    with pytest.raises(Refused, match=f"cannot be suspended: {words}"):
        halted.order("suspended")
    assert halted.found.live == "halted" and halted.order("absent", stop_force=True).changed


def test_what_a_person_paused_goes_on_too_whatever_room_there_is(rm, monkeypatch):
    rm.order("running")
    rm.connection.domains[NAME].suspend()
    monkeypatch.setattr(disks, "free_bytes", lambda path: 0)
    assert rm.found.paused == "somebody has paused it by hand"
    assert rm.order("running", go_on=True).action == "continued" and rm.found.live == "running"


def test_what_stands_still_for_its_operation_is_not_told_as_paused(rm):
    rm.order("running")
    rm.connection.domains[NAME].suspend()
    with open(rm.places.still(NAME), "wb"):
        pass
    assert rm.found.paused is None
