# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What keeps two operations in different HNs from giving life to one name.

Each reserves the name in its own HN, and asks the VMAs of all others for their consent when that is committed. Of two that do so at the same time at
least one is refused, since whoever asks last finds what the other has reserved (E. W. Dijkstra, EWD 123, section 2.1, on T. J. Dekker's algorithm). So
nothing has to be locked, and nobody has to be waited for.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import journal, records, reservations, witness
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import reading


def consent(url: str, lives: t.Iterable[t.Mapping[str, t.Any]]) -> None:
    """Agree to what was reserved in another HN.

    Args:
        url: the registry.
        lives: C(instance) and C(epoch) of each reservation.

    Raises:
        InvalidInput: there is no such name.
        Refused: one of them is known here, or has had a newer epoch here; or an RM may run it without that it is known.
    """
    with reading(url) as tx:
        witness.refuse_older(tx)
        witness.refuse_incomplete(tx)
        given_back = reservations.expired(tx)
        for each in lives:
            instance = each["instance"]
            names.instance(instance)
            record = records.one(tx, instance)
            if record is not None and instance not in given_back:
                operation = journal.current(tx, instance)
                why = f"since its {operation['kind']} began at {operation['opened']}" if operation else "already"
                raise Refused(f"{instance} is {record['state']} in {tx.hn['name']} {why}: another operation was faster, so it gets no life elsewhere.")
            newest = records.highest_epoch(tx, instance)
            if newest >= each["epoch"]:
                raise Refused(f"{instance} has had the epoch {newest} in {tx.hn['name']} since this was planned; run this again.")
