# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What this device did in a run of an operation: each call is written down before and after it is made, and is on the disk by then.

So when a controller dies, or this device does, somebody else can find out what was begun, and what became of it.
"""

from __future__ import annotations

import json
import os
import re
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import fence
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import sync
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome

DIRECTORY = "/var/lib/vmatrix/journal"
#: Seconds for which what a run did is kept after its last call.
KEPT = 30 * 86400

#: What is said of a call that was begun, and of which nobody wrote down what became of it.
CUT_OFF = "It is not known what became of this: it was cut off."


class Journal:
    """The part of a run that is this device's; C(run) is the run's id."""

    def __init__(self, run: str, directory: str = DIRECTORY) -> None:
        self._path = _path(run, directory)
        fresh = not os.path.exists(self._path)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if fresh:
            _forget(directory)
            sync(directory)

    def begin(self, ids: t.Sequence[str]) -> None:
        """Write down that the steps of these ids are begun."""
        self._write({"begun": list(ids)})

    def end(self, answer: t.Mapping[str, t.Any], secret: bool = False) -> None:
        """Write down what became of them; of a *secret* only whether it failed."""
        self._write({"ended": {**answer, "result": {}, "msg": ""} if secret else dict(answer), "secret": secret})

    def _write(self, entry: dict[str, t.Any]) -> None:
        os.write(self._file, json.dumps({"at": time.time(), **entry}).encode() + b"\n")
        os.fdatasync(self._file)


def look(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Return what this device did in a C(run): C(told), the last answer of each call, in their order; of what is C(secret), not what it was.

    Whoever takes the run up has a C(lease), under which this device does nothing any more for whoever was at work before.
    """
    fence.follow(arguments["lease"]["numbers"], check)
    return Outcome(False, None, None, {"told": read(arguments["run"])})


def read(run: str, directory: str = DIRECTORY) -> list[dict[str, t.Any]]:
    """Return the last answer of each call of a run; nothing where this device had no part in it.

    Raises:
        InvalidInput: that is no run.
    """
    try:
        with open(_path(run, directory), encoding="utf-8") as handle:
            entries = [entry for line in handle for entry in _entry(line)]
    except FileNotFoundError:
        return []
    return answers(entries)


def answers(entries: t.Iterable[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return the last answer of each call that was written down."""
    told: dict[tuple[str, ...], dict[str, t.Any]] = {}
    for entry in entries:
        if "begun" in entry:
            ids = tuple(entry["begun"])
            told[ids] = {"ids": list(ids), "changed": None, "failed": True, "msg": CUT_OFF, "result": {}}
        else:
            told[tuple(entry["ended"]["ids"])] = {**entry["ended"], "secret": entry["secret"]}
    return list(told.values())


def _entry(line: str) -> list[dict[str, t.Any]]:
    try:
        return [json.loads(line)]
    except ValueError:
        # The power failed while it was written.
        return []


def _path(run: str, directory: str) -> str:
    if not re.fullmatch(r"[0-9a-z]{1,64}", run):
        raise InvalidInput(f"{run!r} is not the id of a run.")
    return os.path.join(directory, f"{run}.jsonl")


def _forget(directory: str) -> None:
    for entry in os.scandir(directory):
        if entry.stat().st_mtime < time.time() - KEPT:
            os.unlink(entry.path)
