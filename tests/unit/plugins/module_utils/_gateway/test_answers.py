# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calling off the wait for new members; the waiting itself is tested in real namespaces."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import answers, state


def test_a_wait_is_called_off_before_it_began_or_during_it_and_only_for_its_own_document():
    with state.call_off("example.com", 7) as called_off:
        assert not called_off()
        for generation in (8, 7):
            path = f"/run/lock/vmatrix-router-example.com-{generation}.called-off"
            with open(path, "w", encoding="utf-8"):
                assert called_off() == (generation == 7)
            if generation == 8:
                os.unlink(path)
    assert not os.path.exists("/run/lock/vmatrix-router-example.com-7.called-off"), "it must not call off what comes later"


def test_a_mark_that_nobody_waited_for_does_not_stay(monkeypatch, tmp_path):
    monkeypatch.setattr(state, "_LOCKS", str(tmp_path))
    state.mark_called_off("example.com", 7)
    state.sweep_called_off("example.com")
    assert os.listdir(tmp_path), "he may be about to"
    (mark,) = tmp_path.iterdir()
    os.utime(mark, (1, 1))
    state.sweep_called_off("example.org")
    assert os.listdir(tmp_path)
    state.sweep_called_off("example.com")
    assert not os.listdir(tmp_path)


def test_nobody_waits_for_an_answer_that_nobody_will_hear(monkeypatch):
    monkeypatch.setattr(answers, "enter", lambda namespace: None)
    monkeypatch.setattr(answers.Caller, "gone", lambda caller: True)
    silent = {"instance": "shop-1.example.com", "address": "127.0.0.1", "ports": [{"protocol": "tcp", "port": 9}]}
    with pytest.raises(Refused, match="The wait for shop-1.example.com has ended, for whoever asked for it has gone"):
        answers.wait("router-example.com", [silent], 60)


def test_a_silent_member_whose_wait_was_called_off_is_given_up_at_once(monkeypatch):
    monkeypatch.setattr(answers, "enter", lambda namespace: None)
    silent = {"instance": "shop-1.example.com", "address": "127.0.0.1", "ports": [{"protocol": "tcp", "port": 9}]}
    began = time.monotonic()
    with pytest.raises(Refused, match="The wait for shop-1.example.com was called off"):
        answers.wait("router-example.com", [silent], 60, lambda: True)
    assert time.monotonic() - began < 30
