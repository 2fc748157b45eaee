# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import subprocess
import tarfile
import zipfile

import pytest
from disks import OVF, SIZE, disk, qemu_img
from zstandard import ZstdCompressor

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import intake, origins, sandbox
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.workroom import workroom
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, Refused

#: What qemu-img calls a format, and its options.
FORMATS = {
    "qcow1": ("qcow",),
    "qcow2 of version 2": ("qcow2", "compat=0.10"),
    "qcow2 of version 3": ("qcow2", "compat=1.1"),
    "VMDK monolithicSparse": ("vmdk", "subformat=monolithicSparse"),
    "VMDK streamOptimized": ("vmdk", "subformat=streamOptimized"),
    "VMDK monolithicFlat": ("vmdk", "subformat=monolithicFlat"),
    "VMDK twoGbMaxExtentSparse": ("vmdk", "subformat=twoGbMaxExtentSparse"),
    "VMDK twoGbMaxExtentFlat": ("vmdk", "subformat=twoGbMaxExtentFlat"),
    "VDI dynamic": ("vdi",),
    "VDI static": ("vdi", "static=on"),
    "VHDX dynamic": ("vhdx", "subformat=dynamic"),
    "VHDX fixed": ("vhdx", "subformat=fixed"),
    "VHD dynamic": ("vpc", "subformat=dynamic,force_size=on"),
    "VHD fixed": ("vpc", "subformat=fixed,force_size=on"),
}


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "disk.raw"
    path.write_bytes(disk())
    return path


@pytest.fixture
def imported(here, ordinary, raw):
    """Import one disk, and check that the guest would see what is in the raw one."""

    def act(**source):
        source = {key: str(value) for key, value in source.items()}
        done = intake.import_capsule(here.store, {**ordinary, "disks": [{"name": "root", **source}]})
        found = done.manifest["disks"][0]
        assert found["virtual_size"] == SIZE and here.store.problems(done.manifest, full=True) == []
        qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, here.store.blob_path(found["blob"]["sha256"]))
        assert not os.listdir(here.store.work) and not [name for name in here.blobs() if name.startswith(".")]
        again = intake.import_capsule(here.store, {**ordinary, "disks": [{"name": "root", **source}]})
        assert again.changed is False and again.manifest == done.manifest
        return done

    return act


@pytest.fixture
def refused(here, ordinary):
    """Have an import refused, and check that nothing is left of it."""

    def act(path, words, kind=Refused, **source):
        with pytest.raises(kind, match=words) as found:
            intake.import_capsule(here.store, {**ordinary, "disks": [{"name": "root", "src": str(path), **source}]})
        assert found.value.message.endswith(".") and "\n" not in found.value.message
        assert here.blobs() == set() and here.store.list() == []
        assert not os.path.exists(here.store.work) or not os.listdir(here.store.work)
        return found.value.message

    return act


def converted(raw, path, driver, options=""):
    qemu_img("convert", "-f", "raw", "-O", driver, *(("-o", options) if options else ()), raw, path)
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_becomes_a_disk_whatever_the_file_is_called(imported, raw, tmp_path, form):
    done = imported(src=converted(raw, tmp_path / "image.img", *FORMATS[form]))
    assert done.warnings == [] and [step["did"].split()[0] for step in done.steps["root"]][-1] == "checked"


def test_an_image_with_preallocated_metadata_is_no_longer_than_what_it_holds(imported, raw, tmp_path, monkeypatch):
    path = converted(raw, tmp_path / "disk.qcow2", "qcow2", "preallocation=metadata")
    monkeypatch.setattr(origins, "MOST_HOLES", 1 << 19)
    done = imported(src=path)
    assert [step["did"] for step in done.steps["root"]] == ["copied", "converted from qcow2", "checked"]
    assert done.manifest["disks"][0]["blob"]["size"] < path.stat().st_size - (1 << 19)


def test_a_raw_disk_becomes_one(imported, raw):
    assert [step["did"] for step in imported(src=raw).steps["root"]] == ["converted from raw"]


def packed(path, how, content):
    packers = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zst": ZstdCompressor().compress}
    if how == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.mkdir("images")
            archive.writestr("images/disk.img", content)
    else:
        # Packers may write several streams, one after the other.
        path.write_bytes(packers[how](content[:3_000_000]) + packers[how](content[3_000_000:]))
    return path


