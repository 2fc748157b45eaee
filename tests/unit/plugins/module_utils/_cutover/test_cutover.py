# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.transfer import Peer
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.order import Order
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.source import give
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import disks, durable, state
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._cutover.line import PEER, Line, accept, hand
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import fake_libvirt
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME, Disk, manifest, qcow2, reboot


@pytest.fixture
def line(east, west):
    """An instance that runs in the east, and a line to the west."""
    east.order("running", record={"hn": "east"})
    with open(east.places.overlay(NAME, "root"), "wb") as handle:
        handle.write(qcow2() + b"written by the guest")
    return Line(west)


def lives(*rms):
    """Return where the guest lives."""
    return [rm.root.rsplit("/", 1)[1] for rm in rms if rm.connection.domains]


def test_an_instance_goes_on_at_the_target(east, west, line):
    given = hand(east, line)
    assert (given.changed, given.result["handed_over"], given.after["state"], given.after["here"]) == (True, "yes", "suspended", False)
    assert given.result["bytes_wire"] == 14 and set(given.result["seconds"]) == {"connect", "suspend", "send", "commit"}
    taken = accept(west, record={"hn": "west"})
    assert (taken.changed, taken.after["state"], taken.after["epoch"], taken.after["vlan"]) == (True, "running", 2, 201)
    assert lives(east, west) == ["west"]
    assert west.connection.lives == [(NAME, west.connection.domains[NAME].origin)] and west.connection.lives[0][1].startswith("image")
    with open(west.places.overlay(NAME, "root"), "rb") as handle:
        assert handle.read().endswith(b"written by the guest")
    assert state.tell(west.host, NAME)[0]["record"] == {"hn": "west"}
    assert west.leftovers() == []
    with pytest.raises(Refused, match="epoch 2"):
        east.order("running", epoch=1)
    with pytest.raises(Refused, match="given up here"):
        east.order("running", epoch=2)


def test_a_second_run_changes_nothing(east, west, line):
    hand(east, line)
    accept(west)
    for check in (True, False):
        again = hand(east, line, check=check)
        assert not again.changed and again.result["handed_over"] == "yes"
        assert not accept(west, check=check).changed
    east.order("absent")
    assert hand(east, line).result["handed_over"] == "yes"


def test_check_mode_tells_what_a_run_then_does(east, west, line):
    predicted, told = hand(east, line, check=True), accept(west, check=True, record={"capsule": "1.0.0"})
    assert lives(east, west) == ["east"] and os.listdir(line.incoming) == []
    given, taken = hand(east, line), accept(west, record={"capsule": "1.0.0"})
    assert (predicted.changed, predicted.before, predicted.after) == (given.changed, given.before, given.after)
    assert (told.changed, told.before, told.after) == (taken.changed, taken.before, taken.after)


def test_a_suspended_instance_stays_suspended_if_so_ordered(east, west, line):
    east.order("suspended")
    given = hand(east, line, state="suspended")
    assert "suspend" not in given.result["seconds"]
    assert accept(west, state="suspended").after["state"] == "suspended"
    assert not accept(west, state="suspended").changed
    assert lives(east, west) == []
    assert accept(west).after["state"] == "running"


def test_it_can_go_there_and_back(east, west, line):
    hand(east, line)
    accept(west)
    back = Line(east)
    hand(west, back, epoch=3)
    assert accept(east, epoch=3).after["epoch"] == 3
    assert lives(east, west) == ["east"]


@pytest.mark.parametrize("cut", ["dial", "memory", "memory!", "disk-root", "disk-root!"])
def test_whatever_fails_before_the_fence_leaves_it_running_at_the_source(east, west, line, cut):
    line.cuts = {cut}
    with pytest.raises(MeshError) as caught:
        hand(east, line)
    assert lives(east, west) == ["east"] and east.found.epoch == (1, True)
    if cut != "dial":
        assert caught.value.result["handed_over"] == "no" and caught.value.result["instance"]["state"] == "running"
        assert "it is running here, as before" in caught.value.message
        with pytest.raises(Refused, match="cut"):
            accept(west, timeout=5.0)
    assert lives(east, west) == ["east"]
    line.cuts = set()
    hand(east, line, epoch=3)
    accept(west, epoch=3)
    assert lives(east, west) == ["west"]


