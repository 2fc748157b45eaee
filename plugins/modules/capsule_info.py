#!/usr/bin/python

# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What capsules an RM has, and what it is sending."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: capsule_info
short_description: Show the capsules in the store of a real machine, and its transfers under way
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Lists the capsules in the store of a real machine (RM), says whether all their files are there, and how far the transfers to other RMs are.
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  domain:
    description: Only capsules of this domain.
    type: str
  name:
    description: Only capsules of services with this name.
    type: str
  version:
    description: Only capsules of this version.
    type: str
  verify:
    description:
      - Read all files of these capsules and compare their digests, however long that takes.
      - Without it, a file is read only if its size, time of change or inode differ from what they were when it was last verified.
    type: bool
    default: false
requirements:
  - python3-jsonschema
  - python3-netaddr
seealso:
  - module: vmatrix.mesh.capsule
  - module: vmatrix.mesh.capsule_transfer
"""

EXAMPLES = r"""
- name: What does this RM have of example.com?
  vmatrix.mesh.capsule_info:
    domain: example.com

- name: Is every byte of this capsule as it was?
  vmatrix.mesh.capsule_info:
    domain: example.com
    name: shop
    version: 1.0.0
    verify: true
"""

RETURN = r"""
capsules:
  description: The capsules that match, in the order of their domains, names and versions.
  type: list
  elements: dict
  returned: success
  contains:
    manifest:
      description: The capsule's manifest.
      type: dict
      returned: success
      sample:
        schema: 1
        name: shop
        version: 1.0.0
        domain: example.com
        guest: {address: 192.168.1.10/24, gateway: 192.168.1.1, mac: "52:54:00:12:34:56"}
        ports: [{protocol: tcp, port: 80}]
        machine: {type: pc-i440fx-7.2, cpu: qemu64, vcpus: 1, memory_mib: 128}
        boot: null
        disks:
          - name: root
            format: qcow2
            virtual_size: 1073741824
            blob: {sha256: fd61a03af4f77d870fc21e05e7e80678095c92d808cfb3b5c279ee04c74aca13, size: 458752}
        memory: null
    complete:
      description: Whether all its files are there and unaltered.
      type: bool
      returned: success
      sample: true
    problems:
      description: A sentence for each file that is missing or altered.
      type: list
      elements: str
      returned: success
      sample: []
    requirements:
      description: What a real machine must offer to run it.
      type: dict
      returned: success
      sample: {memory_mib: 128, vcpus: 1, disk_bytes: 1208418304, machine_type: pc-i440fx-7.2, cpu: qemu64, accelerator: null}
transfers:
  description: What this RM is sending to others now.
  type: list
  elements: dict
  returned: success
  contains:
    what:
      description: What is sent, and where to.
      type: str
      returned: success
      sample: capsule shop 1.0.0 of example.com to rm-west-1
    done:
      description: Bytes that are there by now.
      type: int
      returned: success
      sample: 104857600
    total:
      description: Bytes in all.
      type: int
      returned: success
      sample: 458752000
    bytes_per_second:
      description: Mean speed so far.
      type: int
      returned: success
      sample: 209715200
    eta_seconds:
      description: Seconds that are left at this speed; null if nothing has been sent yet.
      type: float
      returned: success
      sample: 1.7
    pid:
      description: Number of the sending process.
      type: int
      returned: success
      sample: 4711
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_info_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import capsules


def main() -> None:
    """Run the module."""
    run_info_module(
        lambda params: capsules.look(params, False).result,
        [Library(*library) for library in capsules.LIBRARIES],
        argument_spec={
            "domain": {"type": "str"},
            "name": {"type": "str"},
            "version": {"type": "str"},
            "verify": {"type": "bool", "default": False},
        },
    )


if __name__ == "__main__":
    main()
