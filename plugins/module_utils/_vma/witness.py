# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Whether a registry knows all that lives in its HN: it may have been lost, or restored from a copy that is older than what it has granted.

A witness lies beside each registry, in the memory of the VMA's host. It holds the highest number of a lease that the registry has granted: one that knows
only of lower ones is not the one that granted it. And it holds which RMs have told what they hold since the host started: what is left of a whole host that
was restored remembers nothing, so its RMs are heard once more before anything new comes to life. So nothing has to be flushed for it.
"""

from __future__ import annotations

import hashlib
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import lock, read_json, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import leases, schema, sentences
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction

DIRECTORY = "/run/vmatrix/registries"

#: What is kept of an instance that an RM holds and the registry does not know there.
KEPT = ("name", "state", "epoch")

Held = t.Mapping[str, t.Any]


def bear(database: str, number: int) -> None:
    """Remember that the registry has granted a lease of that *number*, which is on the disk."""
    _change(database, lambda known: {**known, "lease": max(known["lease"], number)})


def hear(tx: Transaction, held: t.Mapping[str, t.Iterable[Held]]) -> None:
    """Remember what RMs hold, as soon as the transaction has ended well.

    Args:
        tx: a transaction.
        held: by RM the instances that live there or could: C(name), C(state), C(epoch), and the C(lease) that the RM last acted under for it (0).
    """
    strays = {rm: [{key: each[key] for key in KEPT} for each in found if _astray(tx, rm, each)] for rm, found in held.items()}
    tx.then(lambda: _change(tx.database, lambda known: {**known, "heard": {**known["heard"], **strays}}))


def forget(tx: Transaction, rm: str) -> None:
    """Forget an RM, as soon as the transaction has ended well."""
    tx.then(lambda: _change(tx.database, lambda known: {**known, "heard": {name: held for name, held in known["heard"].items() if name != rm}}))


def believe(tx: Transaction) -> None:
    """Take the registry for whole, as soon as the transaction has ended well: it was made from what all of its RMs hold."""
    number, machines = leases.highest(tx), _machines(tx)
    tx.then(lambda: _change(tx.database, lambda unused: {"lease": number, "heard": {rm: [] for rm in machines}}))


def older(tx: Transaction) -> bool:
    """Whether the registry has granted more than it knows of."""
    return leases.highest(tx) < _read(tx.database)["lease"]


def attended(tx: Transaction) -> bool:
    """Whether an operation has come here since the VMA's host started: it asked all VMAs, so none of them had given this HN up as lost."""
    known = _read(tx.database)
    return bool(known["lease"] or known.get("attended"))


def vouch(tx: Transaction) -> None:
    """Have it as though an operation had come here, as soon as the transaction has ended well."""
    tx.then(lambda: _change(tx.database, lambda known: {**known, "attended": True}))


def unheard(tx: Transaction) -> list[str]:
    """Return the RMs in service that have not told what they hold since the VMA's host started."""
    heard = _read(tx.database)["heard"]
    return [rm for rm, in_service in _machines(tx).items() if in_service and rm not in heard]


def strays(tx: Transaction) -> list[dict[str, t.Any]]:
    """Return what RMs hold though the registry does not know it there: C(rm), C(name), C(state) and C(epoch) of each instance."""
    recorded = _recorded(tx)
    found = _read(tx.database)["heard"].items()
    return [{"rm": rm, **each} for rm, held in sorted(found) for each in held if (rm, each["name"]) not in recorded]


def refuse_older(tx: Transaction) -> None:
    """Raise Refused if the registry has granted more than it knows of."""
    if older(tx):
        raise Refused(
            f"The registry of {tx.hn['name']} knows less than it has granted: it was lost, or restored from a copy. Rebuild it by the playbook rebuild "
            f"with rebuild_hn={tx.hn['name']}."
        )


def refuse_incomplete(tx: Transaction) -> None:
    """Raise Refused unless all RMs in service have told what they hold, and the registry knows all of it."""
    silent = unheard(tx)
    if silent:
        raise Refused(f"The VMA of {tx.hn['name']} has not heard what {' and '.join(silent)} runs since its host started: run the playbook site.")
    for each in strays(tx):
        raise Refused(sentences.astray(tx.hn["name"], each))


def _astray(tx: Transaction, rm: str, held: Held) -> bool:
    """Whether an RM holds what the registry does not know there.

    What does not run, and what the registry has granted a later lease for, was left behind by an operation that the registry knows of.
    """
    if (rm, held["name"]) in _recorded(tx):
        return False
    known = tx.rows(sa.select(schema.LEASES.c.number).where(schema.LEASES.c.instance == held["name"])) if tx.has(schema.LEASES) else []
    return held["state"] == "running" or not known or known[0]["number"] < held.get("lease", 0)


def _recorded(tx: Transaction) -> set[tuple[str, str]]:
    columns = schema.RECORDS.c
    rows = tx.rows(sa.select(columns.instance, columns.rm, columns.moves_to))
    return {(rm, row["instance"]) for row in rows for rm in (row["rm"], row["moves_to"]) if rm}


def _machines(tx: Transaction) -> dict[str, bool]:
    """Return whether each RM is in service, by name."""
    return {row["name"]: row["in_service"] for row in tx.rows(sa.select(schema.RMS.c.name, schema.RMS.c.in_service).order_by(schema.RMS.c.name))}


def _read(database: str) -> dict[str, t.Any]:
    return read_json(_path(database)) or {"lease": 0, "heard": {}}


def _change(database: str, change: t.Callable[[dict[str, t.Any]], dict[str, t.Any]]) -> None:
    os.makedirs(DIRECTORY, mode=0o700, exist_ok=True)
    with lock(f"{_path(database)}.lock", "the witness of a registry"):
        before = _read(database)
        after = change(before)
        if after != before:
            write_json(_path(database), after, 0o600)


def _path(database: str) -> str:
    return os.path.join(DIRECTORY, f"{hashlib.sha256(database.encode()).hexdigest()[:32]}.json")
