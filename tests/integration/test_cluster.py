# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster, a front-end with its back-end, is cloned and moved into another hosting network as one: all of it works there, or nothing of it is left."""

from __future__ import annotations

import re

import pytest
from mesh_lab import machine

WARM = "warm"
EAST = "198.18.1.50"
FRONT, BACK = "front-1.example.com", "back-1.example.com"
COPIES = ("front-2.example.com", "back-2.example.com")
CLONE = {"instance": f"{FRONT},{BACK}", "clones": ",".join(COPIES), "to_hn": "hn-west", "capsule": WARM}


def forget(mesh, name, version):
    """Remove a capsule wherever there is one."""
    removed = mesh.everywhere("rms", "capsule", domain="example.com", name=name, version=version, state="absent")
    assert not any(result.get("failed") for result in removed), removed


@pytest.fixture(scope="module")
def cluster(mesh):
    """The mesh with a front-end and its back-end in hn-east, each on an RM of its own."""

    def tidy():
        # The shop that another test may have left would decide who gets which RM.
        mesh.remove_all()
        for name, version in capsules(mesh, *mesh.group("rms")):
            forget(mesh, name, version)

    tidy()
    for name, capsule, address in ((BACK, machine("back", 60), None), (FRONT, machine("front", 50, "vmx.backend=192.168.1.60"), EAST)):
        rm = "rm-east-1" if name == FRONT else "rm-east-2"
        imported = mesh.play("capsule_import", rm=rm, **capsule)
        assert imported.ok, imported.output
        placed = mesh.play("place", instance=name, capsule="1.0.0", to_hn="hn-east", to_rm=rm, **({"public_address": address} if address else {}))
        assert placed.ok, placed.output
    yield mesh
    tidy()


def behind(mesh, address, path="page"):
    """Return what the back-end says to the front-end that is published as this address."""
    return mesh.page(address, f"/cgi-bin/behind?{path}", timeout=5)


def capsules(mesh, *rms):
    """Return the name and version of each capsule of the cluster that these RMs hold."""
    found = [path for rm in rms for path in mesh.ssh(rm, "find", "/var/lib/vmatrix/store", "-name", "*.json", check=False).split()]
    return sorted({tuple(path[: -len(".json")].split("/")[-2:]) for path in found if re.search("/capsules/example.com/(front|back)/", path)})


def nothing_in_the_west(mesh):
    """Neither RMs nor VMA nor gateway of hn-west know anything of an instance."""
    for rm in ("rm-west-1", "rm-west-2"):
        assert mesh.ssh(rm, "virsh", "-q", "list", "--all", "--name").strip() == mesh.ssh(rm, "ls", "/var/lib/vmatrix/instances").strip() == ""
    told = mesh.module("gw-west", "vma_info")
    assert told["records"] == [] and not [each for each in told["operations"] if each["closed"] is None]
    assert mesh.module("gw-west", "domain_router_info", domain="example.com")["routers"] == []
    assert mesh.ssh("gw-west", "ip", "neigh", "show", "proxy").strip() == ""


def test_nothing_is_touched_where_an_address_is_in_use(cluster):
    alone = cluster.play("clone", instance=BACK, clones=COPIES[1], to_hn="hn-west", capsule=WARM)
    assert alone.ok, alone.output
    try:
        wish = {**CLONE, "clones": f"{COPIES[0]},back-3.example.com"}
        sentence = "would look for back-3.example.com at 192.168.1.60, but in hn-west back-2.example.com goes by that address."
        cluster.must_refuse("clone", sentence, **wish)
    finally:
        assert cluster.play("remove", instance=COPIES[1]).ok
        forget(cluster, "back", WARM)


def test_if_one_cannot_start_nothing_of_the_cluster_is_left(cluster):
    before, told = behind(cluster, EAST), cluster.snapshot()["cpa-1"]
    cluster.shell("rm-west-2", "mount --bind /bin/false /usr/bin/qemu-system-x86_64")
    try:
        cloned = cluster.play("clone", **CLONE)
    finally:
        cluster.shell("rm-west-2", "umount /usr/bin/qemu-system-x86_64")
    assert not cloned.ok and any("All is as it was." in message for message in cloned.messages), cloned.output
    started = cloned.answer(f"cut_over.rm.{COPIES[0]}", "rm-west-1")["instances"]
    assert [each["action"] for each in started] == ["started"], "the first of the two did start"
    nothing_in_the_west(cluster)
    assert capsules(cluster, "rm-west-1", "rm-west-2") == []
    assert capsules(cluster, "rm-east-1", "rm-east-2") == [("back", "1.0.0"), ("front", "1.0.0")]
    assert cluster.snapshot()["cpa-1"] == told
    after = behind(cluster, EAST)
    assert (after["boot_id"], after["counter"]) == (before["boot_id"], before["counter"] + 1)


