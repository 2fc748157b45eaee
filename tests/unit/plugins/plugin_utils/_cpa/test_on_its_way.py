# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of an instance whose move inside its HN has broken off, when something else is wished for than to finish that."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import drain, remove, resume, suspend
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.devices import BEFORE, MIDDLE
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_one_life import SHOP, Trial
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import Fault

#: Where a move has broken off: it lives there already, or it is paused there.
BROKEN = {"move within": Fault("retire", BEFORE), "move within alive": Fault("cut_over.source", MIDDLE)}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("verb, wish", [(remove, {}), (drain, {"then": "remove", **mesh.DRAIN})], ids=["remove", "drain"])
def test_it_is_removed_from_both_rms(name, verb, wish):
    world = Trial(name).attempt(BROKEN[name])[0]
    assert all(SHOP in world.rms[rm].guests for rm in ("rm-east-1", "rm-east-2"))
    report = world.walk(world.plan(verb, {"instance": SHOP, **wish}))
    assert not report.failed and world.problems() == [] and not [rm for rm in world.rms.values() if rm.guests], report.message


@pytest.mark.parametrize(
    "verb, wish",
    [(suspend, {}), (resume, {"answer_timeout": 60}), (drain, {"then": "leave", **mesh.DRAIN})],
    ids=["suspend", "resume", "drain"],
)
def test_nothing_else_touches_it(verb, wish):
    """Its RM has given it up, so all that could be done there is to fail when it was withdrawn already."""
    world = Trial("move within").attempt(BROKEN["move within"])[0]
    with pytest.raises(Refused, match="is on its way from rm-east-1 to rm-east-2; finish that move first by running it again."):
        world.plan(verb, {"instance": SHOP, **wish})
