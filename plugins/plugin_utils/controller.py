# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The process that runs an operation: who that is, and whether it is known to be gone."""

from __future__ import annotations

import getpass
import os
import socket
import typing as t

#: What AWX, and Tower before it, tell a job of itself.
JOBS = (("awx_job_id", "awx_user_name", "AWX"), ("tower_job_id", "tower_user_name", "Tower"))


def who(variables: t.Mapping[str, t.Any]) -> str:
    """Return who runs this, for a sentence: a user and a host, or a job."""
    for job, user, product in JOBS:
        if variables.get(job):
            by = f" of {variables[user]}" if variables.get(user) else ""
            return f"{product} job {variables[job]}{by}"
    return f"{_user()}@{socket.gethostname()}"


def this() -> dict[str, t.Any]:
    """Return what this controller is known by.

    A process id says something only where it was given out: in one boot of one machine, and there in one namespace, as that of a container.
    """
    # This is a worker of ansible-playbook.
    process = os.getppid()
    return {"where": _where(), "process": process, "started": _started(process)}


def gone(controller: t.Mapping[str, t.Any]) -> bool:
    """Whether it is known that a controller does not run any more; of another machine nobody knows that here."""
    here = _where()
    return here is not None and controller.get("where") == here and _started(controller["process"]) != controller["started"]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container's user need not have a name.
        return str(os.getuid())


def _where() -> str | None:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as handle:
            return f"{handle.read().strip()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return None


def _started(process: int) -> str | None:
    """Return when a process began, in ticks since the machine did; None if there is none."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as handle:
            # Its name, in parentheses, may hold anything.
            return handle.read().rpartition(")")[2].split()[19]
    except OSError:
        return None
