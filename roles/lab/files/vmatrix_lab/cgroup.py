# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A control group for each host: systemd inside needs one of its own, and whatever runs in it is that host's."""

from __future__ import annotations

import contextlib
import os
import signal

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for

from vmatrix_lab import places

ROOT = "/sys/fs/cgroup"
#: Where systemd keeps its tree: the unified hierarchy (v2), or in the older layouts the one named systemd and the unified one beside it.
_LAYOUTS = {True: (ROOT,), False: (f"{ROOT}/systemd", f"{ROOT}/unified")}


def _directories(name: str) -> list[str]:
    trees = _LAYOUTS[os.path.exists(f"{ROOT}/cgroup.controllers")]
    return [os.path.join(tree, places.NAME, name) for tree in trees if os.path.isdir(tree)]


def present() -> list[str]:
    """Return the names of the hosts that have a control group, also where nothing else is left of them."""
    return sorted({entry.name for directory in _directories("") if os.path.isdir(directory) for entry in os.scandir(directory) if entry.is_dir()})


def join(name: str) -> None:
    """Move this process into the control group of the host *name*, made when missing."""
    for directory in _directories(name):
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, "cgroup.procs"), "w", encoding="ascii") as handle:
            handle.write(str(os.getpid()))


def processes(name: str) -> list[int]:
    """Return the process ids in the control group of the host *name* and below."""
    found: set[int] = set()
    for directory in _directories(name):
        for parent, _children, _files in os.walk(directory):
            with contextlib.suppress(FileNotFoundError), open(os.path.join(parent, "cgroup.procs"), encoding="ascii") as handle:
                found.update(int(line) for line in handle)
    return sorted(found)


def kill(name: str, timeout: float = 20.0) -> None:
    """End all that runs in the control group of the host *name*, at once."""

    def gone() -> bool:
        left = processes(name)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_for(gone, timeout, f"the processes of {name} end")


def remove(name: str) -> None:
    """Remove the empty control group of the host *name*, and the lab's own when it was the last one in it."""
    for directory in _directories(name):
        for parent, _children, _files in os.walk(directory, topdown=False):
            os.rmdir(parent)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(directory))
