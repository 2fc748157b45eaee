# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import footprint
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import disks, saved, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import instance_uuid
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import fake_libvirt
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME, manifest, qcow2

PATHS = {
    "absent": [],
    "running": ["running"],
    "suspended": ["running", "suspended"],
    "stopped": ["running", "stopped"],
}


def bring(rm, wanted):
    """Bring a fresh RM's instance into a state."""
    for step in PATHS[wanted]:
        rm.order(step, stop_force=True)
    assert rm.found.state == wanted


@pytest.mark.parametrize(
    "before, wanted, action",
    [
        ("absent", "running", "started"),
        ("stopped", "running", "started"),
        ("suspended", "running", "resumed"),
        ("running", "suspended", "suspended"),
        ("running", "stopped", "stopped"),
        ("suspended", "stopped", "stopped"),
        ("running", "absent", "removed"),
        ("suspended", "absent", "removed"),
        ("stopped", "absent", "removed"),
    ],
)
def test_check_mode_tells_what_a_run_then_does_and_a_second_run_changes_nothing(rm, before, wanted, action):
    bring(rm, before)
    predicted = rm.order(wanted, check=True, stop_force=True)
    assert rm.found.state == before
    done = rm.order(wanted, stop_force=True)
    assert (predicted.changed, predicted.action, predicted.before, predicted.after) == (done.changed, done.action, done.before, done.after)
    assert (done.changed, done.action, done.after["state"], rm.found.state) == (True, action, wanted, wanted)
    for check in (True, False):
        again = rm.order(wanted, check=check, stop_force=True)
        assert (again.changed, again.action, again.after) == (False, "none", done.after)
    assert rm.leftovers() == []


def test_a_guest_goes_on_where_it_was_and_its_image_cannot_be_used_again(rm):
    bring(rm, "suspended")
    memory = rm.places.memory(NAME)
    assert stat.S_IMODE(os.stat(memory).st_mode) == 0o600
    assert rm.order("suspended").memory_bytes == os.stat(memory).st_blocks * 512
    rm.order("running")
    assert [origin for _name, origin in rm.connection.lives][1].startswith("image")
    assert rm.files() == ["disk-root.qcow2", "instance.json"]


def test_what_cannot_be_is_refused_with_a_sentence(rm):
    with pytest.raises(NotFound, match="no instance shop-1.example.com"):
        rm.order("suspended")
    with pytest.raises(NotFound):
        rm.order("stopped")
    with pytest.raises(Refused, match="from which version"):
        rm.order("running", capsule=None)
    with pytest.raises(Refused, match="in which VLAN"):
        rm.order("running", vlan=None)
    with pytest.raises(NotFound, match="no capsule 2"):
        rm.order("running", capsule="2")
    bring(rm, "running")
    with pytest.raises(Refused, match="capsule 1.0.0; it cannot change to 2"):
        rm.order("running", capsule="2")
    with pytest.raises(Refused, match="vlan 101; it cannot change to 102"):
        rm.order("running", vlan=102)
    rm.order("stopped", stop_force=True)
    with pytest.raises(Refused, match="only a running instance"):
        rm.order("suspended")
    with pytest.raises(Refused, match="remove it before"):
        rm.order("running", capsule="2")


@pytest.mark.parametrize(
    "machine, words",
    [
        ({"type": "pc-i440fx-9.9"}, "no machine type 'pc-i440fx-9.9'"),
        ({"type": "pc"}, "no machine type 'pc'"),
        ({"cpu": "Icelake-Server"}, "cannot give a guest the CPU 'Icelake-Server' under tcg"),
        ({"vcpus": 4096}, "needs 4096"),
        ({"memory_mib": 1 << 21}, "2097152 MiB|disk space"),
    ],
)
def test_what_the_rm_cannot_honour_is_refused_before_anything_is_touched(rm, machine, words):
    rm.capsules["1.0.0"] = manifest(machine={**manifest()["machine"], **machine})
    for check in (True, False):
        with pytest.raises(Refused, match=words):
            rm.order("running", check=check)
    assert rm.found.state == "absent" and rm.found.epoch == (0, False) and rm.files() == []
    assert "createXML" not in rm.connection.calls


def test_a_missing_blob_is_refused_before_anything_is_touched(rm):
    rm.problems.append(Refused("Blob bbb is missing."))
    with pytest.raises(Refused, match="bbb is missing"):
        rm.order("running")
    assert rm.files() == [] and rm.found.epoch == (0, False)


