# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""How far transfers and imports are, for a person to see: a small file for each, rewritten now and then while it runs."""

from __future__ import annotations

import glob
import os
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import files

TRANSFERS = "/run/vmatrix/transfers"
_PERIOD = 0.5


class Progress:
    """The progress of one transfer or import, as a context manager; its file is there as long as that runs.

    Args:
        name: of the file; told apart from the other transfers of this RM.
        what: is transferred, in words.
        total: bytes that it consists of.
        directory: where the file lies.
    """

    def __init__(self, name: str, what: str, total: int, directory: str = TRANSFERS) -> None:
        self._path = os.path.join(directory, f"{name}.json")
        self._what = what
        self._total = total
        self._done = 0
        self._moved = 0
        self._start = self._written = time.monotonic()

    def __enter__(self) -> Progress:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        self._write()
        return self

    def __exit__(self, *_error: object) -> None:
        if os.path.exists(self._path):
            os.unlink(self._path)

    def expect(self, count: int) -> None:
        """Note that *count* bytes more belong to it than was known before."""
        self._total += count

    def skip(self, count: int) -> None:
        """Note that *count* bytes need not be moved."""
        self._done += count

    def advance(self, count: int) -> None:
        """Note that *count* more bytes were moved."""
        self._done += count
        self._moved += count
        if time.monotonic() - self._written >= _PERIOD:
            self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        rate = self._moved / max(self._written - self._start, 0.001)
        files.write_json(
            self._path,
            {
                "what": self._what,
                "done": self._done,
                "total": self._total,
                "bytes_per_second": int(rate),
                "eta_seconds": round((self._total - self._done) / rate, 1) if rate else None,
                "pid": os.getpid(),
            },
        )


def transfers(directory: str = TRANSFERS) -> list[dict[str, t.Any]]:
    """Return what this RM is sending or importing now: C({what, done, total, bytes_per_second, eta_seconds, pid})."""
    found = (files.read_json(path) for path in sorted(glob.glob(os.path.join(glob.escape(directory), "*.json"))))
    # A sender that was killed leaves its file behind.
    return [transfer for transfer in found if transfer and os.path.exists(f"/proc/{transfer['pid']}")]
