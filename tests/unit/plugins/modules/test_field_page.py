# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each row of docs/field.md names tests that there are, or says that there is none."""

from __future__ import annotations

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[4]


def test_each_row_is_held_by_tests():
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)", written, re.M))
    rows = [line for line in (ROOT / "docs" / "field.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [line for line in rows if not line.startswith(("| situation", "| ---"))]
    assert len(rows) > 40
    for row in rows:
        tests = re.findall(r"`(test_\w+)`", row)
        assert set(tests) <= there, (row, set(tests) - there)
        assert tests or row.endswith("| none |"), row
