# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""How it is said that somebody else is at work: by a VMA that refuses, and by a planner that sees it coming."""

from __future__ import annotations

import typing as t


def said(instance: str, hn: str, holder: t.Mapping[str, t.Any], left: float) -> str:
    """Return the sentence that says who has leased an instance in an HN.

    Args:
        instance: its name.
        hn: the HN.
        holder: C(operation), C(who) and C(since).
        left: seconds after which nobody waits for it any more.
    """
    return (
        f"{instance} is busy in {hn}: {holder['operation']} by {holder['who']} since {holder['since']}. Run this again when that has ended. If it is dead, "
        f"say so with -e operation_take_over=true, or wait until its lease ends in {max(0, round(left))} s; the playbook recover takes up what it did."
    )
