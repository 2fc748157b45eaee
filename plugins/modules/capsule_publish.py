#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: capsule_publish
short_description: Make a capsule of an instance with its memory
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
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  instance:
    description: The instance, such as V(shop-1.example.com).
    type: str
    required: true
  version:
    description: Version of the capsule that is made. It belongs to the instance's service.
    type: str
    required: true
  timeout:
    description: Seconds that one call of libvirt, and the wait for the end of another operation on this instance, may take.
    type: float
    default: 60
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
"""

RETURN = r"""
capsule:
  description:
    - The manifest of the capsule.
    - Null in check mode for one that would have to be made first.
  type: dict
  returned: success
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
  returned: success
  sample: 0.196
"""

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import libraries
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.host import this_host
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.publish import publish
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import client
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, Outcome, run_module


def _call(params: dict[str, t.Any], check: bool) -> Outcome:
    done = publish(this_host(), Store(), params["instance"], params["version"], params["timeout"], check)
    after = {"version": params["version"], "made_from": params["instance"]}
    return Outcome(done.changed, None if done.changed else after, after, {"capsule": done.manifest, "outage": done.outage})


def main() -> None:
    """Run the module."""
    run_module(
        _call,
        libraries=[Library(*each) for each in (*client.LIBRARIES, *libraries.LIBRARIES)],
        argument_spec={
            "instance": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "timeout": {"type": "float", "default": 60},
        },
    )


if __name__ == "__main__":
    main()
