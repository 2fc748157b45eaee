# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Calling programs: an argv list, a deadline, and an error that carries the program's own words."""

from __future__ import annotations

import subprocess

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded


def run(argv: list[str], stdin: str | None = None, timeout: float = 60.0, check: bool = True) -> subprocess.CompletedProcess:
    """Run *argv* without a shell and return what it printed.

    Args:
        argv: program and arguments.
        stdin: text for its standard input; none means an empty one.
        timeout: seconds until it is killed.
        check: whether a non-zero exit is an error.

    Raises:
        CommandFailed: it is not installed, or *check* and it exited non-zero.
        DeadlineExceeded: it ran longer than *timeout*.
    """
    try:
        done = subprocess.run(argv, input=stdin if stdin is not None else "", capture_output=True, text=True, timeout=timeout, check=False)
    except FileNotFoundError as exc:
        raise CommandFailed(f"The program {argv[0]} is not installed on this host.") from exc
    except subprocess.TimeoutExpired as exc:
        raise DeadlineExceeded(f"{argv[0]} did not finish within {timeout:g} s.") from exc
    if check and done.returncode != 0:
        words = (done.stderr or done.stdout).strip() or "it said nothing"
        raise CommandFailed(f"{' '.join(argv[:3])} failed with exit status {done.returncode}: {words}", {"rc": done.returncode})
    return done
