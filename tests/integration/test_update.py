# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service goes over to another capsule, or starts anew, one instance after the other, and no caller notices."""

from __future__ import annotations

import pytest
from load import Load
from mesh_lab import CAPSULE

EAST = "198.18.1.10"
SERVICE = {"service": "shop", "domain": "example.com", "to_hn": "hn-east"}
NEWER, MUTE = "1.1.0", "1.2.0"


@pytest.fixture
def two(clean):
    """The mesh with two instances of the shop, and two newer capsules on rm-east-1, one of which never answers."""
    boot = {**CAPSULE["capsule_import_boot"], "cmdline": "console=ttyS0 quiet"}
    for version, changes in ((NEWER, {}), (MUTE, {"capsule_import_boot": boot})):
        imported = clean.play("capsule_import", rm="rm-east-1", **{**CAPSULE, **changes, "capsule_import_version": version})
        assert imported.ok, imported.output
    placed = clean.play("place", instance="shop-1.example.com", capsule="1.0.0", to_hn="hn-east", public_address=EAST)
    assert placed.ok, placed.output
    scaled = clean.play("scale", count=2, capsule="1.0.0", **SERVICE)
    assert scaled.ok, scaled.output
    yield clean
    gone = clean.play("scale", count=0, surplus="absent", at_deadline="cut", **SERVICE)
    assert gone.ok, gone.output


def running(mesh):
    """Return the capsule of each instance that the VMA says to be in rotation, by name."""
    return {record["instance"]: record["capsule"] for record in mesh.module("gw-east", "vma_info")["records"] if record["in_rotation"]}


def test_a_service_is_updated_and_restarted_under_load(two):
    load = Load(EAST)
    assert two.four_times("update", capsule=NEWER, **SERVICE).changed > 0
    assert running(two) == {"shop-3.example.com": NEWER, "shop-4.example.com": NEWER}
    before = {two.page(EAST)["boot_id"] for unused in range(4)}

    failed = two.play("update", capsule=MUTE, update_answer_timeout=5, **SERVICE)
    assert not failed.ok and any("serves on as it was" in message and "0 had been replaced" in message for message in failed.messages), failed.output
    assert running(two) == {"shop-3.example.com": NEWER, "shop-4.example.com": NEWER}
    assert {two.page(EAST)["boot_id"] for unused in range(4)} == before

    restarted = two.play("update", **SERVICE)
    assert restarted.ok, restarted.output
    assert not {two.page(EAST)["boot_id"] for unused in range(4)} & before
    suffered = load.end()
    assert suffered.failures == [] and suffered.requests > 100 and suffered.downloads > 1, suffered
