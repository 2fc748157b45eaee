# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking an instance down: its guest may say goodbye."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import remove
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_lookups import RECORD, SHOP, view


@pytest.mark.parametrize("seconds", [20.0, 0.0])
def test_a_guest_that_is_removed_is_asked_to_shut_down_first(seconds):
    seen = view([RECORD])
    made = remove.plan(seen, parts.Naming(seen, {}), SHOP, stop_timeout=seconds)
    (clear,) = [step for stage in made.stages for step in stage.steps if step.id == "clear"]
    assert (clear.arguments["stop_timeout"], clear.arguments["stop_force"]) == (seconds, True)
