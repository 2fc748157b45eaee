# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How faults are struck at a step of an operation, and mended."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import typing as t

import hosts_outside
from hosts_outside import REGISTRY, Host
from mesh_lab import LAB, ROOT, VERBS, Mesh, until

#: Has Ansible notice within seconds that a host is gone; operators who do not want to wait for minutes set the same.
SSH = "-o ControlMaster=auto -o ControlPersist=300s -o PreferredAuthentications=publickey -o ServerAliveInterval=1 -o ServerAliveCountMax=5"
#: Holds the registry's write lock until its standard input ends.
HOLD = """
import sqlite3, sys
registry = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
registry.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""
#: Seconds that a registry is held: longer than a call waits for it.
HELD = 33.0


class Controller:
    """An operator's run of a playbook."""

    def __init__(self, verb: str, variables: t.Mapping[str, t.Any], limit: str | None = None, extra: str | None = None) -> None:
        prefix = f"{verb}_" if verb in VERBS or verb == "rebuild" else ""
        told = [f"{key if key.startswith('operation_') else prefix + key}={value}" for key, value in variables.items()] + ([extra] if extra else [])
        argv = ["ansible-playbook", "-i", str(LAB / "inventory.yml"), str(ROOT / "playbooks" / f"{verb}.yml")]
        argv += [*(f"--extra-vars={each}" for each in told), *(["--limit", limit] if limit else [])]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(Mesh.collections),
            "ANSIBLE_SSH_ARGS": SSH,
            "ANSIBLE_TIMEOUT": "3",
            "ANSIBLE_NOCOLOR": "1",
        }
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8")  # pylint: disable=consider-using-with
        self.began = time.monotonic()
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            argv, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True
        )

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it at once, with all that it has started; or by another signal as a terminal sends it, and wait until it has."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, how)
        self._process.wait(60)

    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def ended(self, timeout: float) -> bool:
        """Wait for its end, for *timeout* seconds at most, and return whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return not self.runs()

    @property
    def well(self) -> bool:
        """Whether it ended well."""
        return self._process.poll() == 0

    @property
    def output(self) -> str:
        """What it has printed."""
        self._output.seek(0)
        return self._output.read()

    @property
    def sentence(self) -> str:
        """What it said in the end: the last message, and of those of failures on the controller, if there are any."""
        said = self.output
        failed = re.findall(r"^fatal: \[localhost\].*\n(?: {4}(?!msg).*\n)*(?: {4}msg: (.*\n(?: {5,}.*\n|\n(?= ))*))", said, re.M)
        messages = failed or re.findall(r"^ {4}msg: (.*\n(?: {5,}.*\n)*)", said, re.M) or re.findall(r"^(?:\[ERROR\]|ERROR!?):? *(.*)", said, re.M)
        return re.sub(r"\s+", " ", messages[-1]).strip("'\" ").replace("''", "'") if messages else ""


class Strike(t.NamedTuple):
    """A fault at a moment.

    Attributes:
        controller: who carries out the operation.
        host: the device of the step.
        hosts: all hosts, by name.
        saved: where a registry was saved to before the operation, by the VMA.
    """

    controller: Controller
    host: Host
    hosts: t.Mapping[str, Host]
    saved: t.Mapping[str, str]


class Fault(t.NamedTuple):
    """A kind of fault.

    Attributes:
        where: the kinds of devices at whose steps it is struck: C(rm), C(gateway), C(names).
        strike: does it, and returns what was hit, nothing if there was nothing to hit.
        mend: mends it.
        moment: the entry of the journal at which it is struck: C(begun) or C(ended).
        at_once: whether it is mended at once, and not only when the operation has ended.
        disks: whether the hosts need disks of their own for it.
        registry: whether the registry has to be rebuilt after it.
        still: whether the device stands still while it is struck.
        weight: how much of all cases it gets, where not all can be tried.
    """

    where: tuple[str, ...]
    strike: t.Callable[[Strike], str]
    mend: t.Callable[[Strike], None] = lambda strike: None
    moment: str = "begun"
    at_once: bool = False
    disks: bool = False
    registry: bool = False
    still: bool = True


def _kill_controller(strike: Strike) -> str:
    strike.controller.kill()
    return "the controller"


def _kill(pids: t.Sequence[int], what: str) -> str:
    for pid in pids:
        hosts_outside.end(pid)
    return what if pids else ""


def _kill_guests(strike: Strike) -> str:
    """Kill what runs guests on the device, or, where the device runs none, on all RMs."""
    there = [strike.host] if strike.host.guests() else list(strike.hosts.values())
    return ", ".join(f"{name} on {each.name}" for each in there for name, pid in each.guests().items() if _kill([pid], name))


def _cut_power(strike: Strike) -> str:
    lost = ", ".join(strike.host.guests())
    strike.host.power_cut()
    return f"{strike.host.name} {lost}".strip()


def _power_on(strike: Strike) -> None:
    strike.host.power_on()
    # A connection to what it was before would be waited for.
    hosts_outside.hosts.hang_up("exit")


def _cut(strike: Strike, **which: bool) -> str:
    strike.host.cut(**which)
    return f"the wires of {strike.host.name}"


def _fill(strike: Strike) -> str:
    strike.host.fill()
    return f"the disk of {strike.host.name}"


_holders: list[subprocess.Popen] = []


def _hold_registry(strike: Strike) -> str:
    argv = ["nsenter", "--all", f"--target={strike.host.leader}", "python3", "-c", HOLD, REGISTRY]
    holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # pylint: disable=consider-using-with
    _holders.append(holder)
    assert holder.stdout is not None
    return f"the registry of {strike.host.name}" if holder.stdout.readline() == "held\n" else ""


def _let_registry_go(_strike: Strike) -> None:
    while _holders:
        holder = _holders.pop()
        holder.communicate(timeout=10)


def _lose_registry(strike: Strike) -> str:
    for suffix in ("", "-journal"):
        strike.host.path(REGISTRY + suffix).unlink(missing_ok=True)
    return f"the registry of {strike.host.name}"


def _restore_registry(strike: Strike) -> str:
    there = strike.host.path(REGISTRY)
    shutil.copy2(strike.saved[strike.host.name], f"{there}.restored")
    os.replace(f"{there}.restored", there)
    strike.host.path(f"{REGISTRY}-journal").unlink(missing_ok=True)
    return f"the registry of {strike.host.name}"


def save_registry(host: Host, to: str) -> None:
    """Make a copy of a VMA's registry while nobody is at work."""
    shutil.copy2(host.path(REGISTRY), to)


