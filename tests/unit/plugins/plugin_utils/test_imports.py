# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A controller needs nothing but ansible-core, so a stock execution environment will do; what else is imported there also costs every play its time."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

from ansible_collections.vmatrix.mesh.plugins import plugin_utils

PLUGINS = pathlib.Path(plugin_utils.__path__[0]).parent
PREFIX = "ansible_collections.vmatrix.mesh.plugins"
#: What comes with ansible-core, or is used by it where it is there.
WITH_CORE = {"ansible", "ansible_collections", "cffi", "_cffi_backend", "cryptography", "jinja2"}
WITH_CORE |= {"markupsafe", "packaging", "pycparser", "resolvelib", "yaml", "_yaml"}
IF_THERE = {"distro", "typing_extensions"}


def test_a_controller_needs_nothing_but_ansible_core():
    names = [
        ".".join((PREFIX, *path.relative_to(PLUGINS).with_suffix("").parts))
        for directory in ("action", "filter", "lookup", "plugin_utils")
        for path in sorted((PLUGINS / directory).rglob("*.py"))
        if path.stem != "__init__"
    ]
    assert len(names) > 40
    imported = (
        "import importlib, json, sys; before = set(sys.modules); "
        f"[importlib.import_module(name) for name in {names!r}]; "
        "files = {name.partition('.')[0]: getattr(module, '__file__', None) for name, module in list(sys.modules.items()) if name not in before}; "
        "print(json.dumps([name for name, file in files.items() if 'site-packages' in (file or '')]))"
    )
    done = subprocess.run([sys.executable, "-c", imported], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) - WITH_CORE - IF_THERE == set()
