# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real processes that ask one registry at the same time."""

from __future__ import annotations

import multiprocessing

import pytest
from postgresql import BOTH
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import vma
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import hn, instances, overview, registry, reservations, rms, schema

PROCESSES = 8
EACH = 10
#: Operations of each controller.
OPERATIONS = 3


def _together(work, arguments):
    """Run work(*arguments) for each of *arguments* in a process of its own, all let go at once, and return what they return."""
    context = multiprocessing.get_context("fork")
    results, start = context.Queue(), context.Barrier(len(arguments))

    def begin(*own):
        start.wait(timeout=60)
        results.put(work(*own))

    processes = [context.Process(target=begin, args=own) for own in arguments]
    for process in processes:
        process.start()
    found = [results.get(timeout=120) for _process in processes]
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    return found


def _reserve_many(url, ask, number, alike):
    """Reserve instances of a domain of its own and of one that all share, perhaps all alike; return the records and how many were refused."""
    granted, refused = [], 0
    for count in range(EACH):
        own = count % 2 == 0
        name = f"shop{number}x{count}-1.{f'example{number}.com' if own else 'example.com'}"
        try:
            granted.append(reservations.reserve(url, ask(name, 10 if alike else 10 + number * EACH + count)).result["record"])
        except Refused:
            refused += 1
    return granted, refused


@BOTH
@pytest.mark.parametrize("alike", [False, True])
def test_nothing_is_given_twice(make, ask, alike):
    room = 60
    url = make(pools=("198.18.1.0/25",), machines=("rm-east-1", "rm-east-2", "rm-east-3"), memory_mib=128 * room // 3, vcpus=64)
    found = _together(_reserve_many, [(url, ask, number, alike) for number in range(PROCESSES)])
    granted = [record for records, _refused in found for record in records]
    assert len(granted) == room and sum(refused for _records, refused in found) == PROCESSES * EACH - room
    seen = overview.overview(url)
    assert sorted(granted, key=lambda record: record["instance"]) == seen["records"]
    assert [rm["memory_mib_left"] for rm in seen["rms"]] == [0, 0, 0]
    assert len({record["public_address"] for record in granted}) == room
    assert len({(record["domain"], record["fabric_address"]) for record in granted}) == room
    vlans = {(record["domain"], record["vlan"]) for record in granted}
    assert len({vlan for _domain, vlan in vlans}) == len({domain for domain, _vlan in vlans}) == len(vlans)
    assert seen["hn"]["generation"] == 1 + 3 + room


def _grant_epochs(url, number):
    epochs = []
    for _count in range(EACH):
        above = overview.overview(url)["records"][0]["epoch"]
        done = instances.update(url, {"instance": "shop-1.example.com", "epoch_above": above, "step": f"process {number}"})
        if done.before["record"] != done.after["record"]:
            epochs.append(done.result["record"]["epoch"])
    return epochs


def test_an_epoch_is_granted_to_one_only(url, ask):
    reservations.reserve(url, ask())
    found = _together(_grant_epochs, [(url, number) for number in range(PROCESSES)])
    epochs = sorted(epoch for granted in found for epoch in granted)
    assert epochs == list(range(2, len(epochs) + 2)) and len(epochs) >= EACH


def _declare(url):
    return hn.declare(url, "hn-east", ["198.18.1.0/24"], 100, 4000, 8).changed


@BOTH
def test_a_registry_is_set_up_by_one_only(empty):
    assert sorted(_together(_declare, [(empty,)] * PROCESSES)) == [False] * (PROCESSES - 1) + [True]
    assert overview.overview(empty)["hn"]["generation"] == 1


def _subscribe(url):
    return rms.subscribe(url, "rm-east-1", {"in_service": True}).changed


@BOTH
def test_an_older_registry_gets_what_it_lacks_from_one_only(url):
    with registry.transaction(url) as tx:
        for table in ("holders", "capsules", "listings", "leases", "runs"):
            tx.connection.exec_driver_sql(f"DROP TABLE {table}")
        tx.connection.exec_driver_sql("UPDATE registry SET schema_version = 4")
    assert _together(_subscribe, [(url,)] * PROCESSES) == [False] * PROCESSES
    seen = overview.overview(url)
    assert seen["capsules"] == seen["leases"] == seen["runs"] == [] and len(seen["rms"]) == 2
    with registry.reading(url) as tx:
        assert tx.version == schema.VERSION


def _operate(url, ask, number):
    """Lease, reserve, record and release, as operations of a controller of their own do; return what each was given."""
    given = []
    for count in range(OPERATIONS):
        name = f"shop{number}x{count}-1.example.com"
        lease = {"run": f"{number}x{count}", "operation": "place", "who": "ada@ctl", "controller": {}, "seconds": 600.0}
        leased = vma.lease({"registry": url, "lease": lease, "instances": [name]}, False).result["leased"]
        lease["numbers"] = leased
        wanted = {"instance": name, "reservation": ask(name), "operation": "place", "step": "reserved"}
        record = vma.record({"registry": url, "lease": lease, "instances": [wanted]}, False).result["records"][0]
        wanted = {"instance": name, "state": "running", "in_rotation": True, "step": "published", "operation_done": True}
        vma.record({"registry": url, "lease": lease, "instances": [wanted]}, False)
        assert vma.release({"registry": url, "lease": lease}, False).result["instances"] == [name]
        given.append((record, leased[name]))
    return given


@BOTH
def test_operations_of_several_controllers_lose_and_double_nothing(make, ask):
    url = make(pools=("198.18.1.0/25",), memory_mib=1 << 20, vcpus=64, disk_bytes=1 << 50)
    found = _together(_operate, [(url, ask, number) for number in range(PROCESSES)])
    given = [each for operations in found for each in operations]
    seen = overview.overview(url)
    count = PROCESSES * OPERATIONS
    assert [record["instance"] for record in seen["records"]] == sorted(record["instance"] for record, _number in given) and len(given) == count
    assert all(record["state"] == "running" and record["in_rotation"] for record in seen["records"]) and seen["leases"] == []
    for what in ("fabric_address", "public_address"):
        assert len({record[what] for record in seen["records"]}) == count
    assert len({number for _record, number in given}) == count and seen["hn"]["lease"] >= max(number for _record, number in given)
    assert seen["hn"]["generation"] == 3 + 2 * count
