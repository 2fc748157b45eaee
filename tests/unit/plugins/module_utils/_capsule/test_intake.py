# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import image, intake
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run


def qemu_img(*words):
    subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True)


@pytest.fixture
def files(tmp_path):
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / "vmlinuz").write_bytes(os.urandom(100_000))
    (directory / "initrd.img").write_bytes(os.urandom(50_000))
    with open(directory / "disk.raw", "wb") as handle:
        handle.write(os.urandom(510) + b"\x55\xaa" + os.urandom(200_000))
        handle.truncate(32 << 20)
    qemu_img("convert", "-f", "raw", "-O", "qcow2", directory / "disk.raw", directory / "disk.qcow2")
    return directory


@pytest.fixture
def wanted(ordinary, files):
    return {
        **ordinary,
        "boot": {"kernel": str(files / "vmlinuz"), "initrd": str(files / "initrd.img"), "cmdline": "console=ttyS0"},
        "disks": [{"name": "root", "src": str(files / "disk.qcow2")}, {"name": "data", "src": str(files / "disk.raw")}],
    }


def test_an_import_is_predicted_done_and_then_nothing_to_do(here, wanted, files):
    predicted = intake.import_capsule(here.store, wanted, dry=True)
    assert here.blobs() == set() and here.store.list() == []
    done = intake.import_capsule(here.store, wanted)
    assert (predicted.changed, predicted.before, predicted.after) == (done.changed, done.before, done.after) == (True, None, done.after)
    assert here.store.list() == [done.manifest]
    assert here.store.problems(done.manifest, full=True) == []
    root, data = done.manifest["disks"]
    assert root["virtual_size"] == data["virtual_size"] == 32 << 20
    with open(here.store.blob_path(root["blob"]["sha256"]), "rb") as blob:
        assert blob.read() == (files / "disk.qcow2").read_bytes()
    # Sparse, and what the guest reads is the same.
    assert data["blob"]["size"] < 1 << 20
    qemu_img("compare", "-f", "raw", "-F", "qcow2", files / "disk.raw", here.store.blob_path(data["blob"]["sha256"]))
    again = intake.import_capsule(here.store, wanted)
    assert (again.changed, again.before, again.after, again.manifest) == (False, done.after, done.after, done.manifest)


def test_the_same_content_from_elsewhere_is_the_same_capsule(here, wanted, tmp_path):
    intake.import_capsule(here.store, wanted)
    shutil.copy(wanted["boot"]["kernel"], tmp_path / "kernel")
    wanted["boot"]["kernel"] = str(tmp_path / "kernel")
    assert intake.import_capsule(here.store, wanted).changed is False


@pytest.mark.parametrize("which", ["vmlinuz", "disk.raw", "disk.qcow2"])
def test_other_content_needs_another_version(here, wanted, files, which):
    done = intake.import_capsule(here.store, wanted)
    before = here.blobs()
    with open(files / which, "ab" if which == "vmlinuz" else "r+b") as handle:
        handle.seek(0 if which == "disk.raw" else -100, 0 if which == "disk.raw" else 2)
        handle.write(b"something else")
    for dry in (True, False):
        with pytest.raises(Refused, match="other content.*sources differ"):
            intake.import_capsule(here.store, wanted, dry=dry)
    assert here.blobs() == before and here.store.list() == [done.manifest]
    assert intake.import_capsule(here.store, {**wanted, "version": "1.0.1"}).changed is True


def test_other_settings_need_another_version(here, wanted):
    intake.import_capsule(here.store, wanted)
    wanted["ports"] = [{"protocol": "tcp", "port": 8080}]
    with pytest.raises(Refused, match="other content.*ports differ"):
        intake.import_capsule(here.store, wanted)


def test_a_capsule_that_came_from_elsewhere_is_recognized(here, there, wanted, files):
    manifest = intake.import_capsule(here.store, wanted).manifest
    for sha256 in here.blobs():
        there.store.add_file(here.store.blob_path(sha256))
    there.store.put_manifest(manifest)
    assert intake.import_capsule(there.store, wanted).changed is False
    with open(files / "disk.raw", "r+b") as handle:
        handle.write(b"something else")
    with pytest.raises(Refused, match="other content"):
        intake.import_capsule(there.store, wanted)


def test_a_damaged_capsule_is_mended(here, wanted):
    manifest = intake.import_capsule(here.store, wanted).manifest
    os.unlink(here.store.blob_path(manifest["boot"]["initrd"]["sha256"]))
    assert intake.import_capsule(here.store, wanted, dry=True).changed is True
    assert intake.import_capsule(here.store, wanted).changed is True
    assert here.store.problems(manifest, full=True) == []


