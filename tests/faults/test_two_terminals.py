# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two operators act on the same service at about the same time, again and again: never two lives, never a dead end."""

from __future__ import annotations

import pytest
import terminals


@pytest.mark.parametrize("pair", terminals.PAIRS)
def test_two_terminals(mesh, pair, seed):
    found = terminals.play(mesh, pair, f"{pair} {seed}")
    busy = sum("is busy in" in " ".join(play.messages) for play in found.plays)
    print(f"{pair}, seed {seed}: {found.offset:.2f} s apart, {sum(play.ok for play in found.plays)} done, {busy} told who is at work")
    assert not found.wrong, (found.wrong, *(play.output for play in found.plays))
