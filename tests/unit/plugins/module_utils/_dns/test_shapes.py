# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is a name in the DNS, and what is none."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import shapes

LABEL = "a" * 63


@pytest.mark.parametrize("name", ["shop.example.com", f"{LABEL}.example.com", f"example.{LABEL}", f"_{LABEL[1:]}.example.com", f"{LABEL}.{LABEL}", "a"])
def test_a_label_has_up_to_63_characters(name):
    assert shapes.name(name) == shapes.name(f"{name}.") == shapes.name(name.upper()) == name


TOO_LONG = [f"a{LABEL}.b", f"b.a{LABEL}", f"_{LABEL}.b", f"b.{LABEL}-a", ".".join(["a"] * 126)]


@pytest.mark.parametrize("trick", ["", ".", "a..b", "-a.b", "a-.b", "a b", "a\n", *TOO_LONG])
def test_tricks_are_no_names(trick):
    with pytest.raises(InvalidInput, match="is not a name in the DNS"):
        shapes.name(trick)
