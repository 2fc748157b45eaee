# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What holds for all unit tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import witness

# How long an example takes says more about the machine than about the code. A gate must give one answer for one state of the code, so there it
# looks at the same examples every time; whoever works on it looks at others each time.
settings.register_profile("mesh", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("mesh")


@pytest.fixture(autouse=True)
def _witnesses(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the witnesses of registries with those."""
    monkeypatch.setattr(witness, "DIRECTORY", str(tmp_path_factory.mktemp("witnesses")))