def test_a_suspension_that_fails_leaves_it_running(east, west, line):
    east.connection.fail["saveFlags"] = fake_libvirt.libvirtError("disk full")
    with pytest.raises(CommandFailed, match="as before.*disk full"):
        hand(east, line)
    assert lives(east, west) == ["east"] and len(east.connection.lives) == 1


def test_a_suspended_instance_is_not_woken_by_a_failure(east, west, line):
    east.order("suspended")
    line.cuts = {"memory"}
    with pytest.raises(MeshError, match="suspended here, as before"):
        hand(east, line)
    assert lives(east, west) == []


def test_an_instance_that_cannot_be_resumed_at_the_source_either_is_not_lost(east, west, line):
    line.cuts = {"memory"}
    east.connection.fail["restoreFlags"] = fake_libvirt.libvirtError("no memory")
    with pytest.raises(MeshError, match="could not be resumed here either.*no memory") as caught:
        hand(east, line)
    assert caught.value.result["instance"]["state"] == "suspended"
    east.connection.fail.clear()
    assert east.order("running").action == "resumed"


def test_a_lost_answer_is_asked_for_again(east, west, line):
    line.cuts = {"commit!"}
    assert hand(east, line).result["handed_over"] == "yes"
    accept(west)
    assert lives(east, west) == ["west"]


def test_a_commit_that_was_never_heard_is_taken_back(east, west, line):
    line.cuts = {"commit"}
    with pytest.raises(MeshError) as caught:
        hand(east, line)
    assert caught.value.result["handed_over"] == "no"
    with pytest.raises(Refused):
        accept(west)
    assert lives(east, west) == []
    with pytest.raises(Refused):
        east.order("running", epoch=2)
    assert east.order("running", epoch=3).action == "resumed"
    assert hand(east, line, epoch=4, check=True).changed


@pytest.mark.parametrize("cut", ["commit", "commit!"])
def test_an_answer_that_stays_lost_is_told_and_nothing_runs_twice(east, west, line, cut):
    line.cuts = {cut, "redial"}
    with pytest.raises(MeshError, match="not known") as caught:
        hand(east, line)
    assert caught.value.result["handed_over"] == "unknown" and lives(east, west) == []
    assert hand(east, line).result["handed_over"] == "unknown"
    with pytest.raises(Refused):
        east.order("running", epoch=2)
    if cut == "commit!":
        accept(west)
        assert lives(east, west) == ["west"]
        return
    with pytest.raises(DeadlineExceeded):
        accept(west)
    west.order("absent", epoch=2)
    east.order("running", epoch=3)
    assert lives(east, west) == ["east"]


def test_a_target_that_gave_up_is_not_handed_anything(east, west, line):
    with pytest.raises(DeadlineExceeded, match="arrives"):
        accept(west)
    with pytest.raises(Refused, match="gave up waiting"):
        hand(east, line)
    assert lives(east, west) == ["east"]


@pytest.mark.parametrize("call", ["restoreFlags", "restoreFlags!", "resume"])
def test_an_instance_that_cannot_be_resumed_at_the_target_stays_suspended_there(east, west, line, call):
    hand(east, line)
    west.connection.fail[call] = fake_libvirt.libvirtError("no bridge")
    with pytest.raises(CommandFailed, match="taken over and is suspended here.*no bridge") as caught:
        accept(west)
    assert caught.value.result["instance"]["state"] == "suspended" and lives(east, west) == []
    west.connection.fail.clear()
    assert accept(west).after["state"] == "running"
    assert lives(east, west) == ["west"]


