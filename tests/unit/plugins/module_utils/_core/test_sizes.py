# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is made of the sizes that are answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import sizes


class Way:
    """Carries so many bytes; of its first questions it loses those that are larger than the least, as by chance."""

    def __init__(self, carries, loses=0):
        self.carries, self.loses, self.asked = carries, loses, []

    def heard(self, asked, until=None):
        self.asked.append(set(asked))
        carries = sizes.LEAST if len(self.asked) <= self.loses else self.carries
        return {size for size in asked if size <= carries}


@given(st.integers(sizes.LEAST, 1500))
def test_the_largest_is_found_to_within_four_bytes(carries):
    found = sizes.largest(Way(carries), 1500)
    assert found is not None and found <= carries < found + 4


@pytest.mark.parametrize("size", [1492, 1450, 1420])
def test_what_links_are_known_to_carry_is_found_exactly(size):
    assert sizes.largest(Way(size), 1500) == size


def test_who_answers_at_once_is_asked_once():
    way = Way(1500)
    assert sizes.largest(way, 1500) == 1500 and way.asked == [{1500, sizes.LEAST}]


@pytest.mark.parametrize("loses", [1, 2])
def test_what_is_lost_by_chance_does_not_count(loses):
    assert sizes.largest(Way(1500, loses), 1500) == 1500


def test_who_answers_nothing_is_not_judged():
    assert sizes.largest(Way(0), 1500) is None


def test_an_interface_that_is_not_there_carries_what_is_usual():
    assert sizes.carried_by("none0") == 1500 == sizes.carried_by("lo")
