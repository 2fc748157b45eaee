# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that meta/runtime.yml has exactly those modules in its action group that say so in their documentation."""

from __future__ import annotations

import ast
import pathlib
import sys

import yaml

FRAGMENT = "vmatrix.mesh.attributes.actiongroup_mesh"


def fragments(path: pathlib.Path) -> list[str]:
    """Return the documentation fragments that the module in *path* is extended with."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [target.id for target in node.targets if isinstance(target, ast.Name)] == ["DOCUMENTATION"]:
            return yaml.safe_load(ast.literal_eval(node.value)).get("extends_documentation_fragment", [])
    raise ValueError(f"{path} has no DOCUMENTATION")


root = pathlib.Path(__file__).resolve().parents[2]
group = set(yaml.safe_load((root / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]["mesh"])
modules = {path.stem: fragments(path) for path in (root / "plugins" / "modules").glob("*.py")}
say_so = {name for name, extended in modules.items() if FRAGMENT in extended}

for name in sorted(group - set(modules)):
    print(f"meta/runtime.yml: there is no module {name}")
for name in sorted((group & set(modules)) - say_so):
    print(f"plugins/modules/{name}.py: is in the action group, but is not extended with {FRAGMENT}")
for name in sorted(say_so - group):
    print(f"plugins/modules/{name}.py: is extended with {FRAGMENT}, but is missing in the action group in meta/runtime.yml")
sys.exit(0 if group == say_so else 1)
