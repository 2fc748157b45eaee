# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Bringing several instances of this RM into the states that are wanted, all at the same time."""

from __future__ import annotations

import concurrent.futures
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import state
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.instance import Done, Wanted, ensure

#: How many are worked on at once. libvirtd serves 20 calls at a time (max_workers in libvirtd.conf), and others may ask it, too. Of these it serves 5 for one
#: connection (max_client_requests), so each has its own.
WORKERS = 16


class Told(t.NamedTuple):
    """What became of one instance: what was done (or would be), or why it could not be."""

    name: str
    done: Done | None
    error: MeshError | None


def ensure_all(host: state.Host, wanted: t.Sequence[Wanted], check: bool = False) -> list[Told]:
    """Bring each of *wanted* into its state, as instance.ensure() does; one that fails keeps none of the others.

    Raises:
        InvalidInput: an instance is there twice.
    """
    names = [each.name for each in wanted]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"{name} is there more than once.")

    def one(each: Wanted) -> Told:
        try:
            return Told(each.name, ensure(host._replace(hypervisor=host.hypervisor.again()), each, check), None)
        except MeshError as exc:
            return Told(each.name, None, exc)

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, wanted))
