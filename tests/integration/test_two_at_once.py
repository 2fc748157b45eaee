# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two operators act at the same time: one name has one life, and who comes second is told why. tests/faults has more of it, often."""

from __future__ import annotations

import pytest
import terminals


@pytest.mark.parametrize("pair", ["place and place", "move and move"])
def test_two_operators(clean, pair):
    found = terminals.play(clean, pair, seed=pair)
    assert not found.wrong, (found.offset, found.wrong, *(each.output for each in found.plays))
