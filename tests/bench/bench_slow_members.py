# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Suspend, resume and drain of a service while the gateway asks sixty slow or silent members of another domain, against the same without those."""

from __future__ import annotations

import contextlib
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from figures import Figures, rounds  # noqa: E402
from mesh_lab import SHOP, Mesh  # noqa: E402
from stand_ins import slow_guests, slow_members  # noqa: E402

EAST, RM = "198.18.1.10", "rm-east-1"
#: What is measured, and the playbook. The instance is in rotation before the first and after the last of them; what was drained runs already.
CYCLE = (("suspend", "suspend"), ("resume", "resume"), ("drain", "drain"), ("resume of what was drained", "resume"))
BESIDE = {False: "by itself", True: "beside sixty slow members"}
#: Seconds after which every one of them has been asked several times.
SETTLED = 5


def main() -> None:
    """Measure and print."""
    count = rounds(__doc__)
    mesh, figures = Mesh(), Figures()
    mesh.place_anew(RM, EAST)
    with slow_guests(mesh):
        for number in range(count):
            for slow in (False, True) if number % 2 == 0 else (True, False):
                with slow_members(mesh) if slow else contextlib.nullcontext():
                    time.sleep(SETTLED)
                    for what, operation in CYCLE:
                        done = mesh.play(operation, instance=SHOP)
                        assert done.ok, done.output
                        figures.add(f"{what}, {BESIDE[slow]}", done.seconds)
    figures.show("s")
    for what, unused in CYCLE:
        figures.ratio(f"{what}, {BESIDE[True]}", f"{what}, {BESIDE[False]}", "1.2")


if __name__ == "__main__":
    main()
