# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Which engines run: those of one archive, whose modules must not be mixed with those of a newer one."""

from __future__ import annotations

import os


def version() -> int:
    """Return when the archive that Python reads the engines from was written; a daemon that sees this change must end, to be started anew."""
    return os.stat(getattr(__loader__, "archive", __file__)).st_mtime_ns
