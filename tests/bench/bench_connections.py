# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One look of a drain at its member's connections, among 200,000 of others: CPU time and memory, against another checkout (--against); needs no lab.

The other checkout needs what an operator's has: a directory collections with the collection's tree in it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import typing as t

TESTS = pathlib.Path(__file__).resolve().parents[1]
BUILD = TESTS.parent / ".build"
sys.path[:0] = [str(TESTS / "support")]

from figures import Figures  # noqa: E402

NAMESPACE = f"bench{os.getpid()}"
MEMBER = "192.168.1.10"
ENTRIES = 200_000
#: How one look is taken: as it is now, or as it was before the kernel was asked for one member alone.
LOOK = """
import resource, sys
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import connections

def used():
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both), both[0].ru_maxrss, both[1].ru_maxrss

namespace, member = sys.argv[1:]
before = used()
if hasattr(connections, "count"):
    found = connections.count(namespace, [member])
else:
    found = sum(number for connection, number in connections.live(namespace).items() if connection.member == member)
after = used()
print(found, after[0] - before[0], (after[1] - before[1] + after[2]) / 1024)
"""


@contextlib.contextmanager
def crowd(entries: int) -> t.Iterator[None]:
    """Have so many connections tracked in a namespace, every thousandth of them to our member."""
    inside = ("ip", "netns", "exec", NAMESPACE)
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        rules = "add table inet t; add chain inet t c { type filter hook prerouting priority 0; }; add rule inet t c ct state new accept"
        subprocess.run([*inside, "nft", rules], check=True)
        usual = "-I -p tcp --dst 198.18.7.1 --dport 80 --timeout 3000 --status ASSURED --state ESTABLISHED"
        with tempfile.NamedTemporaryFile("w", suffix=".conntrack") as told:
            for number in range(entries):
                caller = f"100.{64 + number // 60000}.{number // 250 % 240}.{1 + number % 250}"
                server = MEMBER if number % 1000 == 0 else f"192.168.1.{11 + number % 200}"
                told.write(f"{usual} --src {caller} --sport {1024 + number % 60000} --dst-nat {server}\n")
            told.flush()
            subprocess.run([*inside, "conntrack", "--load-file", told.name], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


def look(collections: pathlib.Path) -> tuple[float, float]:
    """Take one look with the code below *collections*; return its CPU time (s) and the memory (MiB) that it took."""
    told = subprocess.run(
        [sys.executable, "-c", LOOK, NAMESPACE, MEMBER],
        env={**os.environ, "PYTHONPATH": str(collections)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert int(told[0]) == ENTRIES // 1000, f"{told[0]} connections were found"
    return float(told[1]), float(told[2])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=pathlib.Path, help="another checkout of the collection; without one there are no ratios")
    parser.add_argument("--rounds", type=int, default=5, help="how often each figure is taken")
    args = parser.parse_args()
    checkouts = {"now": BUILD / "collections", **({"then": args.against.resolve() / "collections"} if args.against else {})}
    seconds, memory = Figures(), Figures()
    with crowd(ENTRIES):
        for number in range(args.rounds):
            for which in sorted(checkouts, reverse=bool(number % 2)):
                took, grew = look(checkouts[which])
                seconds.add(f"CPU time, {which}", took)
                memory.add(f"memory, {which}", grew)
    seconds.show("s")
    memory.show("MiB")
    for figures, what in ((seconds, "CPU time"), (memory, "memory")) if args.against else ():
        figures.ratio(f"{what}, now", f"{what}, then", "0.01")


if __name__ == "__main__":
    main()
