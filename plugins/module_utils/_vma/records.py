# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Surroundings records and epochs as rows of the registry."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import claims, journal, schema, surroundings
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Change

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction


def everything(tx: Transaction) -> list[dict[str, t.Any]]:
    """Return all records, sorted by instance."""
    rows = tx.rows(sa.select(schema.RECORDS).order_by(schema.RECORDS.c.instance))
    return [{key: row[key] for key in surroundings.FIELDS} for row in rows]


def one(tx: Transaction, instance: str) -> dict[str, t.Any] | None:
    """Return the record of an instance, None if it has none."""
    return next((record for record in everything(tx) if record["instance"] == instance), None)


def write(tx: Transaction, record: dict[str, t.Any]) -> None:
    """Make *record* the one of its instance, and remember its epoch."""
    before = one(tx, record["instance"])
    if before is None:
        tx.change(sa.insert(schema.RECORDS).values(**record))
    elif before != record:
        tx.change(sa.update(schema.RECORDS).where(schema.RECORDS.c.instance == record["instance"]).values(**record))
    remember_epoch(tx, record["instance"], record["epoch"])


def remove(tx: Transaction, instance: str) -> None:
    """Remove a record; what only it used rests from now on."""
    tx.change(sa.delete(schema.RECORDS).where(schema.RECORDS.c.instance == instance))
    claims.release(tx, everything(tx))


def highest_epoch(tx: Transaction, instance: str) -> int:
    """Return the highest epoch ever granted here or seen for an instance; 0 if none was."""
    found = tx.rows(sa.select(schema.EPOCHS).where(schema.EPOCHS.c.instance == instance))
    return found[0]["epoch"] if found else 0


def epochs(tx: Transaction) -> dict[str, int]:
    """Return the highest epoch ever granted here or seen, by instance; also of those that are gone."""
    return {row["instance"]: row["epoch"] for row in tx.rows(sa.select(schema.EPOCHS).order_by(schema.EPOCHS.c.instance))}


def remember_epoch(tx: Transaction, instance: str, epoch: int) -> None:
    """Never grant *epoch* or less to an instance again."""
    known = highest_epoch(tx, instance)
    if known < epoch:
        tx.change(sa.delete(schema.EPOCHS).where(schema.EPOCHS.c.instance == instance))
        tx.change(sa.insert(schema.EPOCHS).values(instance=instance, epoch=epoch))


def router(tx: Transaction, domain: str) -> dict[str, t.Any]:
    """Return the current document of a domain's router."""
    return surroundings.router_document(everything(tx), domain, tx.generation, claims.latest_vlan(tx, domain))


def view(tx: Transaction, instance: str) -> dict[str, t.Any]:
    """Return what a change of an instance can touch: its record and its latest operation."""
    return {"record": one(tx, instance), "operation": journal.summary(tx, instance)}


def outcome(tx: Transaction, instance: str, domain: str, before: dict[str, t.Any]) -> Change:
    """Return what a call did to an instance whose view was *before*."""
    after = view(tx, instance)
    return Change(before != after, before, after, {"record": after["record"], "router": router(tx, domain)})
