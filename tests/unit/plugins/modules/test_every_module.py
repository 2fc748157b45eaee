# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No module and no playbook is forgotten: somewhere each runs with check, apply, check, apply, and what it says is held against what it does."""

from __future__ import annotations

import importlib.util
import re

from mesh_lab import ROOT

#: What is not for operators: parts of other playbooks, and the lab with its demonstration.
NOT_FOR_OPERATORS = {"demo", "lab", "lab_backends", "lab_build", "lab_links", "lab_teardown", "look", "look_at_rms", "operation"}


def shown(path):
    """Return the modules whose truth a file of tests says to show."""
    spec = importlib.util.spec_from_file_location(f"read_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return set(module.SHOWN)


def test_the_truth_of_every_module_that_changes_something_is_shown():
    sources = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "plugins" / "modules").glob("*.py")}
    changing = {name for name, source in sources.items() if "vmatrix.mesh.attributes.info" not in source}
    in_the_lab, here = shown(ROOT / "tests" / "integration" / "test_module_truth.py"), shown(ROOT / "tests" / "unit" / "plugins" / "modules" / "test_dns.py")
    assert in_the_lab | here == changing
    assert in_the_lab & here == set(), "once is enough"


def test_only_modules_that_look_say_that_they_change_nothing():
    for path in (ROOT / "plugins" / "modules").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        # What is an action plugin runs nothing itself.
        if "run_module(" in source or "run_info_module(" in source:
            assert ("vmatrix.mesh.attributes.info" in source) == ("run_info_module(" in source), path.name


def test_every_playbook_for_operators_is_run_four_times_and_is_in_the_readme():
    playbooks = {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - NOT_FOR_OPERATORS
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "integration").glob("*.py"))
    whole, first, second = (set(re.findall(rf'{how}\(\s*"(\w+)"', tests)) for how in ("four_times", "as_foretold", "nothing_left"))
    # Two only look: their first run is no other than their second. What recover does depends on how far devices are with what was cut off.
    assert whole | (first & second) | ({"status", "history", "recover"} & second) == playbooks
    assert set(re.findall(r"(?m)^\| `vmatrix\.mesh\.(\w+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"))) == playbooks
