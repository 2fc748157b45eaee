# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves under load by each strategy, callers resolving as real ones do: what was lost, how long callers waited, and what a move took."""

from __future__ import annotations

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from figures import Figures, rounds  # noqa: E402
from load import Load  # noqa: E402
from mesh_lab import SHOP, Mesh  # noqa: E402

NAME, EAST, WEST = "shop.example.com", "198.18.1.10", "198.18.2.10"
PLACES = [("hn-west", "rm-west-1", WEST), ("hn-east", "rm-east-1", EAST)]
#: Seconds for which the resolver of client-west keeps every answer at least.
STRETCHED = 3


def series(mesh: Mesh, figures: Figures, strategy: str, moves: int) -> None:
    """Move there and back by a strategy, *moves* times in all; the shop must be in hn-east."""
    lost = asked = 0
    for number in range(moves):
        (to_hn, to_rm, address), source = PLACES[number % 2], PLACES[(number + 1) % 2][1]
        # Each move has a load of its own, so that each has a longest request of its own.
        loads = [Load(NAME, client) for client in ("client-east", "client-west")]
        began = time.time()
        moved = mesh.play("move", instance=SHOP, to_hn=to_hn, to_rm=to_rm, public_address=address, strategy=strategy, names_margin=STRETCHED)
        outcomes = [load.end() for load in loads]
        assert moved.ok, moved.output
        failures = [failure for outcome in outcomes for failure in outcome.failures]
        lost += len(failures)
        asked += sum(outcome.requests + outcome.downloads for outcome in outcomes) + len(failures)
        moments = [failure[0] for failure in failures] or [began]
        figures.add(f"{strategy}: the whole play, s", moved.seconds)
        figures.add(f"{strategy}: the longest request, s", max(outcome.longest for outcome in outcomes))
        figures.add(f"{strategy}: from the first failure to the last, s", max(moments) - min(moments))
        if strategy == "clone_first":
            figures.add("clone_first: the source stood still, s", moved.answer("publish")["capsules"][0]["outage"])
            wire = moved.answer("bring")["bytes_wire"]
        else:
            # A live one is counted where it arrives.
            wire = moved.answer(f"cut_over.{'target' if strategy == 'live' else 'source'}.{SHOP}")["instances"][0]["bytes_wire"]
        figures.add(f"{strategy}: MiB on the wire", wire / (1 << 20))
        print(f"{strategy}, move {number + 1} to {to_hn}: {lost} of {asked} requests and downloads lost so far", flush=True)


def main() -> None:
    """Measure and print."""
    count = rounds(__doc__, default=20)
    mesh, figures = Mesh(), Figures()
    mesh.place_anew("rm-east-1", EAST)
    boot_id = mesh.page(EAST)["boot_id"]
    # Each series ends where it began.
    series(mesh, figures, "clone_first", 2 * -(-count // 2))
    series(mesh, figures, "live", 4)
    series(mesh, figures, "suspend", 4)
    assert mesh.page(EAST)["boot_id"] == boot_id
    figures.show("")


if __name__ == "__main__":
    main()