def test_images_that_depend_on_others_are_refused_without_opening_those(here, wanted, files):
    def refused(words):
        with pytest.raises(Refused, match=words):
            intake.import_capsule(here.store, wanted)
        assert here.blobs() == set()

    wanted["disks"] = [{"name": "root", "src": str(files / "bad.qcow2")}]
    qemu_img("create", "-f", "qcow2", "-b", files / "disk.raw", "-F", "raw", files / "bad.qcow2")
    refused("backing file")
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={files / 'data'}", files / "bad.qcow2", "1M")
    os.unlink(files / "data")
    os.mkfifo(files / "data")
    refused("data in another file")
    qemu_img("create", "-f", "qcow2", "--object", "secret,id=s,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=s", files / "bad.qcow2", "1M")
    refused("encrypted")
    (files / "bad.qcow2").write_bytes(b"QFI\xfb")
    refused("cut off")


def test_a_damaged_image_is_refused_and_leaves_nothing(here, wanted, files):
    with open(files / "disk.qcow2", "r+b") as handle:
        # The table that counts the uses of clusters, at the start of the second cluster.
        handle.seek(65536)
        handle.write(b"\xff" * 64)
    with pytest.raises(Refused, match="damaged"):
        intake.import_capsule(here.store, wanted)
    assert here.blobs() == set() and here.store.list() == []


@pytest.mark.parametrize("path", ["vmlinuz", "json:{}", "/nonexistent/vmlinuz", "/dev/null", "/"])
def test_a_path_that_is_no_file_is_refused(here, wanted, path):
    for change in ({"boot": {**wanted["boot"], "kernel": path}}, {"disks": [{"name": "root", "src": path}]}):
        with pytest.raises(InvalidInput):
            intake.import_capsule(here.store, {**wanted, **change})
    assert here.blobs() == set()


def test_settings_are_checked_before_files(here, wanted):
    wanted["ports"] = [{"protocol": "tcp", "port": 70000}]
    wanted["boot"]["kernel"] = "/nonexistent"
    with pytest.raises(InvalidInput, match="70000 is not a port"):
        intake.import_capsule(here.store, wanted)


def test_settings_are_refused_in_words(here, wanted):
    for change, sentence in (
        ({"ports": []}, "The service shop declares no port, so nobody could reach it."),
        ({"ports": [{"protocol": "tcp", "port": port} for port in range(1, 66)]}, "The service shop declares 65 ports; it can declare at most 64."),
        ({"guest": {**wanted["guest"], "mac": "00-0C-29"}}, "'00-0C-29' is not a MAC address: it must look like '52:54:00:12:34:56'."),
        ({"machine": {**wanted["machine"], "type": "q35"}}, "is not a machine type with its version, such as pc-i440fx-7.2 or pc-q35-7.2."),
    ):
        with pytest.raises(InvalidInput) as found:
            intake.import_capsule(here.store, {**wanted, **change})
        assert found.value.message.endswith(sentence)


def test_a_mac_address_may_be_written_as_elsewhere(here, wanted):
    wanted["guest"]["mac"] = "00-0C-29-AA-BB-CC"
    assert intake.import_capsule(here.store, wanted).manifest["guest"]["mac"] == "00:0c:29:aa:bb:cc"
    wanted["guest"]["mac"] = "000c.29aa.bbcc"
    assert intake.import_capsule(here.store, wanted).changed is False


def test_there_must_be_room(here, wanted, monkeypatch):
    monkeypatch.setattr("ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.blobs.MARGIN", 1 << 60)
    with pytest.raises(Refused, match="not enough disk on this RM"):
        intake.import_capsule(here.store, wanted)
    assert here.blobs() == set()


def test_an_ordinary_disk_image_boots_by_itself(here, wanted):
    manifest = intake.import_capsule(here.store, {**wanted, "boot": None}).manifest
    assert manifest["boot"] is None and len(manifest["disks"]) == 2


def test_an_overlay_is_merged_whatever_its_header_says(tmp_path):
    base, frozen, above = (str(tmp_path / name) for name in ("base", "frozen", "above"))
    run(["qemu-img", "create", "-q", "-f", "qcow2", base, "1M"])
    run(["qemu-io", "-f", "qcow2", "-c", "write -P 1 0 256k", base])
    for path in (frozen, above):
        run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", path, "1M"])
    for layers, command in (((base, frozen), "write -P 2 64k 64k"), ((base, frozen, above), "write -P 3 128k 64k")):
        run(["qemu-io", "-c", command, chain(*layers)])
    image.merge(above, frozen, base)
    for value, begin in ((1, 0), (2, 64), (3, 128), (1, 192), (0, 512)):
        run(["qemu-io", "-c", f"read -P {value} {begin}k 64k", chain(base, frozen)])


def chain(*paths):
    """Return how QEMU's programs are told a whole chain of images, from the base up."""
    found = None
    for path in paths:
        found = {"driver": "qcow2", "file": {"driver": "file", "filename": path}, "backing": found}
    return f"json:{json.dumps(found)}"
