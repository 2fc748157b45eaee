# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What came of cases of the matrix of faults: lines of JSON in a file, and the table that is made of them (C(python tests/support/fault_results.py [FILE]))."""

from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import statistics
import typing as t

#: The file, to which each run of tests/faults/test_matrix.py adds.
PATH = pathlib.Path(os.environ.get("VMATRIX_FAULTS_FILE", pathlib.Path(__file__).resolve().parents[2] / ".build" / "faults.jsonl"))

Result = t.Dict[str, t.Any]


def load(path: pathlib.Path = PATH) -> list[Result]:
    """Return what earlier runs found."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def append(result: Result, path: pathlib.Path = PATH) -> None:
    """Keep what was found."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(result, sort_keys=True) + "\n")


def table(found: t.Iterable[Result], by: t.Sequence[str] = ("operation", "fault")) -> str:
    """Return what came of cases as a table in Markdown, with a row for each of what they are counted *by*.

    Of each case that hit something the latest result counts.
    """
    latest = {each["id"]: each for each in found if each.get("hit")}
    groups: dict[tuple[str, ...], list[Result]] = collections.defaultdict(list)
    for each in latest.values():
        groups[tuple(each[key] for key in by)].append(each)
    columns = (*by, "cases", "done", "taken back", "neither", "violations", "recovery, median (longest)")
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(names)} | {_row(mine)} |" for names, mine in sorted(groups.items())]
    return "\n".join([*lines, f"| {' | '.join(['all'] * len(by))} | {_row(list(latest.values()))} |"])


def _row(mine: t.Sequence[Result]) -> str:
    outcomes = collections.Counter(each["outcome"] for each in mine)
    done, back, violated = outcomes["done"], outcomes["undone"] + outcomes["not begun"], sum(bool(each["violations"]) for each in mine)
    seconds = [each["recover"] for each in mine if each["recover"] is not None]
    took = f"{statistics.median(seconds):.1f} s ({max(seconds):.1f} s)" if seconds else ""
    return f"{len(mine)} | {done} | {back} | {len(mine) - done - back} | {violated} | {took}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=pathlib.Path, default=PATH)
    parser.add_argument("--by", nargs="+", default=["operation", "fault"], choices=["operation", "fault", "step"], help="what cases are counted by")
    chosen = parser.parse_args()
    print(table(load(chosen.file), chosen.by))
