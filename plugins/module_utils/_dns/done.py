# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What an engine of this room did."""

from __future__ import annotations

import typing as t


class Done(t.NamedTuple):
    """What was done, or would be done in check mode; the fields are those of an Outcome."""

    changed: bool
    before: t.Any
    after: t.Any
    result: dict[str, t.Any]