def test_a_target_that_cannot_resume_gives_way_to_the_source(east, west, line):
    hand(east, line)
    west.connection.fail["restoreFlags"] = fake_libvirt.libvirtError("no bridge")
    with pytest.raises(CommandFailed):
        accept(west)
    west.order("absent", epoch=2)
    assert east.order("running", epoch=3).action == "resumed"
    with pytest.raises(Refused):
        accept(west)
    assert lives(east, west) == ["east"]


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda west, line: west.problems.append(Refused("Blob bbb is missing.")), "bbb is missing"),
        (lambda west, line: open(os.path.join(line.incoming, "parcels", f"{NAME}@2", "disk-root"), "wb").close(), "no qcow2 image"),
    ],
)
def test_what_the_target_refuses_is_neither_there_nor_runs(east, west, line, spoil, words):
    hand(east, line)
    spoil(west, line)
    with pytest.raises(Refused, match=words):
        accept(west)
    assert west.found.state == "absent" and west.found.epoch == (0, False) and lives(east, west) == []
    assert east.order("running", epoch=3).action == "resumed"


def test_no_room_at_the_target_is_found_out_before_the_guest_stops(east, west, line):
    line.free_bytes = 1000
    for check in (True, False):
        with pytest.raises(Refused, match="rm-west-1 has no room"):
            hand(east, line, check=check)
    assert "saveFlags" not in east.connection.calls and lives(east, west) == ["east"]


def test_what_cannot_be_handed_over_is_refused(east, west, line):
    with pytest.raises(Refused, match="a move raises it"):
        hand(east, line, epoch=1)
    with pytest.raises(NotFound, match="no running or suspended instance"):
        hand(west, line)
    east.order("stopped", stop_force=True)
    with pytest.raises(NotFound) as caught:
        hand(east, line)
    assert caught.value.result["instance"]["state"] == "stopped", "so that a move may be taken back"


def test_an_instance_that_lives_at_the_target_is_not_overwritten(east, west, line):
    west.order("running")
    with pytest.raises(Refused, match="lives on this RM already"):
        accept(west)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "no qcow2 image"),
        (qcow2(magic=b"RAW!"), "no qcow2 image"),
        (qcow2(version=1), "no qcow2 image"),
        (qcow2(features=disks.EXTERNAL_DATA_FILE), "data file outside"),
        (qcow2(size=1), "shows 1 bytes where the manifest says"),
    ],
)
def test_an_overlay_is_looked_at_before_qemu_does(tmp_path, content, words):
    path = tmp_path / "overlay"
    path.write_bytes(content)
    with pytest.raises(Refused, match=words):
        disks.check_overlay(str(path), "root", manifest()["disks"][0]["virtual_size"])


WHOLE = {"disk-root.qcow2", NAME, "instances"}


def test_what_was_taken_over_lasts_before_the_source_may_be_cleared(east, west, line, monkeypatch):
    """And its guest does not wait for that."""
    hand(east, line)
    disk = Disk(monkeypatch, west)
    accept(west)
    assert set(disk.running()) >= WHOLE and not WHOLE & set(disk.still())
    assert "unflushed" not in west.found.document
    disk.flushed.clear()
    accept(west, check=True)
    assert not disk.flushed
    accept(west)
    assert set(disk.running()) >= WHOLE, "whoever took it over may not have lived to do that"


def test_what_stays_suspended_lasts_with_its_memory(east, west, line, monkeypatch, tmp_path):
    east.order("suspended")
    hand(east, line, state="suspended")
    disk = Disk(monkeypatch, west)
    accept(west, state="suspended")
    assert set(disk.still()) >= {*WHOLE, "memory.save"} and "unflushed" not in west.found.document
    reboot(monkeypatch, tmp_path, west)
    assert accept(west).after["state"] == "running"


def test_what_the_power_took_is_not_resumed_and_goes_on_at_the_source(east, west, line, monkeypatch, tmp_path):
    """The target fails after it has taken the instance over, and before that is on its disk for sure."""
    hand(east, line)
    west.connection.fail["restoreFlags"] = fake_libvirt.Crash()
    with pytest.raises(fake_libvirt.Crash):
        accept(west)
    west.connection.fail.clear()
    assert west.found.state == "suspended"
    reboot(monkeypatch, tmp_path, west)
    with pytest.raises(Refused, match="had just come to this RM"):
        accept(west)
    assert lives(east, west) == [] and hand(east, line).result["handed_over"] == "yes"
    west.order("absent", epoch=2)
    assert east.order("running", epoch=3).action == "resumed" and lives(east, west) == ["east"]


