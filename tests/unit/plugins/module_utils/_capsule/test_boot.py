# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from disks import ESP, LINUX, SIZE, disk, gpt

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import boot, intake

UEFI = gpt(ESP, LINUX).ljust(SIZE, b"\0")


@pytest.fixture(name="imported")
def _imported(here, ordinary, tmp_path):
    """Import a disk, and return the manifest."""

    def imported(content, kernel=False):
        for name in ("disk", "kernel"):
            (tmp_path / name).write_bytes(content)
        given = {"kernel": str(tmp_path / "kernel"), "initrd": None, "cmdline": ""} if kernel else None
        return intake.import_capsule(here.store, {**ordinary, "boot": given, "disks": [{"name": "root", "src": str(tmp_path / "disk")}]}).manifest

    return imported


def test_a_disk_in_the_store_says_why_it_does_not_boot(here, imported):
    said = boot.obstacle(here.store, imported(UEFI))
    assert said.startswith("the disk root boots by UEFI only, which real machines here do not offer")
    assert os.listdir(here.store.work) == [], "nothing of it is left there"


def test_nothing_is_said_of_what_boots_or_need_not(here, imported):
    assert boot.obstacle(here.store, imported(disk())) is None


def test_nothing_is_said_where_a_kernel_or_memory_is_given(here, imported):
    manifest = imported(UEFI, kernel=True)
    assert boot.obstacle(here.store, manifest) is None
    assert boot.obstacle(here.store, {**manifest, "boot": None, "memory": {"accelerator": "tcg"}}) is None
    assert boot.obstacle(here.store, {**manifest, "boot": None, "disks": []}) is None
    assert boot.obstacle(here.store, {**manifest, "boot": None})


def test_nothing_is_said_where_it_cannot_be_looked_at(here, imported):
    manifest = imported(UEFI)
    os.unlink(here.store.blob_path(manifest["disks"][0]["blob"]["sha256"]))
    assert boot.obstacle(here.store, manifest) is None