def test_if_one_name_cannot_follow_those_before_it_are_taken_back(cluster):
    told = cluster.snapshot()["cpa-1"]
    # Nobody listens there, so the name server gets no answer from the back-end.
    settings = {"names_services": {"back.example.com": {"check": {"type": "tcp", "port": 81}}}, "names_ask_timeout": 2}
    cloned = cluster.play("clone", **settings, **CLONE)
    assert not cloned.ok and any("All is as it was." in message for message in cloned.messages), cloned.output
    assert cloned.step("follow.front")["changed"], "the first name did follow"
    nothing_in_the_west(cluster)
    assert capsules(cluster, "rm-west-1", "rm-west-2") == []
    assert cluster.snapshot()["cpa-1"] == told
    assert behind(cluster, EAST)["hostname"] == "back"


def test_it_works_in_another_hosting_network_without_the_original(cluster):
    assert behind(cluster, EAST, "write?before") == {"written": "before"}
    origin = behind(cluster, EAST)
    assert (origin["hostname"], origin["caller"], origin["writes"]) == ("back", "192.168.1.50", 1)
    cloned = cluster.four_times("clone", **CLONE)
    assert cloned.changed > 0
    records = {record["instance"]: record for record in cluster.module("gw-west", "vma_info")["records"]}
    assert {name: record["fabric_address"] for name, record in records.items()} == {COPIES[0]: "192.168.1.50", COPIES[1]: "192.168.1.60"}
    assert len({record["rm"] for record in records.values()}) == 2
    west = records[COPIES[0]]["public_address"]
    copy = cluster.page(west, "/cgi-bin/behind", client="client-west", timeout=5)
    assert (copy["hostname"], copy["caller"], copy["writes"], copy["boot_id"]) == ("back", "192.168.1.50", 1, origin["boot_id"])
    assert copy["counter"] == origin["counter"] + 1, "it goes on where its memory was taken"
    for unused in range(3):
        assert behind(cluster, west, "write?after") == {"written": "after"}
    assert (behind(cluster, west)["writes"], behind(cluster, EAST)["writes"]) == (4, 1), "each front-end has a back-end of its own"
    assert behind(cluster, EAST)["counter"] == origin["counter"] + 2
    direct = cluster.page(records[COPIES[1]]["public_address"], client="client-west")
    assert direct["writes"] == 4, "it is the copy of the back-end that serves in hn-west"


def test_it_moves_as_one_or_stays(cluster):
    both = {"instance": f"{FRONT},{BACK}", "to_hn": "hn-west"}
    for name in COPIES[::-1]:
        sentence = "would look for front-1.example.com at 192.168.1.50, but in hn-west front-2.example.com goes by that address."
        if name == COPIES[1]:
            cluster.must_refuse("move", sentence, **both)
        assert cluster.play("remove", instance=name).ok
    cluster.must_refuse("move", "A cluster cannot move with strategy=clone_first", look=False, strategy="clone_first", **both)

    before = behind(cluster, EAST)
    cluster.shell("rm-west-2", "mount --bind /bin/false /usr/bin/qemu-system-x86_64")
    try:
        moved = cluster.play("move", move_timeout=30, **both)
    finally:
        cluster.shell("rm-west-2", "umount /usr/bin/qemu-system-x86_64")
    assert not moved.ok and any(f"{FRONT} and {BACK} are running again in hn-east." in message for message in moved.messages), moved.output
    taken = moved.answer(f"cut_over.target.{FRONT}", "rm-west-1")["instances"]
    assert [(each["name"], each["error"]) for each in taken] == [(FRONT, None)], "the first of the two did run at the target"
    nothing_in_the_west(cluster)
    after = behind(cluster, EAST)
    assert (after["boot_id"], after["counter"], after["writes"]) == (before["boot_id"], before["counter"] + 1, before["writes"])

    done = cluster.four_times("move", **both)
    assert done.changed > 0
    records = {record["instance"]: record for record in cluster.module("gw-west", "vma_info")["records"]}
    assert {name: record["fabric_address"] for name, record in records.items()} == {FRONT: "192.168.1.50", BACK: "192.168.1.60"}
    west = behind(cluster, records[FRONT]["public_address"])
    assert (west["boot_id"], west["counter"], west["writes"], west["caller"]) == (after["boot_id"], after["counter"] + 1, after["writes"], "192.168.1.50")
    assert [list(cluster.whereabouts(name)) for name in (FRONT, BACK)] == [[records[name]["rm"], "gw-west"] for name in (FRONT, BACK)]
