# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""HNs that an operator gave up as lost when they did not answer, so that what they knew need not be heard any more.

Should one come back, what lives elsewhere by now must not live on there: until that is cleared, nobody believes its VMA.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import schema
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction


def give_up(tx: Transaction, hns: t.Iterable[str], who: str, since: str) -> None:
    """Write down that HNs were given up; what is written down of one already stays."""
    known = {each["hn"] for each in listing(tx)}
    for hn in sorted(set(hns) - known):
        tx.note(sa.insert(schema.LOST).values(hn=hn, who=who, since=since))


def listing(tx: Transaction) -> list[dict[str, t.Any]]:
    """Return the HNs that were given up: C(hn), C(who) gave it up, and C(since) when."""
    return tx.rows(sa.select(schema.LOST).order_by(schema.LOST.c.hn)) if tx.has(schema.LOST) else []


def readmit(tx: Transaction, hn: str) -> bool:
    """Write down that an HN is back; return whether it had been given up."""
    before = any(each["hn"] == hn for each in listing(tx))
    if before:
        tx.note(sa.delete(schema.LOST).where(schema.LOST.c.hn == hn))
    return before
