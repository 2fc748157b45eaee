# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab in known states."""

from __future__ import annotations

import typing as t

import pytest
from load import Load
from mesh_lab import CAPSULE, SHOP, TWIN, Mesh

AT_HOME, DRAINED = ({"rm-east-1": "running", "gw-east": f"1.0.0 rm-east-1 running {in_rotation} 198.18.1.10 0"} for in_rotation in (1, 0))


@pytest.fixture(autouse=True)
def no_load_outlives_its_test() -> t.Iterator[None]:
    """Whatever becomes of a test, its load ends with it."""
    yield
    Load.abandon_all()


@pytest.fixture(scope="session")
def mesh() -> Mesh:
    """The lab with every host set up, the shop's capsule on rm-east-1, and no instance."""
    lab = Mesh()
    capsule = {"rm": "rm-east-1", **CAPSULE}
    if TWIN:
        lab.stand_up()
    try:
        lab.remove_all()
    except AssertionError:
        # What was cut off in the middle of something may have left an instance that cannot be removed.
        lab.start_over()
    lab.hasten()
    if TWIN:
        for playbook, variables in (("site", {}), ("capsule_import", capsule)):
            done = lab.play(playbook, **variables)
            assert done.ok, done.output
    else:
        # That a second run has nothing left to do shows test_lifecycle.py.
        lab.as_foretold("site")
        lab.as_foretold("capsule_import", **capsule)
    return lab


@pytest.fixture
def clean(mesh: Mesh) -> Mesh:
    """The mesh without the shop."""
    if mesh.whereabouts(SHOP):
        gone = mesh.play("remove", instance=SHOP)
        assert gone.ok, gone.output
    return mesh


@pytest.fixture
def shop(mesh: Mesh) -> dict[str, t.Any]:
    """The page of the shop, which runs in hn-east on rm-east-1 behind 198.18.1.10; one that an earlier test left there may serve."""
    where = mesh.whereabouts(SHOP)
    page = mesh.page("198.18.1.10") if where == AT_HOME else None
    if page is None:
        if where and where != DRAINED:
            gone = mesh.play("remove", instance=SHOP)
            assert gone.ok, gone.output
        placed = mesh.play("place", instance=SHOP, capsule="1.0.0", to_hn="hn-east", to_rm="rm-east-1", public_address="198.18.1.10")
        assert placed.ok, placed.output
        page = mesh.page("198.18.1.10")
    return page
