# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever operators and misfortunes do with a mesh, and in whatever order: C(state_machine) says what holds.

That it does not without one of the safeties shows tests/faults.
"""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.state_machine import WALKS, Operators, walked


def test_whatever_is_done_an_instance_has_one_life_and_its_data():
    before = Operators.steps
    walked()
    assert Operators.steps - before >= 20000 * min(1, WALKS / 140)
