# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""An RM is lost: an instance of it gets room on another one, and an epoch above all that the lost one can know of.

Until that is brought to its end the record says where the instance was and where it is to be (C(moves_to)), so it is neither forgotten nor given to anybody
else. The lost RM is in an older epoch from here on, so it never runs the instance again by itself (C(restarts)). C(instances) ends a rescue, or gives it up.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import journal, placement, records, rms, witness

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction

#: What the journal calls it.
KIND = "rescue"


def ensure(tx: Transaction, instance: str, wanted: t.Mapping[str, t.Any]) -> None:
    """Take room and an epoch for an instance of an RM that is lost, as a part of a transaction; what a rescue has begun goes on where that led.

    Args:
        tx: the transaction.
        instance: the instance's name.
        wanted: C(lost), the RM that it was on; C(rm), the one that it is to be on; C(epoch_above), what its epoch has to be above, if it is not yet.

    Raises:
        InvalidInput: something is malformed.
        NotFound: the instance has no record here.
        Refused: it is not on that RM, or on its way by a move; it does not live, or not yet; the other RM has no room; or an RM may run what is not known.
    """
    if wanted["epoch_above"] < 0:
        raise InvalidInput(f"epoch_above must not be negative, as {wanted['epoch_above']} is.")
    witness.refuse_incomplete(tx)
    record = records.one(tx, instance)
    if record is None:
        raise NotFound(f"{instance} has no record in {tx.hn['name']}, so there is nothing to rescue.")
    lost, begun = wanted["lost"], (journal.current(tx, instance) or {}).get("kind") == KIND
    if lost not in (record["rm"], record["moves_to"]):
        raise Refused(f"{instance} is on {record['rm']} in {tx.hn['name']} by now, not on {lost}; run this again.")
    if record["moves_to"] and not begun:
        raise Refused(f"{instance} is on its way from {record['rm']} to {record['moves_to']}; finish that move first by running it again, or recover it.")
    if record["state"] in ("reserved", "leaving"):
        raise Refused(f"{instance} is {record['state']} in {tx.hn['name']}, so there is no life to rescue.")
    if record["moves_to"] not in (None, lost, wanted["rm"]):
        # It may live there by now.
        raise Refused(f"{instance} is on its way from {record['rm']} to {record['moves_to']} by a rescue that has not ended; run this again.")
    if record["moves_to"] != wanted["rm"]:
        there = (record["rm"], lost)
        overcommit, pin = tx.hn["vcpu_overcommit"], wanted["rm"]
        rm = placement.choose(tx.hn["name"], instance, record["requirements"], rms.everything(tx), records.used(tx), overcommit, pin=pin, exclude=there)
        record = {**record, "moves_to": rm}
    if record["epoch"] <= wanted["epoch_above"]:
        record = {**record, "epoch": max(records.highest_epoch(tx, instance), wanted["epoch_above"]) + 1}
    if not begun:
        # What was at work on it when its RM was lost does not come to its end any more.
        journal.close(tx, instance)
        journal.begin(tx, instance, KIND)
    records.write(tx, record)
