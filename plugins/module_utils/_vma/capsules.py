# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Which capsules the RMs hold, as far as anybody told. No document is made from that, so it leaves the registry's generation alone."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import schema
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Change, transaction

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction

Manifest = t.Mapping[str, t.Any]
#: What a capsule is known by.
Identity = t.Tuple[str, str, str]


def everything(tx: Transaction, domain: str | None = None) -> list[dict[str, t.Any]]:
    """Return the capsules, only those of *domain* if one is given, in their order, each with its C(manifest) and C(rms), its holders."""
    if not tx.has(schema.CAPSULES):
        return []
    capsules, holders = schema.CAPSULES.c, schema.HOLDERS.c
    known = sa.select(schema.CAPSULES).order_by(capsules.domain, capsules.name, capsules.version)
    held = sa.select(schema.HOLDERS).order_by(holders.rm)
    if domain is not None:
        known, held = known.where(capsules.domain == domain), held.where(holders.domain == domain)
    rms: dict[Identity, list[str]] = {}
    for row in tx.rows(held):
        rms.setdefault(_key(row), []).append(row["rm"])
    return [{"manifest": row["manifest"], "rms": rms.get(_key(row), [])} for row in tx.rows(known)]


def listed(tx: Transaction) -> set[str]:
    """Return the RMs that have told all that they hold."""
    return {row["rm"] for row in tx.rows(sa.select(schema.LISTINGS))} if tx.has(schema.LISTINGS) else set()


def of(tx: Transaction, rm: str) -> list[Identity] | None:
    """Return what an RM is known to hold, sorted; None if it has not told all of it."""
    return sorted(_held(tx, rm)) if rm in listed(tx) else None


def replace(tx: Transaction, rm: str, manifests: t.Iterable[Manifest]) -> bool:
    """Record that an RM holds these capsules and no others; return whether that is news."""
    wanted = {identity(manifest): manifest for manifest in manifests}
    is_new, gone = rm not in listed(tx), _held(tx, rm) - set(wanted)
    if is_new:
        tx.note(sa.insert(schema.LISTINGS).values(rm=rm))
    for known in gone:
        _drop(tx, rm, known)
    added = [_add(tx, rm, manifest) for manifest in wanted.values()]
    return is_new or bool(gone) or any(added)


def forget(tx: Transaction, rm: str) -> None:
    """Forget all that an RM holds."""
    for gone in _held(tx, rm):
        _drop(tx, rm, gone)
    tx.note(sa.delete(schema.LISTINGS).where(schema.LISTINGS.c.rm == rm))


def update(url: str, held: t.Sequence[t.Mapping[str, t.Any]], gone: t.Sequence[t.Mapping[str, t.Any]], dry_run: bool = False) -> Change:
    """Record what has become of capsules on RMs.

    Args:
        held: C(manifest) and C(rms), those that hold it now.
        gone: C(domain), C(name), C(version) and C(rms), those that do not hold it any more.

    Raises:
        InvalidInput: something is malformed.
        NotFound: the registry has not been set up, or one of the RMs that hold something has not subscribed.
    """
    with transaction(url, dry_run) as tx:
        subscribed = {row["name"] for row in tx.rows(sa.select(schema.RMS.c.name))}
        concerned = sorted({identity(each) for each in gone} | {identity(each["manifest"]) for each in held})
        before = {title(known): _holders(tx, known) for known in concerned}
        for each in gone:
            for rm in each["rms"]:
                _drop(tx, rm, identity(each))
        news = False
        for each in held:
            for rm in each["rms"]:
                if rm not in subscribed:
                    raise NotFound(f"{rm} has not subscribed to {tx.hn['name']} (vma_rm does that).")
                news |= _add(tx, rm, each["manifest"])
        after = {title(known): _holders(tx, known) for known in concerned}
        return Change(news or before != after, before, after, {})


def identity(described: Manifest) -> Identity:
    """Return what a capsule is known by; raise InvalidInput if that is malformed."""
    missing = [key for key in ("domain", "name", "version") if not described.get(key)]
    if missing:
        raise InvalidInput(f"A capsule that an RM holds lacks {', '.join(missing)}.")
    return names.domain(described["domain"]), names.label("service", described["name"]), names.version(described["version"])


def title(known: Identity) -> str:
    """Return what a capsule is called in sentences."""
    domain, name, version = known
    return f"{name} {version} of {domain}"


def _add(tx: Transaction, rm: str, manifest: Manifest) -> bool:
    """Record that an RM holds a capsule; return whether that, or what is in the capsule, is news.

    Versions do not change. If RMs differ about one nevertheless, what is recorded stays: whoever uses it asks the RM.
    """
    known = identity(manifest)
    there, holders = tx.rows(sa.select(schema.CAPSULES.c.manifest).where(*_is(schema.CAPSULES, known))), _holders(tx, known)
    is_other = not there or (there[0]["manifest"] != dict(manifest) and not set(holders) - {rm})
    if not there:
        tx.note(sa.insert(schema.CAPSULES).values(**_columns(known), manifest=dict(manifest)))
    elif is_other:
        tx.note(sa.update(schema.CAPSULES).where(*_is(schema.CAPSULES, known)).values(manifest=dict(manifest)))
    if rm not in holders:
        tx.note(sa.insert(schema.HOLDERS).values(rm=rm, **_columns(known)))
    return is_other or rm not in holders


def _drop(tx: Transaction, rm: str, known: Identity) -> None:
    tx.note(sa.delete(schema.HOLDERS).where(schema.HOLDERS.c.rm == rm, *_is(schema.HOLDERS, known)))
    if not tx.rows(sa.select(schema.HOLDERS.c.rm).where(*_is(schema.HOLDERS, known)).limit(1)):
        tx.note(sa.delete(schema.CAPSULES).where(*_is(schema.CAPSULES, known)))


def _holders(tx: Transaction, known: Identity) -> list[str]:
    return [row["rm"] for row in tx.rows(sa.select(schema.HOLDERS.c.rm).where(*_is(schema.HOLDERS, known)).order_by(schema.HOLDERS.c.rm))]


def _held(tx: Transaction, rm: str) -> set[Identity]:
    return {_key(row) for row in tx.rows(sa.select(schema.HOLDERS).where(schema.HOLDERS.c.rm == rm))}


def _key(row: t.Mapping[str, t.Any]) -> Identity:
    return row["domain"], row["name"], row["version"]


def _columns(known: Identity) -> dict[str, str]:
    return dict(zip(("domain", "name", "version"), known))


def _is(table: t.Any, known: Identity) -> list[t.Any]:
    return [table.c[key] == value for key, value in _columns(known).items()]
