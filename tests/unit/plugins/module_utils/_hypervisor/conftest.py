# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import simulated


@pytest.fixture(autouse=True)
def device(monkeypatch, tmp_path_factory):
    """The edge to the device."""
    return simulated.device(monkeypatch, tmp_path_factory.mktemp("bin"))


@pytest.fixture
def rm(tmp_path):
    """One simulated RM with the capsule shop 1.0.0."""
    return simulated.Rm(str(tmp_path / "rm"))
