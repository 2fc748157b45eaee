# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""How long is waited for what takes the longer the more memory a guest has, where nobody says how long."""

from __future__ import annotations

#: Seconds for what does not depend on the memory.
LEAST = 60.0
#: Seconds for each GiB of memory that is written, read or sent: a slow disk or wire does 50 MB/s.
PER_GIB = 20.0


def patience(memory_mib: int, asked: float | None = None, least: float = LEAST, passes: int = 1) -> float:
    """Return for how many seconds to wait.

    Args:
        memory_mib: the guest's memory.
        asked: what somebody has asked for; nothing else counts then.
        least: what it may take besides.
        passes: how often the memory is written, read or sent.
    """
    return least + passes * PER_GIB * memory_mib / 1024 if asked is None else asked
