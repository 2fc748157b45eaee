# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two instances behind one address, under load: one that dies leaves the rotation, and an update or a restart is not noticed."""

from __future__ import annotations

import pytest
from load import Download, Load, connections
from mesh_lab import CAPSULE, until
from stand_ins import SLOW, slow_guests, slow_members

EAST = "198.18.1.10"
SERVICE = {"service": "shop", "domain": "example.com", "to_hn": "hn-east"}
#: The owner of the first one has it asked often.
FIRST, NEWER, MUTE = "1.0.1", "1.1.0", "1.2.0"


@pytest.fixture(scope="module")
def two(mesh):
    """The mesh with two instances of the shop, one on each RM, and two newer capsules on rm-east-1, one of which never answers."""
    boot = {**CAPSULE["capsule_import_boot"], "cmdline": "console=ttyS0 quiet"}
    often = {"check_interval": 0.5, "check_timeout": 0.8}
    for version, changes in ((FIRST, {"capsule_import_balance": often}), (NEWER, {}), (MUTE, {"capsule_import_boot": boot})):
        imported = mesh.play("capsule_import", rm="rm-east-1", **{**CAPSULE, **changes, "capsule_import_version": version})
        assert imported.ok, imported.output
    mesh.remove_all()
    for ordinal in (1, 2):
        placed = mesh.play("place", instance=f"shop-{ordinal}.example.com", capsule=FIRST, to_hn="hn-east", to_rm=f"rm-east-{ordinal}", public_address=EAST)
        assert placed.ok, placed.output
    yield mesh
    gone = mesh.play("scale", count=0, surplus="absent", at_deadline="cut", **SERVICE)
    assert gone.ok, gone.output


def running(mesh):
    """Return the capsule of each instance that the VMA says to be in rotation, by name."""
    return {record["instance"]: record["capsule"] for record in mesh.module("gw-east", "vma_info")["records"] if record["in_rotation"]}


def boots(mesh):
    """Return the boot of each member that answers; the load takes turns with us, so that a few answers may all be of one."""
    return {mesh.page(EAST)["boot_id"] for unused in range(12)}


DEATHS = {
    "paused": ("virsh -q suspend shop-2.example.com", "virsh -q resume shop-2.example.com"),
    "cut off": ("ip link set trunk0 down", "ip link set trunk0 up"),
    "killed": ("virsh -q destroy shop-2.example.com", "true"),
}


def healthy(mesh, domain="example.com"):
    """Return what the gateway says of each member of a domain's only service."""
    (router,) = mesh.module("gw-east", "domain_router_info", domain=domain)["routers"]
    return [member["healthy"] for member in router["services"][0]["members"]]


def must_leave_in_time(two, death):
    """Have the second one die in a way, under load: it must be out within three seconds. Its checks take 2.1 of them at most, the rest is for the rules."""
    dies, lives = DEATHS[death]
    load = Load(EAST, downloads=0)
    until(lambda: healthy(two) == [True, True], 20, "both are well")
    died = float(two.shell("rm-east-2", f"date +%s.%N; {dies}"))
    until(lambda: healthy(two) == [True, False], 20, "its death is seen")
    suffered = load.end()
    late = [failure for failure in suffered.failures if failure[0] > died + 3]
    assert late == [], "it got callers when it should be out"
    assert all(failure[0] > died - 5 for failure in suffered.failures)
    # Who called it in vain calls again, and meets the other one.
    print(f"\n{death}: {len(suffered.failures)} of {suffered.requests + len(suffered.failures)} requests lost, the longest took {suffered.longest:.1f} s")
    two.shell("rm-east-2", lives)
    if death == "killed":
        # Placing it again starts it from the disk that it has.
        assert two.play("place", instance="shop-2.example.com", capsule=FIRST, to_hn="hn-east", public_address=EAST).ok
    until(lambda: healthy(two) == [True, True], 30, "its life is seen")


@pytest.mark.parametrize("death", DEATHS)
def test_a_member_that_dies_leaves_the_rotation_within_three_seconds(two, death):
    must_leave_in_time(two, death)


def test_a_dead_member_leaves_in_its_time_while_sixty_of_another_domain_are_slow(two):
    with slow_guests(two), slow_members(two):
        until(lambda: healthy(two, SLOW) == [False] * 60, 30, "all sixty have been asked in vain")
        must_leave_in_time(two, "killed")


def test_an_update_that_fails_in_the_middle_is_rolled_back(two):
    """The second instance has a caller that does not end, so it stays; the first was replaced by then, and comes back."""
    first, second = (record["fabric_address"] for record in two.module("gw-east", "vma_info")["records"])
    while True:
        download = Download(EAST)
        until(lambda: sum(connections(two, EAST).values()), 20, "the download has begun")
        if connections(two, EAST)[second]:
            break
        download.abandon()
        until(lambda: not connections(two, EAST)[first], 30, "it has gone")
    try:
        failed = two.play("update", capsule=NEWER, timeout=1, at_failure="roll_back", **SERVICE)
        assert not failed.ok
        assert any("1 connections" in message and "1 had been replaced and were rolled back" in message for message in failed.messages), failed.messages
        assert running(two) == {"shop-1.example.com": FIRST, "shop-2.example.com": FIRST}
        assert connections(two, EAST)[second] == 1, "its caller noticed nothing"
    finally:
        download.abandon()


def test_a_service_is_updated_and_restarted_under_load(two):
    # Each instance makes a large file of its own, so that downloads cannot be compared.
    load = Load(EAST, rate=5, downloads=0)
    assert two.four_times("update", capsule=NEWER, **SERVICE).changed > 0
    assert running(two) == {"shop-3.example.com": NEWER, "shop-4.example.com": NEWER}
    before = boots(two)

    failed = two.play("update", capsule=MUTE, update_answer_timeout=5, **SERVICE)
    assert not failed.ok and any("serves on as it was" in message and "0 had been replaced" in message for message in failed.messages), failed.output
    assert running(two) == {"shop-3.example.com": NEWER, "shop-4.example.com": NEWER}
    assert boots(two) == before

    # A restart is not a state: another run restarts them again.
    assert two.as_foretold("update", update_stop_timeout=2, **SERVICE).changed > 0
    assert not boots(two) & before
    suffered = load.end()
    assert suffered.failures == [] and suffered.requests > 100, suffered


def test_an_old_instance_that_cannot_be_removed_takes_no_successor_with_it(two):
    """Whoever serves when a step fails goes on serving, and a second run finishes the job."""
    (old, version), *unused = sorted(running(two).items())
    record = next(record for record in two.module("gw-east", "vma_info")["records"] if record["instance"] == old)
    home = f"/var/lib/vmatrix/instances/{old}"
    two.shell(record["rm"], f"mount --bind {home} {home}")
    try:
        failed = two.play("update", capsule=FIRST, **SERVICE)
        assert not failed.ok and version == NEWER, failed.output
        assert sorted(running(two).values()) == [FIRST, NEWER] and old not in running(two)
        assert all(two.page(EAST) for unused in range(4))
    finally:
        two.shell(record["rm"], f"umount {home}")
    again = two.play("update", capsule=FIRST, **SERVICE)
    assert again.ok, again.output
    told = two.module("gw-east", "vma_info")
    assert [record["capsule"] for record in told["records"]] == [FIRST, FIRST] and sorted(running(two).values()) == [FIRST, FIRST]
    assert all(operation["closed"] for operation in told["operations"])
    assert old not in two.ssh(record["rm"], "ls", "/var/lib/vmatrix/instances")
