# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import caller


def pipe():
    return os.pipe()


def half_closed():
    """A socket as a server gives it to a command whose standard input has ended: what is printed is still read."""
    reads, writes = socket.socketpair()
    reads.shutdown(socket.SHUT_WR)
    return reads.detach(), writes.detach()


@pytest.mark.parametrize("made", [pipe, half_closed])
def test_who_has_hung_up_is_gone_after_a_while(made, monkeypatch):
    reads, writes = made()
    monkeypatch.setattr(caller, "_OUTPUT", writes)
    now, patient = caller.Caller(0.0), caller.Caller(60.0)
    assert not now.gone() and not patient.gone()
    os.close(reads)
    assert now.gone() and not patient.gone(), "what is about to happen may happen"
    monkeypatch.setattr(caller.time, "monotonic", lambda began=caller.time.monotonic(): began + 61)
    assert patient.gone()
    os.close(writes)


def test_who_reads_a_file_is_there(monkeypatch, tmp_path):
    with (tmp_path / "printed").open("w") as printed:
        monkeypatch.setattr(caller, "_OUTPUT", printed.fileno())
        assert not caller.Caller(0.0).gone()
