# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An RM that was rebooted starts what its VMA grants, in the order that was wished, and nothing else."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover import restart
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import simulated

SHOP, TWO, DB = "shop-1.example.com", "shop-2.example.com", "db-1.example.com"
SETTINGS = restart.Settings()


class Vma:
    """A VMA that answers as *answers* say, one after the other, and what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def __call__(self, question):
        self.asked.append(question)
        if "ended" in question:
            return {}
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"granted": {}, "later": {}, "never": {}, "run": f"run-{len(self.asked)}", "seconds": 300.0, **answer}


@pytest.fixture(name="slept")
def _slept(monkeypatch):
    slept = []
    monkeypatch.setattr(restart.time, "sleep", slept.append)
    return slept


@pytest.fixture(name="rebooted")
def _rebooted(east, monkeypatch, tmp_path):
    """An RM on which three instances ran when it lost its power."""
    for name in (SHOP, TWO, DB):
        east.order("running", name=name)
    simulated.reboot(monkeypatch, tmp_path, east)
    return east


def running(rm):
    return sorted(rm.connection.domains)


def test_what_is_granted_is_started_in_order(rebooted, slept, monkeypatch):
    started = []
    real = restart.several.ensure_all
    monkeypatch.setattr(restart.several, "ensure_all", lambda host, wanted: started.extend((each.name, each.lease) for each in wanted) or real(host, wanted))
    vma = Vma({"granted": {SHOP: 7, TWO: 8, DB: 9}})
    settings = SETTINGS._replace(first=["db.example.com"], delay=3.0)
    assert restart.restart(rebooted.host, settings, vma) == {}
    assert started == [(DB, 9), (SHOP, 7), (TWO, 8)] and running(rebooted) == [DB, SHOP, TWO] and slept == [3.0, 3.0]
    assert vma.asked == [{"restart": {SHOP: 1, TWO: 1, DB: 1}}, {"ended": "run-1"}]


def test_nothing_is_asked_where_nothing_lost_its_power(east, slept):
    east.order("running")
    east.order("suspended")
    assert restart.restart(east.host, SETTINGS, Vma()) == {}


def test_while_the_vma_does_not_answer_nothing_is_started(rebooted, slept):
    vma = Vma(CommandFailed("ssh failed."), CommandFailed("ssh failed."), {"granted": {SHOP: 7, TWO: 8}, "never": {DB: "It lives elsewhere."}})
    assert restart.restart(rebooted.host, SETTINGS, vma) == {DB: "It lives elsewhere."}
    assert running(rebooted) == [SHOP, TWO] and slept[:2] == [5.0, 10.0]


def test_who_is_to_wait_asks_again(rebooted, slept):
    vma = Vma({"granted": {SHOP: 7, DB: 9}, "later": {TWO: "It is busy."}}, {"granted": {TWO: 8}})
    assert restart.restart(rebooted.host, SETTINGS, vma) == {} and running(rebooted) == [DB, SHOP, TWO]
    assert vma.asked[2] == {"restart": {TWO: 1}}


def test_what_an_operation_starts_meanwhile_is_left_to_it(rebooted, slept, monkeypatch):
    monkeypatch.setattr(restart.time, "sleep", lambda seconds: rebooted.order("running", name=TWO))
    vma = Vma({"granted": {SHOP: 7, DB: 9}, "later": {TWO: "It is busy."}})
    assert restart.restart(rebooted.host, SETTINGS, vma) == {} and running(rebooted) == [DB, SHOP, TWO]


def test_it_does_not_ask_for_ever(rebooted, slept):
    vma = Vma(*[CommandFailed("ssh failed.")] * 9)
    assert restart.restart(rebooted.host, SETTINGS._replace(patience=0.0), vma) == dict.fromkeys((SHOP, TWO, DB), "ssh failed.")
    assert len(vma.asked) == 1 and not running(rebooted)


def test_what_was_granted_too_long_ago_is_asked_for_again(rebooted, slept, monkeypatch):
    moments = iter([0.0, 0.0, 0.0, 250.0, 300.0, 301.0, 302.0, 303.0, 304.0])
    monkeypatch.setattr(restart.time, "monotonic", lambda: next(moments, 305.0))
    vma = Vma({"granted": {DB: 9, SHOP: 7}, "never": {TWO: "It rests."}}, {"granted": {SHOP: 11}})
    restart.restart(rebooted.host, SETTINGS, vma)
    assert running(rebooted) == [DB, SHOP] and vma.asked[2] == {"restart": {SHOP: 1}}


def test_one_that_cannot_be_started_keeps_nobody_else_from_it(rebooted, slept):
    rebooted.places.epochs()
    rebooted.order("absent", name=TWO)
    vma = Vma({"granted": {SHOP: 7, DB: 9}})
    rebooted.problems.append(CommandFailed("The blob is gone."))
    told = restart.restart(rebooted.host, SETTINGS, vma)
    assert told == {SHOP: "The blob is gone.", DB: "The blob is gone."}


def test_what_was_handed_over_is_not_even_asked_about(rebooted, slept):
    for name in (SHOP, TWO):
        rebooted.order("absent", name=name, epoch=2)
    vma = Vma({"granted": {DB: 9}})
    restart.restart(rebooted.host, SETTINGS, vma)
    assert vma.asked[0] == {"restart": {DB: 1}}
