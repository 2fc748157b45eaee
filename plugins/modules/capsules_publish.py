#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: capsules_publish
short_description: Make capsules of several instances with their memory
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Makes a capsule of each of several instances of this real machine (RM), all of them at the same time. What M(vmatrix.mesh.capsule_publish) says of
    one holds for each.
  - None goes on before the memory of all is saved, so instances that talk to each other find in their images what fits together.
  - One that fails keeps none of the others; the module fails then, and RV(capsules) says of each what became of it.
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
      instance:
        description: The instance, such as V(shop-1.example.com).
        type: str
        required: true
      version:
        description: Version of the capsule that is made. It belongs to the instance's service.
        type: str
        required: true
  timeout:
    description: Seconds that one call of libvirt, the wait for the end of another operation on an instance, and the wait for the others, may take.
    type: float
    default: 60
requirements:
  - python3-jsonschema
  - python3-netaddr
  - qemu-utils
seealso:
  - module: vmatrix.mesh.capsule_publish
  - module: vmatrix.mesh.instances
"""

EXAMPLES = r"""
- name: Keep what the shop and its database are now, for a copy of both
  vmatrix.mesh.capsules_publish:
    instances:
      - {instance: shop-1.example.com, version: 1.0.0-warm}
      - {instance: db-1.example.com, version: 1.0.0-warm}
"""

RETURN = r"""
capsules:
  description: What became of each, in the order of O(instances). Also returned when the module fails.
  type: list
  elements: dict
  returned: when the options make sense
  sample:
    - {instance: shop-1.example.com, version: 1.0.0-warm, made: true, outage: 0.312, error: null}
    - {instance: db-1.example.com, version: 1.0.0-warm, made: true, outage: 0.312, error: null}
  contains:
    instance:
      description: The instance.
      type: str
      returned: success
      sample: shop-1.example.com
    version:
      description: The version of the capsule.
      type: str
      returned: success
      sample: 1.0.0-warm
    made:
      description: Whether the capsule was made now, or would be.
      type: bool
      returned: success
      sample: true
    outage:
      description: Seconds for which a running instance stood still; null for a suspended one, or if nothing was done.
      type: float
      returned: success
      sample: 0.312
    error:
      description: Why it failed; null if it did not.
      type: str
      returned: success
      sample: null
"""

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import libraries
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.host import this_host
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.publish_several import Told, publish_all
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import client
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, Outcome, run_module


def _call(params: dict[str, t.Any], check: bool) -> Outcome:
    told = publish_all(this_host(), Store(), [(each["instance"], each["version"]) for each in params["instances"]], params["timeout"], check)
    result = {"capsules": list(map(_shown, told))}
    errors = [each.error.message for each in told if each.error]
    if errors:
        raise MeshError(" ".join(errors), result)
    after = {each.name: {"version": each.version} for each in told}
    before = {each.name: None if each.done and each.done.changed else after[each.name] for each in told}
    return Outcome(before != after, before, after, result)


def _shown(told: Told) -> dict[str, t.Any]:
    made, outage = (told.done.changed, told.done.outage) if told.done else (False, None)
    return {"instance": told.name, "version": told.version, "made": made, "outage": outage, "error": told.error and told.error.message}


def main() -> None:
    """Run the module."""
    instance = {"instance": {"type": "str", "required": True}, "version": {"type": "str", "required": True}}
    run_module(
        _call,
        libraries=[Library(*each) for each in (*client.LIBRARIES, *libraries.LIBRARIES)],
        argument_spec={
            "instances": {"type": "list", "elements": "dict", "required": True, "options": instance},
            "timeout": {"type": "float", "default": 60},
        },
    )


if __name__ == "__main__":
    main()
