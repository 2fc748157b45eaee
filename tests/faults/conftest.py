# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab, and how often each thing is tried (VMATRIX_ROUNDS) from which seed on (VMATRIX_SEED)."""

from __future__ import annotations

import os

import pytest
from mesh_lab import CAPSULE, Mesh


@pytest.fixture(scope="session", name="mesh")
def _mesh() -> Mesh:
    """The lab without instances, with the shop's capsule on rm-east-1."""
    lab = Mesh()
    lab.remove_all()
    lab.hasten()
    for playbook, variables in (("site", {}), ("capsule_import", {"rm": "rm-east-1", **CAPSULE})):
        done = lab.play(playbook, **variables)
        assert done.ok, done.output
    return lab


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each round of a test a seed of its own."""
    if "seed" in metafunc.fixturenames:
        first, rounds = (int(os.environ.get(name, usual)) for name, usual in (("VMATRIX_SEED", "0"), ("VMATRIX_ROUNDS", "20")))
        metafunc.parametrize("seed", range(first, first + rounds))
