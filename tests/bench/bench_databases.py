# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many operations a second one registry serves when 50 come at once, in SQLite and in PostgreSQL, and that none is lost or doubled; needs no lab."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pathlib
import sys
import tempfile
import time
import typing as t

TESTS = pathlib.Path(__file__).resolve().parents[1]
BUILD = TESTS.parent / ".build"
sys.path[:0] = [str(TESTS / "support"), str(BUILD / "collections")]

import postgresql  # noqa: E402
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import vma  # noqa: E402
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import hn, overview, rms  # noqa: E402
from figures import Figures, rounds  # noqa: E402

#: Operations that come at once, each of a controller of its own.
OPERATIONS = 50
DOMAIN = "example.com"
GUEST = {"address": "192.168.1.10/24", "gateway": "192.168.1.1", "mac": "52:54:00:12:34:56"}
REQUIREMENTS = {"memory_mib": 128, "vcpus": 1, "disk_bytes": 1 << 30, "machine_type": "pc-i440fx-7.2", "cpu": "qemu64", "accelerator": None}
RESERVATION = {"capsule": "1.0.0", "guest": GUEST, "ports": [{"protocol": "tcp", "port": 80}], "requirements": REQUIREMENTS}
SUBSCRIPTION = {"memory_mib": 1 << 20, "vcpus": 256, "disk_bytes": 1 << 44, "machine_types": ["pc-i440fx-7.2"], "cpus": ["qemu64"], "accelerator": "kvm"}


def operate(url: str, number: int, start: t.Any, results: t.Any) -> None:
    """Lease, reserve, record and release, and tell what was given, the longest call and when it was over; each call is a process, as on a VMA."""
    name, longest = f"shop{number}-1.{DOMAIN}", 0.0
    asked: dict[str, t.Any] = {"registry": url, "lease": {"run": f"run{number}", "operation": "place", "who": "ada@ctl", "controller": {}, "seconds": 600.0}}
    start.wait()
    calls = (
        (vma.lease, {"instances": [name]}),
        (vma.record, {"instances": [{"instance": name, "reservation": RESERVATION, "operation": "place", "step": "reserved"}]}),
        (vma.record, {"instances": [{"instance": name, "state": "running", "in_rotation": True, "step": "published", "operation_done": True}]}),
        (vma.release, {}),
    )
    given: list[dict[str, t.Any]] = []
    for call, more in calls:
        began = time.monotonic()
        given.append(call({**asked, **more}, False).result)
        longest = max(longest, time.monotonic() - began)
        if "leased" in given[-1]:
            asked["lease"]["numbers"] = given[-1]["leased"]
    results.put((name, given[0]["leased"][name], given[1]["records"][0], longest, time.monotonic()))


def measure(figures: Figures, database: str, url: str, count: int) -> None:
    """Let so many operations loose on a new registry at once."""
    hn.declare(url, "hn-east", ["198.18.0.0/16"], 100, 4000, 8)
    for number in range(4):
        rms.subscribe(url, f"rm-{number}", {"address": f"10.77.1.{number + 1}", **SUBSCRIPTION})
    before = overview.overview(url)["hn"]["generation"]
    context = multiprocessing.get_context("fork")
    results, start = context.Queue(), context.Barrier(count + 1)
    processes = [context.Process(target=operate, args=(url, number, start, results)) for number in range(count)]
    for process in processes:
        process.start()
    start.wait()
    began = time.monotonic()
    found = [results.get(timeout=300) for _process in processes]
    for process in processes:
        process.join()
    check(overview.overview(url), found, before)
    figures.add(f"{database}: {count} at once, operations per second", count / (max(each[-1] for each in found) - began))
    figures.add(f"{database}: {count} at once, the longest call in s", max(each[-2] for each in found))


def check(seen: dict[str, t.Any], found: list[tuple[t.Any, ...]], before: int) -> None:
    """Fail unless all that was given is there, once."""
    records, count = {record["instance"]: record for record in seen["records"]}, len(found)
    assert sorted(records) == sorted(name for name, *_others in found), "a record was lost"
    assert all(record["state"] == "running" and record["in_rotation"] and record["epoch"] == 1 for record in records.values()), "a change was lost"
    assert seen["hn"]["generation"] == before + 2 * count, "a change was lost or doubled"
    assert seen["leases"] == [] and len({number for _name, number, *_others in found}) == count, "a lease was doubled or kept"
    for what in ("fabric_address", "public_address"):
        assert len({record[what] for record in records.values()}) == count, f"a {what} was doubled"
    given = ("fabric_address", "public_address", "vlan", "epoch")
    assert all(records[name][what] == record[what] for name, _number, record, *_others in found for what in given), "what was given is another's"


def main() -> None:
    """Measure and print."""
    number = rounds(__doc__)
    figures = Figures()
    # Not in memory, where all that is committed is on the disk at once.
    with tempfile.TemporaryDirectory(dir=BUILD) as directory, contextlib.closing(postgresql.Server(str(BUILD), durable=True)) as server:
        for turn in range(number):
            for count in (1, OPERATIONS):
                measure(figures, "SQLite", f"sqlite:///{os.path.join(directory, f'{turn}-{count}.db')}", count)
                measure(figures, "PostgreSQL", server.empty(), count)
    figures.show("")
    for count in (1, OPERATIONS):
        figures.ratio(f"PostgreSQL: {count} at once, operations per second", f"SQLite: {count} at once, operations per second")


if __name__ == "__main__":
    main()
