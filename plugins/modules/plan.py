# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan
short_description: Plan an operation on the mesh
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Turns what is wished for into the plan of an operation, or says in one sentence why it cannot be. What can be wished for are the variables that the role of
    the operation describes.
  - Works on what the role P(vmatrix.mesh.observe#role) registered on the VMAs and RMs in the same run. It asks no device itself and changes nothing.
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
options:
  operation:
    description:
      - The operation, by the name of its role, for example V(move).
      - With V(names), what each name must say.
    type: str
    required: true
  names:
    description: How names follow, as the variables of the role P(vmatrix.mesh.names#role) say.
    type: dict
    default: {}
  take_over:
    description: Whether whoever is at work on the same instances is known to be dead.
    type: bool
    default: false
  lost_hn:
    description: The HNs that do not answer and are given up as lost.
    type: list
    elements: str
    default: []
  lease:
    description: How many seconds after a call to a VMA nobody may take the place of this run.
    type: int
    default: 600
seealso:
  - module: vmatrix.mesh.vma_instance
  - module: vmatrix.mesh.instance_cutover
"""

EXAMPLES = r"""
- name: Plan the move that the variables of the role move describe
  vmatrix.mesh.plan:
    operation: move
  register: operation_planned
"""

RETURN = r"""
plan:
  description:
    - The plan of an operation, as JSON text that only the role P(vmatrix.mesh.operation#role) reads.
    - With O(operation=names) a list of what each name must say.
  returned: success
  type: raw
  sample: '{"_is": "Plan", "operation": "suspend", "subject": "shop-1.example.com"}'
"""
