# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""An RM that has started asks which of its instances it may start again.

It knows in which epochs it may run them, but not whether one of them was given up meanwhile, or is at rest, or in the hands of an operation. For as long as it
starts what it may it has a lease, so that no operation comes in between.
"""

from __future__ import annotations

import typing as t
import uuid

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import journal, leases, records, runs, witness
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import transaction
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.sentences import RESTART

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction

#: Seconds that the RM has for starting what it may.
SECONDS = 300.0


def begin(url: str, rm: str, wanted: t.Mapping[str, int], alone: bool = False) -> dict[str, t.Any]:
    """Let an RM start instances, as far as they are to run there and nobody is at work on them.

    Args:
        url: the registry.
        rm: the RM that asks.
        wanted: the epoch of each instance that it found without its power.
        alone: whether the mesh has no other HN, so that nobody can have given this one up.

    Returns:
        C(granted), the number of the lease of each that it may start; C(later), why it has to ask again for others; C(never), why the rest stay as they are;
        C(run), by which it tells when it is done, and the C(seconds) that it has for that.

    Raises:
        InvalidInput: something is malformed.
        Refused: the registry knows less than it has granted, or its HN may have been given up.
    """
    names.machine(rm)
    granted: dict[str, int] = {}
    later: dict[str, str] = {}
    never: dict[str, str] = {}
    with transaction(url) as tx:
        witness.refuse_older(tx)
        if not alone and not witness.attended(tx):
            raise Refused(
                f"The VMA of {tx.hn['name']} has started, too, and no operation has come to it since, so it does not know whether it was given up as "
                "lost meanwhile: run the playbook recover."
            )
        lease = leases.Lease(uuid.uuid4().hex, RESTART, f"{rm}, which has started", {"rm": rm}, SECONDS, leases.highest(tx), over=_former(tx, rm))
        for name, epoch in sorted(wanted.items()):
            names.instance(name)
            why = _elsewhere(tx, rm, name, epoch)
            if why:
                never[name] = why
                continue
            why = _in_other_hands(tx, name)
            try:
                granted.update({} if why else leases.take(tx, lease, [name]))
            except leases.Busy as exc:
                why = exc.message
            if why:
                later[name] = why
    return {"granted": granted, "later": later, "never": never, "run": lease.run, "seconds": SECONDS}


def end(url: str, rm: str, run: str) -> dict[str, t.Any]:
    """End the lease of an RM that has started what it may; that of anybody else stays."""
    with transaction(url) as tx:
        if any(each["run"] == run for each in _leased(tx, rm)):
            leases.release(tx, leases.Lease(run, RESTART, rm, {}, SECONDS))
    return {}


def _elsewhere(tx: Transaction, rm: str, name: str, epoch: int) -> str:
    """Return why an RM is not to start an instance at all, if there is a reason."""
    record = records.one(tx, name)
    if record is None or record["rm"] != rm:
        return f"{name} does not live on {rm} any more, says the registry of {tx.hn['name']}."
    if record["state"] != "running":
        return f"{name} is {record['state']} by the registry of {tx.hn['name']}, so it is not started."
    if record["epoch"] != epoch:
        return f"{name} is known to {rm} in the epoch {epoch} and to the registry of {tx.hn['name']} in {record['epoch']}, so it is not started."
    return ""


def _in_other_hands(tx: Transaction, name: str) -> str:
    """Return which operation has not ended that an instance is a part of, if there is one."""
    begun = journal.current(tx, name)
    if begun:
        return f"The {begun['kind']} of {name} that began at {begun['opened']} has not ended."
    cut_off = runs.unfinished(tx, name)
    return f"{name} is a part of the {cut_off[0]['operation']} of {cut_off[0]['subject']}, which has not ended." if cut_off else ""


def _leased(tx: Transaction, rm: str) -> list[dict[str, t.Any]]:
    """Return the leases that an RM has for starting."""
    return [each for each in leases.listing(tx) if each["operation"] == RESTART and each["controller"].get("rm") == rm]


def _former(tx: Transaction, rm: str) -> dict[str, list[int]]:
    """Return the leases that the RM had when it lost its power once more: nobody will come back for them."""
    return {each["instance"]: [each["number"]] for each in _leased(tx, rm)}