def test_what_lost_its_power_after_it_was_taken_over_is_started_again(east, west, line, monkeypatch, tmp_path):
    hand(east, line)
    accept(west)
    reboot(monkeypatch, tmp_path, west)
    assert accept(west, check=True).after["state"] == "running" and west.found.state == "stopped"
    assert accept(west).after["state"] == "running" and lives(east, west) == ["west"]


def test_what_arrived_before_the_power_was_cut_is_not_taken_over(east, west, line, monkeypatch, tmp_path):
    hand(east, line)
    reboot(monkeypatch, tmp_path, west)
    with pytest.raises(Refused, match="before this RM failed"):
        accept(west)
    assert west.found.state == "absent" and east.order("running", epoch=3).action == "resumed"


def test_what_arrived_before_the_power_was_cut_is_sent_again(east, west, line, monkeypatch, tmp_path):
    east.order("suspended")
    line.cuts = {"disk-root", "abort"}
    with pytest.raises(MeshError):
        hand(east, line)
    memory = os.path.join(line.incoming, "parcels", f"{NAME}@2", "memory")
    open(memory, "wb").close()
    reboot(monkeypatch, tmp_path, west)
    line.cuts = set()
    hand(east, line)
    assert os.path.getsize(memory) == os.path.getsize(east.places.memory(NAME))


@pytest.mark.parametrize("name", ["commit.json", "abort.json", "state.json"])
def test_what_the_power_left_empty_decides_nothing(east, west, line, name):
    parcel = os.path.join(line.incoming, "parcels", f"{NAME}@2")
    os.makedirs(parcel)
    open(os.path.join(parcel, name), "wb").close()
    with pytest.raises(DeadlineExceeded):
        accept(west)


@pytest.mark.parametrize("cut", [None, "commit", "memory"])
def test_the_source_keeps_what_it_can_be_had_back_from(east, west, line, monkeypatch, cut):
    """It flushes nothing before the other side knows."""
    disk = Disk(monkeypatch, east)
    seen, heard = [], line.commit_parcel

    def commit(*arguments):
        seen.append(disk.still())
        heard(*arguments)

    monkeypatch.setattr(line, "commit_parcel", commit)
    line.cuts = {cut}
    if cut == "memory":
        east.connection.fail["restoreFlags"] = fake_libvirt.libvirtError("no memory")
    if cut:
        with pytest.raises(MeshError):
            hand(east, line)
    else:
        hand(east, line)
    assert seen == ([] if cut == "memory" else [[]])
    assert {"memory.save", "disk-root.qcow2", NAME, "instances"} <= set(disk.still()) and "unflushed" not in east.found.document


def test_a_source_that_died_flushes_when_it_is_asked_again(east, west, line, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(durable, "flush", lambda *_arguments: None)
        hand(east, line)
    assert east.found.document["unflushed"]
    hand(east, line, check=True)
    assert east.found.document["unflushed"]
    hand(east, line)
    assert "unflushed" not in east.found.document


def test_a_hand_over_is_to_one_peer(east, west, line):
    hand(east, line)
    for check in (True, False):
        with pytest.raises(Refused, match="was handed over to rm-west-1 in epoch 2, so it cannot be handed over to rm-north-1") as caught:
            give(east.host, Order(NAME, 2), Peer("rm-north-1", "192.0.2.9"), check, line.dial)
        assert caught.value.result == {"handed_to": "rm-west-1"}
    with pytest.raises(Refused, match="given it up in epoch 2, so it may live elsewhere"):
        give(east.host, Order(NAME, 3), Peer("rm-north-1", "192.0.2.9"), False, line.dial)
    # What older releases noted says nothing of a peer.
    state.write(east.places, NAME, {"handed_over": 2})
    assert give(east.host, Order(NAME, 2), PEER).result["handed_over"] == "yes"
    east.order("absent")
    assert give(east.host, Order(NAME, 2), Peer("rm-north-1", "192.0.2.9")).result["handed_over"] == "yes"


def test_what_was_taken_from_its_parcel_before_the_power_was_cut_is_refused(east, west, line):
    hand(east, line)
    os.unlink(os.path.join(line.incoming, "parcels", f"{NAME}@2", "memory"))
    with pytest.raises(Refused, match="not its memory and disks"):
        accept(west)
