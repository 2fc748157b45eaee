# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One virtual machine as a process: its command line, its monitor, and the port through which it gets its identity."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for

EMULATOR = "/usr/bin/qemu-system-x86_64"
#: The network interfaces that every machine has, in order; those that are plugged into nothing have no carrier.
INTERFACES = ("mgmt0", "wan0", "trunk0")
#: The name of the snapshot that machines begin with.
SNAPSHOT = "booted"
_FIRST_SLOT = 5
#: Nobody attacks these machines, and without KVM the kernel's precautions cost much.
_KERNEL = "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off quiet"


def slot(interface: str) -> str:
    """Return the PCI address of an *interface* in the words of udev, by which the machine finds its name (systemd.link(5))."""
    return f"pci-0000:00:{_FIRST_SLOT + INTERFACES.index(interface):02x}.0"


def command(directory: str, image: dict[str, t.Any], taps: t.Mapping[str, str], *more: str) -> list[str]:
    """Return the command line of a machine.

    Args:
        directory: where its disk and sockets are.
        image: its kernel, initrd, accelerator and memory_mib.
        taps: the tap of each interface that is plugged in.
        more: further arguments.
    """
    argv = [EMULATOR, "-accel", image["accelerator"], "-machine", "pc", "-cpu", "qemu64", "-smp", "1", "-m", str(image["memory_mib"])]
    argv += ["-nodefaults", "-no-user-config", "-display", "none", "-daemonize", "-pidfile", f"{directory}/pid"]
    argv += ["-kernel", image["kernel"], "-initrd", image["initrd"], "-append", _KERNEL]
    argv += ["-drive", f"file={directory}/disk.qcow2,format=qcow2,if=none,id=disk,cache=unsafe", "-device", "virtio-blk-pci,drive=disk,addr=3"]
    argv += ["-chardev", f"socket,id=identity,path={directory}/identity,server=on,wait=off", "-device", "virtio-serial-pci,addr=4"]
    argv += ["-device", "virtserialport,chardev=identity,name=identity"]
    # A machine that comes from a snapshot notices that it is another one now, and its random numbers differ.
    argv += ["-device", "vmgenid,guid=auto"]
    for number, interface in enumerate(INTERFACES):
        # With neither there is no offloading, so that the snapshot fits whether an interface is plugged in or not.
        end = f"tap,ifname={taps[interface]},script=no,downscript=no,vnet_hdr=off" if interface in taps else f"hubport,hubid={number}"
        argv += ["-netdev", f"{end},id={interface}", "-device", f"virtio-net-pci,netdev={interface},addr={_FIRST_SLOT + number:#x},romfile="]
    argv += ["-chardev", f"file,id=console,path={directory}/console.log,append=on", "-serial", "chardev:console"]
    return [*argv, "-qmp", f"unix:{directory}/qmp,server=on,wait=off", *more]


def talk(directory: str, told: bytes, expected: bytes, timeout: float) -> bytes:
    """Say something to the machine through its identity port, if anything, and wait for a line that ends with what is *expected*; return it.

    Raises:
        DeadlineExceeded: it did not come.
    """
    end, heard = time.monotonic() + timeout, b""
    with socket.socket(socket.AF_UNIX) as port:
        port.connect(f"{directory}/identity")
        port.settimeout(timeout)
        with contextlib.suppress(BrokenPipeError):
            port.sendall(told)
        while not heard.endswith(expected):
            port.settimeout(max(0.01, end - time.monotonic()))
            try:
                chunk = port.recv(4096)
            except TimeoutError as exc:
                raise DeadlineExceeded(f"The virtual machine in {directory} did not answer within {timeout:g} s; see its console.log.") from exc
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                raise CommandFailed(f"The virtual machine in {directory} ended; see its console.log.")
            heard += chunk
    return heard


def monitor(directory: str, line: str, timeout: float = 60.0) -> str:
    """Give the machine's monitor a command in the words of a human, and return what it printed (QEMU's human-monitor-command)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(f"{directory}/qmp")
        with connection.makefile("rw", encoding="utf-8") as stream:
            stream.readline()
            answer: dict[str, t.Any] = {}
            for order in ({"execute": "qmp_capabilities"}, {"execute": "human-monitor-command", "arguments": {"command-line": line}}):
                stream.write(json.dumps(order) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                while "event" in answer:
                    answer = json.loads(stream.readline())
    if "error" in answer:
        raise CommandFailed(f"QEMU refused {line.split()[0]}: {answer['error']['desc']}")
    return answer["return"]


def running(directory: str) -> int | None:
    """Return the process id of the machine in *directory*, or None when it does not run."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
        with open(f"{directory}/pid", encoding="ascii") as handle:
            number = int(handle.read())
        with open(f"/proc/{number}/cmdline", "rb") as handle:
            if f"{directory}/pid".encode() in handle.read().split(b"\0"):
                return number
    return None


def stop(directory: str, timeout: float = 10.0) -> None:
    """End the machine in *directory* as if its plug were pulled."""
    number = running(directory)
    if number:
        os.kill(number, signal.SIGKILL)
        wait_for(lambda: running(directory) is None, timeout, f"the virtual machine in {directory} ends")


def start(argv: list[str], prefix: t.Sequence[str] = (), timeout: float = 60.0) -> None:
    """Start a machine in the background; with a snapshot to begin with, it is there when this returns."""
    run([*prefix, *argv], timeout=timeout)
