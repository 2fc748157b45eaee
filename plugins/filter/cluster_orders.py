# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster's move asks of whom."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.cluster import move_orders

DOCUMENTATION = r"""
name: cluster_orders
short_description: What a cluster's move asks of whom
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Turns the plan of a cluster's move, and the records that were reserved for it, into what each RM and the source's VMA are told.
options:
  _input:
    description: The plan, as M(vmatrix.mesh.plan) returns it for C(move_cluster).
    type: dict
    required: true
  records:
    description: The target's surroundings records, in the order of the plan's C(moves).
    type: list
    elements: dict
    required: true
  timeout:
    description: Seconds that the cut-over may take on either side.
    type: float
    required: true
"""

EXAMPLES = r"""
- name: Show what each RM will be ordered
  ansible.builtin.debug:
    msg: "{{ (planned.plan | vmatrix.mesh.cluster_orders(coming.records, 300)).cutovers }}"
"""

RETURN = r"""
_value:
  description:
    - C(cutovers), each RM's part for P(vmatrix.mesh.wave#role).
    - C(removals), for each RM of the source what M(vmatrix.mesh.instances) is to remove in the end.
    - C(leaving), what M(vmatrix.mesh.vma_instances) at the source is told before the wave, and C(again), if all is to run there again.
  type: dict
  sample:
    cutovers: {rm-east-1: {cutovers: {side: source, timeout: 300, instances: [{name: shop-1.example.com, epoch: 2}]}}}
    removals: {rm-east-1: [{name: shop-1.example.com, state: absent, epoch: 2}]}
    leaving: [{instance: shop-1.example.com, state: leaving, in_rotation: false, forward_to: 198.18.2.1, operation: move, step: hand over}]
    again: [{instance: shop-1.example.com, state: running, in_rotation: true, epoch_above: 2, operation_done: true}]
"""


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"cluster_orders": move_orders}
