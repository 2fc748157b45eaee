# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two operators do the same at the same time, in two hosting networks: one name has one life, and who comes second is told why."""

from __future__ import annotations

import concurrent.futures

from mesh_lab import SHOP

EAST, WEST = "198.18.1.10", "198.18.2.10"
HOMES = {"hn-east": {"to_rm": "rm-east-1", "public_address": EAST}, "hn-west": {"to_rm": "rm-west-1", "public_address": WEST}}


def test_place_and_place(clean):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        plays = list(pool.map(lambda hn: clean.play("place", instance=SHOP, capsule="1.0.0", to_hn=hn, **HOMES[hn]), HOMES))
    won = [play for play in plays if play.ok]
    assert len(won) <= 1, [play.output for play in plays]
    for lost in (play for play in plays if not play.ok):
        why = ("another operation was faster", "move it instead", "another operation came")
        assert any(words in each for words in why for each in lost.messages), lost.output
    running = [host for host, said in clean.whereabouts(SHOP).items() if said == "running"]
    assert len(running) == len(won)
    if not won:
        again = clean.play("place", instance=SHOP, capsule="1.0.0", to_hn="hn-east", **HOMES["hn-east"])
        assert again.ok, again.output
    gone = clean.play("remove", instance=SHOP)
    assert gone.ok and clean.whereabouts(SHOP) == {}, gone.output
