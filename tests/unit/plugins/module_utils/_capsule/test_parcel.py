# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A wait for a parcel ends as soon as it is known that nobody sends it."""

from __future__ import annotations

import concurrent.futures
import os
import time

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import parcel, paths
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for

NAME = "shop-1.example.com@4"


@pytest.fixture(name="incoming")
def _incoming(tmp_path):
    return str(tmp_path)


def waiting(pool, incoming, timeout=60.0):
    """Begin to wait for the parcel; it is awaited when this returns."""
    polled = []
    found = pool.submit(parcel.await_parcel, NAME, timeout, incoming, lambda: polled.append(1))
    wait_for(lambda: polled, 5.0, "somebody waits")
    return found


def test_who_waits_is_told_and_what_comes_later_is_refused(incoming):
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        found = waiting(pool, incoming)
        parcel.stop_waiting(NAME, incoming)
        assert isinstance(found.exception(), DeadlineExceeded) and "was called off" in str(found.exception())
    assert time.monotonic() - began < 10
    with pytest.raises(Refused, match="was called off"):
        parcel.commit_parcel(NAME, {}, {}, incoming)


def test_what_was_committed_is_taken_all_the_same(incoming):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        parcel.commit_parcel(NAME, {"it": "is there"}, {}, incoming)
        parcel.stop_waiting(NAME, incoming)
        assert waiting(pool, incoming).result().note == {"it": "is there"}


def test_a_second_wait_is_not_ended_by_what_ended_the_first(incoming):
    parcel.commit_parcel("shop-1.example.com@3", {}, {}, incoming)
    os.makedirs(paths.parcel(incoming, NAME))
    parcel.stop_waiting(NAME, incoming)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        found = waiting(pool, incoming)
        parcel.commit_parcel(NAME, {"it": "came"}, {}, incoming)
        assert found.result().note == {"it": "came"}


def test_where_nobody_waits_nothing_stays_of_it(incoming):
    parcel.stop_waiting(NAME, incoming)
    assert not os.listdir(incoming)
