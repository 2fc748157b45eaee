# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that do not come up: the last message of their operator says why."""

from __future__ import annotations

import base64
import gzip

from disks import ESP, LINUX, SIZE, gpt
from mesh_lab import CAPSULE

NAME, EAST = "shop-7.example.com", "198.18.1.17"
KEPT = f"/var/lib/vmatrix/evidence/{NAME}-"
DISK = "/var/tmp/uefi.raw"


def imported(mesh, version, words="", **capsule):
    """Import the shop under another version, whose kernel is told further *words*."""
    boot = CAPSULE["capsule_import_boot"]
    told = {**CAPSULE, "capsule_import_version": version, "capsule_import_boot": {**boot, "cmdline": f"{boot['cmdline']} {words}"}, **capsule}
    play = mesh.play("capsule_import", rm="rm-east-1", **told)
    assert play.ok, play.output
    return play


def refused(mesh, version, **wish):
    """Place it in vain, and return what is said."""
    usual = {"instance": NAME, "to_hn": "hn-east", "to_rm": "rm-east-1", "public_address": EAST, "answer_timeout": 12}
    play = mesh.play("place", capsule=version, **{**usual, **wish})
    assert not play.ok, play.output
    return " ".join(play.messages)


def test_a_guest_whose_kernel_panics_leaves_its_console_behind(mesh):
    imported(mesh, "panics", "rdinit=/none")
    said = refused(mesh, "panics")
    for words in ("; nobody has that address)", f"Of {NAME} the console says that its kernel panicked (", "Everything was undone.", "It ends with: "):
        assert words in said, said
    assert f"(the rest is in {KEPT}" in said and "Kernel panic" in mesh.shell("rm-east-1", f"cat {KEPT}*.log")
    assert NAME not in mesh.instances()


def test_a_guest_that_looks_for_another_network_interface_names_it(mesh):
    imported(mesh, "ens9", "vmx.interface=ens9")
    said = refused(mesh, "ens9")
    for words in ("; nobody has that address)", f"Of {NAME} the console says that its system looks for the network interface ens9, which it does not have."):
        assert words in said, said
    assert NAME not in mesh.instances()


def test_a_guest_that_boots_by_uefi_only_is_said_to(mesh):
    head = base64.b64encode(gzip.compress(gpt(ESP, LINUX))).decode()
    mesh.shell("rm-east-1", f"base64 -d <<< {head} | gunzip > {DISK}; truncate -s {SIZE} {DISK}")
    try:
        warned = imported(mesh, "uefi", capsule_import_boot={}, capsule_import_disks=[{"name": "root", "src": DISK}])
    finally:
        mesh.shell("rm-east-1", f"rm {DISK}")
    assert "The disk root boots by UEFI only" in warned.output
    # There is nothing to wait for.
    said = refused(mesh, "uefi", answer_timeout=4)
    assert f"The console of {NAME} stayed empty: the disk root boots by UEFI only, which real machines here do not offer: " in said, said
    assert NAME not in mesh.instances()


def test_a_guest_that_does_not_come_up_is_kept_where_that_is_wished_for(mesh):
    imported(mesh, "panics", "rdinit=/none")
    said = refused(mesh, "panics", keep_failed=True)
    for words in (f"{NAME} was kept as it is on rm-east-1 in hn-east, out of rotation: remove ends it", "its kernel panicked ("):
        assert words in said, said
    there = mesh.whereabouts(NAME)
    assert there == {"rm-east-1": "running", "gw-east": f"panics rm-east-1 running 0 {EAST} 0"}
    assert "Kernel panic" in mesh.shell("rm-east-1", f"cat /var/lib/vmatrix/instances/{NAME}/console.log")
    again = mesh.play("resume", instance=NAME, answer_timeout=2)
    assert not again.ok and f"{NAME} is as it was." in " ".join(again.messages), again.output
    assert mesh.whereabouts(NAME) == there
    assert mesh.play("remove", instance=NAME, stop_timeout=0).ok
    assert NAME not in mesh.instances()
