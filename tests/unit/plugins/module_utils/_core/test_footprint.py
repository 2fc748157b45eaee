# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import footprint

MANIFEST = {"disks": [{"name": "root", "virtual_size": 8 << 20}, {"name": "data", "virtual_size": 4 << 20}], "machine": {"memory_mib": 2}}
MOST = 14 << 20


@pytest.fixture(name="furnish")
def _furnish(tmp_path):
    def furnish(name, **files):
        """Make an instance's directory with these *files*, by the bytes that they occupy."""
        (tmp_path / name).mkdir()
        (tmp_path / name / "instance.json").write_text(json.dumps({"manifest": MANIFEST}))
        for file, size in files.items():
            (tmp_path / name / file.replace("_", "-", 1).replace("_", ".")).write_bytes(b"x" * size)

    return furnish


def test_what_has_grown_is_not_promised_any_more(tmp_path, furnish):
    furnish("shop-1.example.com", disk_root_qcow2=3 << 20)
    assert footprint.promised(str(tmp_path)) == MOST - (3 << 20)
    (tmp_path / "shop-1.example.com" / "memory.save").write_bytes(b"x" * (1 << 20))
    assert footprint.promised(str(tmp_path)) == MOST - (4 << 20)


def test_nobody_is_owed_less_than_nothing(tmp_path, furnish):
    furnish("shop-1.example.com", disk_root_qcow2=9 << 20, disk_data_qcow2=6 << 20)
    furnish("shop-2.example.com")
    assert footprint.promised(str(tmp_path)) == MOST


def test_a_memory_image_that_is_a_link_occupies_nothing_here(tmp_path, furnish):
    furnish("shop-1.example.com")
    blob = tmp_path / "blob"
    blob.write_bytes(b"x" * (2 << 20))
    (tmp_path / "shop-1.example.com" / "memory.save").symlink_to(blob)
    # But for the path in it, which may take a block.
    assert MOST - 4096 <= footprint.promised(str(tmp_path)) <= MOST


def test_only_instances_that_are_here_count(tmp_path, furnish):
    furnish("shop-1.example.com")
    furnish("shop-2.example.com", coming=0)
    furnish(".new-shop-3.example.com")
    (tmp_path / "shop-4.example.com").mkdir()
    assert footprint.promised(str(tmp_path)) == MOST
    assert footprint.promised(str(tmp_path), besides="shop-1.example.com") == footprint.promised(str(tmp_path / "nothing")) == 0
