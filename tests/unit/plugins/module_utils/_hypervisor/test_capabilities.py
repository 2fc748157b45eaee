# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import threading

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import lock
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import capabilities
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import fake_libvirt
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME


def test_a_subscription_tells_what_can_be_pinned(rm):
    found = capabilities.subscription(rm.places, rm.host.hypervisor, None, 1.0)
    assert found["machine_types"] == ["pc-i440fx-7.2", "pc-q35-7.2"] and found["cpus"] == ["qemu64"] and found["accelerator"] == "tcg"
    assert found["memory_mib"] > 0 and found["vcpus"] == os.cpu_count() and found["disk_bytes"] > 0


def test_libvirt_is_asked_once_per_version(rm, monkeypatch):
    first = capabilities.offer(rm.places, rm.host.hypervisor, "tcg")
    assert capabilities.offer(rm.places, rm.host.hypervisor, "tcg") == first
    assert rm.connection.calls.count("getCapabilities") == 1
    monkeypatch.setattr(fake_libvirt.Connection, "getVersion", lambda _self: 8000000)
    capabilities.offer(rm.places, rm.host.hypervisor, "tcg")
    assert rm.connection.calls.count("getCapabilities") == 2


def test_disk_capacity_does_not_follow_every_byte(rm, monkeypatch):
    def free(blocks):
        monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result((4096, 4096, 1000, blocks, blocks, 0, 0, 0, 0, 255)))
        return capabilities.capacity(rm.places)["disk_bytes"] // 4096

    assert free(500) == 500
    assert free(450) == 500 and free(580) == 500
    assert free(300) == 300


def test_what_instances_use_is_a_part_of_the_capacity(rm):
    rm.order("running")
    assert capabilities._allocated(rm.places.instances()) > 0


def test_a_save_that_takes_too_long_is_broken_off(rm, monkeypatch):
    """libvirt's call returns with an error when its job is aborted."""
    rm.order("running")
    aborted = threading.Event()

    def slow(_self, _path, _dxml, _flags):
        assert aborted.wait(30)
        raise fake_libvirt.libvirtError("operation aborted")

    monkeypatch.setattr(fake_libvirt.Domain, "saveFlags", slow)
    monkeypatch.setattr(fake_libvirt.Domain, "abortJob", lambda _self: aborted.set())
    with pytest.raises(DeadlineExceeded, match="broken off"):
        rm.order("suspended", timeout=0.05)
    assert rm.found.state == "running"


def test_errors_of_libvirt_become_ours(rm):
    with pytest.raises(NotFound):
        rm.host.hypervisor.unpause(NAME)
    rm.connection.fail["createXML"] = fake_libvirt.libvirtError("why")
    with pytest.raises(CommandFailed, match=f"libvirt could not start {NAME}: why"):
        rm.host.hypervisor.create_paused(f"<domain><name>{NAME}</name></domain>", NAME)
    rm.host.hypervisor.destroy(NAME)
    rm.host.hypervisor.power_button(NAME)
    assert rm.host.hypervisor.state(NAME) is None and rm.host.hypervisor.live() == {}


def test_one_operation_at_a_time(rm):
    with lock(rm.places.lock(NAME), "x"):
        with pytest.raises(Refused, match="Another operation has been working on instance shop-1.example.com"):
            rm.order("running", timeout=0.05)
