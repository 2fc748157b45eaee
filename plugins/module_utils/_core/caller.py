# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Whether the controller that called is still there. When it was killed, or its connection has ended, nobody reads what a call prints any more."""

from __future__ import annotations

import select
import time

#: Seconds that a wait goes on without a caller: what was about to happen anyway is better done than left half done.
GRACE = 8.0
_OUTPUT = 1


class Caller:
    """Whoever reads the standard output of this process.

    Args:
        grace: seconds after which gone() counts somebody who has gone.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        self._since: float | None = None

    def gone(self) -> bool:
        """Whether the caller has been seen to be gone so many seconds ago."""
        if not _hung_up():
            return False
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        return now - self._since >= self._grace


def _hung_up() -> bool:
    """Whether nobody can read any more what is written to the standard output: the other end of the pipe, or of the socket, is closed."""
    poll = select.poll()
    poll.register(_OUTPUT, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for unused, event in poll.poll(0))
