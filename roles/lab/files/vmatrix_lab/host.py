# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host as a process: its overlay, its systemd-nspawn and its wires, kept by a supervisor that lets it reboot."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for

from vmatrix_lab import cgroup, network, places

#: What systemd-nspawn exits with when the host asked for a reboot (EXIT_FORCE_RESTART, with --keep-unit).
REBOOT = 133
#: The signal that asks a systemd as PID 1 to power off (systemd(1)).
POWER_OFF = signal.SIGRTMIN + 4


def running(name: str) -> bool:
    """Whether the host *name* has a supervisor: one holds the lock of the host as long as it lives."""
    with contextlib.suppress(FileNotFoundError), open(places.of_host(name, "lock"), "rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def start(name: str) -> subprocess.Popen:
    """Start the supervisor of the host *name* in a session and a mount namespace of its own (so its overlay vanishes with it)."""
    # Without its supervisor a host may still run; two on one overlay would destroy it.
    cgroup.kill(name)
    with open(places.of_host(name, "console.log"), "ab") as log:
        return subprocess.Popen(
            ["unshare", "--mount", "--propagation", "slave", sys.executable, "-m", "vmatrix_lab", "supervise", name],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )


def supervise(name: str) -> None:
    """Be the supervisor of the host *name*: boot it, and again whenever it reboots; return when it powered off."""
    with open(places.of_host(name, "lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        host = read_json(places.of_host(name, "host.json"))
        cgroup.join(name)
        network.enter()
        merged = places.of_host(name, "merged")
        layers = f"lowerdir={host['root']},upperdir={places.of_host(name, 'upper')},workdir={places.of_host(name, 'work')}"
        run(["mount", "-t", "overlay", "-o", layers, places.NAME, merged])
        # systemd-nspawn keeps things there by the machine's name, which hosts of another lab have, too; this mount is seen by this supervisor only.
        os.makedirs(places.NSPAWN, exist_ok=True)
        run(["mount", "-t", "tmpfs", "-o", "mode=0755", places.NAME, places.NSPAWN])
        status = REBOOT
        while status == REBOOT:
            print(f"{time.strftime('%FT%TZ', time.gmtime())} {name} boots", flush=True)
            with subprocess.Popen(nspawn_command(host, merged), stdin=subprocess.DEVNULL) as nspawn:
                network.wire({outer(host, interface): wire["segment"] for interface, wire in host["interfaces"].items()})
                status = nspawn.wait()


def outer(host: dict, interface: str) -> str:
    """Return the name that the wire of an *interface* has outside; a link's name may have 15 characters only."""
    return f"h{host['index']}-{interface}"


def nspawn_command(host: dict, merged: str) -> list[str]:
    """Return the systemd-nspawn command line of a *host* whose root is *merged*."""
    command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--settings=no", f"--directory={merged}", f"--machine={host['name']}"]
    command += ["--boot", "--private-network", "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe"]
    # libvirt, Open vSwitch and network namespaces inside need more than a container usually gets.
    command += ["--system-call-filter=@known", "--capability=all", "--bind=/dev/net/tun", f"--bind-ro={places.IMAGES}:/srv/images"]
    return command + [f"--network-veth-extra={outer(host, interface)}:{interface}" for interface in host["interfaces"]]


def stop(name: str, timeout: float = 30.0) -> None:
    """Power the host *name* off; what does not end within *timeout* seconds is killed."""
    process = leader(name)
    if process:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, POWER_OFF)
    end = time.monotonic() + (timeout if process else 0)
    while running(name) and time.monotonic() < end:
        time.sleep(0.1)
    cgroup.kill(name)
    wait_for(lambda: not running(name), 10, f"the supervisor of {name} ends")
    cgroup.remove(name)


def leader(name: str) -> int | None:
    """Return the process id of the systemd that is PID 1 inside the host *name*."""
    for pid in cgroup.processes(name):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/status", encoding="utf-8") as handle:
            ids = next(line for line in handle if line.startswith("NSpid:")).split()[1:]
            if len(ids) == 2 and ids[1] == "1":
                return pid
    return None


def failed_units(name: str) -> list[str]:
    """Wait until the host *name* has booted and return its failed units.

    Raises:
        CommandFailed: systemd in it does not answer.
    """
    process = leader(name)
    if process is None:
        raise CommandFailed(f"The host {name} is not running; its last words are in {places.of_host(name, 'console.log')}.")
    inside = ["nsenter", "--all", f"--target={process}", "systemctl"]
    run([*inside, "is-system-running", "--wait"], timeout=90, check=False)
    listed = run([*inside, "list-units", "--failed", "--no-legend", "--plain"]).stdout
    return [line.split()[0] for line in listed.splitlines() if line.strip()]
