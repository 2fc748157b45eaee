# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab in known states."""

from __future__ import annotations

import typing as t

import pytest
from mesh_lab import CAPSULE, SHOP, Mesh


@pytest.fixture(scope="session")
def mesh() -> Mesh:
    """The lab with every host set up, the shop's capsule on rm-east-1, and no instance."""
    lab = Mesh()
    site = lab.play("site")
    assert site.ok, site.output
    imported = lab.play("capsule_import", rm="rm-east-1", **CAPSULE)
    assert imported.ok, imported.output
    return lab


@pytest.fixture
def clean(mesh: Mesh) -> Mesh:
    """The mesh without the shop."""
    gone = mesh.play("remove", instance=SHOP)
    assert gone.ok, gone.output
    return mesh


@pytest.fixture
def shop(clean: Mesh) -> dict[str, t.Any]:
    """The shop, placed in hn-east on rm-east-1 behind 198.18.1.10."""
    placed = clean.play("place", instance=SHOP, capsule="1.0.0", to_hn="hn-east", to_rm="rm-east-1", public_address="198.18.1.10")
    assert placed.ok, placed.output
    return clean.page("198.18.1.10")
