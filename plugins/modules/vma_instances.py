#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vma_instances
short_description: Record what becomes of several instances in a hosting network
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Does for several instances of one domain what M(vmatrix.mesh.vma_reservation) and M(vmatrix.mesh.vma_instance) do for one, in one transaction.
    It is all written down, or nothing is.
  - What is omitted stays as it is.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
requirements:
  - SQLAlchemy 1.4.46 or newer (Debian's C(python3-sqlalchemy))
  - netaddr 0.8 or newer (Debian's C(python3-netaddr))
options:
  instances:
    description: The instances, in the order in which room and addresses are given.
    type: list
    elements: dict
    required: true
    suboptions:
      instance:
        description: The instance, for example V(shop-1.example.com).
        type: str
        required: true
      reservation:
        description: Room, addresses and an epoch that are reserved for it first, as M(vmatrix.mesh.vma_reservation) does.
        type: dict
        suboptions:
          capsule:
            description: The capsule's version.
            type: str
            required: true
          guest:
            description: What the guest believes, from the capsule's manifest.
            type: dict
            required: true
            suboptions:
              address:
                description: Its address with the prefix length, for example V(192.168.1.10/24).
                type: str
                required: true
              gateway:
                description: Its router's address.
                type: str
                required: true
              mac:
                description: The MAC of its interface.
                type: str
                required: true
          ports:
            description: What the service listens on.
            type: list
            elements: dict
            required: true
            suboptions:
              protocol:
                description: The protocol.
                type: str
                choices: [tcp, udp]
                required: true
              port:
                description: The number, 1 to 65535.
                type: int
                required: true
          balance:
            description: How the instances of the service share its callers, from the capsule's manifest; what is not said is as usual.
            type: dict
            suboptions:
              policy:
                description: >-
                  V(spread) (as usual) gives each new connection to the next instance, by weight; V(sticky) gives all connections of one source address
                  to the same instance as long as it is in rotation.
                type: str
                choices: [spread, sticky]
              check:
                description: >-
                  What shows that an instance is alive, on each declared TCP port. V(tcp) (as usual) is an accepted connection, V(http) a response to a GET
                  request with a status below 500.
                type: str
                choices: [tcp, http]
              path:
                description: What an V(http) check asks for; V(/) as usual.
                type: str
              weight:
                description: An instance's share of new connections in relation to those of the others, 1 (as usual) to 100.
                type: int
          requirements:
            description: What the instance needs of an RM.
            type: dict
            required: true
            suboptions:
              memory_mib:
                description: Memory in MiB.
                type: int
                required: true
              vcpus:
                description: Virtual CPUs.
                type: int
                required: true
              disk_bytes:
                description: Room on disk in bytes.
                type: int
                required: true
              machine_type:
                description: The QEMU machine type.
                type: str
                required: true
              cpu:
                description: The CPU model.
                type: str
                required: true
              accelerator:
                description: The accelerator, V(kvm) or V(tcg), if a memory image binds the instance to one; null otherwise.
                type: str
          intranet_address:
            description: What the instance is in its owner's intranet, for a service with a tunnel.
            type: str
          own_address:
            description:
              - Whether its fabric address must be its guest address, because other instances look for it there. It is refused when another
                instance goes by that.
            type: bool
            default: false
          rm:
            description: The only RM that may be chosen. When omitted, the one with the most memory left is chosen, ties by name.
            type: str
          exclude_rms:
            description: RMs that must not be chosen.
            type: list
            elements: str
            default: []
          public_address:
            description: The public address that the service shall have. When omitted, it keeps its own or gets a free one.
            type: str
          epoch_above:
            description: An epoch that the granted one must exceed, such as the one that the instance has in the HN that it comes from.
            type: int
            default: 0
      state:
        description: Its state, as for M(vmatrix.mesh.vma_instance).
        type: str
        choices: [absent, leaving, reserved, running, stopped, suspended]
      in_rotation:
        description: Whether its service's traffic goes to it. Only what is running can be in rotation.
        type: bool
      epoch_above:
        description: An epoch that the instance's must exceed; when it does not, a new one is granted.
        type: int
        default: 0
      forward_to:
        description: >-
          With O(instances[].state=leaving), the public address of its service in another HN, where those who still come to this one are forwarded.
        type: str
      step:
        description: One line for the journal, as for M(vmatrix.mesh.vma_instance).
        type: str
      operation:
        description: What begins with this change, when no operation of the instance is open.
        type: str
        choices: [change, clone, drain, move, place, remove, resume, scale, standby, suspend, update]
      operation_done:
        description: Whether the open operation of the instance, if any, is over.
        type: bool
        default: false
  registry:
    description:
      - The database of the registry, as a URL of SQLAlchemy.
      - It must not hold a password. Where one is needed, it belongs into the database's own password file.
    type: str
    default: sqlite:////var/lib/vmatrix/vma/registry.db
seealso:
  - module: vmatrix.mesh.vma_instance
  - module: vmatrix.mesh.vma_reservation
"""

EXAMPLES = r"""
- name: Write down that two instances are about to be resumed and published
  vmatrix.mesh.vma_instances:
    instances:
      - {instance: shop-2.example.com, state: running, in_rotation: true, operation: scale, step: resume and publish}
      - {instance: shop-3.example.com, state: running, in_rotation: true, operation: scale, step: resume and publish}
"""

RETURN = r"""
records:
  description: The surroundings records after that, in the order of O(instances); null for one that has none.
  returned: success
  type: list
  elements: dict
  sample:
    - instance: shop-2.example.com
      service: shop
      domain: example.com
      capsule: 1.0.0-warm
      rm: rm-east-2
      epoch: 1
      state: running
      in_rotation: true
      guest: {address: 192.168.1.10/24, gateway: 192.168.1.1, mac: "52:54:00:12:34:56"}
      fabric_address: 192.168.1.254
      vlan: 100
      public_address: 198.18.1.1
      ports: [{protocol: tcp, port: 80}]
      requirements: {memory_mib: 128, vcpus: 1, disk_bytes: 1073741824, machine_type: pc-i440fx-7.2, cpu: qemu64, accelerator: tcg}
router:
  description: The current document of the domain's router, for the gateway.
  returned: success
  type: dict
  contains:
    domain: {description: The domain., type: str, returned: success, sample: example.com}
    vlan: {description: Its VLAN in this HN; null when it never had one., type: int, returned: success, sample: 100}
    generation: {description: The registry's counter., type: int, returned: success, sample: 17}
    gateways:
      description: The addresses that guests believe to be their router; none when the domain has no record left.
      type: list
      elements: str
      returned: success
      sample: [192.168.1.1/24]
    services:
      description: Its services with their C(public_address), C(ports) and C(members) in rotation.
      type: list
      elements: dict
      returned: success
      sample:
        - name: shop
          public_address: 198.18.1.1
          ports: [{protocol: tcp, port: 80}]
          members: [{instance: shop-1.example.com, address: 192.168.1.10}]
"""

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._module import shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, Outcome, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import several
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import LIBRARIES
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import OPTION


def call(params: dict[str, t.Any], check_mode: bool) -> Outcome:
    """Record what the parameters say."""
    return Outcome(*several.update_all(params["registry"], params["instances"], check_mode))


def main() -> None:
    """Run the module."""
    reservation = {
        "capsule": {"type": "str", "required": True},
        "guest": {**shapes.GUEST, "required": True},
        "ports": {**shapes.PORTS, "required": True},
        "balance": shapes.BALANCE,
        "requirements": {**shapes.REQUIREMENTS, "required": True},
        "intranet_address": {"type": "str"},
        "own_address": {"type": "bool", "default": False},
        "rm": {"type": "str"},
        "exclude_rms": {"type": "list", "elements": "str", "default": []},
        "public_address": {"type": "str"},
        "epoch_above": {"type": "int", "default": 0},
    }
    instance = {
        "instance": {"type": "str", "required": True},
        "reservation": {"type": "dict", "options": reservation},
        "state": {"type": "str", "choices": ["absent", "leaving", "reserved", "running", "stopped", "suspended"]},
        "in_rotation": {"type": "bool"},
        "epoch_above": {"type": "int", "default": 0},
        "forward_to": {"type": "str"},
        "step": {"type": "str"},
        "operation": {"type": "str", "choices": ["change", "clone", "drain", "move", "place", "remove", "resume", "scale", "standby", "suspend", "update"]},
        "operation_done": {"type": "bool", "default": False},
    }
    run_module(
        call,
        libraries=[Library(*library) for library in LIBRARIES],
        argument_spec={
            "instances": {"type": "list", "elements": "dict", "required": True, "options": instance},
            "registry": OPTION,
        },
    )


if __name__ == "__main__":
    main()
