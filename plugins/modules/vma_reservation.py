#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vma_reservation
short_description: Reserve room for an instance in a hosting network
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Asks a VMA whether there is room for an instance. The same call reserves it, or fails with one sentence that says of each RM why not.
  - A reservation is room on an RM, the fabric address, the domain's VLAN, the service's public address and an epoch higher than all before.
  - In check mode it answers without reserving.
  - What is there already and fits is returned as it is. A mere reservation that does not fit is made anew, with a new epoch.
  - A service whose instances have all gone gets its former public address back while nobody else has it.
    Other services get it only when no address is left that was never used.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
  - vmatrix.mesh.balance
requirements:
  - SQLAlchemy 1.4.46 or newer (Debian's C(python3-sqlalchemy))
  - netaddr 0.8 or newer (Debian's C(python3-netaddr))
options:
  instance:
    description: The instance, for example V(shop-1.example.com).
    type: str
    required: true
  capsule:
    description: The capsule's version.
    type: str
  guest:
    description: What the guest believes, from the capsule's manifest.
    type: dict
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
  requirements:
    description: What the instance needs of an RM.
    type: dict
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
  rm:
    description: The only RM that may be chosen. When omitted, the one with the most memory left is chosen, ties by name.
    type: str
  exclude_rms:
    description: RMs that must not be chosen.
    type: list
    elements: str
    default: []
  intranet_address:
    description: What the instance is in its owner's intranet, for a service with a tunnel.
    type: str
  public_address:
    description: The public address that the service shall have. When omitted, it keeps its own or gets a free one.
    type: str
  epoch_above:
    description: An epoch that the granted one must exceed, such as the one that the instance has in the HN that it comes from.
    type: int
    default: 0
  operation:
    description: What the reservation begins; the journal's entry is of this kind and stays open until M(vmatrix.mesh.vma_instance) closes it.
    type: str
    choices: [change, drain, move, place, remove, resume, suspend]
    default: place
  state:
    description: Whether there is a reservation. V(absent) is for what is merely reserved; it closes the journal's entry.
    type: str
    choices: [absent, present]
    default: present
  registry:
    description:
      - The database of the registry, as a URL of SQLAlchemy.
      - It must not hold a password. Where one is needed, it belongs into the database's own password file.
    type: str
    default: sqlite:////var/lib/vmatrix/vma/registry.db
seealso:
  - module: vmatrix.mesh.vma_instance
  - module: vmatrix.mesh.vma_info
"""

EXAMPLES = r"""
- name: Reserve room for the shop
  vmatrix.mesh.vma_reservation:
    instance: shop-1.example.com
    capsule: "1.0.0"
    guest:
      address: 192.168.1.10/24
      gateway: 192.168.1.1
      mac: 52:54:00:12:34:56
    ports:
      - protocol: tcp
        port: 80
    requirements:
      memory_mib: 128
      vcpus: 1
      disk_bytes: 1073741824
      machine_type: pc-i440fx-7.2
      cpu: qemu64

- name: Give it back
  vmatrix.mesh.vma_reservation:
    instance: shop-1.example.com
    state: absent
"""

RETURN = r"""
record:
  description: The instance's surroundings record; null when it has none.
  returned: success
  type: dict
  contains:
    instance: {description: The instance., type: str, returned: success, sample: shop-1.example.com}
    service: {description: The service that it is of., type: str, returned: success, sample: shop}
    domain: {description: The owner of the service., type: str, returned: success, sample: example.com}
    capsule: {description: The version of the capsule., type: str, returned: success, sample: "1.0.0"}
    rm: {description: The RM that holds it., type: str, returned: success, sample: rm-east-1}
    moves_to: {description: The RM of this HN that it moves to; null unless it does., type: str, returned: success, sample: null}
    epoch: {description: Its fencing number., type: int, returned: success, sample: 3}
    state:
      description: One of V(reserved), V(running), V(suspended), V(leaving) and V(stopped).
      type: str
      returned: success
      sample: running
    in_rotation: {description: Whether its service's traffic goes to it., type: bool, returned: success, sample: true}
    guest:
      description: What the guest believes; its C(address), C(gateway) and C(mac).
      type: dict
      returned: success
      sample: {address: 192.168.1.10/24, gateway: 192.168.1.1, mac: "52:54:00:12:34:56"}
    fabric_address: {description: The address that the HN uses for it., type: str, returned: success, sample: 192.168.1.10}
    intranet_address: {description: What it is in its owner's intranet; null without a tunnel., type: str, returned: success, sample: 172.21.162.9}
    vlan: {description: The domain's VLAN in this HN., type: int, returned: success, sample: 100}
    public_address: {description: What the world connects to., type: str, returned: success, sample: 198.18.1.1}
    forward_to: {description: Where late-comers are forwarded; null unless it leaves., type: str, returned: success, sample: null}
    ports: {description: What the service listens on., type: list, elements: dict, returned: success, sample: [{protocol: tcp, port: 80}]}
    balance: {description: How instances share callers; empty where all is as usual., type: dict, returned: success, sample: {policy: sticky}}
    requirements:
      description: What it needs of an RM.
      type: dict
      returned: success
      sample: {memory_mib: 128, vcpus: 1, disk_bytes: 1073741824, machine_type: pc-i440fx-7.2, cpu: qemu64, accelerator: null}
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
      description: Its services with their C(public_address), C(ports) and C(members) in rotation; those with a tunnel have C(mappings), too.
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
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import reservations
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import LIBRARIES
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import OPTION


def call(params: dict[str, t.Any], check_mode: bool) -> Outcome:
    """Reserve, or give a reservation back."""
    if params["state"] == "absent":
        return Outcome(*reservations.undo(params["registry"], params["instance"], check_mode))
    return Outcome(*reservations.reserve(params["registry"], params, check_mode))


def main() -> None:
    """Run the module."""
    run_module(
        call,
        libraries=[Library(*library) for library in LIBRARIES],
        argument_spec={
            "instance": {"type": "str", "required": True},
            "capsule": {"type": "str"},
            "guest": shapes.GUEST,
            "ports": shapes.PORTS,
            "balance": shapes.BALANCE,
            "requirements": shapes.REQUIREMENTS,
            "rm": {"type": "str"},
            "exclude_rms": {"type": "list", "elements": "str", "default": []},
            "intranet_address": {"type": "str"},
            "public_address": {"type": "str"},
            "epoch_above": {"type": "int", "default": 0},
            "operation": {"type": "str", "choices": ["change", "drain", "move", "place", "remove", "resume", "suspend"], "default": "place"},
            "state": {"type": "str", "choices": ["absent", "present"], "default": "present"},
            "registry": OPTION,
        },
        required_if=[("state", "present", ["capsule", "guest", "ports", "requirements"])],
    )


if __name__ == "__main__":
    main()
