# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What VMAs that refuse say, and planners and reports that see it coming, in the same words. Nothing here needs a library."""

from __future__ import annotations

import typing as t

#: What an RM is at that starts its instances again; that ends by itself, and soon.
RESTART = "restart"


def busy(instance: str, hn: str, holder: t.Mapping[str, t.Any], left: float) -> str:
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


def astray(hn: str, stray: t.Mapping[str, t.Any]) -> str:
    """Return the sentence that says that an RM holds what its VMA does not know there.

    Args:
        hn: the HN.
        stray: the instance's C(name) and C(state), and the C(rm) that holds it.
    """
    return (
        f"{stray['name']} is {stray['state']} on {stray['rm']}, of which the registry of {hn} knows nothing, so nothing new comes to life there. Rebuild it by "
        f"the playbook rebuild with rebuild_hn={hn}, or remove that one with remove_instance={stray['name']} and remove_rm={stray['rm']}."
    )