def test_no_room_on_the_disk_refuses_a_start_and_a_suspension(rm, monkeypatch):
    bring(rm, "running")
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result((4096, 4096, 100, 10, 10, 0, 0, 0, 0, 255)))
    with pytest.raises(Refused, match="not enough disk space for the memory image"):
        rm.order("suspended")
    assert rm.connection.domains[NAME].current == fake_libvirt.VIR_DOMAIN_RUNNING
    rm.order("stopped", stop_force=True)
    with pytest.raises(Refused, match="not enough disk space"):
        rm.order("running")


def test_what_is_left_of_a_guest_is_kept_if_that_is_asked(rm):
    for asked in (False, True):
        bring(rm, "running")
        with open(rm.places.console(NAME), "w", encoding="utf-8") as handle:
            handle.write("Kernel panic - not syncing: no init found\n")
        assert rm.order("absent", check=True, epoch=1, stop_force=True, stop_timeout=0.0, evidence=True).evidence == ""
        done = rm.order("absent", epoch=1, stop_force=True, stop_timeout=0.0, evidence=asked)
        assert ("its kernel panicked (no init found)" in done.evidence) is asked
        rm.order("running", epoch=2)
        rm.order("absent", epoch=2, stop_force=True, stop_timeout=0.0)
        rm.connection.domains.clear()
        os.unlink(rm.places.epoch(NAME))


def test_what_other_instances_may_still_take_is_not_free(rm, monkeypatch):
    bring(rm, "running")
    other = "shop-2.example.com"
    promised = footprint.promised(rm.places.instances())
    room = footprint.most(manifest()) + disks.SLACK
    monkeypatch.setattr(disks, "free_bytes", lambda _path: room + promised - 1)
    with pytest.raises(Refused, match=f"not enough disk space for {other}: {room} bytes are to be kept .* {room - 1} are free"):
        rm.order("running", name=other)
    monkeypatch.setattr(disks, "free_bytes", lambda _path: room + promised)
    rm.order("running", name=other)


