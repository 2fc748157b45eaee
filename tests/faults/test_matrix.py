# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever befalls whichever step of whichever operation: no life is lost or doubled, and an operator gets on by what docs/recover.md says.

Each run takes VMATRIX_CASES cases more (40) of those that were not tried with this code, in an order that VMATRIX_SEED decides; VMATRIX_FAULTS and
VMATRIX_OPERATIONS, names with commas between, choose among them. What came of them is added to VMATRIX_FAULTS_FILE (.build/faults.jsonl);
C(python tests/support/fault_results.py) prints it as a table.
"""

from __future__ import annotations

import os
import typing as t

import hosts_outside
import matrix
import pytest
from mesh_lab import Mesh


@pytest.fixture(scope="module", name="lab")
def _lab() -> t.Iterator[matrix.Matrix]:
    """The lab, whose hosts have disks that lose what was not flushed when the power fails."""
    mesh = Mesh()
    mesh.hasten()
    lab = matrix.Matrix(mesh)
    try:
        lab.set_up()
        yield lab
        lab.start_over()
    finally:
        hosts_outside.without_disks(list(lab.hosts.values()))


def _chosen(variable: str, known: t.Iterable[str]) -> list[str]:
    return list(filter(None, os.environ.get(variable, "").split(","))) or list(known)


def test_matrix(lab):
    seed, number = os.environ.get("VMATRIX_SEED", "0"), int(os.environ.get("VMATRIX_CASES", "40"))
    found = matrix.points(lab, _chosen("VMATRIX_OPERATIONS", matrix.OPERATIONS))
    came = matrix.through(lab, matrix.cases(found, _chosen("VMATRIX_FAULTS", matrix.FAULTS), seed), seed, number)
    wrong = {each["id"]: (each["violations"], each["typed"]) for each in came if each["violations"]}
    assert not wrong, wrong
