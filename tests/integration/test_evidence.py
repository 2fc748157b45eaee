# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that do not come up: the last message of their operator says why."""

from __future__ import annotations

from mesh_lab import CAPSULE

NAME, EAST = "shop-7.example.com", "198.18.1.17"


def test_a_guest_whose_kernel_panics_leaves_its_console_behind(mesh):
    boot = CAPSULE["capsule_import_boot"]
    panics = {**CAPSULE, "capsule_import_version": "panics", "capsule_import_boot": {**boot, "cmdline": f"{boot['cmdline']} rdinit=/none"}}
    imported = mesh.play("capsule_import", rm="rm-east-1", **panics)
    assert imported.ok, imported.output
    refused = mesh.play("place", instance=NAME, capsule="panics", to_hn="hn-east", to_rm="rm-east-1", public_address=EAST, answer_timeout=12)
    assert not refused.ok
    said = " ".join(refused.messages)
    for words in ("; nobody has that address)", f"Of {NAME} the console says that its kernel panicked (", "Everything was undone.", "It ends with: "):
        assert words in said, said
    kept = f"/var/lib/vmatrix/evidence/{NAME}-"
    assert f"(the rest is in {kept}" in said and "Kernel panic" in mesh.shell("rm-east-1", f"cat {kept}*.log")
    assert NAME not in mesh.instances()
