# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""As many steps of walks as C(VMATRIX_STEPS) says, from the seeds in C(VMATRIX_SEEDS) (C(200-999)): what one run has walked the next one need not.

Each seed is a line of C(.build/walks.jsonl): C(code), the digest of what was tried, C(seed), C(steps), C(seconds), and C(result), empty if all was well.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import time

import pytest
from mesh_lab import ROOT

from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.state_machine import Operators, walked

WALKED = pathlib.Path(ROOT, ".build", "walks.jsonl")
#: What the walks depend on.
CODE = ("plugins/module_utils", "plugins/plugin_utils", "tests/unit/plugins/plugin_utils/_cpa")
#: Walks from each seed.
WALKS = 100


def code() -> str:
    """Return the digest of all that the walks depend on."""
    found = hashlib.sha256()
    for path in sorted(path for directory in CODE for path in pathlib.Path(ROOT, directory).rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def walked_before(tried):
    """Return the lines of what was walked with the same code."""
    lines = map(json.loads, WALKED.read_text(encoding="utf-8").splitlines()) if WALKED.exists() else ()
    return [line for line in lines if line["code"] == tried]


def walk(tried, seed):
    """Walk from a seed, and write down what came out."""
    began, before, result = time.monotonic(), Operators.steps, ""
    try:
        walked(WALKS, seed)
    except Exception as exc:
        result = f"{type(exc).__name__}: {exc}"
    line = {"code": tried, "seed": seed, "steps": Operators.steps - before, "seconds": round(time.monotonic() - began, 1), "result": result}
    with WALKED.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(line) + "\n")
    return line


@pytest.mark.skipif("VMATRIX_STEPS" not in os.environ, reason="VMATRIX_STEPS does not say how many")
def test_whatever_is_done_in_many_walks():
    wanted, tried = int(os.environ["VMATRIX_STEPS"]), code()
    first, last = map(int, os.environ.get("VMATRIX_SEEDS", "200-999").split("-"))
    lines = walked_before(tried)
    for seed in range(first, last + 1):
        if sum(line["steps"] for line in lines) >= wanted:
            break
        if seed not in [line["seed"] for line in lines]:
            lines.append(walk(tried, seed))
    steps, seconds = (sum(line[key] for line in lines) for key in ("steps", "seconds"))
    print(f"{steps} steps from {len(lines)} seeds, {steps / max(seconds, 1):.0f} in a second")
    found = {line["seed"]: line["result"].partition("\n")[0] for line in lines if line["result"]}
    assert not found, "\n".join(f"{seed}: {result}" for seed, result in found.items())
    assert steps >= wanted
