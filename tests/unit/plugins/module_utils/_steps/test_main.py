# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out calls: their order, what they learn from each other, and where they end."""

from __future__ import annotations

import io
import json
import sys
import types

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import main


class Room:
    """A module with one call, which records what it was asked."""

    def __init__(self, name, outcome=None, libraries=()):
        self.asked = []
        self.module = types.ModuleType(name)
        self.module.act = self._act
        self.module.LIBRARIES = libraries
        self._outcome = outcome or Outcome(False, None, None, {})

    def _act(self, arguments, check):
        self.asked.append((arguments, check))
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


@pytest.fixture
def rooms(monkeypatch):
    """Return what makes a room whose call has its name."""

    def make(name, *args, **kwargs):
        room = Room(name, *args, **kwargs)
        monkeypatch.setitem(main.CALLS, name, (name, "act"))
        monkeypatch.setitem(sys.modules, f"{main.__package__}.{name}", room.module)
        return room

    return make


def call(name, arguments=None, check=False, ids=None, **more):
    return {"ids": ids or [name], "call": name, "arguments": arguments or {}, "check": check, **more}


def test_every_call_is_where_the_table_says():
    for name in main.CALLS:
        room, function = main.CALLS[name]
        module = __import__(f"{main.__package__}.{room}", fromlist=[function])
        assert callable(getattr(module, function)), name


def test_calls_are_made_in_their_order_and_say_what_changed(rooms):
    first, second = rooms("first", Outcome(True, {"was": 1}, {"is": 2}, {"found": 3})), rooms("second")
    told = main.carry_out([call("first", {"a": 1}, check=True), call("second", ids=["one", "two"])])
    assert first.asked == [({"a": 1}, True)] and second.asked == [({}, False)]
    assert [each.pop("seconds") >= 0 for each in told] == [True, True]
    assert told == [
        {"ids": ["first"], "changed": True, "failed": False, "msg": "", "result": {"found": 3}, "before": {"was": 1}, "after": {"is": 2}},
        {"ids": ["one", "two"], "changed": False, "failed": False, "msg": "", "result": {}},
    ]


def test_nothing_is_done_after_the_first_that_fails(rooms):
    rooms("first"), rooms("second", Refused("There is no room.", {"left": 0}))
    third = rooms("third")
    done, failed = main.carry_out([call("first"), call("second"), call("third")])
    assert not done["failed"] and not third.asked
    assert (failed["ids"], failed["failed"], failed["changed"]) == (["second"], True, False)
    assert (failed["msg"], failed["result"]) == ("There is no room.", {"left": 0}) and "Refused" in failed["exception"]


def test_a_call_learns_what_an_earlier_one_answered(rooms):
    rooms("first", Outcome(False, None, None, {"records": [{"rm": "rm-east-1"}, {"rm": "rm-east-2"}]}))
    second = rooms("second")
    arguments = {"to": {"_answer": ["tell", "records", 1, "rm"]}, "all": [{"_answer": ["again", "records"]}], "plain": 1}
    main.carry_out([call("first", ids=["tell", "again"]), call("second", arguments)])
    ((asked, unused),) = second.asked
    assert asked == {"to": "rm-east-2", "all": [[{"rm": "rm-east-1"}, {"rm": "rm-east-2"}]], "plain": 1}


def test_what_is_quiet_is_for_later_calls_only(rooms):
    rooms("first", Outcome(True, {"was": 1}, {"is": 2}, {"certificate": "PEM"}))
    second = rooms("second")
    told, unused = main.carry_out([call("first", quiet=True), call("second", {"given": {"_answer": ["first", "certificate"]}})])
    assert second.asked == [({"given": "PEM"}, False)]
    assert told["changed"] and told["result"] == {} and "PEM" not in json.dumps(told)


@pytest.mark.parametrize(
    "changed, check, reserves, goes_on", [(True, True, True, False), (False, True, True, True), (True, False, True, True), (True, True, False, True)]
)
def test_check_mode_ends_with_what_would_be_reserved(rooms, changed, check, reserves, goes_on):
    rooms("reserve", Outcome(changed, {}, {}, {}))
    after = rooms("after")
    told = main.carry_out([call("reserve", check=check, reserves=reserves), call("after", check=check)])
    assert bool(after.asked) is goes_on and len(told) == 1 + goes_on


def test_a_library_that_is_missing_is_named(rooms):
    room = rooms("first", libraries=[("there", None), ("missing", "Traceback\nModuleNotFoundError: No module named 'missing'\n")])
    (told,) = main.carry_out([call("first")])
    assert told["failed"] and not room.asked
    assert told["msg"] == "The Python library missing cannot be used on this host: ModuleNotFoundError: No module named 'missing'."


def test_it_is_json_in_and_json_out(rooms, monkeypatch, capsys):
    rooms("first", Outcome(False, None, None, {"found": [1, None]}))
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"calls": [call("first")]})))
    main.main()
    (told,) = json.loads(capsys.readouterr().out)["answers"]
    assert told["result"] == {"found": [1, None]}
