# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json
import os
import stat

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def overwrite(path, content):
    """Change a read-only file in place, as a failing disk or a careless person would."""
    os.chmod(path, 0o600)
    with open(path, "r+b") as handle:
        handle.write(content)


def test_a_stored_capsule_is_found_and_whole(here, stored):
    assert here.store.get("example.com", "shop", "1.0.0") == stored
    assert here.store.list() == here.store.list("example.com", "shop", "1.0.0") == [stored]
    assert here.store.list(name="other") == []
    assert here.store.problems(stored, full=True) == []
    here.store.ensure_intact(stored)


def test_publishing_the_same_again_changes_nothing(here, stored):
    assert here.store.put_manifest(stored) is False


def test_a_version_never_changes(here, stored):
    other = copy.deepcopy(stored)
    other["ports"] = [{"protocol": "tcp", "port": 8080}]
    with pytest.raises(Refused, match="other content.*ports"):
        here.store.put_manifest(other)
    assert here.store.list() == [stored]


def test_a_manifest_without_its_blobs_is_not_published(here, manifest):
    with pytest.raises(Refused, match=f"shop 1.0.0 of example.com.*{'a' * 64} is missing"):
        here.store.put_manifest(manifest)
    assert here.store.list() == []


def test_a_wrong_manifest_is_not_published(here, stored):
    with pytest.raises(InvalidInput):
        here.store.put_manifest({**stored, "version": "../../x"})


def test_names_cannot_lead_out_of_the_store(here):
    for names in (("../x.com", "shop", "1"), ("example.com", "../shop", "1"), ("example.com", "shop", "../1")):
        with pytest.raises(InvalidInput):
            here.store.find(*names)
        with pytest.raises(InvalidInput):
            here.store.remove(*names)
    with pytest.raises(InvalidInput):
        here.store.blob_path("../../../etc/shadow")


def test_an_altered_blob_is_noticed_without_reading_the_others(here, stored):
    sha256 = stored["disks"][0]["blob"]["sha256"]
    overwrite(here.store.blob_path(sha256), b"tampered")
    with pytest.raises(Refused) as caught:
        here.store.ensure_intact(stored)
    assert caught.value.message == f"Capsule shop 1.0.0 of example.com cannot be used: blob {sha256} was altered."


def test_an_alteration_behind_the_file_times_is_found_by_a_full_check(here, stored):
    path = here.store.blob_path(stored["disks"][0]["blob"]["sha256"])
    before = os.stat(path)
    overwrite(path, b"tampered")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert here.store.problems(stored) == []
    assert len(here.store.problems(stored, full=True)) == 1
    # What was found once is not forgotten.
    assert len(here.store.problems(stored)) == 1


def test_a_touched_but_unaltered_blob_stays_good(here, stored):
    os.utime(here.store.blob_path(stored["disks"][0]["blob"]["sha256"]))
    here.store.ensure_intact(stored)


def test_a_missing_and_a_shortened_blob_are_named(here, stored):
    os.unlink(here.store.blob_path(stored["boot"]["kernel"]["sha256"]))
    overwrite(here.store.blob_path(stored["boot"]["initrd"]["sha256"]), b"")
    os.truncate(here.store.blob_path(stored["boot"]["initrd"]["sha256"]), 5)
    missing, shortened = here.store.problems(stored)
    assert "is missing" in missing and stored["boot"]["kernel"]["sha256"] in missing
    assert "has 5 bytes instead of 6000" in shortened


def test_qemu_can_read_disks_and_kernels_but_nobody_memory(here, stored, tmp_path):
    (tmp_path / "memory").write_bytes(b"secrets")
    suspended = copy.deepcopy(stored)
    suspended["version"] = "1.0.0-suspended"
    suspended["memory"] = {"accelerator": "tcg", "blob": here.store.add_file(str(tmp_path / "memory"))}
    suspended["disks"][0]["overlay"] = here.store.add_file(str(tmp_path / "content"))
    here.store.put_manifest(suspended)
    assert mode(here.store.blob_path(suspended["memory"]["blob"]["sha256"])) == 0o400
    for blob in (stored["boot"]["kernel"], stored["boot"]["initrd"], stored["disks"][0]["blob"]):
        assert mode(here.store.blob_path(blob["sha256"])) == 0o444
    assert mode(here.root / "store" / "blobs" / "sha256") == 0o711
    assert mode(here.root / "store" / "capsules") == 0o750


def test_removing_takes_the_blobs_that_nothing_else_names(here, stored):
    other = copy.deepcopy(stored)
    other.update(version="2.0.0", boot=None)
    here.store.put_manifest(other)
    assert here.store.remove("example.com", "shop", "1.0.0") is True
    assert here.blobs() == {stored["disks"][0]["blob"]["sha256"]}
    here.store.ensure_intact(other)
    assert here.store.remove("example.com", "shop", "1.0.0") is False
    with pytest.raises(NotFound, match="no capsule shop 1.0.0 of example.com"):
        here.store.get("example.com", "shop", "1.0.0")
    assert here.store.remove("example.com", "shop", "2.0.0") is True
    assert here.blobs() == set()
    assert list((here.root / "store" / "capsules").iterdir()) == []


def test_a_capsule_that_an_instance_uses_stays(here, stored):
    directory = here.root / "instances" / "shop-1.example.com"
    directory.mkdir()
    (directory / "instance.json").write_text(json.dumps({"manifest": stored}))
    with pytest.raises(Refused, match="used by shop-1.example.com"):
        here.store.remove("example.com", "shop", "1.0.0")
    here.store.ensure_intact(stored)


def test_a_blob_that_only_an_instance_names_stays(here, stored):
    directory = here.root / "instances" / "shop-1.example.com"
    directory.mkdir()
    (directory / "instance.json").write_text(json.dumps({"manifest": {**stored, "version": "0.9"}}))
    here.store.remove("example.com", "shop", "1.0.0")
    assert len(here.blobs()) == 3


def test_a_failed_copy_leaves_nothing(here, tmp_path):
    with pytest.raises(FileNotFoundError):
        here.store.add_file(str(tmp_path / "none"))
    assert here.blobs() == set()


def test_holes_stay_holes(here, tmp_path):
    source = tmp_path / "sparse"
    with open(source, "wb") as handle:
        handle.write(b"head")
        handle.truncate(64 << 20)
    path = here.store.blob_path(here.store.add_file(str(source))["sha256"])
    assert os.stat(path).st_size == 64 << 20
    assert os.stat(path).st_blocks * 512 < 1 << 20
