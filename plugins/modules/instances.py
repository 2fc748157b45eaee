#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: instances
short_description: Start, resume, suspend, stop and remove several instances at once
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Brings each of several instances on this real machine (RM) into a state, all of them at the same time. What M(vmatrix.mesh.instance) says
    of one holds for each.
  - One that fails keeps none of the others; the module fails then, and RV(instances) says of each what became of it.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  instances:
    description: The instances.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The instance, such as V(shop-1.example.com).
        type: str
        required: true
      state:
        description: What the instance is to be.
        type: str
        required: true
        choices:
          - running
          - suspended
          - stopped
          - absent
      epoch:
        description: The epoch that the VMA granted for this order. Required to run an instance.
        type: int
      capsule:
        description:
          - Version of the capsule of the instance's service. Required when the instance was never started here.
          - From a capsule with memory an instance can be made suspended, too.
        type: str
      vlan:
        description: The VLAN of the instance's domain in this HN. Required when the instance was never started here.
        type: int
      record:
        description: The instance's surroundings record.
        type: dict
  timeout:
    description: Seconds that one call of libvirt, and the wait for the end of another operation on an instance, may take.
    type: float
    default: 60
  stop_timeout:
    description: Seconds that a guest has to shut down after its power button was pressed.
    type: float
    default: 30
  stop_force:
    description: Whether a guest that does not shut down in time is ended, and whether the memory of a suspended instance may be dropped to stop it.
    type: bool
    default: false
seealso:
  - module: vmatrix.mesh.instance
  - module: vmatrix.mesh.capsule_publish
"""

EXAMPLES = r"""
- name: Start two clones from one memory image
  vmatrix.mesh.instances:
    instances:
      - {name: shop-2.example.com, state: running, epoch: 1, capsule: 1.0.0-warm, vlan: 101, record: {fabric_address: 192.168.1.254}}
      - {name: shop-3.example.com, state: running, epoch: 1, capsule: 1.0.0-warm, vlan: 101, record: {fabric_address: 192.168.1.253}}
"""

RETURN = r"""
instances:
  description: What became of each, in the order of O(instances). Also returned when the module fails.
  type: list
  elements: dict
  returned: when the options make sense
  sample:
    - action: started
      instance: {name: shop-2.example.com, state: running, epoch: 1, here: true, capsule: 1.0.0-warm, vlan: 101, accelerator: tcg}
      seconds: 0.71
      error: null
  contains:
    action:
      description: What was done to it, as M(vmatrix.mesh.instance) returns it; null if it failed.
      type: str
      returned: success
      sample: started
    instance:
      description: The instance after that, as M(vmatrix.mesh.instance) returns it; of one that failed only its C(name).
      type: dict
      returned: success
      sample: {name: shop-2.example.com, state: running, epoch: 1, here: true, capsule: 1.0.0-warm, vlan: 101, accelerator: tcg}
    seconds:
      description: How long it took; null if it failed.
      type: float
      returned: success
      sample: 0.71
    error:
      description: Why it failed; null if it did not.
      type: str
      returned: success
      sample: null
"""

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import libraries
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.host import this_host
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import client
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.instance import Wanted
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.several import Told, ensure_all
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, Outcome, run_module


def _call(params: dict[str, t.Any], check: bool) -> Outcome:
    limits = {key: params[key] for key in ("timeout", "stop_timeout", "stop_force")}
    told = ensure_all(this_host(), [Wanted(**each, **limits) for each in params["instances"]], check)
    result = {"instances": list(map(_shown, told))}
    errors = [each.error for each in told if each.error]
    if errors:
        raise MeshError(" ".join(error.message for error in errors), result)
    done = {each.name: each.done for each in told if each.done}
    before, after = {name: one.before for name, one in done.items()}, {name: one.after for name, one in done.items()}
    return Outcome(any(one.changed for one in done.values()), before, after, result)


def _shown(told: Told) -> dict[str, t.Any]:
    if told.done is None:
        return {"action": None, "instance": {"name": told.name}, "seconds": None, "error": told.error and told.error.message}
    return {"action": told.done.action, "instance": told.done.after, "seconds": round(told.done.seconds, 4), "error": None}


def main() -> None:
    """Run the module."""
    instance = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "required": True, "choices": ["running", "suspended", "stopped", "absent"]},
        "epoch": {"type": "int"},
        "capsule": {"type": "str"},
        "vlan": {"type": "int"},
        "record": {"type": "dict"},
    }
    run_module(
        _call,
        libraries=[Library(*each) for each in (*client.LIBRARIES, *libraries.LIBRARIES)],
        argument_spec={
            "instances": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": instance,
                "required_if": [("state", "running", ("epoch",))],
            },
            "timeout": {"type": "float", "default": 60},
            "stop_timeout": {"type": "float", "default": 30},
            "stop_force": {"type": "bool", "default": False},
        },
    )


if __name__ == "__main__":
    main()
