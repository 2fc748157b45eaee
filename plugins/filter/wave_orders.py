# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each RM is ordered in a wave."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.starts import orders

DOCUMENTATION = r"""
name: wave_orders
short_description: What each RM is ordered in a wave
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Turns surroundings records and wanted states into each RM's part for P(vmatrix.mesh.wave#role).
options:
  _input:
    description: Surroundings records.
    type: list
    elements: dict
    required: true
  states:
    description: The state that each instance shall have, by its name.
    type: dict
    required: true
  common:
    description: What every part has besides.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what each RM will be ordered
  ansible.builtin.debug:
    msg: "{{ told.records | vmatrix.mesh.wave_orders({'shop-2.example.com': 'suspended'}, {}) }}"
"""

RETURN = r"""
_value:
  description: The parts by the RM's name.
  type: dict
  sample: {rm-east-1: {instances: [{name: shop-2.example.com, state: suspended, epoch: 1}]}}
"""


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"wave_orders": orders}
