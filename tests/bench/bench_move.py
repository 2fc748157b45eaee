# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Outage of a move between HNs over a link shaped to OC12, against the floor; bytes on the wire against whole files."""

from __future__ import annotations

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from figures import Figures, rounds  # noqa: E402
from listener import Listener  # noqa: E402
from mesh_lab import SHOP, Mesh  # noqa: E402

EAST, WEST = "198.18.1.10", "198.18.2.10"
#: OC-12 of SONET (ANSI T1.105), in bits per second.
OC12 = 622_080_000
PLACES = [("hn-west", "rm-west-1", WEST), ("hn-east", "rm-east-1", EAST)]


def main() -> None:
    """Measure and print."""
    count = rounds(__doc__)
    mesh, figures = Mesh(), Figures()
    placed = mesh.place_anew("rm-east-1", EAST)
    epoch = placed.answer("reserve")["records"][0]["epoch"]
    links = mesh.play("lab_links", lab_links_rate="622mbit")
    assert links.ok, links.output
    whole = 0.0
    try:
        with Listener(EAST, WEST) as listener:
            rm = "rm-east-1"
            for number in range(count):
                save = "/var/lib/vmatrix/bench.save"
                bare = mesh.shell(rm, f"date +%s.%N; virsh -q save {SHOP} {save}; date +%s.%N; virsh -q restore {save}; date +%s.%N; rm {save}")
                start, saved, restored = (float(line) for line in bare.split())
                # What was restored by hand has an unguarded, mute port; our own resume guards it again.
                for state in ("suspended", "running"):
                    mesh.module(rm, "instance", name=SHOP, state=state, epoch=epoch)
                listener.first_after(time.time())
                to_hn, to_rm, address = PLACES[number % 2]
                began = time.time()
                moved = mesh.play("move", instance=SHOP, to_hn=to_hn, to_rm=to_rm, public_address=address)
                assert moved.ok, moved.output
                listener.first_after(time.time())
                cutover = moved.answer(f"cut_over.source.{SHOP}")["instances"][0]
                epoch = moved.answer("reserve")["records"][0]["epoch"]
                wire = cutover["bytes_wire"] * 8 / OC12
                figures.add("outage as the client saw it", listener.longest_gap(began))
                figures.add("floor: bytes over the wire / OC12 + bare save + bare restore", wire + restored - start)
                figures.add("the whole play", moved.seconds)
                whole += cutover["bytes"]
                figures.add("MiB on the wire", cutover["bytes_wire"] / (1 << 20))
                figures.add("MiB of memory and overlay", cutover["bytes"] / (1 << 20))
                rm = to_rm
        manifest = mesh.module(rm, "capsule_info", domain="example.com", name="shop", version="1.0.0")["capsules"][0]["manifest"]
        blobs = [disk["blob"] for disk in manifest["disks"]] + [manifest["boot"]["kernel"], manifest["boot"]["initrd"]]
        figures.add("MiB of the whole files (memory, overlay, bases)", (sum(blob["size"] for blob in blobs) + whole / count) / (1 << 20))
    finally:
        assert mesh.play("lab_links", lab_links_rate="unlimited").ok

    figures.show("")
    figures.ratio("outage as the client saw it", "floor: bytes over the wire / OC12 + bare save + bare restore", "1.5")
    figures.ratio("MiB on the wire", "MiB of the whole files (memory, overlay, bases)")


if __name__ == "__main__":
    main()
