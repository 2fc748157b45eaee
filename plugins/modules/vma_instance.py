#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vma_instance
short_description: Record what becomes of an instance in a hosting network
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Changes the surroundings record of an instance and keeps the journal of its operations.
  - Write down what is about to be done before it is done, and apply the returned RV(router) to the gateway.
  - What is omitted stays as it is.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
requirements:
  - SQLAlchemy 1.4.46 or newer (Debian's C(python3-sqlalchemy))
  - netaddr 0.8 or newer (Debian's C(python3-netaddr))
options:
  instance:
    description: The instance, for example V(shop-1.example.com).
    type: str
    required: true
  state:
    description:
      - Its state.
      - What does not run leaves the rotation.
      - V(absent) removes its record, gives its room and addresses back and closes its operation.
        The public address goes with the last instance of the service, the VLAN with the last one of the domain.
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
    description: With O(state=leaving), the public address of its service in another HN, where those who still come to this one are forwarded.
    type: str
  move:
    description:
      - Its move inside the HN. V(begin) takes room on another RM besides, V(end) leaves it there alone, V(give_up) gives that room back.
    type: str
    choices: [begin, end, give_up]
  rm:
    description: With O(move=begin), the only RM that may be chosen. When omitted, the one with the most memory left is chosen, ties by name.
    type: str
  step:
    description:
      - One line for the journal, written to the open operation of the instance.
      - When none is open, it is written only along with a change, as an operation of the kind O(operation).
    type: str
  operation:
    description:
      - What begins with this change, when no operation of the instance is open.
      - When omitted, the journal's entry is closed at once.
    type: str
    choices: [change, drain, move, place, remove, resume, suspend, update]
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
  - module: vmatrix.mesh.vma_reservation
  - module: vmatrix.mesh.vma_info
  - module: vmatrix.mesh.domain_router
"""

EXAMPLES = r"""
- name: Publish the shop
  vmatrix.mesh.vma_instance:
    instance: shop-1.example.com
    state: running
    in_rotation: true
    step: published
    operation_done: true

- name: Remove it
  vmatrix.mesh.vma_instance:
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

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, Outcome, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import instances
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import LIBRARIES
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import OPTION


def call(params: dict[str, t.Any], check_mode: bool) -> Outcome:
    """Record what the parameters say."""
    return Outcome(*instances.update(params["registry"], params, check_mode))


def main() -> None:
    """Run the module."""
    run_module(
        call,
        libraries=[Library(*library) for library in LIBRARIES],
        argument_spec={
            "instance": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["absent", "leaving", "reserved", "running", "stopped", "suspended"]},
            "in_rotation": {"type": "bool"},
            "epoch_above": {"type": "int", "default": 0},
            "forward_to": {"type": "str"},
            "move": {"type": "str", "choices": ["begin", "end", "give_up"]},
            "rm": {"type": "str"},
            "step": {"type": "str"},
            "operation": {"type": "str", "choices": ["change", "drain", "move", "place", "remove", "resume", "suspend", "update"]},
            "operation_done": {"type": "bool", "default": False},
            "registry": OPTION,
        },
    )


if __name__ == "__main__":
    main()
