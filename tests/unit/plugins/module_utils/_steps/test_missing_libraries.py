# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a device says that lacks what its role installs: one sentence, and no traceback."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

from ansible_collections.vmatrix.mesh import plugins

#: What has ansible_collections in it.
COLLECTIONS = pathlib.Path(plugins.__path__[0]).parents[3]
#: Looks for each call, and loads what engines import when they use it, in a Python that has nothing but its standard library.
EVERY_CALL = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.lazy import Lazy
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import main
found = {}
for call in main.CALLS:
    try:
        main._act(call)
        found[call] = ""
    except MeshError as exc:
        found[call] = exc.message
for name, module in list(sys.modules.items()):
    for lazy in [each for each in vars(module).values() if type(each) is Lazy and each.problem]:
        try:
            lazy.anything
        except MeshError as exc:
            found[f"lazy {lazy.name}"] = exc.message
json.dump(found, sys.stdout)
"""


def test_each_call_says_in_one_sentence_which_library_is_missing():
    done = subprocess.run([sys.executable, "-S", "-I", "-c", EVERY_CALL, str(COLLECTIONS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    said = {call: sentence for call, sentence in found.items() if sentence}
    assert all(sentence.startswith("The Python library ") and " cannot be used on this host: " in sentence for sentence in said.values())
    assert {"instances", "look", "name", "certificate", "capsules", "lazy jsonschema", "lazy vici"} <= set(said)
