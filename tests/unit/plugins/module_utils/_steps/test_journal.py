# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A device writes down what it does before and after, and can say so later."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import journal

RUN = "0123456789abcdef"
DONE = {"ids": ["tell"], "changed": True, "failed": False, "msg": "", "result": {"records": []}}


def test_what_was_done_is_known_and_what_was_cut_off_too(tmp_path):
    written = journal.Journal(RUN, str(tmp_path))
    written.begin(["tell"])
    written.end(DONE)
    written.begin(["rest.a", "rest.b"])
    told = journal.read(RUN, str(tmp_path))
    assert told[0] == {**DONE, "secret": False}
    assert told[1] == {"ids": ["rest.a", "rest.b"], "changed": None, "failed": True, "msg": journal.CUT_OFF, "result": {}}
    # Whoever takes it up makes it once more.
    again = journal.Journal(RUN, str(tmp_path))
    again.begin(["rest.a", "rest.b"])
    again.end({**DONE, "ids": ["rest.a", "rest.b"]})
    assert [each["failed"] for each in journal.read(RUN, str(tmp_path))] == [False, False]
    assert journal.read("ff", str(tmp_path)) == [], "it had no part in that one"


def test_what_is_secret_is_not_written_down(tmp_path):
    written = journal.Journal(RUN, str(tmp_path))
    written.end({**DONE, "result": {"tunnel": "hush"}, "msg": "hush"}, secret=True)
    assert "hush" not in (tmp_path / f"{RUN}.jsonl").read_text()
    assert journal.read(RUN, str(tmp_path))[0]["secret"] is True
    assert (tmp_path / f"{RUN}.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_line_that_was_cut_off_by_a_power_failure_is_nothing(tmp_path):
    written = journal.Journal(RUN, str(tmp_path))
    written.end(DONE)
    with open(tmp_path / f"{RUN}.jsonl", "a", encoding="utf-8") as handle:
        handle.write('{"at": 1.0, "ended": {"ids"')
    assert [each["ids"] for each in journal.read(RUN, str(tmp_path))] == [["tell"]]


def test_what_is_old_is_forgotten_when_something_new_begins(tmp_path):
    journal.Journal("aa", str(tmp_path)).end(DONE)
    os.utime(tmp_path / "aa.jsonl", (0, time.time() - journal.KEPT - 60))
    journal.Journal("bb", str(tmp_path)).end(DONE)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bb.jsonl"]


@pytest.mark.parametrize("run", ["../x", "", "A", "a.b", "a" * 65])
def test_no_run_leads_elsewhere(tmp_path, run):
    with pytest.raises(InvalidInput):
        journal.Journal(run, str(tmp_path))
