# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that stand still: paused by others, shut down from inside, or suspended for a while."""

from __future__ import annotations

import re
import time

import pytest
from mesh_lab import SHOP, until

EAST, RM = "198.18.1.10", "rm-east-1"


def words(play):
    """Return what a run printed, in one line."""
    return " ".join(play.output.split())


@pytest.mark.usefixtures("shop")
def test_a_paused_guest_is_told_as_such_and_goes_on_when_it_is_resumed(mesh):
    mesh.shell(RM, f"virsh -q suspend {SHOP}")
    shown = mesh.play("status")
    assert shown.ok and f"{SHOP} is paused on {RM}: somebody has paused it by hand." in words(shown), shown.output
    refused = mesh.play("suspend", instance=SHOP)
    said = " ".join(refused.messages)
    assert not refused.ok and f"{SHOP} cannot be suspended: its guest is paused" in said and "resume it first" in said, refused.output
    assert "Not all of it could be undone" not in said
    resumed = mesh.play("resume", instance=SHOP)
    assert resumed.ok and mesh.page(EAST), resumed.output
    assert "is paused on" not in words(mesh.play("status"))


@pytest.mark.usefixtures("shop")
def test_a_guest_that_shut_itself_down_is_started_when_it_is_resumed(mesh):
    mesh.shell(RM, f"virsh -q destroy {SHOP}")
    until(lambda: "but it does not answer" in words(mesh.play("status")), 60, "status says that nobody answers")
    resumed = mesh.play("resume", instance=SHOP)
    assert resumed.ok and mesh.page(EAST), resumed.output
    assert f"{SHOP} was started from its disk: what was in its memory alone is lost." in words(resumed)


@pytest.mark.usefixtures("shop")
def test_a_resume_says_how_far_the_clock_is_behind(mesh):
    assert mesh.play("suspend", instance=SHOP).ok
    time.sleep(3)
    resumed = mesh.play("resume", instance=SHOP)
    assert resumed.ok and re.search(rf"The clock of {re.escape(SHOP)} is [0-9.]+ s behind\.", words(resumed)), resumed.output