@pytest.mark.parametrize("how", ["gz", "xz", "bz2", "zst", "zip"])
@pytest.mark.parametrize("driver", ["raw", "qcow2", "vmdk"])
def test_what_is_packed_is_unpacked(imported, raw, tmp_path, how, driver):
    image = converted(raw, tmp_path / "image", driver)
    done = imported(src=packed(tmp_path / "anything", how, image.read_bytes()))
    assert done.steps["root"][0]["did"].startswith("unpacked") and done.steps["root"][0]["bytes"] == image.stat().st_size


@pytest.mark.parametrize("how", ["gz", "xz", "bz2", "zst", "zip"])
def test_what_is_packed_and_cut_off_is_refused(refused, raw, tmp_path, how):
    path = packed(tmp_path / "packed", how, raw.read_bytes())
    os.truncate(path, path.stat().st_size - 1000)
    refused(path, "cannot be unpacked.*get it again")
    path.write_bytes(path.read_bytes()[:10] + os.urandom(5000))
    refused(path, "cannot be unpacked.*get it again")


def test_what_is_packed_twice_is_refused(refused, raw, tmp_path):
    path = tmp_path / "packed"
    path.write_bytes(gzip.compress(lzma.compress(raw.read_bytes())))
    refused(path, "packed more than once")


def test_a_zip_holds_one_file_that_is_not_encrypted(refused, raw, tmp_path):
    path = tmp_path / "disks.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(raw, "a.raw")
        archive.writestr("b.txt", "read me")
    refused(path, r"a \.zip with 2 files \(a.raw, b.txt\)")
    with zipfile.ZipFile(path, "w"):
        pass
    refused(path, r"a \.zip with no file")
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(raw, "a.raw")
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused(path, r"an encrypted \.zip")


@pytest.mark.parametrize("how", ["gz", "xz", "bz2", "zst"])
def test_what_becomes_too_large_when_unpacked_is_refused(here, refused, tmp_path, monkeypatch, how):
    path = packed(tmp_path / "bomb", how, b"QFI\xfb" + b"bomb" * (24 << 20))
    assert path.stat().st_size < 3 << 20
    monkeypatch.setattr(type(here.store), "free_bytes", lambda self: 8 << 20)
    refused(path, "not enough disk")


def appliance(path, *disks, ovf=OVF, archive_format=tarfile.USTAR_FORMAT):
    with tarfile.open(path, "w", format=archive_format) as archive:
        members = [(path.parent / "shop.ovf", ovf(*[disk.name for disk in disks]).encode())]
        for file, content in members:
            file.write_bytes(content)
            archive.add(file, file.name)
        for disk_ in disks:
            archive.add(disk_, disk_.name)
    return path


