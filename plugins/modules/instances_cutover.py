#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instances_cutover
short_description: Move several instances from RMs to others in one call on each
version_added: 0.1.0
description:
  - One side of the cut-over of several instances, all of them at the same time. What M(vmatrix.mesh.instance_cutover) says of one holds for each.
  - One that fails keeps none of the others; the module fails then, and RV(instances) says of each what became of it.
author:
  - The vmatrix.mesh founders (@vmatrix)
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  side:
    description: Which side this RM is on.
    type: str
    required: true
    choices:
      - source
      - target
  instances:
    description: The instances.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The instance, as service, ordinal and domain.
        type: str
        required: true
      epoch:
        description: The epoch that the instance is to have at the target, higher than the one that it has.
        type: int
        required: true
      peer:
        description: The RM that takes the instance over. Needed at the source.
        type: dict
        suboptions:
          name:
            description: Name of the RM, as it was subscribed.
            type: str
            required: true
          address:
            description: Where other RMs reach it.
            type: str
            required: true
      state:
        description: What the instance is to be at the target.
        type: str
        default: running
        choices:
          - running
          - suspended
      vlan:
        description: The VLAN of the instance's domain in the target's HN, V(1) to V(4094). Needed at the target.
        type: int
      record:
        description: The instance's surroundings record in the target's HN, kept as it is. Used at the target.
        type: dict
  timeout:
    description: Seconds for the way to the peer, for the whole hand-over after that, and at the target for the wait for it.
    type: float
    default: 120
seealso:
  - module: vmatrix.mesh.instance_cutover
  - module: vmatrix.mesh.instances
"""

EXAMPLES = r"""
- name: Hand the shop and its database over
  vmatrix.mesh.instances_cutover:
    side: source
    instances:
      - {name: shop-1.example.com, epoch: 2, peer: {name: rm-west-1, address: 10.77.2.11}}
      - {name: db-1.example.com, epoch: 2, peer: {name: rm-west-2, address: 10.77.2.12}}
"""

RETURN = r"""
instances:
  description: What became of each, in the order of O(instances). Also returned when the module fails.
  type: list
  elements: dict
  returned: when the options make sense
  sample:
    - name: shop-1.example.com
      instance: {name: shop-1.example.com, state: suspended, epoch: 2, here: false, capsule: 1.0.0, vlan: 101, accelerator: tcg}
      handed_over: "yes"
      seconds: {connect: 0.31, suspend: 0.42, send: 0.73, commit: 0.02}
      bytes: 134217728
      bytes_wire: 41943040
      error: null
  contains:
    name:
      description: The instance.
      type: str
      returned: success
      sample: shop-1.example.com
    error:
      description: Why it failed; null if it did not. All else is as M(vmatrix.mesh.instance_cutover) returns it.
      type: str
      returned: success
      sample: null
"""

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import libraries
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.transfer import Peer
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.hand_several import Told, give_all, take_all
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.host import this_host
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.order import Order
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import client
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, Outcome, run_module


def _call(params: dict[str, t.Any], check: bool) -> Outcome:
    needed = "peer" if params["side"] == "source" else "vlan"
    for each in params["instances"]:
        if each[needed] is None:
            raise InvalidInput(f"{each['name']} needs a {needed} at the {params['side']}.")
    orders = [Order(timeout=params["timeout"], **{key: value for key, value in each.items() if key != "peer"}) for each in params["instances"]]
    if params["side"] == "source":
        peers = [Peer(each["peer"]["name"], each["peer"]["address"]) for each in params["instances"]]
        told = give_all(this_host(), list(zip(orders, peers)), check)
    else:
        told = take_all(this_host(), orders, check)
    result = {"instances": list(map(_shown, told))}
    errors = [each.error.message for each in told if each.error]
    if errors:
        raise MeshError(" ".join(errors), result)
    done = {each.name: each.done for each in told if each.done}
    before, after = {name: one.before for name, one in done.items()}, {name: one.after for name, one in done.items()}
    return Outcome(any(one.changed for one in done.values()), before, after, result)


def _shown(told: Told) -> dict[str, t.Any]:
    if told.done:
        return {"name": told.name, "error": None, "instance": told.done.after, **told.done.result}
    return {"name": told.name, **(told.error and told.error.result or {}), "error": told.error and told.error.message}


def main() -> None:
    """Run the module."""
    instance = {
        "name": {"type": "str", "required": True},
        "epoch": {"type": "int", "required": True},
        "peer": {"type": "dict", "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}}},
        "state": {"type": "str", "default": "running", "choices": ["running", "suspended"]},
        "vlan": {"type": "int"},
        "record": {"type": "dict"},
    }
    run_module(
        _call,
        libraries=[Library(*each) for each in (*client.LIBRARIES, *libraries.LIBRARIES)],
        argument_spec={
            "side": {"type": "str", "required": True, "choices": ["source", "target"]},
            "instances": {"type": "list", "elements": "dict", "required": True, "options": instance},
            "timeout": {"type": "float", "default": 120},
        },
    )


if __name__ == "__main__":
    main()
