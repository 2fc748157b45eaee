# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Leases: which operation may change an instance, and until when nobody may take its place.

A lease has a number, which grows with every one that is granted for the instance (M. Burrows, The Chubby lock service, OSDI 2006, section 2.4, calls it a
sequencer). Whoever acts for the operation says the number, and who knows of a higher one refuses. So a lease may end while its operation still
believes in it, as when its controller slept: nothing has to trust clocks but the wait for a controller that died. Numbers are not below the milliseconds of
the clock (S. Kulkarni et al., Logical Physical Clocks, OPODIS 2014), so a registry that was lost grants none again either.
"""

from __future__ import annotations

import contextlib
import datetime
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import lost, runs, schema, sentences
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction


class Busy(Refused):
    """Another operation has what is asked for; it may give it back."""


class Followed(Refused):
    """Another operation has come to an instance since the one was cut off that is to be taken up."""


class Lease(t.NamedTuple):
    """What an operation says of itself with each call.

    Attributes:
        run: the id of this run of it.
        operation: its verb.
        who: who runs it, for a sentence.
        controller: the process that runs it, as the controller may tell later that it is gone.
        seconds: how long after a call nobody may take its place.
        above: the highest number that any VMA had granted when the operation looked at them.
        numbers: what was granted to it so far, by instance.
        over: the numbers of leases, by instance, that it may replace although they have not ended.
        resumes: the run that was cut off and that this one takes up, if it does: nobody may have come to the instances since.
        looked: the highest number that any VMA had granted when the run that it takes up looked at them.
        lost: the HNs that its operator has given up.
        opening: at the first call of a run, what is kept of it, as runs.begin() takes it.
        closing: at the last one, C(outcome) and C(steps), as runs.end() takes them.
    """

    run: str
    operation: str
    who: str
    controller: t.Mapping[str, t.Any]
    seconds: float
    above: int = 0
    numbers: t.Mapping[str, int] = {}
    over: t.Mapping[str, t.Sequence[int]] = {}
    resumes: str | None = None
    looked: int = 0
    lost: t.Sequence[str] = ()
    opening: t.Mapping[str, t.Any] | None = None
    closing: t.Mapping[str, t.Any] | None = None


def take(tx: Transaction, lease: Lease, instances: t.Iterable[str]) -> dict[str, int]:
    """Lease instances, or go on with what was leased; return the numbers, by instance.

    Raises:
        Busy: another operation has leased one of them.
        Refused: another operation has done so since this one looked, or since its own lease ended.
    """
    granted = {instance: _grant(tx, lease, instance, _free(tx, instance, lease)) for instance in instances}
    if lease.lost:
        lost.give_up(tx, lease.lost, lease.who, _shown(_now()))
    if lease.opening:
        runs.begin(tx, lease.run, lease.opening)
    return granted


def take_up(tx: Transaction, lease: Lease, instances: t.Iterable[str]) -> dict[str, int]:
    """Lease, of instances, those that nobody else has come to since a run was cut off; return their numbers. With the others that run had not begun.

    For it had a lease before it did, and whoever looked after that has been refused until it was taken up.

    Raises:
        Busy: another operation has leased one of them.
    """
    granted: dict[str, int] = {}
    for instance in instances:
        with contextlib.suppress(Followed):
            granted.update(take(tx, lease, [instance]))
    return granted


def raised(tx: Transaction, granted: t.Mapping[str, int]) -> dict[str, int]:
    """Return the numbers of leases with one of them raised above all that was granted here: so what is said now can be told from what was said before."""
    if not granted:
        return {}
    instance, number = min(granted), _next(tx)
    _write(tx, {}, instance, number=number)
    return {**granted, instance: number}


@contextlib.contextmanager
def without(tx: Transaction, instances: t.Collection[str]) -> t.Iterator[None]:
    """Change instances, inside, by a call that belongs to no operation. If it changes anything, whoever looked before that has to look again.

    Raises:
        Busy: an operation has leased one of them.
    """
    rows = {instance: _free(tx, instance) for instance in instances}
    yield
    if tx.raised:
        for instance, row in rows.items():
            _write(tx, row, instance, number=_next(tx), run=None, last=None, holder={}, until=0)


def know(tx: Transaction, number: int, instances: t.Iterable[str]) -> None:
    """Grant no lease of *number* or less any more; it was granted for one of *instances*."""
    if highest(tx) < number:
        for instance in sorted(instances):
            _write(tx, _free(tx, instance), instance, number=number, run=None, last=None, holder={}, until=0)


def release(tx: Transaction, lease: Lease, instances: t.Collection[str] | None = None) -> list[str]:
    """End the leases that an operation has here, of *instances* only if they are given, and return the names of its instances.

    Who has taken up a run ends what that had leased, too: nobody will come back for it.
    """
    taken_up = sa.and_(schema.LEASES.c.run.is_not(None), schema.LEASES.c.last == lease.resumes)
    mine = taken_up if lease.resumes else schema.LEASES.c.run == lease.run
    if lease.closing:
        runs.end(tx, lease.run, lease.closing["outcome"], lease.closing["steps"])
    if instances is not None:
        mine = sa.and_(mine, schema.LEASES.c.instance.in_(instances))
    found = [row["instance"] for row in tx.rows(sa.select(schema.LEASES.c.instance).where(mine).order_by(schema.LEASES.c.instance))]
    if found:
        tx.note(sa.update(schema.LEASES).where(mine).values(run=None, holder={}, until=0))
    return found


def listing(tx: Transaction, instance: str | None = None, domain: str | None = None) -> list[dict[str, t.Any]]:
    """Return the leases that have not ended, with the seconds that are C(left) of each; only those of *instance* or *domain*, if given."""
    if not tx.has(schema.LEASES):
        return []
    now = _now()
    asked = schema.only(sa.select(schema.LEASES), schema.LEASES, instance, domain)
    rows = tx.rows(asked.where(schema.LEASES.c.run.is_not(None), schema.LEASES.c.until > now).order_by(schema.LEASES.c.instance))
    return [{**{key: row[key] for key in ("instance", "number", "run")}, **row["holder"], "left": round(row["until"] - now, 1)} for row in rows]


def highest(tx: Transaction) -> int:
    """Return the highest number that was granted here or is known from elsewhere; 0 if none is."""
    found = tx.rows(sa.select(sa.func.max(schema.LEASES.c.number).label("highest"))) if tx.has(schema.LEASES) else []
    return found[0]["highest"] or 0 if found else 0


def _grant(tx: Transaction, lease: Lease, instance: str, row: dict[str, t.Any] | None) -> int:
    mine, known = lease.numbers.get(instance), row["number"] if row else 0
    if lease.resumes and row and row["last"] != lease.resumes and row["number"] > lease.looked:
        raise Followed(f"Another operation has come to {instance} in {tx.hn['name']} since this one was cut off, so it is not taken up.")
    if row and row["run"] == lease.run:
        number: int = max(known, mine or 0)
    elif known > (lease.above if mine is None else mine) and not _gives_way(lease, row):
        raise Refused(f"Another operation came to {instance} in {tx.hn['name']} since this one looked there; run this again when that has ended.")
    else:
        number = _next(tx, lease.above) if mine is None else max(mine, known)
    if row and row["last"] and row["last"] != runs.identity(lease.run):
        # Its instance is in other hands now, so it cannot be taken up any more, if it was cut off.
        runs.end(tx, row["last"], "replaced", [])
    since = row["holder"]["since"] if row and row["run"] == lease.run else _shown(_now())
    holder = {"operation": lease.operation, "who": lease.who, "controller": dict(lease.controller), "since": since}
    _write(tx, row, instance, number=number, run=lease.run, last=runs.identity(lease.run), holder=holder, until=_now() + lease.seconds)
    return number


def _next(tx: Transaction, above: int = 0) -> int:
    return max(highest(tx), above, _milliseconds()) + 1


def _free(tx: Transaction, instance: str, lease: Lease | None = None) -> dict[str, t.Any] | None:
    """Return the row of an instance, if there is one; raise Busy unless the lease in it has ended, or is this one, or gives way to it."""
    found = tx.rows(sa.select(schema.LEASES).where(schema.LEASES.c.instance == instance))
    row = found[0] if found else None
    if row and row["run"] and row["run"] != (lease and lease.run) and row["until"] > _now() and not _gives_way(lease, row):
        raise Busy(sentences.busy(instance, tx.hn["name"], row["holder"], row["until"] - _now()))
    return row


def _write(tx: Transaction, row: dict[str, t.Any] | None, instance: str, **values: t.Any) -> None:
    # Whoever loses any of these numbers is noticed by the highest.
    tx.granted = max(tx.granted, values["number"])
    if row is None:
        tx.note(sa.insert(schema.LEASES).values(instance=instance, **values))
    else:
        tx.note(sa.update(schema.LEASES).where(schema.LEASES.c.instance == instance).values(**values))


def _gives_way(lease: Lease | None, row: t.Mapping[str, t.Any] | None) -> bool:
    return bool(lease and row and row["number"] in lease.over.get(row["instance"], ()))


def _now() -> float:
    return time.time()


def _milliseconds() -> int:
    return int(_now() * 1000)


def _shown(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
