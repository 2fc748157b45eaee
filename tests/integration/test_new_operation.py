# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What docs/architecture.md says about adding an operation is done, to the letter, in a copy of the collection."""

from __future__ import annotations

import re
import shutil

import pytest
from mesh_lab import ROOT, SHOP

EAST = "198.18.1.10"


@pytest.fixture
def extended(tmp_path):
    """A copy of the collection with the three files of the operation that the document adds."""
    tree = tmp_path / "ansible_collections" / "vmatrix" / "mesh"
    for part in ("plugins", "roles", "playbooks", "meta"):
        shutil.copytree(ROOT / part, tree / part)
    shutil.copy(ROOT / "galaxy.yml", tree)
    chapter = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("### To add an operation")[2].partition("\n### ")[0]
    files = re.findall(r"`((?:plugins|roles|playbooks)/\S+)`.*?```\w+\n(.*?)```", chapter, re.DOTALL)
    assert len(files) == 3
    for path, text in files:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text, encoding="utf-8")
    return tree


def test_an_operation_is_a_planner_a_spec_and_a_playbook(shop, mesh, extended, monkeypatch):
    monkeypatch.setattr(mesh, "collections", extended.parents[2])
    hide = str(extended / "playbooks" / "hide")
    missing = mesh.play(hide)
    assert not missing.ok and any("hide_instance" in message for message in missing.messages), missing.output
    hidden = mesh.four_times(hide, hide_instance=SHOP)
    assert any(f"{SHOP} runs on rm-east-1, out of rotation." in str(result) for unused, unused_too, result in hidden.results), hidden.output
    assert mesh.page(EAST) is None and mesh.whereabouts(SHOP)["rm-east-1"] == "running"
    monkeypatch.undo()
    back = mesh.play("resume", instance=SHOP)
    assert back.ok and mesh.page(EAST)["boot_id"] == shop["boot_id"], back.output
