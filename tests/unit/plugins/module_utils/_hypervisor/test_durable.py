# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What outlasts a power cut, and what is believed after one."""

from __future__ import annotations

import os

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import arrival, durable, home, state
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import fake_libvirt
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME, Disk, manifest, qcow2, reboot

RECORD = {"capsule": "1.0.0"}


def arriving(rm, epoch=2, run=False):
    """Let the instance come alive, and run if it is to."""
    coming = arrival.Arrival(rm.host, rm.found, "1.0.0", home.Orders(epoch, 101, RECORD, 1.0))
    coming.prepare(os.path.join(rm.root, "ways", "one"))
    rm.connection.createXML(coming.xml, fake_libvirt.VIR_DOMAIN_START_PAUSED)
    if run:
        coming.run()
    return coming


def mark(rm):
    """Bring back the mark whose removal the disk has not heard of."""
    with open(rm.places.coming(NAME), "wb"):
        pass


def test_what_was_handed_over_outlasts_its_mark(rm):
    """The mark is back after a power cut; the epoch says that it was handed over."""
    arriving(rm, run=True)
    mark(rm)
    rm.connection.domains.clear()
    assert rm.found.state == "stopped" and not state.coming(rm.places, NAME)
    with state.held(rm.host, NAME, 1.0, False) as found:
        assert found.state == "stopped" and rm.files() == ["disk-root.qcow2", "instance.json"]
    assert rm.order("running", epoch=2).action == "started"
    assert rm.files() == ["disk-root.qcow2", "instance.json"]


def test_what_was_handed_over_keeps_what_it_has_been_allowed_since(rm):
    arriving(rm, run=True)
    rm.order("running", epoch=5)
    mark(rm)
    rm.connection.domains.clear()
    assert (rm.found.state, rm.found.epoch) == ("stopped", (5, True))


def test_what_was_handed_over_and_never_let_run_goes_on(rm):
    rm.connection.fail["resume"] = fake_libvirt.Crash()
    with pytest.raises(fake_libvirt.Crash):
        arriving(rm, run=True)
    rm.connection.fail.clear()
    assert rm.found.state == "running" and rm.order("running", check=True, epoch=2).action == "none"
    rm.order("running", epoch=2)
    assert rm.connection.domains[NAME].current == fake_libvirt.VIR_DOMAIN_RUNNING and "coming" not in rm.files()


def test_what_was_not_handed_over_is_gone_after_a_power_cut(rm):
    arriving(rm)
    rm.connection.domains.clear()
    assert rm.found.state == "absent"
    with state.held(rm.host, NAME, 1.0, False):
        assert rm.files() == []


def test_the_right_of_a_former_life_says_nothing_of_who_comes(rm):
    """A start that fails leaves the right behind; then the instance is placed elsewhere, and comes here later."""
    rm.connection.fail["createXML"] = fake_libvirt.libvirtError("no bridge")
    with pytest.raises(CommandFailed):
        rm.order("running")
    rm.connection.fail.clear()
    assert rm.found.epoch == (1, True)
    arriving(rm, epoch=3)
    rm.connection.domains.clear()
    assert rm.found.state == "absent"
    with state.held(rm.host, NAME, 1.0, False):
        assert rm.files() == []


def test_what_was_handed_over_and_is_gone_does_not_come_again(rm):
    rm.connection.fail["createXML"] = fake_libvirt.libvirtError("no bridge")
    with pytest.raises(CommandFailed):
        rm.order("running", epoch=3)
    rm.connection.fail.clear()
    with pytest.raises(Refused, match="in epoch 3 before, and is gone"):
        arriving(rm, epoch=3)


def test_who_comes_has_a_place_that_lasts_before_it_leaves(rm, monkeypatch):
    disk = Disk(monkeypatch, rm)
    arriving(rm)
    assert {"disk-root.qcow2", "coming", NAME, "instances"} <= set(disk.still())


def test_suspended_is_what_outlasts_a_power_cut(rm, monkeypatch, tmp_path):
    rm.order("running")
    disk = Disk(monkeypatch, rm)
    rm.order("suspended")
    assert {"memory.save", "disk-root.qcow2", NAME, "instances"} <= set(disk.still())
    assert "unflushed" not in rm.found.document
    reboot(monkeypatch, tmp_path, rm)
    assert rm.order("running").action == "resumed"


