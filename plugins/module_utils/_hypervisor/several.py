# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Bringing several instances of this RM into the states that are wanted, all at the same time."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.fan_out import Told, fan_out
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import state
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.instance import Done, Wanted, ensure


def ensure_all(host: state.Host, wanted: t.Sequence[Wanted], check: bool = False) -> list[Told]:
    """Bring each of *wanted* into its state, as instance.ensure() does; one that fails does not stop the others.

    Raises:
        InvalidInput: an instance is there twice.
    """

    def one(each: Wanted) -> Done:
        # libvirtd serves 5 calls at a time for one connection (max_client_requests), so each has its own.
        return ensure(host._replace(hypervisor=host.hypervisor.again()), each, check)

    return fan_out([(each.name, lambda each=each: one(each)) for each in wanted])
