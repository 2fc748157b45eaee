#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_info
short_description: Tell which instances are on an RM, and what they are
version_added: 0.1.0
description:
  - Tells of the instances on this RM. Whether one runs is what libvirt says, the rest is what lies on the RM.
  - This is enough to rebuild the VMA's registry.
author:
  - The vmatrix.mesh founders (@vmatrix)
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  name:
    description: Tell of this instance only. One that is not here is no error, but an empty list.
    type: str
seealso:
  - module: vmatrix.mesh.instance
  - module: vmatrix.mesh.vma_rebuild
"""

EXAMPLES = r"""
- name: Look at all instances of an RM
  vmatrix.mesh.instance_info:
  register: found

- name: Look at one
  vmatrix.mesh.instance_info:
    name: shop-1.example.com
"""

RETURN = r"""
instances:
  description: The instances, in the order of their names.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Its name.
      type: str
      sample: shop-1.example.com
    state:
      description: What it is, one of V(running), V(suspended) and V(stopped).
      type: str
      sample: running
    epoch:
      description: The highest epoch that this RM knows of.
      type: int
      sample: 1
    here:
      description: Whether the right to run it in that epoch was granted here. It was not if the instance was handed over to another RM.
      type: bool
      sample: true
    capsule:
      description: Version of its capsule.
      type: str
      sample: 1.0.0
    vlan:
      description: Its VLAN.
      type: int
      sample: 101
    accelerator:
      description: What it runs or ran under, V(kvm) or V(tcg).
      type: str
      sample: tcg
    domain_state:
      description:
        - What libvirt says, null when it has no such domain. One of V(running), V(paused), V(halted) (QEMU has paused it), V(moving) and V(ending).
      type: str
      sample: running
    paused:
      description: Why its guest stands still though it is V(running), as a sentence without its end.
      type: str
      returned: when QEMU has paused it, or somebody by hand
      sample: there was no room left on the RM for what it wrote to vda
    pid:
      description: Process of its QEMU, null when it does not run.
      type: int
      sample: 4711
    memory_bytes:
      description: Bytes that its memory image takes on the disk, null when it has none.
      type: int
      sample: 131072000
    overlay_bytes:
      description: Bytes that its disks' overlays take.
      type: int
      sample: 2097152
    interface:
      description: The network interface on the RM that leads to the guest when it runs.
      type: str
      sample: vm0a1b2c3d4e
    manifest:
      description: The manifest of its capsule.
      type: dict
      sample:
        name: shop
        version: 1.0.0
        domain: example.com
    record:
      description: The surroundings record as it was given with the last order, null if none was.
      type: dict
      sample:
        instance: shop-1.example.com
        epoch: 1
lease:
  description: The highest number of a lease that this RM acted under, of all instances.
  type: int
  returned: success
  sample: 42
epochs:
  description: The highest epoch that this RM knows of, of each instance that it ever held; with O(name), of that one.
  type: dict
  returned: success
  sample:
    shop-1.example.com: 1
    shop-2.example.com: 4
"""

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_info_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import instances


def _call(params: dict[str, t.Any]) -> dict[str, t.Any]:
    return instances.look(params, False).result


def main() -> None:
    """Run the module."""
    run_info_module(
        _call,
        libraries=[Library(*each) for each in instances.LIBRARIES],
        argument_spec={"name": {"type": "str"}},
    )


if __name__ == "__main__":
    main()
