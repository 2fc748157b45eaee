# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What simulated meshes have in common."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.devices import simulated


@pytest.fixture(scope="module", autouse=True)
def registries() -> t.Iterator[None]:
    """Keep their registries in memory; the clock of their VMAs stands still."""
    with simulated():
        yield
