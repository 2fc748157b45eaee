# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The journal: what was begun with an instance, step by step, and whether it has ended."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import schema
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction


_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def current(tx: Transaction, instance: str) -> dict[str, t.Any] | None:
    """Return the open operation of an instance, if any."""
    found = tx.rows(sa.select(schema.OPERATIONS).where(schema.OPERATIONS.c.instance == instance, schema.OPERATIONS.c.closed.is_(None)))
    return found[0] if found else None


def begin(tx: Transaction, instance: str, kind: str) -> None:
    """Open an operation, unless one is open for the instance already (which is then taken up)."""
    if current(tx, instance) is None:
        tx.note(sa.insert(schema.OPERATIONS).values(instance=instance, kind=kind, opened=_now(), closed=None, steps=[]))


def append(tx: Transaction, instance: str, step: str) -> None:
    """Append a step to the open operation, unless it is the last one already."""
    operation = current(tx, instance)
    if operation is not None and [entry["step"] for entry in operation["steps"][-1:]] != [step]:
        steps = [*operation["steps"], {"at": _now(), "step": step}]
        tx.note(sa.update(schema.OPERATIONS).where(schema.OPERATIONS.c.id == operation["id"]).values(steps=steps))


def close(tx: Transaction, instance: str) -> None:
    """Close the open operation of an instance, if any."""
    tx.note(sa.update(schema.OPERATIONS).where(schema.OPERATIONS.c.instance == instance, schema.OPERATIONS.c.closed.is_(None)).values(closed=_now()))


def summary(tx: Transaction, instance: str) -> dict[str, t.Any] | None:
    """Return the latest operation of an instance without its times, to compare before and after."""
    found = tx.rows(sa.select(schema.OPERATIONS).where(schema.OPERATIONS.c.instance == instance).order_by(schema.OPERATIONS.c.id.desc()).limit(1))
    return {"kind": found[0]["kind"], "steps": [entry["step"] for entry in found[0]["steps"]], "done": found[0]["closed"] is not None} if found else None


def listing(tx: Transaction, last: int, instance: str | None = None, domain: str | None = None) -> list[dict[str, t.Any]]:
    """Return all open operations and the *last* closed ones, oldest first; only those of *instance* or *domain*, if given."""
    ended, number = schema.OPERATIONS.c.closed, schema.OPERATIONS.c.id
    asked = schema.only(sa.select(schema.OPERATIONS), schema.OPERATIONS, instance, domain)
    found = [*tx.rows(asked.where(ended.is_(None))), *tx.rows(asked.where(ended.is_not(None)).order_by(number.desc()).limit(last))]
    return sorted(found, key=lambda operation: operation["id"])


def before(seconds: float) -> str:
    """Return the moment so many seconds ago, as entries say it."""
    return (datetime.datetime.strptime(_now(), _FORMAT) - datetime.timedelta(seconds=seconds)).strftime(_FORMAT)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime(_FORMAT)
