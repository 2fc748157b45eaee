# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files appear whole or not at all; locks hold between processes; waits and programs have deadlines."""

from __future__ import annotations

import multiprocessing
import os
import stat

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import files
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for


def test_write_atomic_sets_content_and_mode(tmp_path):
    path = tmp_path / "file"
    files.write_atomic(str(path), "one", 0o600)
    files.write_atomic(str(path), b"two", 0o640)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["file"]


def test_write_atomic_leaves_nothing_of_a_failed_write(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_atomic(str(path), "old")

    def broken(source, target):
        raise OSError("no")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="no"):
        files.write_atomic(str(path), "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_json_round_trip_and_missing_file(tmp_path):
    path = str(tmp_path / "x.json")
    assert files.read_json(path) is None
    files.write_json(path, {"b": 1, "a": [None]})
    assert files.read_json(path) == {"a": [None], "b": 1}


def _hold(path, ready, release):
    with files.lock(path, "a thing"):
        ready.set()
        release.wait(30)


def test_lock_keeps_another_process_out(tmp_path):
    path = str(tmp_path / "lock")
    ready, release = multiprocessing.Event(), multiprocessing.Event()
    other = multiprocessing.Process(target=_hold, args=(path, ready, release))
    other.start()
    try:
        assert ready.wait(30)
        with pytest.raises(Refused, match="Another operation has been working on shop"):
            with files.lock(path, "shop", timeout=0.1):
                pass
    finally:
        release.set()
        other.join()
    with files.lock(path, "shop", timeout=0):
        pass


def test_wait_returns_what_came_true_and_gives_up_in_one_sentence():
    answers = iter([None, 0, "yes"])
    assert wait_for(lambda: next(answers), 5, "it answers", first=0) == "yes"
    with pytest.raises(DeadlineExceeded, match="This did not happen within 0 s: it answers."):
        wait_for(lambda: False, 0, "it answers")


def test_run_carries_the_words_of_the_program():
    assert run(["cat"], stdin="hello").stdout == "hello"
    assert run(["false"], check=False).returncode == 1
    with pytest.raises(CommandFailed, match="No such file"):
        run(["ls", "/nowhere"])
    with pytest.raises(CommandFailed, match="The program no-such-program is not installed"):
        run(["no-such-program"])
    with pytest.raises(DeadlineExceeded, match="sleep did not finish within 0.05 s"):
        run(["sleep", "30"], timeout=0.05)