def test_nothing_is_flushed_between_the_guest_and_its_image(rm, monkeypatch):
    rm.order("running")
    disk = Disk(monkeypatch, rm)
    save = fake_libvirt.Domain.saveFlags

    def saved(*arguments):
        disk.flushed.clear()
        save(*arguments)

    monkeypatch.setattr(fake_libvirt.Domain, "saveFlags", saved)
    rm.order("suspended")
    assert disk.flushed[0][0] in rm.files() and os.path.exists(rm.places.memory(NAME))


@pytest.mark.parametrize("part", ["", ".part"])
def test_an_image_that_was_not_flushed_is_believed_in_the_same_boot_only(rm, monkeypatch, tmp_path, part):
    rm.order("running")
    monkeypatch.setattr(durable, "flush", lambda *_arguments: None)
    rm.order("suspended")
    os.rename(rm.places.memory(NAME), f"{rm.places.memory(NAME)}{part}")
    assert rm.found.state == "suspended"
    reboot(monkeypatch, tmp_path, rm)
    assert rm.found.state == "stopped"
    assert rm.order("running").action == "started" and rm.files() == ["disk-root.qcow2", "instance.json"]


def test_who_did_not_live_to_flush_is_made_up_for(rm, monkeypatch):
    rm.order("running")
    with monkeypatch.context() as patched:
        patched.setattr(durable, "flush", lambda *_arguments: None)
        rm.order("suspended")
    disk = Disk(monkeypatch, rm)
    assert not rm.order("suspended", check=True).changed and not disk.flushed
    assert not rm.order("suspended").changed
    assert "memory.save" in disk.still() and "unflushed" not in rm.found.document


def test_a_spent_image_does_not_come_back(rm, monkeypatch):
    rm.order("running")
    rm.order("suspended")
    disk = Disk(monkeypatch, rm)
    rm.order("running")
    assert [name for name in disk.running() if not name.startswith(".new-")] == [NAME, "instances"]


def test_a_capsules_memory_does_not_come_back(rm, monkeypatch):
    rm.order("running")
    disk = Disk(monkeypatch, rm)
    rm.order("stopped", stop_force=True)
    rm.order("running")
    assert [name for name in disk.running() if not name.startswith(".new-")] == [NAME, "instances"]


def test_a_standby_outlasts_a_power_cut(rm, monkeypatch):
    rm.order("running")
    rm.order("suspended")
    os.makedirs(f"{rm.root}/blobs")
    os.rename(rm.places.memory(NAME), f"{rm.root}/blobs/{'e' * 64}")
    with open(f"{rm.root}/blobs/{'f' * 64}", "wb") as handle:
        handle.write(qcow2())
    rm.order("absent")
    disks = [{**manifest()["disks"][0], "overlay": {"sha256": "f" * 64, "size": 72}}]
    rm.capsules["1.0.0"] = manifest(memory={"accelerator": "tcg", "blob": {"sha256": "e" * 64, "size": 1}}, disks=disks)
    disk = Disk(monkeypatch, rm)
    rm.order("suspended", capsule="1.0.0", vlan=101, epoch=2)
    assert {"disk-root.qcow2", NAME, "instances"} <= set(disk.still())


def test_a_disk_that_fails_is_told(rm, monkeypatch):
    rm.order("running")

    def fail(_path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(durable.files, "sync", fail)
    with pytest.raises(CommandFailed, match="could not keep shop-1.example.com: Input/output error"):
        durable.flush(rm.places, NAME)


def test_disks_that_had_just_come_when_the_power_failed_may_be_torn(rm, monkeypatch, tmp_path):
    rm.order("running")
    document, overlay = {**rm.found.document, **durable.adopted()}, rm.places.overlay(NAME, "root")
    assert not durable.torn(rm.places, NAME, document), "the page cache has all of it"
    reboot(monkeypatch, tmp_path, rm)
    assert durable.torn(rm.places, NAME, document)
    os.utime(overlay, (0, document["adopted"] + durable.LONG + 1))
    assert not durable.torn(rm.places, NAME, document), "the guest wrote when the kernel had long flushed what came"
    os.unlink(overlay)
    assert durable.torn(rm.places, NAME, document)
