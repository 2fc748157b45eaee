# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What becomes of an instance after its reservation: its state, rotation, epoch, RM, and its end."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import addresses, journal, leases, placement, records, rms, surroundings
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Change, transaction

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction


def update(url: str, wanted: dict[str, t.Any], dry_run: bool = False) -> Change:
    """Write down what has become, or is about to become, of an instance.

    Args:
        wanted: instance; state (a state of records, or absent), expected (the states it may be in), in_rotation, epoch_above,
            forward_to, move, rm, step, operation and operation_done may be None.

    Raises:
        InvalidInput: something is malformed.
        NotFound: the instance has no record here.
        Refused: it would be in rotation without running, no other RM has room, or an operation has leased it.
    """
    name = names.instance(wanted["instance"])
    with transaction(url, dry_run) as tx:
        before = records.view(tx, wanted["instance"])
        with leases.without(tx, [wanted["instance"]]):
            change(tx, wanted)
        return records.outcome(tx, wanted["instance"], name.domain, before)


def change(tx: Transaction, wanted: dict[str, t.Any]) -> None:
    """Do the work of update(), with its arguments and errors, as a part of a transaction."""
    names.instance(wanted["instance"])
    step = wanted.get("step")
    if step is not None and (not step.strip() or "\n" in step):
        raise InvalidInput("A step of the journal must be one line of text.")
    if (wanted.get("epoch_above") or 0) < 0:
        raise InvalidInput(f"epoch_above must not be negative, as {wanted['epoch_above']} is.")
    before = records.one(tx, wanted["instance"])
    if before and wanted.get("expected") and before["state"] not in wanted["expected"]:
        raise Refused(f"{wanted['instance']} is {before['state']} in {tx.hn['name']}: another operation has begun to use it, so it stays.")
    if wanted.get("state") == "absent":
        _remove(tx, before, wanted)
    else:
        _change(tx, before, wanted)
    _journal(tx, wanted, records.one(tx, wanted["instance"]) != before)


def _remove(tx: Transaction, record: dict[str, t.Any] | None, wanted: dict[str, t.Any]) -> None:
    if wanted.get("in_rotation"):
        raise Refused(f"{wanted['instance']} cannot be in rotation while it is absent: only what is running can.")
    if record is not None:
        records.remove(tx, record["instance"])


def _change(tx: Transaction, record: dict[str, t.Any] | None, wanted: dict[str, t.Any]) -> None:
    if record is None:
        raise NotFound(f"{wanted['instance']} has no record in {tx.hn['name']}: a reservation (vma_reservation) comes first.")
    after = surroundings.with_state(record, wanted.get("state"), wanted.get("in_rotation"))
    if wanted.get("forward_to"):
        if after["state"] != "leaving":
            raise Refused(f"{record['instance']} is {after['state']}, not leaving: only an instance that is leaving has late-comers to forward.")
        after["forward_to"] = addresses.ipv4("The address to forward to", wanted["forward_to"])
    if wanted.get("move") == "begin":
        after["moves_to"] = _target(tx, record, wanted)
    elif wanted.get("move") == "end" and record["moves_to"]:
        after.update(rm=record["moves_to"], moves_to=None)
    elif wanted.get("move") == "give_up":
        after["moves_to"] = None
    if record["epoch"] <= (wanted.get("epoch_above") or 0):
        after["epoch"] = max(records.highest_epoch(tx, record["instance"]), wanted["epoch_above"]) + 1
    records.write(tx, after)


def _target(tx: Transaction, record: dict[str, t.Any], wanted: dict[str, t.Any]) -> str:
    """Return the RM that an instance moves to inside its HN: the one that was chosen before, if it will do."""
    if wanted.get("rm") in (None, record["moves_to"]) and record["moves_to"]:
        return record["moves_to"]
    by_others = copy.deepcopy(records.used(tx))
    placement.count(by_others, record, -1)
    overcommit, pin, here = tx.hn["vcpu_overcommit"], wanted.get("rm"), [record["rm"]]
    return placement.choose(tx.hn["name"], record["instance"], record["requirements"], rms.everything(tx), by_others, overcommit, pin=pin, exclude=here)


def _journal(tx: Transaction, wanted: dict[str, t.Any], changed: bool) -> None:
    instance, step, kind = wanted["instance"], wanted.get("step"), wanted.get("operation")
    opened = False
    # Without a change there is nothing to take up or undo, so a second run opens nothing.
    if changed and (step or kind) and journal.current(tx, instance) is None:
        journal.begin(tx, instance, kind or "change")
        opened = True
    if step:
        journal.append(tx, instance, step)
    # Nothing of an instance without a record can be taken up or undone here.
    if wanted.get("operation_done") or wanted.get("state") == "absent" or (opened and not kind):
        journal.close(tx, instance)
