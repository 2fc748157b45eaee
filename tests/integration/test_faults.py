# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Some of the cases of tests/faults/test_matrix.py: a fault at a step of an operation, and an operator gets on from there."""

from __future__ import annotations

import pytest
from matrix import Case, Matrix, Point

#: The instance is moved, suspended and resumed from case to case. Each fault strikes as soon as the step has begun, or ended.
CASES = [
    Case("place", Point("cut_over.rm", "rm", 0), "module-killed"),
    Case("move-live", Point("cut_over.target.shop-1", "rm", 0), "controller-killed"),
    Case("suspend", Point("rest", "rm", 0), "controller-killed-after"),
    Case("resume", Point("cut_over.rm", "rm", 0), "libvirtd-killed"),
]


@pytest.fixture(scope="module", name="matrix")
def _matrix(mesh):
    """The lab, whose hosts have no disks of their own here; in the end nothing is left on it."""
    mesh.remove_all()
    lab = Matrix(mesh, disks=False)
    yield lab
    lab.reach("absent")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_fault(matrix, case):
    result = matrix.run(case, "0")
    assert result["hit"] and not result["violations"], result
