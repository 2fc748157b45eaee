# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clocks of guests that come from memory."""

from __future__ import annotations

import time
import types

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import client, clock
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import fake_libvirt
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME, manifest


@pytest.fixture(name="hours")
def _hours(monkeypatch):
    """The host's clock, which can be put forward."""
    ahead = types.SimpleNamespace(seconds=0.0)
    real, real_ns = time.time, time.time_ns
    for module in (clock, client):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(**{**vars(time), "time": lambda: real() + ahead.seconds}))
    monkeypatch.setattr(client.time, "time_ns", lambda: real_ns() + int(ahead.seconds * 10**9))
    return ahead


def slept(rm, hours, seconds):
    """Suspend the instance for so long, and return what the resume says."""
    rm.order("running")
    rm.order("suspended")
    hours.seconds += seconds
    return rm.order("running", epoch=2)


def test_a_resume_says_how_far_the_clock_is_behind(rm, hours):
    said = slept(rm, hours, 3600).clock
    assert said.startswith(f" The clock of {NAME} is 3600") and said.endswith(" s behind.")
    assert rm.connection.domains[NAME].clock is None


def test_a_short_sleep_is_not_worth_a_word(rm, hours):
    assert slept(rm, hours, 0.2).clock == ""


def test_an_agent_that_the_capsule_declares_is_told_the_time(rm, hours):
    rm.capsules["1.0.0"] = manifest(clock={"agent": True})
    said = slept(rm, hours, 48).clock
    assert said.startswith(f" The clock of {NAME} was 48") and said.endswith(" s behind, and was set.")
    assert abs(rm.connection.domains[NAME].clock - (time.time() + 48)) < 5


def test_an_agent_that_is_not_there_keeps_nobody_from_going_on(rm, hours, monkeypatch):
    monkeypatch.setattr(clock, "AGENT", 0.3)
    rm.capsules["1.0.0"] = manifest(clock={"agent": True})
    rm.connection.fail["setTime"] = fake_libvirt.libvirtError("Guest agent is not responding: QEMU guest agent is not connected", 86)
    said = slept(rm, hours, 48)
    assert said.action == "resumed" and "behind; its guest agent did not set it: libvirt could not set the clock of" in said.clock
    assert rm.connection.calls.count("setTime") > 1, "it may come a moment later"


def test_what_never_slept_has_no_clock_to_speak_of(rm, hours):
    assert rm.order("running").clock == ""
