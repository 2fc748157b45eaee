# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What both sides of a cut-over are told, and what they answer."""

from __future__ import annotations

import contextlib
import time
import typing as t


class Order(t.NamedTuple):
    """One cut-over.

    Attributes:
        name: the instance.
        epoch: the raised epoch that it is to have at the target.
        state: C(running) or C(suspended), what it is to be at the target.
        vlan: its domain's VLAN in the target's HN (target only).
        record: its new surroundings record (target only).
        timeout: seconds for each wait.
        lease: the number of the operation's lease; None where it is none of an operation.
    """

    name: str
    epoch: int
    state: str = "running"
    vlan: int | None = None
    record: dict | None = None
    timeout: float = 120.0
    lease: int | None = None

    @property
    def parcel(self) -> str:
        """The name under which its files travel."""
        return f"{self.name}@{self.epoch}"


class Handed(t.NamedTuple):
    """What a side did: whether anything changed, summaries of the instance before and after, and figures."""

    changed: bool
    before: dict
    after: dict
    result: dict


class Phases:
    """Seconds that each phase took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def measure(self, phase: str) -> t.Iterator[None]:
        """Measure the phase that runs inside."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[phase] = round(time.monotonic() - began, 4)
