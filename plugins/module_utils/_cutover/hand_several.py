# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""One side of the hand-over of several instances, all at the same time."""

from __future__ import annotations

import concurrent.futures
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.transfer import Peer
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.order import Handed, Order
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.source import give
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.target import take
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import state

#: How many are handed over at once.
WORKERS = 16


class Told(t.NamedTuple):
    """What became of one instance: what was done (or would be), or why it could not be."""

    name: str
    done: Handed | None
    error: MeshError | None


def give_all(host: state.Host, wanted: t.Sequence[tuple[Order, Peer]], check: bool = False, **how: t.Any) -> list[Told]:
    """Hand each of several instances over to its peer, as source.give() does; one that fails keeps none of the others."""
    return _all([order for order, unused in wanted], [lambda each=each: give(host, *each, check, **how) for each in wanted])


def take_all(host: state.Host, wanted: t.Sequence[Order], check: bool = False, **how: t.Any) -> list[Told]:
    """Take each of several instances over, as target.take() does; one that fails keeps none of the others."""
    return _all(wanted, [lambda order=order: take(host, order, check, **how) for order in wanted])


def _all(orders: t.Sequence[Order], acts: t.Sequence[t.Callable[[], Handed]]) -> list[Told]:
    names = [order.name for order in orders]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"{name} is there more than once.")

    def one(name: str, act: t.Callable[[], Handed]) -> Told:
        try:
            return Told(name, act(), None)
        except MeshError as exc:
            return Told(name, None, exc)

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, names, acts))
