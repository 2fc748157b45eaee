#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: capsule_publish
short_description: Make capsules of instances with their memory
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Makes a capsule of a running or suspended instance as it is now, with its memory and what it has written to its disks,
    in the store of the real machine (RM).
  - Instances that are started from such a capsule go on from this very point, each under a name of its own (see M(vmatrix.mesh.instance)).
  - A running instance stands still until its memory is saved and its overlays are copied (or shared, where the file system can do that). Its guest is not
    ended for it.
  - A capsule that was made from this instance before is left as it is, whatever has become of the instance since.
  - Of several O(instances) it makes capsules at the same time. None goes on before the memory of all is saved, so instances that talk to each other find
    in their images what fits together.
  - One of them that fails does not stop the others; the module fails then, and RV(capsules) says of each what became of it.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  instance:
    description: The instance, such as V(shop-1.example.com). Either this or O(instances) is required.
    type: str
  version:
    description: &version Version of the capsule that is made. It belongs to the instance's service. Required.
    type: str
  instances:
    description: Several instances, in the place of the options of one.
    type: list
    elements: dict
    suboptions:
      instance:
        description: The instance, such as V(shop-1.example.com).
        type: str
        required: true
      version:
        description: *version
        type: str
        required: true
  timeout:
    description:
      - Seconds that one call of libvirt, the wait for the end of another operation on an instance, and the wait for the others, may take.
      - When it is omitted, 60 s, and for what writes or reads the memory of a guest 20 s more for each GiB of that.
    type: float
requirements:
  - python3-jsonschema
  - python3-netaddr
  - qemu-utils
seealso:
  - module: vmatrix.mesh.capsule
  - module: vmatrix.mesh.capsule_transfer
  - module: vmatrix.mesh.instance
"""

EXAMPLES = r"""
- name: Keep what the shop is now, for clones to begin with
  vmatrix.mesh.capsule_publish:
    instance: shop-1.example.com
    version: 1.0.0-warm

- name: Keep what the shop and its database are now, for a copy of both
  vmatrix.mesh.capsule_publish:
    instances:
      - {instance: shop-1.example.com, version: 1.0.0-warm}
      - {instance: db-1.example.com, version: 1.0.0-warm}
"""

RETURN = r"""
capsule:
  description:
    - The manifest of the capsule.
    - Null in check mode for one that would have to be made first.
  type: dict
  returned: success with the options of one instance
  sample:
    schema: 1
    name: shop
    version: 1.0.0-warm
    domain: example.com
    guest: {address: 192.168.1.10/24, gateway: 192.168.1.1, mac: "52:54:00:12:34:56"}
    ports: [{protocol: tcp, port: 80}]
    machine: {type: pc-i440fx-7.2, cpu: qemu64, vcpus: 1, memory_mib: 128}
    boot: null
    disks:
      - name: data
        format: qcow2
        virtual_size: 16777216
        blob: {sha256: fd61a03af4f77d870fc21e05e7e80678095c92d808cfb3b5c279ee04c74aca13, size: 458752}
        overlay: {sha256: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752, size: 262144}
    memory:
      accelerator: tcg
      blob: {sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, size: 95412418}
outage:
  description: Seconds for which a running instance stood still; null for a suspended one, or if nothing was done.
  type: float
  returned: success with the options of one instance
  sample: 0.196
capsules:
  description: What became of each, in the order of O(instances). Also returned when the module fails.
  type: list
  elements: dict
  returned: with O(instances), if they make sense
  sample:
    - {instance: shop-1.example.com, version: 1.0.0-warm, capsule: null, made: true, outage: 0.312, error: null}
    - {instance: db-1.example.com, version: 1.0.0-warm, capsule: null, made: true, outage: 0.312, error: null}
  contains:
    instance:
      description: The instance.
      type: str
      sample: shop-1.example.com
    version:
      description: The version of the capsule.
      type: str
      sample: 1.0.0-warm
    capsule:
      description: Its manifest, as RV(capsule); null if it failed.
      type: dict
      sample: null
    requirements:
      description: What a real machine must offer to run it, as M(vmatrix.mesh.capsule_info) returns it; null without a manifest.
      type: dict
      sample: null
    made:
      description: Whether the capsule was made now, or would be.
      type: bool
      sample: true
    outage:
      description: As RV(outage).
      type: float
      sample: 0.312
    error:
      description: Why it failed; null if it did not.
      type: str
      sample: null
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.one_or_several import OneOrSeveral, only
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import publishing

OPTIONS = OneOrSeveral(
    one={"instance": {"type": "str"}, "version": {"type": "str"}},
    needed=("instance", "version"),
    shared={"timeout": {"type": "float"}},
)


def main() -> None:
    """Run the module."""
    call = OPTIONS.unwrapping(publishing.publish, only("capsules", "capsule", "outage"))
    run_module(call, [Library(*each) for each in publishing.LIBRARIES], **OPTIONS.spec())


if __name__ == "__main__":
    main()
