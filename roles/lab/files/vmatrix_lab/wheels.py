# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hosts need from PyPI, which only the machine can reach: fetched once, beside the guests' images."""

from __future__ import annotations

import os
import shutil
import sys
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run

from vmatrix_lab import places

_MARK = os.path.join(places.IMAGES, "wheels.json")


def fetch(document: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Fetch the wheels of *document*'s requirements unless the cache has them; returns {changed, wheels: [paths]}."""
    known = read_json(_MARK) or {"wanted": [], "files": []}
    changed = known["wanted"] != document["wheels"]
    if changed and not check:
        known = {"wanted": document["wheels"], "files": _fetched(document["wheels"])}
        write_json(_MARK, known)
    return {"changed": changed, "wheels": [os.path.join(places.IMAGES, name) for name in known["files"]]}


def _fetched(requirements: list[str]) -> list[str]:
    new = os.path.join(places.CACHE, "wheels.new")
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    os.makedirs(places.IMAGES, exist_ok=True)
    run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", new, *requirements], timeout=300)
    names = sorted(os.listdir(new))
    for name in names:
        os.rename(os.path.join(new, name), os.path.join(places.IMAGES, name))
    os.rmdir(new)
    return names
