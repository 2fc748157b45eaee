# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network namespace with an Open vSwitch of its own, and hosts that put frames on wires."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

pytest.register_assert_rewrite("ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._switch.translated")

from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import ports

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
NAMESPACE = f"switch-{os.getpid()}"


def sh(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


class Wires:
    """Veth pairs in one namespace: NAME is a port for the switch, and what is put on pNAME comes out of it."""

    def __init__(self):
        sh("ip", "netns", "add", NAMESPACE)
        self._sockets = {}

    def add(self, name):
        sh("ip", "-n", NAMESPACE, "link", "add", name, "type", "veth", "peer", "name", f"p{name}")
        for end in (name, f"p{name}"):
            sh("ip", "netns", "exec", NAMESPACE, "sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1")
            sh("ip", "-n", NAMESPACE, "link", "set", end, "up")
        self._sockets[name] = call_inside(NAMESPACE, lambda: self._open(f"p{name}"))

    def remove(self, name):
        self._sockets.pop(name).close()
        sh("ip", "-n", NAMESPACE, "link", "del", name)

    @staticmethod
    def _open(interface):
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        # The kernel takes tags off and tells of them beside the frame (PACKET_AUXDATA).
        opened.setsockopt(263, 8, 1)
        opened.bind((interface, 0))
        opened.setblocking(False)
        return opened

    def send(self, name, *frames):
        for frame in frames:
            self._sockets[name].send(frame)

    def heard(self, marker, last):
        """Return what each wire has heard, tagged as on the wire, up to the frame *last* on the wire *marker*."""
        found = {name: [] for name in self._sockets}
        end = time.monotonic() + 5
        while last not in found[marker]:
            assert time.monotonic() < end, f"{marker} never heard the last frame"
            for name, opened in self._sockets.items():
                found[name] += self._drain(opened)
        # Others may have heard something after they were asked.
        return {name: [*what, *self._drain(self._sockets[name])] for name, what in found.items()}

    def drain(self):
        for opened in self._sockets.values():
            self._drain(opened)

    @staticmethod
    def _drain(opened):
        found = []
        while True:
            try:
                frame, extra, unused, sender = opened.recvmsg(2048, 256)
            except BlockingIOError:
                return found
            if sender[2] == socket.PACKET_OUTGOING:
                continue
            for level, kind, data in extra:
                if (level, kind) == (263, 8) and int.from_bytes(data[:4], "little") & 0x10:
                    frame = frame[:12] + b"\x81\x00" + data[16:18][::-1] + frame[12:]
            found.append(frame)

    def close(self):
        for opened in self._sockets.values():
            opened.close()
        sh("ip", "netns", "del", NAMESPACE)


class Daemons:
    """ovsdb-server and ovs-vswitchd with directories of their own."""

    def __init__(self, root):
        self.root = root
        sh("ovsdb-tool", "create", f"{root}/conf.db", SCHEMA)
        self._start(f"{root}/conf.db", f"--remote=punix:{root}/db.sock", program="ovsdb-server")
        sh("ovs-vsctl", "--no-wait", "init")
        self.start()

    def start(self):
        self._start(f"unix:{self.root}/db.sock", program="ovs-vswitchd")

    def stop(self, program="ovs-vswitchd"):
        with open(f"{self.root}/{program}.pid", encoding="ascii") as handle:
            number = int(handle.read())
        os.kill(number, signal.SIGKILL)
        end = time.monotonic() + 10
        while os.path.exists(f"/proc/{number}") and time.monotonic() < end:
            time.sleep(0.01)

    def _start(self, *arguments, program):
        argv = ["ip", "netns", "exec", NAMESPACE, program, *arguments, "--pidfile", "--detach", "--no-chdir", f"--log-file={self.root}/{program}.log"]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A place of its own for the port book."""
    monkeypatch.setattr(ports, "DIRECTORY", str(tmp_path / "book"))
    return tmp_path / "book"


@pytest.fixture(scope="session")
def wires():
    """The namespace with its wires."""
    made = Wires()
    yield made
    made.close()


@pytest.fixture(scope="session")
def daemons(wires):
    """An Open vSwitch that is not the machine's."""
    # A socket's path may have 108 bytes only.
    root = tempfile.mkdtemp(prefix="ovs-", dir="/tmp")
    before = {key: os.environ.get(key) for key in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")}
    os.environ.update(dict.fromkeys(before, root))
    started = Daemons(root)
    yield started
    for program in ("ovs-vswitchd", "ovsdb-server"):
        started.stop(program)
    shutil.rmtree(root)
    for key, value in before.items():
        if value is None:
            del os.environ[key]
        else:
            os.environ[key] = value
