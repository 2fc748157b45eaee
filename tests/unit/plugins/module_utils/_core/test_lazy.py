# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from mesh_lab import ROOT

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.lazy import Lazy

SELDOM = {"jsonschema", "netaddr", "zstandard", "cryptography", "vici"}


def imported(module):
    """Return what is imported with a module of the collection."""
    program = f"import sys, ansible_collections.vmatrix.mesh.plugins.modules.{module}\nprint(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".build" / "collections")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.fixture
def library(tmp_path, monkeypatch):
    (tmp_path / "some_library").mkdir()
    (tmp_path / "some_library" / "__init__.py").write_text("word = 'whole'\n")
    (tmp_path / "some_library" / "part.py").write_text("word = 'part'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Lazy("some_library", "part")
    for name in ("some_library", "some_library.part"):
        sys.modules.pop(name, None)


def test_a_library_is_imported_with_its_parts_when_it_is_used(library):
    assert library.problem is None and "some_library" not in sys.modules
    assert library.word == "whole" and library.part.word == "part"
    with pytest.raises(AttributeError):
        library.another_word


def test_one_that_is_missing_says_so_before_it_is_used():
    missing = Lazy("no_such_library")
    assert "no_such_library" in missing.problem
    with pytest.raises(MeshError, match="^The Python library no_such_library cannot be used on this host: ModuleNotFoundError: "):
        missing.word


@pytest.mark.parametrize("module", ["capsule_info", "instance_info", "instance", "domain_router"])
def test_what_every_operation_calls_imports_nothing_that_it_may_not_need(module):
    assert not SELDOM & imported(module)


def test_what_a_guest_would_wait_for_is_imported_before():
    assert SELDOM & imported("instance_cutover") == {"zstandard"}
