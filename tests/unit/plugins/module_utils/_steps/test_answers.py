# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes into calls that are about several instances."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.answers import numbered

ORDERS = [{"name": "shop-1.example.com", "vlan": None}, {"name": "shop-2.example.com"}]


def test_each_instance_goes_with_the_number_of_its_lease():
    numbers = {"shop-1.example.com": 7, "shop-2.example.com": 9}
    assert [each["lease"] for each in numbered({"instances": ORDERS, "lease": {"numbers": numbers}})] == [7, 9]
    assert numbered({"instances": ORDERS}) == [{"name": "shop-1.example.com"}, {"name": "shop-2.example.com"}], "modules belong to no operation"


def test_what_an_operation_has_not_leased_it_does_not_touch():
    with pytest.raises(Refused, match="has not leased shop-2.example.com"):
        numbered({"instances": ORDERS, "lease": {"numbers": {"shop-1.example.com": 7}}})


def test_what_only_finds_out_may_come_before_the_lease():
    assert [each.get("lease") for each in numbered({"instances": ORDERS, "lease": {"numbers": {"shop-1.example.com": 7}}}, check=True)] == [7, None]
