# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Doing something to each of several at the same time; one that fails does not stop the others."""

from __future__ import annotations

import concurrent.futures
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError

#: How many are worked on at once. libvirtd serves 20 calls at a time (max_workers in libvirtd.conf), and others may ask it, too.
WORKERS = 16


class Told(t.NamedTuple):
    """What became of one: what was done (or would be), or why it could not be."""

    name: str
    done: t.Any
    error: MeshError | None


def fan_out(acts: t.Sequence[tuple[str, t.Callable[[], t.Any]]]) -> list[Told]:
    """Act on several at the same time, and return in their order what became of each.

    Args:
        acts: the name of each, and what is done to it.

    Raises:
        InvalidInput: a name is there twice; nothing was done.
    """
    names = [name for name, unused in acts]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"{name} is there more than once.")

    def one(name: str, act: t.Callable[[], t.Any]) -> Told:
        try:
            return Told(name, act(), None)
        except MeshError as exc:
            return Told(name, None, exc)

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, names, [act for unused, act in acts]))
