# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in the way of an operation, from an operator's variables."""

from __future__ import annotations

import types

import pytest

from ansible_collections.vmatrix.mesh.plugins.lookup import obstacles
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh

SUSPEND = {"suspend_instance": mesh.SHOP}
NOTHING = {"at_work": {}, "wait": 0, "cut_off": ""}
AT_WORK = {"gw-east": {mesh.SHOP: 7}}


@pytest.fixture
def ask(monkeypatch):
    """Return what looks up what is in the way of an operation, with variables of an inventory, in a mesh where a move of the shop is under way."""

    def look(verb, given, dead=False, operation="move"):
        monkeypatch.setattr(obstacles, "load_extra_vars", lambda loader: {})
        monkeypatch.setattr(obstacles.controller, "gone", lambda controller: dead)
        found = mesh.hostvars([mesh.record()])
        known = found["gw-east"]["observe_look"]["answers"]["look"]["result"]
        known["leases"] = [{"instance": mesh.SHOP, "run": "run1", "number": 7, "operation": operation, "controller": {}}]
        known["runs"] = [{"run": "run1", "instances": [mesh.SHOP], "began": "2026-11-30T09:00:00.0Z"}]
        made = object.__new__(obstacles.LookupModule)
        made._templar, made._loader = types.SimpleNamespace(template=lambda value: value), None
        (answer,) = made.run([verb], {"groups": mesh.GROUPS, "hostvars": found, **given})
        return answer

    return look


@pytest.mark.parametrize("wait, seconds", [(60, 60), ("60", 60), (0, 0), ("0", 0)])
def test_others_are_waited_for_if_that_is_wished(ask, wait, seconds):
    assert ask("suspend", {**SUSPEND, "operation_wait": wait}) == {"at_work": AT_WORK if seconds else {}, "wait": seconds, "cut_off": ""}
    assert ask("suspend", SUSPEND) == NOTHING


@pytest.mark.parametrize("wait, seconds", [(0, 90), (60, 90), (600, 600)])
def test_an_rm_that_starts_its_instances_again_is_waited_for_unasked(ask, wait, seconds):
    assert ask("suspend", {**SUSPEND, "operation_wait": wait}, operation="restart") == {"at_work": AT_WORK, "wait": seconds, "cut_off": ""}


def test_whoever_died_is_taken_up(ask):
    assert ask("suspend", SUSPEND, dead=True) == {"at_work": {}, "wait": 0, "cut_off": mesh.SHOP}


@pytest.mark.parametrize("said", [True, "true", "yes", "True"])
def test_an_operator_may_say_that_somebody_is_dead(ask, said):
    assert ask("suspend", {**SUSPEND, "operation_take_over": said, "operation_wait": 60})["cut_off"] == mesh.SHOP


@pytest.mark.parametrize("operation, given", [("", SUSPEND), ("suspend", {}), ("suspend", {"suspend_instance": "shop-2.example.com"})])
def test_what_is_not_asked_for_meets_nothing(ask, operation, given):
    assert ask(operation, given, dead=True) == NOTHING


def test_before_there_is_an_inventory_nothing_is_known():
    assert object.__new__(obstacles.LookupModule).run(["suspend"], {}) == [NOTHING]
