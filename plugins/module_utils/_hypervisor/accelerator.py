# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Whether QEMU's KVM accelerator works here. The device file proves nothing: only a kernel that boots does."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import lock, read_json, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import EMULATOR
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places

DEVICE = "/dev/kvm"
#: What a kernel without a root file system says last; it has come through its whole boot by then.
CAME_UP = (b"Kernel panic", b"Unable to mount root")
#: Seconds of a processor that a kernel may use up before its first word. When QEMU emulates it, it needs one, so this one hangs, or KVM is slower than that.
#: The clock alone would have it burn a processor for all of the deadline; and a kernel that other work keeps from running is given the time that it needs.
SILENCE = 3.0
#: Seconds until a kernel counts as hanging where no probe has said how many.
TIMEOUT = 15.0


def usable(places: Places) -> str:
    """Return C(kvm) or C(tcg) as probe() found it; where QEMU or the host's kernel changed since, as it finds it now, with the kernel of then.

    Raises:
        Refused: nobody has probed yet on this host, or the kernel that it was done with is gone, or somebody else probes and does not come to an end.
    """
    if not os.path.exists(DEVICE):
        return "tcg"
    found = read_json(places.cache("accelerator"))
    if not found:
        raise Refused("It is not known which accelerator works on this RM: probe it with the rm_info module first.")
    if found["host"] == _host():
        return found["accelerator"]
    kernel, timeout = found["kernel"][0], found.get("timeout", TIMEOUT)
    if not os.path.isfile(kernel):
        raise Refused(f"QEMU or the kernel of this RM changed, and {kernel}, with which to find out what accelerator works now, is gone: run site.")
    # All who start something here at the same time wait for one boot; the last of them for no longer than for that.
    with lock(f"{places.cache('accelerator')}.lock", "the probe of the accelerator", 2 * timeout):
        return probe(places, kernel, timeout)


def probe(places: Places, kernel: str, timeout: float) -> str:
    """Find out by a real boot whether KVM works; the finding is kept until QEMU, the host's kernel or *kernel* change.

    Args:
        places: where the finding is kept.
        kernel: path of a Linux kernel (bzImage) with a serial console; it is booted without a disk, so it panics and QEMU exits.
        timeout: seconds until a silent or hanging kernel counts as a failure.

    Returns:
        C(kvm) if the kernel came up under it in time, else C(tcg).

    Raises:
        InvalidInput: there is no such kernel.
    """
    if not os.path.exists(DEVICE):
        return "tcg"
    if not os.path.isfile(kernel):
        raise InvalidInput(f"There is no kernel {kernel} to probe the accelerator with.")
    now = {"host": _host(), "kernel": _stamp(kernel)}
    found = read_json(places.cache("accelerator"))
    if found and {key: found[key] for key in now} == now:
        return found["accelerator"]
    verdict = "kvm" if _boots(kernel, timeout) else "tcg"
    write_json(places.cache("accelerator"), {**now, "timeout": timeout, "accelerator": verdict})
    return verdict


def _host() -> dict[str, t.Any]:
    return {"qemu": _stamp(EMULATOR), "release": os.uname().release}


def _stamp(path: str) -> list[t.Any]:
    try:
        found = os.stat(path)
    except FileNotFoundError as exc:
        raise CommandFailed(f"The program {path} is not installed on this host.") from exc
    return [path, found.st_size, found.st_mtime_ns]


def _boots(kernel: str, timeout: float) -> bool:
    argv = [EMULATOR, "-accel", "kvm", "-machine", "pc", "-cpu", "qemu64", "-m", "128", "-nodefaults", "-no-user-config", "-display", "none"]
    argv += ["-serial", "stdio", "-no-reboot", "-kernel", kernel, "-append", "console=ttyS0 panic=-1"]
    end = time.monotonic() + timeout
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            return _says(process, CAME_UP, end)
        finally:
            process.kill()


def _says(process: subprocess.Popen, words: t.Sequence[bytes], end: float) -> bool:
    """Read what *process* says until it is one of *words* (true), or it ends, is silent for too long, or the clock passes *end* (false)."""
    heard = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < end and (heard or _used(process.pid) < SILENCE):
            if not selector.select(max(0.0, min(0.2, end - time.monotonic()))):
                continue
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                return False
            heard = heard[-64:] + chunk
            if any(word in heard for word in words):
                return True
    return False


def _used(pid: int) -> float:
    """Return how many seconds of a processor a process has used (proc(5), C(/proc/PID/stat), utime and stime)."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
