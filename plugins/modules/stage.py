# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stage
short_description: Carry out a stage of an operation on a host
version_added: 0.2.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Does what the plan of the operation that is under way (see M(vmatrix.mesh.plan)) has a host do in a stage, or the calls of engines that it is given.
    The host does all of it in one round trip, in its order, up to the first call that fails.
  - The engines are brought to the host when it has not these yet, into a directory of their own below C(/var/cache/vmatrix/engines).
  - It is what the role P(vmatrix.mesh.operation#role) is made of, and as private to the collection as are the calls.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
options:
  stage:
    description: The stage of the plan, by its id. It is skipped on a host that has nothing to do in it.
    type: str
  calls:
    description:
      - What the host is to do instead of a stage, such as the follow-up that another host returned.
      - Each has C(call), and if need be C(arguments), C(ids) of the steps that it is for (the name of the call when omitted) and C(check).
    type: list
    elements: dict
  device:
    description: The host that O(calls) are made on, as the answers name it.
    type: str
  packed:
    description:
      - Whether what O(calls) return is left as JSON text.
      - Ansible looks into each part of a variable when it is read, which takes long where it is large.
    type: bool
    default: false
seealso:
  - module: vmatrix.mesh.plan
  - module: vmatrix.mesh.report
"""

EXAMPLES = r"""
- name: Do what is to be done in a stage
  vmatrix.mesh.stage:
    stage: tell
  register: operation_stage

- name: Make sure that a gateway can open envelopes
  vmatrix.mesh.stage:
    calls:
      - call: wrapping_key
"""

RETURN = r"""
answers:
  description: What the host has answered, by the ids of the steps; with O(stage) all that it has answered in this operation.
  returned: always
  type: dict
  sample:
    wrapping_key:
      changed: false
      failed: false
      unreachable: false
      msg: ""
      result: {public_key: 3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=}
      seconds: 0.01
      device: gw-east
run:
  description: The id of the run of the operation; null outside of one.
  returned: always
  type: str
  sample: 0f3c5d3f7a6b4d0e9c1a2b3c4d5e6f70
follow_ups:
  description: What other hosts are to be told at once, since this one has done its part, or has failed; for each its C(device) and C(calls).
  returned: for the stage of a plan
  type: list
  elements: dict
  sample: [{device: gw-east, calls: []}]
"""
