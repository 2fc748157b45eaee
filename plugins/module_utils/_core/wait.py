# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Waiting on a condition with a deadline."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded

T = t.TypeVar("T")


def wait_for(condition: t.Callable[[], T], timeout: float, what: str, first: float = 0.02, longest: float = 0.5) -> T:
    """Call *condition* until it returns something true, and return that.

    Args:
        condition: a function without arguments; what it raises goes through.
        timeout: seconds until giving up; the condition is tried at least once.
        what: what is waited for, as it ends the sentence "... within 5 s: WHAT".
        first: seconds of the first pause; each later one is 1.5 times as long.
        longest: seconds that no pause exceeds.

    Raises:
        DeadlineExceeded: the condition did not come true in time.
    """
    end = time.monotonic() + timeout
    pause = first
    while True:
        found = condition()
        if found:
            return found
        left = end - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"This did not happen within {timeout:g} s: {what}.")
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, longest)
