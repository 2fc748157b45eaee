# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What becomes of several instances of a domain, in one transaction: all of it is written down, or none."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import instances, leases, records, rescues, reservations
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Change, transaction

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction


def update_all(url: str, wanted: t.Sequence[dict[str, t.Any]], dry_run: bool = False, lease: leases.Lease | None = None, last: bool = False) -> Change:
    """Reserve for, and change, several instances of one domain, one after the other.

    Args:
        wanted: what instances.update() takes, for each; where C(reservation) is not None, it is what reservations.reserve() takes, and is made first, and
            so is C(rescue), which is what rescues.ensure() takes.
        lease: of the operation that this is a part of; its number for each instance is among what is returned (C(leased)), and for each service who serves
            it here now (C(serving)): C(served), C(addresses), the C(number) that is higher than whenever this was said before, and if somebody enters the
            rotation by this, the same as C(since), else 0. None: this is all of it.
        last: whether the operation's leases here end with this.

    Raises:
        InvalidInput: something is malformed, there is none, one is there twice, or they belong to several domains.
        NotFound, Refused: as those say; nothing is changed then.
        Busy: another operation has leased one of them.
    """
    asked = [each["instance"] for each in wanted]
    domains = sorted({names.instance(instance).domain for instance in asked})
    if len(domains) != 1:
        raise InvalidInput(f"The instances must be of one domain, not of {' and '.join(domains) or 'none'}.")
    for instance in asked:
        if asked.count(instance) > 1:
            raise InvalidInput(f"{instance} is there more than once.")
    with transaction(url, dry_run) as tx:
        granted = _leased(tx, lease, wanted) if lease else {}
        before = {instance: records.view(tx, instance) for instance in asked}
        with contextlib.nullcontext() if lease else leases.without(tx, asked):
            for each in [each for each in wanted if not lease or each["instance"] in granted]:
                if each.get("reservation") is not None:
                    reservations.ensure(tx, {"operation": each.get("operation"), **each["reservation"], "instance": each["instance"]})
                if each.get("rescue") is not None:
                    rescues.ensure(tx, each["instance"], each["rescue"])
                instances.change(tx, each)
        after = {instance: records.view(tx, instance) for instance in asked}
        result = {"records": [view["record"] for view in after.values()], "router": records.router(tx, domains[0])}
        if lease is not None:
            granted = leases.raised(tx, granted)
            result.update(leased=granted, serving=_serving(tx, before, max(granted.values(), default=leases.highest(tx))))
            if last:
                leases.release(tx, lease)
        return Change(before != after, before, after, result)


def _leased(tx: Transaction, lease: leases.Lease, wanted: t.Sequence[dict[str, t.Any]]) -> dict[str, int]:
    """Lease the instances; of those that are only given back whoever takes a run up leaves what others have come to since."""
    given_back = [each["instance"] for each in wanted if lease.resumes and each.get("expected")]
    return {**leases.take_up(tx, lease, given_back), **leases.take(tx, lease, [each["instance"] for each in wanted if each["instance"] not in given_back])}


def _serving(tx: Transaction, before: t.Mapping[str, t.Mapping[str, t.Any]], number: int) -> dict[str, dict[str, t.Any]]:
    """Return for each service of the instances that were *before*, by its name, whether somebody is in rotation, where, and since when."""
    found = {}
    there = {instance for instance, view in before.items() if view["record"] and view["record"]["in_rotation"]}
    for name in map(names.instance, before):
        mine = [record for record in records.of_domain(tx, name.domain) if record["service"] == name.service and record["in_rotation"]]
        entering = any(record["instance"] in before and record["instance"] not in there for record in mine)
        served = {"served": bool(mine), "addresses": sorted({record["public_address"] for record in mine})}
        # A second run, which changes nothing, is not to change the name either.
        found[name.service] = {**served, "number": number, "since": number if entering else 0}
    return found
