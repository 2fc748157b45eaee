# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import sandbox
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.workroom import workroom
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded

PYTHON = "/usr/bin/python3"


@pytest.fixture
def act(tmp_path):
    """Run a piece of Python in a sandbox."""

    def run(program, timeout=30.0, largest=1 << 20):
        with workroom(str(tmp_path / "work")) as room:
            path = os.path.join(room.inside, "given")
            with open(path, "w", encoding="ascii") as handle:
                handle.write("what was given")
            with open(os.path.join(room.aside, "other"), "w", encoding="ascii") as handle:
                handle.write("not for it")
            done = sandbox.run(room, [PYTHON, "-ISc", program], timeout, largest)
            return done, {name: os.path.getsize(os.path.join(room.outside, name)) for name in os.listdir(room.outside)}

    return run


def test_it_reads_what_it_was_given_and_writes_what_it_makes(act):
    done, made = act("open('/out/made', 'w').write(open('/in/given').read()); print('well')")
    assert (done.status, done.words, made) == (0, "well", {"made": 14})


def test_nothing_else_is_in_reach(act, tmp_path):
    done, unused = act("import os; print(sorted(os.listdir('/')), os.listdir('/dev'), os.listdir('/usr/bin'))")
    assert done.words == "['dev', 'in', 'lib', 'lib64', 'out', 'usr'] ['null'] ['python3']"
    for path in ("/etc/passwd", "/proc/1/root", "/sys", "/run", "/tmp", str(tmp_path)):
        assert act(f"open({path!r})")[0].words.endswith(f"No such file or directory: {path!r}")
    for path in ("/in/given", "/usr/lib/new", "/new", "/usr/bin/new", "/dev/new"):
        assert "Error" in act(f"open({path!r}, 'w')")[0].words, path


def test_it_has_no_rights_and_no_network_and_sees_no_process(act):
    program = """
import os, socket
print(os.getresuid(), os.getresgid(), os.getgroups(), os.getpid() < 100, os.getcwd())
try:
    os.chroot('/in')
except PermissionError:
    print('no root')
try:
    os.setuid(0)
except PermissionError:
    print('no user')
print([name for _number, name in socket.if_nameindex()])
try:
    socket.create_connection(('127.0.0.1', 22), 1)
except OSError as exc:
    print(exc.strerror)
"""
    nobody = f"({', '.join([str(sandbox.UNPRIVILEGED)] * 3)})"
    assert act(program)[0].words.splitlines() == [f"{nobody} {nobody} [] True /", "no root", "no user", "['lo']", "Network is unreachable"]


def test_its_limits_hold(act):
    done, made = act("open('/out/made', 'wb').write(bytes(2 << 20))")
    assert "File too large" in done.words and done.status == 1 and made == {"made": 1 << 20}
    assert "MemoryError" in act("bytes(1 << 32)")[0].words
    begin = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="python3 did not finish within 1 s"):
        act("import time; time.sleep(100)", timeout=1)
    with pytest.raises(DeadlineExceeded):
        act("import os, time; os.close(1); os.close(2); os.fork(); time.sleep(100)", timeout=1)
    assert time.monotonic() - begin < 20
    done = act("while True: print('words' * 100)")[0]
    assert len(done.words) <= sandbox.LONGEST and done.status != 0


def test_its_end_by_a_signal_is_told(act):
    assert act("import os; os.abort()")[0].status == 134
    with pytest.raises(CommandFailed, match="not installed"), workroom("/tmp/work") as room:
        sandbox.run(room, ["/usr/bin/none"], 10)


def test_where_no_sandbox_can_be_made_the_image_is_not_blamed(act, monkeypatch):
    monkeypatch.setattr(sandbox, "_SCRIPT", sandbox._SCRIPT.replace("mount -t tmpfs", "mount -t none"))
    with pytest.raises(CommandFailed, match="The sandbox for python3 cannot be made on this host: mount: "):
        act("print('well')")


def test_nothing_of_it_outlives_who_started_it(tmp_path):
    """Also if that is killed."""
    child = os.fork()
    if not child:
        with workroom(str(tmp_path / "work")) as room:
            sandbox.run(room, [PYTHON, "-c", "import time; time.sleep(1234.5)"], 60)
        os._exit(0)
    end = time.monotonic() + 20
    while not running() and time.monotonic() < end:
        time.sleep(0.05)
    assert running()
    os.kill(child, 9)
    os.waitpid(child, 0)
    while running() and time.monotonic() < end:
        time.sleep(0.05)
    assert not running()


def running():
    """Return the processes whose arguments show that they are ours."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as handle:
                words = handle.read()
        except OSError:
            continue
        if b"time.sleep(1234.5)" in words:
            found.append(number)
    return found
