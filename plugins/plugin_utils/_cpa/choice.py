# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Which RMs a VMA would choose, by what it said of them: the function by which it does choose, on the controller. Pure functions."""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import placement
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site

Record = t.Mapping[str, t.Any]

#: How many more are asked than are to be chosen, for what is down.
SPARE = 2


class Order(t.NamedTuple):
    """What is to be placed: the C(requirements) of an instance, and the record of the one C(instead_of) which it is placed and that leaves then, or None."""

    requirements: dict[str, t.Any]
    instead_of: Record | None = None


def chosen(site: Site, orders: t.Iterable[Order], exclude: t.Collection[str] = ()) -> list[str]:
    """Return the RM that each of *orders* would be given, one after the other, up to the first that no RM has room for."""
    given = _given(site, (("it", order) for order in orders), exclude)
    return [rm for rm in itertools.takewhile(lambda rm: isinstance(rm, str), given) if isinstance(rm, str)]


def fitting(site: Site, orders: t.Mapping[str, Order], exclude: t.Collection[str] = ()) -> dict[str, str | Refused]:
    """Return the RM that each of several instances would be given, one after the other, or the sentence why none has room for it."""
    return dict(zip(orders, _given(site, orders.items(), exclude)))


def _given(site: Site, orders: t.Iterable[tuple[str, Order]], exclude: t.Collection[str]) -> t.Iterator[str | Refused]:
    """Yield the RM that each would be given, by what it is called in a sentence, or that sentence."""
    used = _used(site)
    for called, order in orders:
        try:
            rm = placement.choose(site.name, called, order.requirements, list(site.rms), used, site.vcpu_overcommit, exclude=exclude)
        except Refused as exc:
            yield exc
            continue
        placement.count(used, {"rm": rm, "requirements": order.requirements})
        if order.instead_of:
            placement.count(used, dict(order.instead_of), -1)
        yield rm


def candidates(site: Site, orders: t.Sequence[Order]) -> list[str]:
    """Return the RMs that would be chosen, and those that would be in their place if some of them were down."""
    first = list(dict.fromkeys(chosen(site, orders)))
    for unused in range(SPARE if orders else 0):
        first += chosen(site, orders[:1], exclude=first)
    return first


def _used(site: Site) -> placement.Used:
    """Return what records take of each RM."""
    whole = {rm["name"]: placement.left(rm, {}, site.vcpu_overcommit) for rm in site.rms}
    return {rm["name"]: {key: whole[rm["name"]][key] - rm[f"{key}_left"] for key in placement.QUANTITIES} for rm in site.rms}