def test_where_disks_are_overcommitted_a_part_of_the_room_will_do(rm, monkeypatch, tmp_path):
    bring(rm, "running")
    owed, most = footprint.owed(rm.places.instances()), footprint.most(manifest())
    monkeypatch.setattr(disks, "free_bytes", lambda _path: (owed + most) // 2 + disks.SLACK + 10)
    with pytest.raises(Refused, match="not enough disk space"):
        rm.order("running", name="shop-2.example.com")
    monkeypatch.setattr(footprint, "OVERCOMMIT", str(tmp_path / "overcommit"))
    (tmp_path / "overcommit").write_text("2.0\n")
    assert rm.order("running", name="shop-2.example.com").after["state"] == "running"


def test_a_start_that_fails_leaves_nothing_of_a_fresh_instance_but_keeps_an_old_one(rm):
    rm.connection.fail["createXML"] = fake_libvirt.libvirtError("no bridge")
    with pytest.raises(CommandFailed, match="libvirt could not start shop-1.example.com: no bridge"):
        rm.order("running")
    assert rm.files() == [] and rm.leftovers() == []
    rm.connection.fail.clear()
    bring(rm, "stopped")
    rm.connection.fail["createXML"] = fake_libvirt.libvirtError("no bridge")
    with pytest.raises(CommandFailed):
        rm.order("running")
    assert rm.files() == ["disk-root.qcow2", "instance.json"]


def test_a_qemu_img_that_fails_leaves_nothing(rm, device):
    (device / "qemu-img").write_text("#!/bin/sh\necho no base >&2; exit 1\n")
    with pytest.raises(CommandFailed, match="no base"):
        rm.order("running")
    assert rm.files() == [] and rm.leftovers() == [] and not rm.connection.domains


def test_the_overlay_names_the_format_of_its_base(rm, device):
    bring(rm, "running")
    called = (device / "calls").read_text()
    assert f"-b {rm.root}/blobs/{'b' * 64} -F qcow2" in called and str(1 << 30) in called


def test_a_suspension_that_fails_leaves_the_guest_running_and_no_image(rm):
    bring(rm, "running")
    rm.connection.fail["saveFlags"] = fake_libvirt.libvirtError("disk full")
    with pytest.raises(CommandFailed, match="disk full"):
        rm.order("suspended")
    assert rm.found.state == "running" and rm.files() == ["disk-root.qcow2", "instance.json"]


@pytest.mark.parametrize("returns", [True, False])
def test_a_suspension_of_which_libvirt_could_not_say_that_it_was_done_loses_no_memory(rm, monkeypatch, returns):
    """It is killed when the image is whole and the guest has ended, and returns at once, or not before this has failed."""
    bring(rm, "running")
    gone = fake_libvirt.libvirtError("End of file while reading data: Input/output error")

    def save(domain, path, dxml, flags, real=fake_libvirt.Domain.saveFlags):
        real(domain, path, dxml, flags)
        if not returns:
            rm.connection.lookupByName = unanswered
        raise gone

    def unanswered(_name):
        raise gone

    monkeypatch.setattr(fake_libvirt.Domain, "saveFlags", save)
    if returns:
        rm.order("suspended")
    else:
        with pytest.raises(CommandFailed, match="could not save shop-1.example.com: End of file"):
            rm.order("suspended")
        del rm.connection.lookupByName
    assert rm.order("running").action == "resumed"


@pytest.mark.parametrize("call", ["restoreFlags", "restoreFlags!", "resume"])
def test_a_resumption_that_fails_can_be_tried_again(rm, call):
    bring(rm, "suspended")
    rm.connection.fail[call] = fake_libvirt.libvirtError("no luck")
    with pytest.raises(CommandFailed, match="no luck"):
        rm.order("running")
    assert rm.found.state == "suspended"
    rm.connection.fail.clear()
    assert rm.order("running").action == "resumed"
    assert len(rm.connection.lives) == 2


@pytest.mark.parametrize("call", ["saveFlags", "saveFlags!", "restoreFlags", "restoreFlags!", "resume", "resume!", "createXML", "createXML!"])
def test_no_crash_makes_two_lives_from_one_image(rm, call):
    """The process dies at each call; whatever is asked next, no image comes to life twice and the instance can go on."""
    bring(rm, {"s": "running", "r": "suspended", "c": "absent"}[call[0]])
    rm.connection.fail[call] = fake_libvirt.Crash()
    with pytest.raises(fake_libvirt.Crash):
        rm.order("suspended" if call.startswith("save") else "running")
    rm.connection.fail.clear()
    rm.order("running")
    assert rm.found.state == "running"
    rm.connection.domains.clear()  # the RM loses power
    rm.order("running")
    images = [origin for _name, origin in rm.connection.lives if origin != "boot"]
    assert len(images) == len(set(images))


def restorable(rm):
    """Return a domain XML that the memory image can be restored with."""
    return f"<domain><name>{NAME}</name><uuid>{instance_uuid(NAME)}</uuid><genid>{saved.genid(rm.places.memory(NAME))}</genid></domain>"


def test_a_crash_between_restore_and_run_loses_nothing(rm):
    """Undoing is skipped too when power fails, unlike in an exception: the paused domain stays beside its image."""
    bring(rm, "suspended")
    unused, life = fake_libvirt.read_image(rm.places.memory(NAME))
    rm.connection.restoreFlags(rm.places.memory(NAME), restorable(rm), fake_libvirt.VIR_DOMAIN_SAVE_PAUSED)
    assert rm.found.state == "suspended"
    assert rm.order("running").action == "resumed"
    assert rm.connection.lives[-1] == (NAME, life)


def test_a_crash_between_taking_the_image_out_of_use_and_run_lets_the_guest_go_on(rm):
    bring(rm, "suspended")
    memory = rm.places.memory(NAME)
    rm.connection.restoreFlags(memory, restorable(rm), fake_libvirt.VIR_DOMAIN_SAVE_PAUSED)
    os.rename(memory, f"{memory}.used")
    assert rm.order("running").after["state"] == "running"
    assert rm.connection.domains[NAME].current == fake_libvirt.VIR_DOMAIN_RUNNING
    assert rm.files() == ["disk-root.qcow2", "instance.json"]


def test_a_whole_image_is_found_after_a_crash_and_a_partial_one_is_not_believed(rm):
    bring(rm, "suspended")
    memory = rm.places.memory(NAME)
    os.rename(memory, f"{memory}.part")
    assert rm.found.state == "suspended"
    assert rm.order("running", check=True).action == "resumed"
    assert rm.order("running").action == "resumed"
    rm.order("suspended")
    os.unlink(memory)
    with open(f"{memory}.part", "wb") as handle:
        handle.write(b"LibvirtQemudPart\n")
    assert rm.found.state == "stopped"
    rm.order("stopped")
    assert not os.path.exists(f"{memory}.part") or rm.order("running").action == "started"


def test_a_rebooted_rm_says_stopped_and_suspended(rm):
    bring(rm, "running")
    rm.connection.domains.clear()
    assert rm.found.state == "stopped"
    assert rm.order("running").action == "started"


def test_a_paused_guest_is_not_suspended(rm):
    bring(rm, "running")
    rm.connection.domains[NAME].suspend()
    with pytest.raises(Refused, match="its guest is paused, for somebody has paused it by hand"):
        rm.order("suspended")


def test_a_guest_that_ignores_its_power_button_is_ended_only_by_force(rm):
    bring(rm, "running")
    rm.connection.obeys = False
    for wanted in ("stopped", "absent"):
        with pytest.raises(DeadlineExceeded, match="shuts down"):
            rm.order(wanted)
        assert rm.found.state == "running"
    assert rm.order("stopped", stop_force=True).after["state"] == "stopped"


def test_memory_is_dropped_only_by_force(rm):
    bring(rm, "suspended")
    with pytest.raises(Refused, match="lose its memory"):
        rm.order("stopped")
    assert rm.order("stopped", stop_force=True).changed
    assert rm.files() == ["disk-root.qcow2", "instance.json"]


def test_a_newer_epoch_is_noted_with_its_record_while_the_guest_runs_on(rm):
    rm.order("running", record={"epoch": 1})
    calls = list(rm.connection.calls)
    predicted = rm.order("running", epoch=3, record={"epoch": 3}, check=True)
    done = rm.order("running", epoch=3, record={"epoch": 3})
    assert (done.changed, done.action, done.after["epoch"]) == (True, "none", 3) and predicted.after == done.after
    assert rm.connection.calls == calls
    assert state.tell(rm.host, NAME)[0]["record"] == {"epoch": 3}
    with pytest.raises(Refused, match="epoch 3"):
        rm.order("running", epoch=2)


def test_removal_gives_the_right_to_run_up(rm):
    bring(rm, "running")
    rm.order("absent", epoch=1)
    with pytest.raises(Refused, match="given up here"):
        rm.order("running", epoch=1)
    assert rm.order("running", epoch=2).action == "started"
    with pytest.raises(Refused, match="outdated"):
        rm.order("absent", epoch=1)
    assert rm.found.state == "running"


def test_an_absent_instance_can_be_fenced(rm):
    assert not rm.order("absent").changed
    assert rm.order("absent", epoch=4, check=True).changed
    assert rm.order("absent", epoch=4).changed
    assert not rm.order("absent", epoch=4).changed
    with pytest.raises(Refused):
        rm.order("running", epoch=4)


def test_a_capsule_with_memory_starts_where_it_was(rm):
    """Its memory is read where it is, and its overlays lie over the capsule's: the capsule stays as it is."""
    bring(rm, "suspended")
    os.makedirs(f"{rm.root}/blobs")
    os.rename(rm.places.memory(NAME), f"{rm.root}/blobs/{'e' * 64}")
    with open(f"{rm.root}/blobs/{'f' * 64}", "wb") as handle:
        handle.write(qcow2())
    rm.order("absent")
    disk = {**manifest()["disks"][0], "overlay": {"sha256": "f" * 64, "size": 72}}
    rm.capsules["1.0.0"] = manifest(memory={"accelerator": "tcg", "blob": {"sha256": "e" * 64, "size": 1}}, disks=[disk])
    assert rm.order("running", epoch=2).action == "started"
    assert rm.connection.lives[-1][1].startswith("image")
    assert os.path.exists(f"{rm.root}/blobs/{'e' * 64}") and not os.path.exists(rm.places.memory(NAME))
    rm.order("absent", epoch=2, stop_force=True)
    rm.capsules["1.0.0"]["memory"]["accelerator"] = "kvm"
    with pytest.raises(Refused, match="taken under kvm, but this RM runs guests under tcg"):
        rm.order("running", epoch=3)


def test_info_tells_of_all_instances_and_only_of_them(rm):
    bring(rm, "suspended")
    os.mkdir(os.path.join(rm.places.instances(), ".new-shop-2.example.com"))
    os.mkdir(os.path.join(rm.places.instances(), "lost+found"))
    found = state.tell(rm.host, None)
    assert [each["name"] for each in found] == [NAME]
    assert found[0]["memory_bytes"] and found[0]["manifest"] == manifest() and found[0]["domain_state"] is None
    assert state.tell(rm.host, "shop-2.example.com") == []


def test_a_host_that_is_no_rm_is_told_so(rm):
    os.rmdir(os.path.join(rm.root, "instances"))
    with pytest.raises(Refused, match="not set up as an RM"):
        rm.order("running")
