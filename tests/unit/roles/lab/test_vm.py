# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual machines of the lab: what QEMU is told, and talking with its monitor and with the machine through sockets."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import sys
import tempfile
import threading

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded

sys.path.insert(0, str(pathlib.Path(__file__).parents[4] / "roles/lab/files"))

import vmatrix_identity  # noqa: E402  pylint: disable=wrong-import-position
from vmatrix_lab import layer, vm, vms  # noqa: E402  pylint: disable=wrong-import-position

IMAGE = {"kernel": "/k", "initrd": "/i", "accelerator": "tcg", "memory_mib": 768}


@pytest.fixture
def directory():
    """A short path, as sockets need."""
    with tempfile.TemporaryDirectory(prefix="vm-", dir="/tmp") as made:
        yield made


@pytest.fixture
def answering(directory):
    """Start something that takes one connection at a socket of the machine."""
    threads = []

    def start(name, conversation):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(directory, name))
        listener.listen(1)

        def serve():
            with listener, listener.accept()[0] as connection, connection.makefile("rwb", buffering=0) as stream:
                conversation(stream)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(5)


def test_interfaces_without_a_wire_are_the_same_devices():
    with_taps, without = (vm.command("/vm", IMAGE, taps) for taps in ({"mgmt0": "v0-mgmt0"}, {}))
    devices = [[argument for flag, argument in zip(argv, argv[1:]) if flag == "-device"] for argv in (with_taps, without)]
    assert devices[0] == devices[1] and sum(device.startswith("virtio-net-pci") for device in devices[0]) == len(vm.INTERFACES)
    assert "tap,ifname=v0-mgmt0,script=no,downscript=no,vnet_hdr=off,id=mgmt0" in with_taps
    assert not [argument for argument in without if argument.startswith("tap")]


def test_a_machine_knows_its_interfaces_by_their_places():
    argv = vm.command("/vm", IMAGE, {})
    for interface in vm.INTERFACES:
        (device,) = [argument for argument in argv if f"netdev={interface}," in argument]
        assert vm.slot(interface) == f"pci-0000:00:0{device.split('addr=0x')[1].split(',')[0]}.0"


def test_machines_of_one_image_get_addresses_of_their_own():
    macs = {vms.mac(name, interface) for name in ("gw-vm", "rm-vm") for interface in vm.INTERFACES}
    assert len(macs) == 6
    assert f"[Link]\nMACAddress={vms.mac('gw-vm', 'wan0')}\n" in layer.network_unit("wan0", {"mac": vms.mac("gw-vm", "wan0")})


def test_the_monitor_is_told_and_what_happens_meanwhile_does_not_disturb(directory, answering):
    told = []

    def conversation(stream):
        stream.write(b'{"QMP": {}}\n')
        for answers in ([{"return": {}}], [{"event": "STOP"}, {"event": "RESUME"}, {"return": "done\r\n"}]):
            told.append(json.loads(stream.readline()))
            for answer in answers:
                stream.write(json.dumps(answer).encode() + b"\n")

    answering("qmp", conversation)
    assert vm.monitor(directory, "savevm booted") == "done\r\n"
    assert told[1]["arguments"] == {"command-line": "savevm booted"}


def test_what_the_monitor_refuses_is_an_error(directory, answering):
    def conversation(stream):
        stream.write(b'{"QMP": {}}\n')
        for unused in range(2):
            stream.readline()
            stream.write(b'{"error": {"desc": "no such thing"}}\n')

    answering("qmp", conversation)
    with pytest.raises(CommandFailed, match="QEMU refused savevm: no such thing"):
        vm.monitor(directory, "savevm booted")


def test_a_machine_gets_its_identity_and_says_that_it_has_it(directory, answering):
    got = []

    def conversation(stream):
        got.append(vmatrix_identity.receive(stream.fileno()))
        stream.write(b"ready\n")

    answering("identity", conversation)
    identity = {"time": 1.5, "files": {"/etc/hostname": [420, "rm-vm\n" * 20000]}}
    assert vm.talk(directory, json.dumps(identity).encode() + b"\n", b"ready\n", 5) == b"ready\n"
    assert got == [identity]


def test_a_machine_that_says_nothing_has_a_deadline(directory, answering):
    over = threading.Event()
    answering("identity", lambda stream: over.wait(5))
    with pytest.raises(DeadlineExceeded, match="did not answer within 0.2 s"):
        vm.talk(directory, b"", b"\n", 0.2)
    over.set()


def test_a_machine_that_ends_is_not_waited_for(directory, answering):
    answering("identity", lambda stream: None)
    with pytest.raises(CommandFailed, match="ended"):
        vm.talk(directory, b"", b"\n", 5)


def test_a_process_that_is_not_the_machine_is_left_alone(directory):
    assert vm.running(directory) is None
    with open(os.path.join(directory, "pid"), "w", encoding="ascii") as handle:
        handle.write(f"{os.getpid()}\n")
    assert vm.running(directory) is None
    vm.stop(directory)
