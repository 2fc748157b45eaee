# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import simulated
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import Rm


@pytest.fixture(autouse=True)
def device(monkeypatch, tmp_path_factory):
    """The edge to the device."""
    return simulated.device(monkeypatch, tmp_path_factory.mktemp("bin"))


@pytest.fixture
def east(tmp_path):
    """The RM that hands over."""
    return Rm(str(tmp_path / "east"))


@pytest.fixture
def west(tmp_path):
    """The RM that takes over."""
    return Rm(str(tmp_path / "west"))
