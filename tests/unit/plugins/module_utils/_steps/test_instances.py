# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls about an RM's instances, on a simulated RM."""

from __future__ import annotations

import os

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import instances
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import simulated

NAME = simulated.NAME


@pytest.fixture(name="rm")
def _rm(monkeypatch, tmp_path, tmp_path_factory):
    simulated.device(monkeypatch, tmp_path_factory.mktemp("bin"))
    rm = simulated.Rm(str(tmp_path / "rm"))
    monkeypatch.setattr(instances, "this_host", lambda: rm.host)
    return rm


def test_what_is_looked_at_goes_on(rm):
    rm.order("running")
    with open(rm.places.console(NAME), "w", encoding="utf-8") as handle:
        handle.write("Kernel panic - not syncing: no init found\n")
    before = rm.found
    outcome = instances.evidence({"instances": [{"name": NAME, "epoch": 1}]}, False)
    (told,) = outcome.result["instances"]
    assert told["name"] == NAME and f" Of {NAME} the console says that its kernel panicked (no init found)." in told["evidence"]
    assert not outcome.changed and rm.found == before and before.state == "running"
    assert os.listdir(rm.places.evidence()) == [f"{NAME}-1.log"]


def test_what_is_not_there_has_nothing_to_say(rm):
    assert instances.evidence({"instances": [{"name": NAME, "epoch": 1}]}, False).result == {"instances": [{"name": NAME, "evidence": ""}]}
