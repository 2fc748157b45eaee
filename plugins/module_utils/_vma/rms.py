# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""RM subscriptions."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import capsules, records, schema, witness
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Change, transaction

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction

NEEDED = ("address", "memory_mib", "vcpus", "disk_bytes", "machine_types", "cpus", "accelerator")

#: A host name or address; it becomes a program's argument, so it must not begin with a hyphen.
ADDRESS = r"[0-9A-Za-z][0-9A-Za-z.:-]{0,252}"


def everything(tx: Transaction) -> list[dict[str, t.Any]]:
    """Return all subscriptions, sorted by name."""
    return tx.rows(sa.select(schema.RMS).order_by(schema.RMS.c.name))


def subscribe(url: str, name: str, wanted: dict[str, t.Any], dry_run: bool = False) -> Change:
    """Record an RM, or what has changed about it.

    Args:
        wanted: keys of a subscription; capsules, the manifests of all that it holds; instances, those that live there or could, as witness.hear() takes
            them. None or none keeps what is recorded; at first in_service is true, and there are no instances.

    Raises:
        InvalidInput: something is malformed, or the RM is new and something about it is not said.
        NotFound: the registry has not been set up.
    """
    names.machine(name)
    given = {key: value for key, value in wanted.items() if value is not None}
    _check(name, given)
    held, instances = given.pop("capsules", None), given.pop("instances", None)
    with transaction(url, dry_run, mends=True) as tx:
        before = _one(tx, name)
        missing = [key for key in NEEDED if key not in given]
        if before is None and missing:
            raise InvalidInput(f"{name} has not subscribed to {tx.hn['name']} yet, so this must be said too: {', '.join(missing)}.")
        after = {"name": name, "in_service": True, **(before or {}), **given}
        for key in ("machine_types", "cpus"):
            after[key] = sorted(set(after[key]))
        if before is None:
            tx.change(sa.insert(schema.RMS).values(**after))
        elif before != after:
            tx.change(sa.update(schema.RMS).where(schema.RMS.c.name == name).values(**after))
        shown = {} if before is None else {**before, **_told(capsules.of(tx, name))}
        news = held is not None and capsules.replace(tx, name, held)
        after.update(_told(capsules.of(tx, name)))
        if instances is not None or before is None:
            witness.hear(tx, {name: instances or []})
        return Change(news or shown != after, shown, after, {"rm": after})


def unsubscribe(url: str, name: str, dry_run: bool = False) -> Change:
    """Forget an RM.

    Raises:
        Refused: it holds instances, or room for one that moves to it.
    """
    names.machine(name)
    with transaction(url, dry_run) as tx:
        before = _one(tx, name)
        held = records.on(tx, name)
        if held:
            raise Refused(f"{name} cannot leave {tx.hn['name']}: it holds {', '.join(held)}.")
        if before is not None:
            capsules.forget(tx, name)
            witness.forget(tx, name)
            tx.change(sa.delete(schema.RMS).where(schema.RMS.c.name == name))
        return Change(before is not None, before or {}, {}, {"rm": None})


def _one(tx: Transaction, name: str) -> dict[str, t.Any] | None:
    return next((rm for rm in everything(tx) if rm["name"] == name), None)


def _told(held: list[capsules.Identity] | None) -> dict[str, t.Any]:
    """Return what is shown of the capsules that an RM holds."""
    return {"capsules": None if held is None else [capsules.title(each) for each in held]}


def _check(name: str, given: dict[str, t.Any]) -> None:
    if "address" in given and not re.fullmatch(ADDRESS, given["address"]):
        raise InvalidInput(f"The address {given['address']!r} of {name} is neither a host name nor an IP address.")
    for key, least in (("memory_mib", 1), ("vcpus", 1), ("disk_bytes", 0)):
        if given.get(key, least) < least:
            raise InvalidInput(f"The {key} of {name} must be at least {least}, not {given[key]}.")
    if given.get("accelerator", "tcg") not in ("kvm", "tcg"):
        raise InvalidInput(f"The accelerator of {name} must be kvm or tcg, not {given['accelerator']!r}.")
