# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What an engine did, as every module and every step of an operation reports it."""

from __future__ import annotations

import typing as t


class Outcome(t.NamedTuple):
    """What an engine did, or would do in check mode.

    Attributes:
        changed: whether the state differs (or would differ) from before.
        before: the state that was found, as JSON-like data; shown in a diff, which Ansible can make of mappings only (None is nothing).
        after: the state that is there now (or would be).
        result: what the module returns besides.
    """

    changed: bool
    before: t.Mapping[str, t.Any] | None
    after: t.Mapping[str, t.Any] | None
    result: dict[str, t.Any]
