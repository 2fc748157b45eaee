# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""It is said who runs an operation, and nobody is taken for dead who may live."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.vmatrix.mesh.plugins.plugin_utils import controller


@pytest.mark.parametrize(
    "variables, said",
    [
        ({"awx_job_id": 12, "awx_user_name": "ada"}, "AWX job 12 of ada"),
        ({"tower_job_id": "7"}, "Tower job 7"),
        ({"awx_job_id": ""}, "ada@ctl"),
        ({}, "ada@ctl"),
    ],
)
def test_who_is_a_job_or_a_user_of_a_host(monkeypatch, variables, said):
    monkeypatch.setattr(controller.getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(controller.socket, "gethostname", lambda: "ctl")
    assert controller.who(variables) == said


def test_a_user_without_a_name_is_a_number(monkeypatch):
    def nobody():
        raise KeyError("uid not found")

    monkeypatch.setattr(controller.getpass, "getuser", nobody)
    monkeypatch.setattr(controller.os, "getuid", lambda: 1234)
    assert controller.who({}).startswith("1234@")


def test_a_process_that_has_ended_is_gone():
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        there = {**controller.this(), "process": sleeper.pid, "started": controller._started(sleeper.pid)}
        assert there["started"] and not controller.gone(there)
        sleeper.kill()
        sleeper.wait()
        assert controller.gone(there)


def test_this_one_is_not_gone():
    assert not controller.gone(controller.this())


def test_a_process_with_the_same_id_is_another_one():
    assert controller.gone({**controller.this(), "started": "1"})


@pytest.mark.parametrize("where", ["another boot/4026531836", None])
def test_of_another_machine_nobody_knows(where):
    assert not controller.gone({"where": where, "process": 2**22 + 1, "started": "1"})


def test_where_nothing_can_be_found_out_nobody_is_gone(monkeypatch):
    monkeypatch.setattr(controller, "_where", lambda: None)
    assert not controller.gone({**controller.this(), "process": 2**22 + 1})
