# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os

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


@pytest.fixture
def overcommitted(tmp_path, monkeypatch):
    """Twice what there is may be promised."""
    monkeypatch.setattr(footprint, "OVERCOMMIT", str(tmp_path / "overcommit"))
    (tmp_path / "overcommit").write_text("2.0 times\n")


@pytest.mark.usefixtures("overcommitted")
def test_of_what_is_overcommitted_a_part_is_kept(tmp_path, furnish):
    furnish("shop-1.example.com", disk_root_qcow2=4 << 20)
    assert footprint.owed(str(tmp_path)) == MOST - (4 << 20)
    assert footprint.promised(str(tmp_path)) == (MOST - (4 << 20)) // 2
    assert footprint.kept(10) == 5


@pytest.mark.parametrize("settings", [None, "1", "1.0 times\n", "0.1 times\n"])
def test_without_a_word_all_is_kept(tmp_path, monkeypatch, settings):
    monkeypatch.setattr(footprint, "OVERCOMMIT", str(tmp_path / "overcommit"))
    if settings is not None:
        (tmp_path / "overcommit").write_text(settings)
    assert footprint.overcommit() == 1.0 and footprint.kept(10) == 10


@pytest.mark.parametrize(
    ("free", "times", "tight"),
    # Of 1000 blocks; instances may still take 200.
    [(300, 1, False), (199, 1, True), (199, 4, False), (101, 4, False), (99, 4, True), (49, 4, True)],
)
def test_a_disk_gets_tight(tmp_path, furnish, monkeypatch, free, times, tight):
    monkeypatch.setattr(footprint, "OVERCOMMIT", str(tmp_path / "overcommit"))
    (tmp_path / "overcommit").write_text(f"{times}\n")
    furnish("shop-1.example.com")
    block = MOST // 200
    monkeypatch.setattr(footprint.os, "statvfs", lambda path: os.statvfs_result((block, block, 1000, free, free, 0, 0, 0, 0, 255)))
    told = footprint.room(str(tmp_path))
    assert told == {"size": 1000 * block, "free": free * block, "owed": MOST, "overcommit": times, "tight": tight}


def test_only_instances_that_are_here_count(tmp_path, furnish):
    furnish("shop-1.example.com")
    furnish("shop-2.example.com", coming=0)
    furnish(".new-shop-3.example.com")
    (tmp_path / "shop-4.example.com").mkdir()
    assert footprint.promised(str(tmp_path)) == MOST
    assert footprint.promised(str(tmp_path), besides="shop-1.example.com") == footprint.promised(str(tmp_path / "nothing")) == 0