@pytest.mark.parametrize("archive_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_disk_of_an_appliance_is_taken_out(imported, raw, tmp_path, archive_format):
    image = converted(raw, tmp_path / "shop-disk1.vmdk", *FORMATS["VMDK streamOptimized"])
    done = imported(src=appliance(tmp_path / "shop.ova", image, archive_format=archive_format))
    assert [step["did"] for step in done.steps["root"]] == ["taken out of the appliance (shop-disk1.vmdk)", "converted from vmdk", "checked"]


def test_an_appliance_may_be_packed_and_its_disks_too(imported, raw, tmp_path):
    image = packed(tmp_path / "shop-disk1.vmdk.gz", "gz", converted(raw, tmp_path / "image", "vmdk").read_bytes())
    imported(src=appliance(tmp_path / "shop.ova", image))
    plain = appliance(tmp_path / "other.ova", converted(raw, tmp_path / "disk1.vmdk", "vmdk"))
    plain.write_bytes(gzip.compress(plain.read_bytes()))
    with pytest.raises(Refused, match="other content"):
        imported(src=plain)


def test_of_several_disks_one_is_named(imported, refused, raw, tmp_path):
    other = converted(raw, tmp_path / "b.vmdk", "vmdk")
    with open(tmp_path / "other.raw", "wb") as handle:
        handle.truncate(1 << 20)
    path = appliance(tmp_path / "shop.ova", converted(tmp_path / "other.raw", tmp_path / "a.vmdk", "vmdk"), other)
    refused(path, "with 2 disks: a.vmdk, b.vmdk; say with member which one")
    refused(path, "without a disk 'c.vmdk'; it has: a.vmdk, b.vmdk", member="c.vmdk")
    refused(other, "no virtual appliance.*no member 'b.vmdk'", kind=InvalidInput, member="b.vmdk")
    imported(src=path, member="b.vmdk")


def test_a_broken_appliance_is_refused(refused, raw, tmp_path):
    image = converted(raw, tmp_path / "a.vmdk", "vmdk")
    path = appliance(tmp_path / "shop.ova", image)
    whole = path.read_bytes()
    os.truncate(path, len(whole) // 2)
    refused(path, "damaged tar archive.*get it again")
    appliance(path, image, ovf=lambda *names: "<Envelope>")
    refused(path, "description 'shop.ovf' cannot be read")
    appliance(path, image, ovf=lambda *names: '<!DOCTYPE a [<!ENTITY b "c">]><Envelope>&b;</Envelope>')
    refused(path, "declarations")
    appliance(path, image, ovf=lambda *names: OVF("../../etc/passwd"))
    refused(path, "'../../etc/passwd' is not in it")
    appliance(path, image, ovf=lambda *names: OVF())
    refused(path, "without a disk")
    with tarfile.open(path, "w") as archive:
        archive.add(raw, "disk.raw")
    refused(path, r"is a tar archive, not a disk image or a virtual appliance \(OVA\).*tar -xf")
    path.write_bytes(gzip.compress(path.read_bytes()))
    refused(path, "is a tar archive")
    (tmp_path / "link").symlink_to("/etc/passwd")
    with tarfile.open(path, "w") as archive:
        (tmp_path / "shop.ovf").write_text(OVF("link"))
        archive.add(tmp_path / "shop.ovf", "shop.ovf")
        archive.add(tmp_path / "link", "link")
    refused(path, "'link' is not in it")


def test_an_archive_that_asks_for_much_memory_is_refused(refused, tmp_path):
    path = tmp_path / "shop.ova"
    entry = tarfile.TarInfo("long")
    entry.type, entry.size = tarfile.XHDTYPE, 1 << 33
    path.write_bytes(entry.tobuf(tarfile.GNU_FORMAT))
    os.truncate(path, (1 << 33) + 1024)
    refused(path, "damaged tar archive")


HEADERS = {
    "a 7z archive": b"7z\xbc\xaf\x27\x1c",
    "a RAR archive": b"Rar!\x1a\x07\x01\x00",
    "a web page": b"<!DOCTYPE html>\n<html><head><title>404</title>",
    "a web page (HTML)": b"\n <HTML>",
    "an XML document": b"<?xml version='1.0'?><domain type='kvm'>",
    "an image of a CD or DVD": bytes(32769) + b"CD001",
    "encrypted": b"LUKS\xba\xbe",
    "a program": b"\x7fELF",
    "a QED image": b"QED\x00",
}


@pytest.mark.parametrize("what", HEADERS)
def test_what_is_no_disk_is_called_by_its_name(refused, tmp_path, what):
    path = tmp_path / "disk.qcow2"
    path.write_bytes(HEADERS[what] + os.urandom(2 << 20))
    refused(path, what.replace("(", r"\(").replace(")", r"\)"))
    path.write_bytes(gzip.compress(path.read_bytes()))
    refused(path, what.replace("(", r"\(").replace(")", r"\)"))


def test_what_nobody_knows_is_no_raw_disk(refused, tmp_path, raw):
    path = tmp_path / "disk.raw"
    path.write_bytes(os.urandom(100))
    refused(path, "too small to be a disk: it has 100 bytes")
    path.write_bytes(b"A" * (2 << 20))
    refused(path, "no disk that is known here")
    path.write_bytes(disk()[: SIZE // 2])
    refused(path, f"cut off: its partition table reaches to byte {SIZE}, and the file ends at byte {SIZE // 2}")


def test_a_blank_raw_disk_is_one(here, ordinary, tmp_path):
    with open(tmp_path / "blank.raw", "wb") as handle:
        handle.truncate(1 << 30)
    done = intake.import_capsule(here.store, {**ordinary, "disks": [{"name": "root", "src": str(tmp_path / "blank.raw")}]})
    assert done.manifest["disks"][0]["virtual_size"] == 1 << 30 and "it is blank" in done.warnings[0]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("part", [0.8, 0.01])
def test_what_is_cut_off_is_refused(refused, raw, tmp_path, form, part):
    path = converted(raw, tmp_path / "disk.img", *FORMATS[form])
    beside = [found for found in tmp_path.iterdir() if found.name.startswith("disk-")]
    cut = beside[0] if beside else path
    os.truncate(cut, int(cut.stat().st_size * part))
    said = refused(path, "cut off|truncated|damaged|cannot be read as an image|too small to be a disk|no disk that is known")
    assert str(cut) in said


def test_qemus_first_format_is_not_taken_for_encrypted(refused, tmp_path):
    qemu_img("create", "-f", "raw", tmp_path / "base", "1M")
    qemu_img("create", "-f", "qcow", "-b", tmp_path / "base", "-F", "raw", tmp_path / "disk.qcow")
    refused(tmp_path / "disk.qcow", "depends on another image")
    qemu_img("create", "-f", "qcow", "--object", "secret,id=s,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=s", tmp_path / "disk.qcow", "1M")
    refused(tmp_path / "disk.qcow", "is encrypted; decrypt it")


def test_the_sentence_about_a_damaged_image_is_whole(refused, raw, tmp_path):
    path = converted(raw, tmp_path / "disk.qcow2", "qcow2")
    with open(path, "r+b") as handle:
        # The table that counts the uses of clusters, at the start of the third cluster.
        handle.seek(2 << 16)
        handle.write(b"\0" * 512)
    said = refused(path, "damaged qcow2 image: qemu-img check says .*refcount=0 reference=1; mend it")
    assert len(said) < 400


def test_a_vmdk_takes_no_file_along_that_is_not_named_after_it(refused, raw, tmp_path):
    path = converted(raw, tmp_path / "disk.vmdk", *FORMATS["VMDK monolithicFlat"])
    text = path.read_text(encoding="latin-1")
    for name in ("/etc/passwd", "../other-flat.vmdk", "other-flat.vmdk", "disk.vmdk"):
        path.write_text(text.replace("disk-flat.vmdk", name), encoding="latin-1")
        refused(path, "only files beside it are taken that are named after it")
    path.write_text(text.replace(" FLAT ", " VMFSRDM "), encoding="latin-1")
    refused(path, "an extent of type VMFSRDM, which is no file")
    path.write_text(text.replace("parentCID=ffffffff", "parentCID=12345678"), encoding="latin-1")
    refused(path, "is a snapshot")
    path.write_text(text, encoding="latin-1")
    (tmp_path / "disk-flat.vmdk").rename(tmp_path / "elsewhere")
    refused(path, "disk-flat.vmdk cannot be read on this RM: No such file")
    (tmp_path / "disk-flat.vmdk").symlink_to(tmp_path / "elsewhere")
    refused(path, "not a regular file")
    path.write_bytes(gzip.compress(path.read_bytes()))
    refused(path, "the description of a VMDK whose data is in other files")


def test_a_change_of_an_extent_is_other_content(here, imported, ordinary, raw, tmp_path):
    path = converted(raw, tmp_path / "disk.vmdk", *FORMATS["VMDK monolithicFlat"])
    imported(src=path)
    with open(tmp_path / "disk-flat.vmdk", "r+b") as handle:
        handle.seek(4 << 20)
        handle.write(b"something else")
    with pytest.raises(Refused, match="other content"):
        intake.import_capsule(here.store, {**ordinary, "disks": [{"name": "root", "src": str(path)}]})


def test_a_vmdk_within_another_ones_header_stays_out_of_reach(here, refused, raw, tmp_path):
    """An image without a capacity has QEMU open what its descriptor names; in the sandbox there is nothing."""
    path = converted(raw, tmp_path / "disk.vmdk", *FORMATS["VMDK monolithicSparse"])
    content = bytearray(path.read_bytes())
    content[12:20] = bytes(8)
    text = content[512 : 512 + 1024].replace(b'RW 16384 SPARSE "disk.vmdk"', b'RW 16384 FLAT "/etc/passwd" 0')
    content[512 : 512 + 1024] = text[:1024]
    assert b"/etc/passwd" in content
    path.write_bytes(content)
    refused(path, "cannot be read as an image of format vmdk")


def test_a_disk_that_depends_on_another_is_refused(refused, tmp_path):
    qemu_img("create", "-f", "vmdk", tmp_path / "base.vmdk", "4M")
    qemu_img("create", "-f", "vmdk", "-b", tmp_path / "base.vmdk", "-F", "vmdk", tmp_path / "disk.vmdk")
    refused(tmp_path / "disk.vmdk", "is a snapshot: it depends on another VMDK")
    qemu_img("create", "-f", "vdi", tmp_path / "disk.vdi", "4M")
    qemu_img("create", "-f", "vpc", tmp_path / "disk.vhd", "4M")
    for name, at, number, words in (("disk.vdi", 76, b"\4\0\0\0", "a VDI that depends"), ("disk.vhd", 60, b"\0\0\0\4", "a differencing disk")):
        with open(tmp_path / name, "r+b") as handle:
            handle.seek(at)
            handle.write(number)
        refused(tmp_path / name, words)


def test_what_was_converted_elsewhere_is_recognized(here, there, ordinary, raw, tmp_path):
    path = converted(raw, tmp_path / "disk.vmdk", "vmdk")
    ordinary["disks"] = [{"name": "root", "src": str(path)}]
    manifest = intake.import_capsule(here.store, ordinary).manifest
    for sha256 in here.blobs():
        there.store.add_file(here.store.blob_path(sha256))
    there.store.put_manifest(manifest)
    for dry in (True, False):
        assert intake.import_capsule(there.store, ordinary, dry=dry).changed is False
    raw.write_bytes(disk(b"other"))
    converted(raw, path, "vmdk")
    with pytest.raises(Refused, match="other content"):
        intake.import_capsule(there.store, ordinary)


def test_a_disk_comes_from_one_place(here, tmp_path):
    for source in ({}, {"src": "/srv/a", "url": "https://a.example/b"}):
        with pytest.raises(InvalidInput, match="either from a file of this RM"):
            origins.origin({"name": "root", **source})


def test_a_source_that_changes_meanwhile_is_noticed(here, ordinary, raw, tmp_path, monkeypatch):
    path = converted(raw, tmp_path / "disk.vdi", "vdi")
    real = sandbox.run

    def meddled(*args, **more):
        os.utime(path, (1, 1))
        return real(*args, **more)

    monkeypatch.setattr(sandbox, "run", meddled)
    with pytest.raises(Refused, match="changed while it was imported"):
        intake.import_capsule(here.store, {**ordinary, "disks": [{"name": "root", "src": str(path)}]})
    assert here.blobs() == set()


def test_a_second_version_of_the_same_disk_is_not_copied_again(here, ordinary, raw, tmp_path):
    path = converted(raw, tmp_path / "disk.qcow2", "qcow2")
    ordinary["disks"] = [{"name": "root", "src": str(path)}]
    intake.import_capsule(here.store, ordinary)
    second = intake.import_capsule(here.store, {**ordinary, "version": "1.0.1"})
    assert [step["did"] for step in second.steps["root"]] == ["checked"]
    assert here.blobs() == {hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.mark.parametrize("how", ["raw", "qcow2", "vdi", "flat", "gz"])
def test_progress_counts_what_is_read_up_to_the_end(here, ordinary, raw, tmp_path, monkeypatch, how):
    path = raw
    if how == "gz":
        path = packed(tmp_path / "disk.gz", "gz", raw.read_bytes())
    elif how != "raw":
        path = converted(raw, tmp_path / "disk.img", *(FORMATS["VMDK monolithicFlat"] if how == "flat" else (how,)))
    counts = {"total": 0, "done": []}

    class Counting(intake.Progress):
        def __init__(self, name, what, total, directory):
            super().__init__(name, what, total, str(tmp_path / "progress"))
            counts["total"] = total

        def advance(self, count):
            super().advance(count)
            counts["done"].append(count)

    monkeypatch.setattr(intake, "Progress", Counting)
    intake.import_capsule(here.store, {**ordinary, "disks": [{"name": "root", "src": str(path)}]})
    assert sum(counts["done"]) == counts["total"] == sum(each.stat().st_size for each in tmp_path.glob("disk[-.][!r]*" if how != "raw" else "disk.raw"))
    assert os.listdir(tmp_path / "progress") == []


def test_what_is_left_of_a_killed_import_goes_with_the_next(tmp_path):
    root = str(tmp_path / "work")
    (tmp_path / "work" / "left" / "in").mkdir(parents=True)
    with workroom(root) as room, workroom(root) as other:
        assert os.path.dirname(room.inside) != os.path.dirname(other.inside)
        assert not (tmp_path / "work" / "left").exists() and os.path.isdir(room.inside)
    assert os.listdir(root) == []


@pytest.fixture
def small(tmp_path):
    """A store on a file system of 24 MiB."""
    store = tmp_path / "here" / "store"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", store], check=True)
    yield
    subprocess.run(["umount", store], check=True)


@pytest.mark.parametrize("form", ["qcow2 of version 3", "VDI dynamic", "raw"])
def test_a_disk_that_fills_gets_a_sentence(here, ordinary, tmp_path, monkeypatch, request, form):
    request.getfixturevalue("small")
    path = tmp_path / "disk.raw"
    path.write_bytes(disk(size=30 << 20)[: 30 << 20])
    if form != "raw":
        path = converted(path, tmp_path / "disk.img", *FORMATS[form])
    # Somebody else fills it meanwhile: it seemed to be empty.
    monkeypatch.setattr(type(here.store), "free_bytes", lambda self: 1 << 40)
    with pytest.raises(MeshError) as found:
        intake.import_capsule(here.store, {**ordinary, "disks": [{"name": "root", "src": str(path)}]})
    assert str(here.store.root) in found.value.message and here.blobs() == set() and os.listdir(here.store.work) == []
