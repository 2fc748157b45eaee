# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where simulated meshes keep their registries."""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
import typing as t
from unittest import mock

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import journal, leases, registry, runs
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import MEMORY, registries_are_whole


@pytest.fixture(scope="module")
def root() -> t.Iterator[str]:
    """Where the registries are. A VMA is one process for many calls here, which need not find out each time how to say what it asks; its clock stands still."""
    directory = tempfile.mkdtemp(dir=MEMORY)
    with contextlib.ExitStack() as standing:
        standing.enter_context(mock.patch.object(registry, "_engine", functools.lru_cache(maxsize=None)(registry._engine)))
        standing.enter_context(registries_are_whole())
        standing.enter_context(mock.patch.object(journal, "_now", lambda: "2026-11-24T03:00:00Z"))
        standing.enter_context(mock.patch.object(leases, "_now", lambda: 0.0))
        standing.enter_context(mock.patch.object(runs, "_now", lambda: "2026-11-24T03:00:00.000000Z"))
        yield directory
    shutil.rmtree(directory)
