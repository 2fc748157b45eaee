# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks as other tools make them become capsules that serve, and what is none is refused in a sentence."""

from __future__ import annotations

import pytest
from disks import OVF
from mesh_lab import CAPSULE

NAME, EAST, IMAGES = "shop-8.example.com", "198.18.1.18", "/var/tmp/images"
DATA = "/srv/images/tiny-data.qcow2"


@pytest.fixture(scope="module")
def images(mesh):
    """The data disk of the shop on rm-east-1, as VMware's tools and packers write it, with a line in it that the shop's page shows."""
    ovf = OVF("shop-disk1.vmdk", "shop-disk2.vmdk")
    mesh.shell(
        "rm-east-1",
        f"""
        rm -rf {IMAGES}; mkdir {IMAGES}; cd {IMAGES}
        qemu-img convert -f qcow2 -O vmdk -o subformat=streamOptimized {DATA} shop-disk2.vmdk
        qemu-img convert -f qcow2 -O vmdk -o subformat=monolithicFlat {DATA} shop.vmdk
        qemu-img create -q -f vmdk shop-disk1.vmdk 1M
        printf %s '{ovf}' > shop.ovf
        tar -cf shop.ova --format=ustar shop.ovf shop-disk1.vmdk shop-disk2.vmdk
        python3 -c 'import lzma, sys; sys.stdout.buffer.write(lzma.compress(open("{DATA}", "rb").read()))' > shop.qcow2.xz
        """,
    )
    yield IMAGES
    mesh.shell("rm-east-1", f"rm -rf {IMAGES}")


def disk(**source):
    return {"capsule_import_disks": [{"name": "data", **source}]}


@pytest.mark.parametrize(
    ("version", "source"),
    [
        ("from-vmdk", {"src": f"{IMAGES}/shop.vmdk"}),
        ("from-ova", {"src": f"{IMAGES}/shop.ova", "member": "shop-disk2.vmdk"}),
        ("from-xz", {"src": f"{IMAGES}/shop.qcow2.xz"}),
    ],
)
@pytest.mark.usefixtures("images")
def test_a_guest_with_a_disk_of_other_tools_serves(mesh, version, source):
    wish = {"rm": "rm-east-1", **CAPSULE, "capsule_import_version": version, **disk(**source)}
    mesh.as_foretold("capsule_import", **wish)
    placed = mesh.play("place", instance=NAME, capsule=version, to_hn="hn-east", to_rm="rm-east-1", public_address=EAST)
    try:
        assert placed.ok, placed.output
        assert mesh.page(EAST)["line"], mesh.page(EAST)
    finally:
        assert mesh.play("remove", instance=NAME).ok
        identity = {key: CAPSULE[f"capsule_import_{key}"] for key in ("name", "domain")}
        assert mesh.module("rm-east-1", "capsule", **identity, version=version, state="absent").get("changed")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"src": f"{IMAGES}/shop.ova"}, "with 2 disks: shop-disk1.vmdk, shop-disk2.vmdk; say with member which one this disk is."),
        ({"src": f"{IMAGES}/shop.ovf"}, "is an XML document, not a disk image"),
        ({"src": "/bin/true"}, "is a program, not a disk image"),
        ({"src": "/etc/hostname"}, "is too small to be a disk"),
        ({"url": "https://images.example.com/shop.qcow2", "checksum": "md5:1"}, "needs a checksum of its bytes, such as sha256:"),
        ({"src": DATA, "url": "https://images.example.com/shop.qcow2"}, "mutually exclusive"),
    ],
)
@pytest.mark.usefixtures("images")
def test_what_is_no_disk_is_refused(mesh, source, sentence):
    mesh.must_refuse("capsule_import", sentence, rm="rm-east-1", **{**CAPSULE, "capsule_import_version": "bad", **disk(**source)})


def test_what_a_guest_will_miss_is_told_at_import(mesh):
    arguments = {key: CAPSULE[f"capsule_import_{key}"] for key in ("name", "domain", "guest", "ports", "machine")}
    done = mesh.module("rm-east-1", "capsule", **arguments, version="bare", disks=[{"name": "root", "src": DATA}])
    assert done["changed"] and "The disk root has no boot code in its first sector (it holds ext2, ext3 or ext4)" in done["warnings"][0], done
    assert [step["did"] for step in done["steps"]["root"]] == ["checked"]
    assert mesh.module("rm-east-1", "capsule", name=arguments["name"], domain=arguments["domain"], version="bare", state="absent")["changed"]
