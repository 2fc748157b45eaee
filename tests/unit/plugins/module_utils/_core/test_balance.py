# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may be said of how instances share callers."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.balance import USUAL, checked, whole
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput


@pytest.mark.parametrize("usual", [None, {}, USUAL, {"policy": "spread"}, {"weight": None, "check": None}])
def test_what_is_as_usual_is_not_said(usual):
    assert checked(usual) == {}
    assert whole(checked(usual)) == USUAL


def test_what_is_not_as_usual_is_kept():
    unusual = {"policy": "sticky", "weight": 3, "check": "http", "path": "/health?deep=1"}
    assert checked(unusual) == unusual == whole(unusual)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"colour": "red"}, "no 'colour'"),
        ({"policy": "random"}, "'random' is not a policy"),
        ({"weight": 0}, "0 is not a weight"),
        ({"weight": 101}, "101 is not a weight"),
        ({"weight": True}, "True is not a weight"),
        ({"check": "ping"}, "'ping' is not a check"),
        ({"path": "health"}, "must begin with /"),
        ({"path": ""}, "must begin with /"),
        ({"path": "/ HTTP/1.0\r\nHost: x"}, "without spaces"),
        ({"path": "/caf\u00e9"}, "printable ASCII"),
    ],
)
def test_what_is_invalid_is_refused(wrong, words):
    with pytest.raises(InvalidInput, match=words):
        checked(wrong)
