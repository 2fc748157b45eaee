# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which capsules a wave needs where."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.starts import transfers

DOCUMENTATION = r"""
name: wave_transfers
short_description: Which capsules a wave needs where
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Finds out which RMs are to start instances from a capsule that they do not hold.
options:
  _input:
    description: Surroundings records of the instances.
    type: list
    elements: dict
    required: true
  capsules:
    description: The C(service), the C(version) and the C(holders) (RMs) of each capsule that they are made from.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what has to be brought where
  ansible.builtin.debug:
    msg: "{{ reserved.records | vmatrix.mesh.wave_transfers([{'service': 'shop', 'version': '1.0.0', 'holders': ['rm-east-1']}]) }}"
"""

RETURN = r"""
_value:
  description: Each transfer, once.
  type: list
  elements: dict
  sample: [{service: shop, version: 1.0.0, holder: rm-east-1, rm: rm-west-1}]
"""


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"wave_transfers": transfers}
