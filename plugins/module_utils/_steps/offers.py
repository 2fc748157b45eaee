# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Find out what an RM can offer."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import capabilities, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.client import LIBRARIES, Hypervisor
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places

__all__ = ["LIBRARIES", "offer"]


def offer(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return as C(rm) what the VMA must know of this RM, and the C(instances) that it holds.

    C(probe_kernel) and C(probe_timeout) are what C(capabilities.subscription) takes.
    """
    kernel, timeout = arguments.get("probe_kernel") or None, float(arguments["probe_timeout"])
    places, hypervisor = Places(), Hypervisor.connect()
    offered = capabilities.subscription(places, hypervisor, kernel, timeout)
    held = sorted(Store().list(), key=lambda manifest: (manifest["domain"], manifest["name"], manifest["version"]))
    return Outcome(False, None, None, {"rm": {**offered, "capsules": held}, "instances": state.holdings(places, hypervisor)})
