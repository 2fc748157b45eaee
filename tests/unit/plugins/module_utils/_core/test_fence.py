# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A device does nothing for an operation that another one has followed."""

from __future__ import annotations

import os

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import fence
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused

ONE, TWO = "shop-1.example.com", "shop-2.example.com"


@pytest.fixture(name="directory")
def _directory(tmp_path):
    return str(tmp_path / "leases")


def test_numbers_of_leases_only_grow(directory):
    fence.follow({}, directory=directory)
    fence.follow({ONE: 7}, check=True, directory=directory)
    assert not os.path.exists(directory), "check mode leaves nothing"
    fence.follow({ONE: 5}, directory=directory)
    fence.follow({ONE: 5}, directory=directory)
    fence.follow({ONE: 6, TWO: 3}, directory=directory)
    for check in (False, True):
        with pytest.raises(Refused) as caught:
            fence.follow({TWO: 4, ONE: 5}, check, directory)
        assert caught.value.message == f"Another operation has come to {ONE} since this one began (its lease is 6, this one's 5); nothing was done."
    fence.follow({TWO: 3}, directory=directory)
    assert fence.highest(directory) == 6 and fence.highest(f"{directory}/none") == 0


def test_no_name_leads_elsewhere(directory):
    with pytest.raises(InvalidInput):
        fence.follow({"../x": 1}, directory=directory)
