# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Doing something to each of several at the same time."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.fan_out import WORKERS, Told, fan_out


def refuse():
    raise Refused("There is no room.")


def test_each_is_told_of_in_its_order_and_one_that_fails_does_not_stop_the_others():
    one, failed, other = fan_out([("one", lambda: 1), ("failed", refuse), ("other", lambda: None)])
    assert (one, other) == (Told("one", 1, None), Told("other", None, None))
    assert failed.name == "failed" and failed.done is None and isinstance(failed.error, Refused)


def test_all_are_worked_on_at_the_same_time():
    meeting = threading.Barrier(WORKERS, timeout=20)
    assert all(each.error is None for each in fan_out([(str(number), meeting.wait) for number in range(WORKERS)]))


def test_no_more_are_worked_on_than_there_are_workers():
    counted, most, lock = 0, 0, threading.Lock()
    gate = threading.Event()

    def act():
        nonlocal counted, most
        with lock:
            counted += 1
            most = max(most, counted)
            if counted == WORKERS:
                gate.set()
        gate.wait(20)
        with lock:
            counted -= 1

    fan_out([(str(number), act) for number in range(3 * WORKERS)])
    assert most == WORKERS


def test_a_name_that_is_there_twice_is_refused_before_anything_is_done():
    done = []
    with pytest.raises(InvalidInput, match="shop-1.example.com is there more than once"):
        fan_out([("db-1.example.com", lambda: done.append(1)), ("shop-1.example.com", refuse), ("shop-1.example.com", refuse)])
    assert not done


def test_of_none_nothing_is_told():
    assert fan_out([]) == []


def test_a_bug_is_no_answer():
    with pytest.raises(ZeroDivisionError):
        fan_out([("one", lambda: 1 / 0)])
