#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vma_rm
short_description: Subscribe a real machine with its VMA
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Records what an RM offers, so that the VMA can place instances on it. The module M(vmatrix.mesh.rm_info) finds it out.
  - What is omitted stays as it is recorded, so an RM is taken out of service with O(name) and O(in_service=false) alone.
  - What an RM holds is recorded, too, so that the VMA can say who holds a capsule without asking its RMs. Operations keep that up and verify it where they
    use it; what an operator changes by M(vmatrix.mesh.capsule) is told again by the playbook C(vmatrix.mesh.site) or the next import.
  - Capacities are compared as they are said. Say what the RM has as a whole, such as the size of the file system, not what happens to be free.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
requirements:
  - SQLAlchemy 1.4.46 or newer (Debian's C(python3-sqlalchemy))
  - netaddr 0.8 or newer (Debian's C(python3-netaddr))
options:
  name:
    description: The RM's name.
    type: str
    required: true
  address:
    description: Where other RMs reach it. Required at first.
    type: str
  memory_mib:
    description: Its memory for instances in MiB. Required at first.
    type: int
  vcpus:
    description: Its CPUs. Required at first.
    type: int
  disk_bytes:
    description: Its room for instances on disk in bytes. Required at first.
    type: int
  machine_types:
    description: The QEMU machine types that it offers. Required at first.
    type: list
    elements: str
  cpus:
    description: The CPU models that it offers. Required at first.
    type: list
    elements: str
  accelerator:
    description: What its instances run on. Required at first.
    type: str
    choices: [kvm, tcg]
  in_service:
    description:
      - Whether it takes new instances. Those that it holds stay.
      - True at first, when omitted.
    type: bool
  capsules:
    description:
      - The manifests of all capsules that it holds, as M(vmatrix.mesh.rm_info) finds them; an empty list says that it holds none.
      - As long as this was never said, operations that need a capsule ask the RM itself.
    type: list
    elements: dict
    version_added: 0.2.0
  instances:
    description:
      - The instances that live on it or could, as M(vmatrix.mesh.rm_info) finds them. As long as the registry does not know one of them there, nothing new
        comes to life in the HN.
      - At first there are none, when omitted.
    type: list
    elements: dict
    version_added: 0.2.0
  key:
    description:
      - The public key by which it is let in on the VMA's host, for nothing but asking what it may start again after it was rebooted.
      - As long as none was said, or once V(absent) was, it is not let in.
    type: str
    version_added: 0.2.0
  state:
    description: Whether it is subscribed. V(absent) is refused while it holds instances.
    type: str
    choices: [absent, present]
    default: present
  registry:
    description:
      - The database of the registry, as a URL of SQLAlchemy. It is of SQLite, or of PostgreSQL by the driver psycopg2 (Debian's C(python3-psycopg2)) or,
        with SQLAlchemy 2, psycopg, as V(postgresql+psycopg2://vma@db.example.com/vma).
      - It must not hold a password. Where one is needed, it belongs into the database's own password file (C(~/.pgpass) of the user that this module runs as,
        or what C(?passfile=/etc/vmatrix/vma.pgpass) at the end of the URL names), which nobody else can read.
    type: str
    default: sqlite:////var/lib/vmatrix/vma/registry.db
seealso:
  - module: vmatrix.mesh.rm_info
  - module: vmatrix.mesh.vma_hn
  - module: vmatrix.mesh.vma_info
"""

EXAMPLES = r"""
- name: Subscribe an RM
  vmatrix.mesh.vma_rm:
    name: rm-east-1
    address: 10.77.1.11
    memory_mib: 2048
    vcpus: 2
    disk_bytes: 107374182400
    machine_types: [pc-i440fx-7.2, pc-q35-7.2]
    cpus: [qemu64]
    accelerator: tcg
    capsules: "{{ offer.rm.capsules }}"
    instances: "{{ offer.instances }}"

- name: Give it no new instances
  vmatrix.mesh.vma_rm:
    name: rm-east-1
    in_service: false
"""

RETURN = r"""
rm:
  description: The subscription as it is recorded; null when it is absent.
  returned: success
  type: dict
  contains:
    name: {description: Its name., type: str, returned: success, sample: rm-east-1}
    address: {description: Where other RMs reach it., type: str, returned: success, sample: 10.77.1.11}
    memory_mib: {description: Its memory for instances in MiB., type: int, returned: success, sample: 2048}
    vcpus: {description: Its CPUs., type: int, returned: success, sample: 2}
    disk_bytes: {description: Its room for instances on disk in bytes., type: int, returned: success, sample: 107374182400}
    machine_types: {description: The QEMU machine types that it offers., type: list, elements: str, returned: success, sample: [pc-i440fx-7.2]}
    cpus: {description: The CPU models that it offers., type: list, elements: str, returned: success, sample: [qemu64]}
    accelerator: {description: What its instances run on; V(kvm) or V(tcg)., type: str, returned: success, sample: tcg}
    in_service: {description: Whether it takes new instances., type: bool, returned: success, sample: true}
    capsules:
      description: The capsules that it holds; null as long as it has not told all of them.
      type: list
      elements: str
      returned: success
      sample: [shop 1.0.0 of example.com]
"""

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import vma
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import admission, rms
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import LIBRARIES
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import OPTION


def call(params: dict[str, t.Any], check: bool) -> Outcome:
    """Subscribe or unsubscribe the RM."""
    if params["state"] == "absent":
        done = Outcome(*rms.unsubscribe(params["registry"], params["name"], check))
        return done._replace(changed=admission.admit(params["name"], None, check) or done.changed)
    return vma.subscribe(params, check)


def main() -> None:
    """Run the module."""
    run_module(
        call,
        libraries=[Library(*library) for library in LIBRARIES],
        argument_spec={
            "name": {"type": "str", "required": True},
            "address": {"type": "str"},
            "memory_mib": {"type": "int"},
            "vcpus": {"type": "int"},
            "disk_bytes": {"type": "int"},
            "machine_types": {"type": "list", "elements": "str"},
            "cpus": {"type": "list", "elements": "str"},
            "accelerator": {"type": "str", "choices": ["kvm", "tcg"]},
            "in_service": {"type": "bool"},
            "capsules": {"type": "list", "elements": "dict"},
            "instances": {"type": "list", "elements": "dict"},
            # It is a public one.
            "key": {"type": "str", "no_log": False},
            "state": {"type": "str", "choices": ["absent", "present"], "default": "present"},
            "registry": OPTION,
        },
    )


if __name__ == "__main__":
    main()
