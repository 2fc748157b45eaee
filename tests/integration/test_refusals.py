# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked for is well formed, but cannot be granted: one clear sentence, and nothing changes."""

from __future__ import annotations

import pytest
from mesh_lab import CAPSULE, SHOP

PLACE = {"instance": SHOP, "capsule": "1.0.0", "to_hn": "hn-east"}


def test_no_room(clean):
    big = {**CAPSULE, "capsule_import_version": "huge", "capsule_import_machine": {**CAPSULE["capsule_import_machine"], "memory_mib": 1 << 20}}
    assert clean.play("capsule_import", rm="rm-east-1", **big).ok
    try:
        clean.must_refuse("place", "hn-east has no room for shop-1.example.com", **{**PLACE, "capsule": "huge"})
    finally:
        clean.module("rm-east-1", "capsule", domain="example.com", name="shop", version="huge", state="absent")


def test_a_machine_that_no_rm_can_honour(clean):
    odd = {**CAPSULE, "capsule_import_version": "odd", "capsule_import_machine": {**CAPSULE["capsule_import_machine"], "type": "pc-i440fx-99.0"}}
    assert clean.play("capsule_import", rm="rm-east-1", **odd).ok
    try:
        clean.must_refuse("place", "pc-i440fx-99.0", **{**PLACE, "capsule": "odd"})
    finally:
        clean.module("rm-east-1", "capsule", domain="example.com", name="shop", version="odd", state="absent")


@pytest.mark.parametrize("damage", ["chmod u+w {blob}; printf x >> {blob}", "mv {blob} {blob}.away"])
def test_a_capsule_that_is_not_whole(clean, damage):
    found = clean.module("rm-east-1", "capsule_info", domain="example.com", name="shop", version="1.0.0")
    digest = found["capsules"][0]["manifest"]["disks"][0]["blob"]["sha256"]
    blob = f"/var/lib/vmatrix/store/blobs/sha256/{digest}"
    holders = [rm for rm in clean.group("rms") if clean.ssh(rm, "find", blob, check=False).strip()]
    keep = "cp -a {0} /root/kept".format(blob)
    for rm in holders:
        clean.shell(rm, f"{keep}; {damage.format(blob=blob)}")
    try:
        clean.must_refuse("place", "shop 1.0.0 of example.com", **PLACE)
    finally:
        for rm in holders:
            clean.shell(rm, f"rm -f {blob} {blob}.away; cp -a /root/kept {blob}; rm /root/kept")


def test_an_address_that_is_taken(shop, mesh):
    other = {**CAPSULE, "capsule_import_name": "blog", "capsule_import_guest": {**CAPSULE["capsule_import_guest"], "address": "192.168.1.11/24"}}
    assert mesh.play("capsule_import", rm="rm-east-1", **other).ok
    try:
        wish = {"instance": "blog-1.example.com", "capsule": "1.0.0", "to_hn": "hn-east", "public_address": "198.18.1.10"}
        mesh.must_refuse("place", "198.18.1.10", **wish)
    finally:
        mesh.module("rm-east-1", "capsule", domain="example.com", name="blog", version="1.0.0", state="absent")


def test_move_without_disk_at_the_target_is_refused_before_the_suspend(shop, mesh):
    def qemu():
        return mesh.module("rm-east-1", "instance_info", name=SHOP)["instances"][0]["pid"]

    for rm in ("rm-west-1", "rm-west-2"):
        mesh.shell(rm, "mount -t tmpfs -o size=8m none /var/lib/vmatrix/incoming && systemd-tmpfiles --create")
    try:
        before, first = mesh.page("198.18.1.10"), qemu()
        play = mesh.play("move", instance=SHOP, to_hn="hn-west")
        assert not play.ok
        assert any("has no room for shop-1.example.com" in message for message in play.messages), play.messages
        after = mesh.page("198.18.1.10")
        assert after["boot_id"] == before["boot_id"]
        assert qemu() == first, "its QEMU must be the one that it had before"
    finally:
        for rm in ("rm-west-1", "rm-west-2"):
            mesh.shell(rm, "umount /var/lib/vmatrix/incoming")
