# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Surroundings records and epochs as rows of the registry."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import claims, journal, placement, schema, surroundings
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Change

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction


def everything(tx: Transaction) -> list[dict[str, t.Any]]:
    """Return all records, sorted by instance."""
    return _found(tx)


def of_domain(tx: Transaction, domain: str) -> list[dict[str, t.Any]]:
    """Return the records of a domain."""
    if domain not in tx.neighbours:
        tx.neighbours[domain] = {record["instance"]: record for record in _found(tx, schema.RECORDS.c.domain == domain)}
    return list(tx.neighbours[domain].values())


def one(tx: Transaction, instance: str) -> dict[str, t.Any] | None:
    """Return the record of an instance, None if it has none."""
    found = _found(tx, schema.RECORDS.c.instance == instance)
    return found[0] if found else None


def used(tx: Transaction) -> placement.Used:
    """Return what all records take of each RM."""
    if tx.used is None:
        tx.used = {}
        records = schema.RECORDS.c
        sums = [sa.func.sum(sa.cast(records.requirements[key].as_string(), sa.BigInteger)).label(key) for key in placement.QUANTITIES]
        for rm, which in ((records.rm, sa.true()), (records.moves_to, records.moves_to != records.rm)):
            for row in tx.rows(sa.select(rm.label("rm"), *sums).where(which).group_by(rm)):
                placement.count(tx.used, {"rm": row["rm"], "requirements": {key: int(row[key]) for key in placement.QUANTITIES}})
    return tx.used


def holdings(tx: Transaction) -> dict[str, list[str]]:
    """Return the names of the instances that each RM holds, sorted."""
    held: dict[str, list[str]] = {}
    for row in tx.rows(sa.select(schema.RECORDS.c.rm, schema.RECORDS.c.instance).order_by(schema.RECORDS.c.instance)):
        held.setdefault(row["rm"], []).append(row["instance"])
    return held


def on(tx: Transaction, rm: str) -> list[str]:
    """Return the names of the instances that an RM holds or has room for because they move to it, sorted."""
    records = schema.RECORDS.c
    statement = sa.select(records.instance).where(sa.or_(records.rm == rm, records.moves_to == rm)).order_by(records.instance)
    return [row["instance"] for row in tx.rows(statement)]


def write(tx: Transaction, record: dict[str, t.Any]) -> None:
    """Make *record* the one of its instance, and remember its epoch."""
    before = one(tx, record["instance"])
    if before is None:
        tx.change(sa.insert(schema.RECORDS).values(**record))
    elif before != record:
        different = {key: value for key, value in record.items() if before[key] != value}
        tx.change(sa.update(schema.RECORDS).where(schema.RECORDS.c.instance == record["instance"]).values(**different))
    _replaced(tx, before, record)
    remember_epoch(tx, record["instance"], record["epoch"])


def remove(tx: Transaction, instance: str) -> None:
    """Remove a record, if there is one; what only it used rests from now on."""
    before = one(tx, instance)
    if before is not None:
        drop(tx, before)
        claims.release(tx, before)


def drop(tx: Transaction, record: dict[str, t.Any]) -> None:
    """Remove a record that is there, but not what it used."""
    tx.change(sa.delete(schema.RECORDS).where(schema.RECORDS.c.instance == record["instance"]))
    _replaced(tx, record, None)


def _found(tx: Transaction, *where: t.Any) -> list[dict[str, t.Any]]:
    rows = tx.rows(sa.select(schema.RECORDS).where(*where).order_by(schema.RECORDS.c.instance))
    return [{key: row[key] for key in surroundings.FIELDS} for row in rows]


def _replaced(tx: Transaction, before: dict[str, t.Any] | None, after: dict[str, t.Any] | None) -> None:
    """Keep what the transaction knows of records true."""
    for record, times in ((before, -1), (after, 1)):
        if record is None:
            continue
        if tx.used is not None:
            placement.count(tx.used, record, times)
        known = tx.neighbours.get(record["domain"], {})
        known.pop(record["instance"], None)
        if times > 0:
            known[record["instance"]] = record


def highest_epoch(tx: Transaction, instance: str) -> int:
    """Return the highest epoch ever granted here or seen for an instance; 0 if none was."""
    found = tx.rows(sa.select(schema.EPOCHS).where(schema.EPOCHS.c.instance == instance))
    return found[0]["epoch"] if found else 0


def epochs(tx: Transaction, instance: str | None = None, domain: str | None = None) -> dict[str, int]:
    """Return the highest epoch ever granted here or seen, by instance, also of those that are gone; only of *instance* or *domain*, if given."""
    statement = schema.only(sa.select(schema.EPOCHS), schema.EPOCHS, instance, domain).order_by(schema.EPOCHS.c.instance)
    return {row["instance"]: row["epoch"] for row in tx.rows(statement)}


def remember_epoch(tx: Transaction, instance: str, epoch: int) -> None:
    """Never grant *epoch* or less to an instance again."""
    known = highest_epoch(tx, instance)
    if known < epoch:
        tx.change(sa.delete(schema.EPOCHS).where(schema.EPOCHS.c.instance == instance))
        tx.change(sa.insert(schema.EPOCHS).values(instance=instance, epoch=epoch))


def router(tx: Transaction, domain: str) -> dict[str, t.Any]:
    """Return the current document of a domain's router."""
    return surroundings.router_document(of_domain(tx, domain), domain, tx.generation, claims.latest_vlan(tx, domain))


def view(tx: Transaction, instance: str) -> dict[str, t.Any]:
    """Return what a change of an instance can touch: its record and its latest operation."""
    return {"record": one(tx, instance), "operation": journal.summary(tx, instance)}


def outcome(tx: Transaction, instance: str, domain: str, before: dict[str, t.Any]) -> Change:
    """Return what a call did to an instance whose view was *before*."""
    after = view(tx, instance)
    return Change(before != after, before, after, {"record": after["record"], "router": router(tx, domain)})
