# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From one to several over two RMs: clones of one memory image against bare parallel virsh restores of as many images, and against cold boots.

By the whole play, with both RMs at work at once, and by the RM's module, with one at a time, as if each had the processors to itself.
"""

from __future__ import annotations

import concurrent.futures
import pathlib
import sys
import time
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from figures import Figures, rounds  # noqa: E402
from mesh_lab import CAPSULE, SHOP, Mesh, Play  # noqa: E402

EAST, RMS = "198.18.1.10", ("rm-east-1", "rm-east-2")
SERVICE = {"service": "shop", "domain": "example.com", "to_hn": "hn-east"}
SIZES = (1, 2, 4, 8)
#: How often a round measures what takes a second or two, and varies by as much as a half.
TRIALS = 3
#: Restores all suspended instances of an RM side by side, and ends them; prints when that began, and when the last one ran. It is a variable of a play, too,
#: and a brace with a number sign begins a comment there.
BARE = """
shopt -s nullglob
cd /var/lib/vmatrix/instances
images=(*/memory.save)
[[ ${images[0]:-} ]] || exit 0
began=$(date +%s.%N)
for image in "${images[@]}"; do virsh -q restore "$image" & done
wait
ended=$(date +%s.%N)
for image in "${images[@]}"; do virsh -q destroy "${image%/memory.save}"; done
echo "$began $ended"
"""


def scaled(mesh: Mesh, count: int, **more: t.Any) -> Play:
    """Set the number of shops, and return the run."""
    play = mesh.play("scale", count=count, **SERVICE, **more)
    assert play.ok, play.output
    return play


def alone(mesh: Mesh, size: int, capsule: str, vlan: int) -> tuple[float, float]:
    """Return the seconds in which the RM's module makes an RM's share of so many clones, and in which virsh restores as many: those of the slower RM."""
    # Numbers and addresses that nobody else gets.
    clones = [{"name": f"shop-{number}.example.com", "record": {"fabric_address": f"192.168.1.{number}"}} for number in range(101, 101 + size)]
    state = {"state": "running", "capsule": capsule, "vlan": vlan, "epoch": int(time.time())}
    orders = {rm: [{**clone, **state} for clone in clones[place :: len(RMS)]] for place, rm in enumerate(RMS)}
    done = mesh.play("../tests/bench/instances", limit=",".join(RMS), orders=orders, bare=BARE)
    assert done.ok, done.output
    made = [each["seconds"] for unused, task, result in done.results if task == "Make them" for each in result["instances"]]
    restored = [span(result["stdout"]) for unused, task, result in done.results if task == "Restore as many by hand" and result["stdout"]]
    return max(made), max(restored)


def bare(mesh: Mesh) -> float:
    """Return the seconds in which virsh restores all suspended instances on all RMs at once."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return span(" ".join(pool.map(lambda rm: mesh.shell(rm, BARE), RMS)))


def span(moments: str) -> float:
    """Return the seconds from the first to the last of some moments."""
    return max(map(float, moments.split())) - min(map(float, moments.split()))


def fitted(points: list[tuple[int, float]]) -> tuple[float, float]:
    """Return the seconds that each instance costs, and those that they all cost together: the straight line of least squares."""
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, unused in points)
    return slope, mean_y - slope * mean_x


def main() -> None:
    """Measure and print."""
    count = rounds(__doc__, default=3)
    mesh, figures = Mesh(), Figures()
    assert mesh.play("site").ok
    assert mesh.play("capsule_import", rm=RMS[0], **CAPSULE).ok
    # It may be anywhere, and its like in the east.
    assert mesh.play("remove", instance=SHOP).ok
    scaled(mesh, 0, surplus="absent")
    placed = mesh.play("place", instance=SHOP, capsule="1.0.0", to_hn="hn-east", to_rm=RMS[0], public_address=EAST)
    assert placed.ok, placed.output
    version = f"bench-{int(time.time())}"
    cloned = mesh.play("clone", instance=SHOP, clones="shop-2.example.com", capsule=version)
    assert cloned.ok, cloned.output
    vlan = mesh.module(RMS[0], "instance_info")["instances"][0]["vlan"]
    # Every RM has both capsules then.
    scaled(mesh, 3, capsule="1.0.0")
    scaled(mesh, 1, surplus="absent")

    for unused in range(count):
        for size in SIZES:
            up = scaled(mesh, 1 + size, capsule=version)
            figures.add(f"clones, the whole play: {size}", up.seconds)
            figures.add(f"clones, first answer after the gateway began to ask: {size}", first(up))
            # The VMA is told to reserve and of the new state, both RMs and the gateway act, the name follows, the VMA is told that all is done.
            idle = mesh.play("../tests/bench/round_trips", told=2, acting=":".join(("gw-east", *RMS)), settled=2)
            assert idle.ok, idle.output
            figures.add("a play of the same round trips that does nothing", idle.seconds)
            scaled(mesh, 1)
            figures.add(f"standbys, the whole play: {size}", scaled(mesh, 1 + size).seconds)
            scaled(mesh, 1)
            for unused_too in range(TRIALS):
                # What ran on by hand is no standby any more, but can be restored by hand again.
                module, by_hand = alone(mesh, size, version, vlan)
                figures.add(f"clones, the RM's module: {size}", module)
                figures.add(f"bare virsh restore, one RM at a time: {size}", by_hand)
            figures.add(f"bare virsh restore, both RMs at once: {size}", bare(mesh))
            scaled(mesh, 1, surplus="absent")
            figures.add(f"cold boots, the whole play: {size}", scaled(mesh, 1 + size, capsule="1.0.0").seconds)
            scaled(mesh, 1, surplus="absent")

    figures.show("s")
    for size in SIZES:
        figures.ratio(f"clones, the RM's module: {size}", f"bare virsh restore, one RM at a time: {size}", "1.2")
        figures.ratio(f"clones, the whole play: {size}", f"bare virsh restore, both RMs at once: {size}", "2")
        figures.ratio("a play of the same round trips that does nothing", f"bare virsh restore, both RMs at once: {size}")
        figures.ratio(f"cold boots, the whole play: {size}", f"clones, the whole play: {size}")
    for what in ("clones, the whole play", "clones, the RM's module", "bare virsh restore, one RM at a time", "cold boots, the whole play"):
        slope, start = fitted([(size, figures.median(f"{what}: {size}")) for size in SIZES])
        print(f"{what}: {start:.2f} s, and {slope:.2f} s for each instance")


def first(play: Play) -> float:
    """Return how long the gateway waited for the first new member."""
    return min(each["seconds"] for each in play.answer("cut_over.publish")["waited"])


if __name__ == "__main__":
    main()
