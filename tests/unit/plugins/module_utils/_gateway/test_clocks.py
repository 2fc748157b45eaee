# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which domain routers have an NTP server; what guests hear of it shows test_router_network.py."""

from __future__ import annotations

import os

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import clocks

ONE, TWO = ("one.example", 1), ("two.example", 2)


@pytest.fixture(name="servers")
def _servers(tmp_path, monkeypatch):
    """No server yet; a stand-in for C(ip netns exec), which tells its arguments and goes on until it is ended."""
    (tmp_path / "ip").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/started\nexec sleep ${{SECONDS_TO_LIVE:-600}}\n')
    (tmp_path / "ip").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(clocks, "DIRECTORY", str(tmp_path / "clocks"))
    monkeypatch.setattr(clocks, "PROGRAM", str(tmp_path / "ip"))
    found = {}
    yield found
    clocks.follow(found, set())


def started(tmp_path, number):
    """Return who was started, when so many were."""
    path = tmp_path / "started"
    wait_for(lambda: path.exists() and len(path.read_text().splitlines()) >= number, 5, "they are started")
    return path.read_text().splitlines()


def test_each_router_has_one_and_no_other(servers, tmp_path):
    for _look in range(2):
        clocks.follow(servers, {ONE, TWO})
    lines = started(tmp_path, 2)
    assert set(servers) == {ONE, TWO} and len(lines) == 2
    assert all(f" {clocks.PROGRAM} -n -x -u _chrony port 123 allow local stratum 10 cmdport 0 bindcmdaddress / pidfile " in line for line in lines)
    gone = servers[ONE]
    clocks.follow(servers, {TWO})
    assert set(servers) == {TWO} and gone._process.returncode is not None  # pylint: disable=protected-access


def test_a_router_that_was_made_anew_gets_another_one(servers, tmp_path):
    clocks.follow(servers, {ONE})
    # One that is ended before it began to run would leave no trace.
    started(tmp_path, 1)
    clocks.follow(servers, {(ONE[0], 7)})
    assert set(servers) == {(ONE[0], 7)} and len(started(tmp_path, 2)) == 2


def test_one_that_ended_is_tried_again_but_not_at_once(servers, tmp_path, monkeypatch):
    monkeypatch.setenv("SECONDS_TO_LIVE", "0")
    clocks.follow(servers, {ONE})
    wait_for(lambda: servers[ONE]._process.poll() is not None, 5, "it ends")  # pylint: disable=protected-access
    clocks.follow(servers, {ONE})
    assert len(started(tmp_path, 1)) == 1
    monkeypatch.setattr(clocks, "AGAIN", 0.0)
    clocks.follow(servers, {ONE})
    assert len(started(tmp_path, 2)) == 2


def test_where_chrony_is_not_installed_there_is_none(servers, monkeypatch):
    monkeypatch.setattr(clocks, "PROGRAM", "/nonexistent/chronyd")
    clocks.follow(servers, {ONE})
    assert servers == {}
