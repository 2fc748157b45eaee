# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engines that stay imported for a while."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import textwrap
import time

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import resident

#: What stands where the calls of an operation do: says who it is and what it finds, and does what it is told on standard input.
MAIN = """
import json, os, sys
def main():
    asked = json.load(sys.stdin)
    before = sorted({"calendar", "left"} & set(sys.modules))
    import calendar
    sys.modules["left"] = calendar if asked.get("leaves") else sys.modules.get("left")
    if asked.get("wait"):
        import time
        end = time.monotonic() + 20
        while not os.path.exists(asked["wait"]) and time.monotonic() < end:
            time.sleep(0.01)
    if asked.get("fails"):
        raise OSError("the disk is full")
    if asked.get("dies"):
        os._exit(3)
    print(json.dumps({"pid": os.getpid(), "parent": os.getppid(), "before": before, "directory": os.getcwd(), "is": os.environ.get("WHO")}))
"""


class Host:
    """A directory with a process that stays, and the calls that are made there."""

    def __init__(self, directory: pathlib.Path, idle: float) -> None:
        (directory / "calls.py").write_text(MAIN)
        self.socket = directory / "engines" / "socket"
        self._script = textwrap.dedent(f"""
            import sys
            from {resident.__name__} import call
            from {resident.__package__} import resident
            resident.MAIN = "calls"
            resident.start.__defaults__ = ({idle},)
            sys.exit(call({str(self.socket)!r}))
        """)
        self._path = os.pathsep.join([str(directory), *sys.path])

    def begin(self, **asked) -> subprocess.Popen:
        environment = {"PYTHONPATH": self._path, "WHO": asked.get("who", "")}
        begun = subprocess.Popen(
            [sys.executable, "-c", self._script], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        begun.stdin.write(json.dumps(asked))
        begun.stdin.close()
        begun.stdin = None
        return begun

    def call(self, **asked) -> tuple[int, str, str]:
        with self.begin(**asked) as begun:
            said, wrong = begun.communicate(timeout=30)
        return begun.returncode, said, wrong

    def answer(self, **asked) -> dict:
        status, said, wrong = self.call(**asked)
        assert (status, wrong) == (0, "")
        return json.loads(said)


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path, 2)


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_each_call_is_a_fork_of_one_process_that_has_imported_what_others_needed(host):
    first = host.answer(leaves=True, who="one")
    assert (first["before"], first["directory"], first["is"]) == ([], "/", "one")

    def learned():
        now = host.answer()
        assert now["parent"] == first["parent"] and now["pid"] not in (first["pid"], now["parent"])
        assert "left" not in now["before"] and now["is"] == "", "what a call leaves behind no other one finds"
        return now["before"] == ["calendar"]

    until(learned)
    assert host.socket.parent.stat().st_mode & 0o777 == 0o700


def test_nobody_waits_for_anybody(host, tmp_path):
    with host.begin(wait=str(tmp_path / "go")) as waiting:
        assert host.answer()["pid"] and waiting.poll() is None
        (tmp_path / "go").touch()
        assert json.loads(waiting.communicate(timeout=30)[0])["pid"]
    assert waiting.returncode == 0


def test_what_fails_says_why_to_the_caller(host):
    status, said, wrong = host.call(fails=True)
    assert (status, said) == (1, "") and wrong.endswith("OSError: the disk is full\n")
    assert host.call(dies=True)[0] == resident.LOST


def test_it_leaves_when_nobody_comes_and_the_next_call_starts_another(host):
    first = host.answer()
    until(lambda: not host.socket.exists())
    assert host.answer()["parent"] != first["parent"]


def test_one_that_was_killed_is_replaced(host):
    first = host.answer()
    os.kill(first["parent"], 9)
    until(lambda: not pathlib.Path(f"/proc/{first['parent']}").exists() or "State:\tZ" in pathlib.Path(f"/proc/{first['parent']}/status").read_text())
    assert host.socket.exists() and host.answer()["parent"] != first["parent"]


def test_those_that_come_at_once_are_all_answered(host):
    begun = [host.begin() for unused in range(8)]
    for each in begun:
        with each:
            assert json.loads(each.communicate(timeout=30)[0])["pid"]
            assert each.returncode == 0


def test_whatever_is_installed_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("site.getsitepackages", lambda: [str(tmp_path), str(tmp_path / "missing")])
    before = resident.path_of("f" * 62)
    assert resident.path_of("f" * 62) == before
    os.utime(tmp_path, ns=(1, 1))
    (tmp_path / "vici").mkdir()
    assert resident.path_of("f" * 62) != before
    # With a process id behind it, it has to fit into the address of a socket.
    assert len(f"{before}.4194304") < 108
