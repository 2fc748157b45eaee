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
  - Turns a wish (place, move, suspend, resume, drain or remove an instance; publish, clone or move several; scale, update or restart a service, keep
    standbys of it; have names follow) into everything that the operation must know, or says in one sentence why it cannot be.
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
    description: What is wished for.
    type: str
    required: true
    choices: [clone, drain, move, move_cluster, name, names, place, publish, remove, restart, resume, scale, standby, suspend, update]
  instance:
    description: The instance, for example V(shop-1.example.com). Required unless O(operation) is about O(instances), a service or names.
    type: str
  instances:
    description:
      - What is to be cloned or moved. Required for O(operation=publish), O(operation=clone) and O(operation=move_cluster).
      - Several are a cluster, whose machines find each other in the new place at the addresses that they know.
    type: list
    elements: str
  clones:
    description:
      - The names of the clones. Required for O(operation=publish) and O(operation=clone).
      - Of a cluster, one for each of O(instances), in the same order.
    type: list
    elements: str
  service:
    description:
      - The service. Required for O(operation=scale), O(operation=standby), O(operation=update), O(operation=restart) and O(operation=name).
    type: str
  domain:
    description: The domain that owns O(service). Required with it.
    type: str
  count:
    description: How many instances of O(service) shall run, or wait. Required for O(operation=scale) and O(operation=standby).
    type: int
  surplus:
    description: What becomes of the instances beyond O(count).
    type: str
    choices: [suspended, absent]
    default: suspended
  capsule:
    description:
      - The version of the service's capsule. Required for O(operation=place), O(operation=publish), O(operation=clone) and O(operation=update).
      - For O(operation=scale) and O(operation=standby), what new instances are made from; required if there are any.
    type: str
  to_hn:
    description: The HN where the instance shall live. Required for O(operation=place), and operations on services; a move needs it or O(to_rm).
    type: str
  to_rm:
    description: The RM that shall run it. When omitted, the VMA of O(to_hn) picks one.
    type: str
  strategy:
    description: How O(operation=move) is done, as for the role P(vmatrix.mesh.move#role).
    type: str
    choices: [best, suspend, clone_first, live]
    default: best
  naming:
    description:
      - What names say besides addresses, as P(vmatrix.mesh.names#role) puts it together. Required for O(operation=name) and O(operation=names).
    type: dict
  arrives:
    description: With O(operation=name), the C(hn), C(public_address) and C(ports) of each HN that O(service) is served in now.
    type: list
    elements: dict
    default: []
  leaves:
    description: With O(operation=name), the C(hn) and C(instance) of each instance that is about to leave the rotation.
    type: list
    elements: dict
    default: []
seealso:
  - module: vmatrix.mesh.vma_instance
  - module: vmatrix.mesh.instance_cutover
"""

EXAMPLES = r"""
- name: Plan a move to the west
  vmatrix.mesh.plan:
    operation: move
    instance: shop-1.example.com
    to_hn: hn-west
  register: planned
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
