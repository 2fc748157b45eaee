# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Runs of operations: what was done with which instances, by whom, and how long each step took; and the plan of a run that has not ended.

A run has a row at each VMA that records something for it. Its id is the part of a lease's run before the dot: whoever takes up what was cut off goes on with
the same run.
"""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import schema
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction


def identity(run: str) -> str:
    """Return the id of the run that a lease is of."""
    return run.partition(".")[0]


def begin(tx: Transaction, run: str, opening: t.Mapping[str, t.Any]) -> None:
    """Keep the plan of a run, unless it is kept.

    Args:
        tx: a transaction.
        run: of the lease.
        opening: C(operation), C(subject), C(who), C(instances) and C(plan), the plan as text.
    """
    if not _found(tx, identity(run)):
        values = {key: opening[key] for key in ("operation", "subject", "who", "instances", "plan")}
        tx.note(sa.insert(schema.RUNS).values(run=identity(run), began=_now(), ended=None, outcome=None, steps=[], **values))


def end(tx: Transaction, run: str, outcome: str, steps: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Say how a run ended, and what each step was; its plan is not needed any more."""
    values = {"ended": _now(), "outcome": outcome, "steps": [dict(step) for step in steps], "plan": None}
    tx.note(sa.update(schema.RUNS).where(schema.RUNS.c.run == identity(run), schema.RUNS.c.ended.is_(None)).values(**values))


def listing(tx: Transaction, last: int, instance: str | None = None, domain: str | None = None) -> list[dict[str, t.Any]]:
    """Return all runs that have not ended and the *last* ones that have, oldest first; only those with *instance* or of *domain*, if given."""
    if not tx.has(schema.RUNS):
        return []
    began = schema.RUNS.c.began
    ended = [row for row in tx.rows(sa.select(schema.RUNS).where(schema.RUNS.c.ended.is_not(None)).order_by(began.desc())) if _about(row, instance, domain)]
    found = [*unfinished(tx, instance, domain), *ended[:last]]
    return sorted(found, key=lambda row: (row["began"], row["run"]))


def unfinished(tx: Transaction, instance: str | None = None, domain: str | None = None) -> list[dict[str, t.Any]]:
    """Return the runs that have not ended, only those with *instance* or of *domain*, if given."""
    if not tx.has(schema.RUNS):
        return []
    rows = tx.rows(sa.select(schema.RUNS).where(schema.RUNS.c.ended.is_(None)).order_by(schema.RUNS.c.began))
    return [row for row in rows if _about(row, instance, domain)]


def _about(row: t.Mapping[str, t.Any], instance: str | None, domain: str | None) -> bool:
    if instance is not None:
        return instance in row["instances"]
    return domain is None or any(name.partition(".")[2] == domain for name in row["instances"])


def _found(tx: Transaction, run: str) -> bool:
    return bool(tx.rows(sa.select(schema.RUNS.c.run).where(schema.RUNS.c.run == run)))


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