ALL = ("rm", "gateway", "names")
MESH = ("rm", "gateway")
FAULTS: dict[str, Fault] = {
    "controller-killed": Fault(ALL, _kill_controller, still=False),
    "controller-killed-after": Fault(ALL, _kill_controller, moment="ended", still=False),
    "module-killed": Fault(ALL, lambda strike: _kill(strike.host.engines(), "the engines")),
    "libvirtd-killed": Fault(("rm",), lambda strike: _kill(list(strike.host.programs("libvirtd")), "libvirtd")),
    "qemu-killed": Fault(MESH, _kill_guests),
    "link-cut": Fault(ALL, _cut, lambda strike: strike.host.join()),
    "loss-arriving": Fault(ALL, lambda strike: _cut(strike, leaving=False), lambda strike: strike.host.join()),
    "loss-leaving": Fault(ALL, lambda strike: _cut(strike, arriving=False), lambda strike: strike.host.join()),
    "disk-full": Fault(MESH, _fill, lambda strike: strike.host.empty(), disks=True),
    "power-cut": Fault(MESH, _cut_power, _power_on, disks=True, still=False),
    "power-blip": Fault(MESH, _cut_power, _power_on, at_once=True, disks=True, still=False),
    "registry-locked": Fault(("gateway",), _hold_registry, _let_registry_go, still=False),
    "registry-lost": Fault(("gateway",), _lose_registry, registry=True),
    "registry-restored": Fault(("gateway",), _restore_registry, registry=True),
}


def kind_of(device: str) -> str:
    """Return what kind of device a host is."""
    return {"rm": "rm", "gw": "gateway"}.get(device.partition("-")[0], "names")


def settled(group: t.Iterable[Host], timeout: float = 60) -> None:
    """Wait until no engine is at work on any host any more: what a dead controller has begun comes to its end."""
    for each in group:
        until(lambda each=each: not each.engines(), timeout, f"the engines of {each.name} have ended")
