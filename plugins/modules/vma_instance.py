#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vma_instance
short_description: Reserve for instances and record what becomes of them in a hosting network
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Asks a VMA whether there is room for an instance, which the same call reserves, changes its surroundings record, and keeps the journal of its
    operations; for one instance or several.
  - In check mode it answers without reserving or changing anything.
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
    description: The instance, for example V(shop-1.example.com). Either this or O(instances) is required.
    type: str
  reservation: &reservation
    description:
      - Room on an RM, the fabric address, the domain's VLAN, the service's public address and an epoch higher than all before, which are reserved first.
        When there is no room, the module fails with one sentence that says of each RM why not.
      - What is there already and fits stays as it is. A mere reservation that does not fit is made anew, with a new epoch.
      - A service whose instances have all gone gets its former public address back while nobody else has it.
        Other services get it only when no address is left that was never used.
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
            description: The number, 1 to 65535; the first one of a range.
            type: int
            required: true
          last_port:
            description: The last one of a range.
            type: int
          helper:
            description: What lets further connections pass that the protocol agrees on.
            type: str
            choices: [ftp]
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
              What shows that an instance is alive. V(tcp) (as usual) is an accepted connection, V(http) and V(https) a response to a GET request with the
              right status (no certificate is looked at), V(udp) a port that is not refused, V(arp) a guest that answers for its address. Where a service
              declares several TCP ports and none is named, or none at all, V(tcp) is V(arp).
            type: str
            choices: [tcp, http, https, udp, arp]
          path:
            description: What an V(http) or V(https) check asks for; V(/) as usual.
            type: str
          ping:
            description: Whether the public address answers a ping while an instance is alive; V(true) as usual.
            type: bool
          check_port:
            description: The declared port that is asked; as usual the only one that there is.
            type: int
          check_status:
            description: The HTTP status that counts, such as V(200), or a range such as V(200-399); V(100-499) as usual.
            type: str
          check_interval:
            description: Seconds from one attempt to the next, V(0.2) to V(300); V(2) as usual.
            type: float
          check_timeout:
            description: Seconds that an attempt may take in all, V(0.1) to V(30); V(1) as usual.
            type: float
          check_failures:
            description: How many attempts in a row must fail before an instance leaves the rotation, V(1) to V(20); V(2) as usual.
            type: int
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
  state: &state
    description:
      - Its state.
      - What does not run leaves the rotation.
      - V(absent) removes its record, gives its room and addresses back and closes its operation.
        The public address goes with the last instance of the service, the VLAN with the last one of the domain.
    type: str
    choices: [absent, leaving, reserved, running, stopped, suspended]
  expected: &expected
    description:
      - The states that it may be in. In any other it stays as it is, and the module fails. An instance without a record is never refused for that.
      - With V(reserved) and the state V(absent) a reservation is given back unless something has begun to use it.
    type: list
    elements: str
    choices: [leaving, reserved, running, stopped, suspended]
  in_rotation: &in_rotation
    description: Whether its service's traffic goes to it. Only what is running can be in rotation.
    type: bool
  epoch_above: &epoch_above
    description: An epoch that the instance's must exceed; when it does not, a new one is granted.
    type: int
  forward_to: &forward_to
    description: With the state V(leaving), the public address of its service in another HN, where those who still come to this one are forwarded.
    type: str
  move: &move
    description:
      - Its move inside the HN. V(begin) takes room on another RM besides, V(end) leaves it there alone, V(give_up) gives that room back.
    type: str
    choices: [begin, end, give_up]
  rm: &rm
    description: For a move that begins, the only RM that may be chosen. When omitted, the one with the most memory left is chosen, ties by name.
    type: str
  step: &step
    description:
      - One line for the journal, written to the open operation of the instance.
      - When none is open, it is written only along with a change, as an operation of the kind that is given.
    type: str
  operation: &operation
    description:
      - What begins with this change, when no operation of the instance is open.
      - When omitted, a reservation begins V(place), which stays open; the journal's entry for any other change is closed at once.
    type: str
    choices: [change, clone, drain, move, place, remove, resume, scale, standby, suspend, update]
  operation_done: &operation_done
    description: Whether the open operation of the instance, if any, is over; when omitted it is not.
    type: bool
  instances:
    description:
      - Several instances of one domain, in the order in which room and addresses are given, in the place of the options of one.
      - It is all written down in one transaction, or nothing is.
    type: list
    elements: dict
    suboptions:
      instance:
        description: The instance, for example V(shop-1.example.com).
        type: str
        required: true
      reservation: *reservation
      state: *state
      expected: *expected
      in_rotation: *in_rotation
      epoch_above: *epoch_above
      forward_to: *forward_to
      move: *move
      rm: *rm
      step: *step
      operation: *operation
      operation_done: *operation_done
  registry:
    description:
      - The database of the registry, as a URL of SQLAlchemy. It is of SQLite, or of PostgreSQL by the driver psycopg2 (Debian's C(python3-psycopg2)) or,
        with SQLAlchemy 2, psycopg, as V(postgresql+psycopg2://vma@db.example.com/vma).
      - It must not hold a password. Where one is needed, it belongs into the database's own password file (C(~/.pgpass) of the user that this module runs as,
        or what C(?passfile=/etc/vmatrix/vma.pgpass) at the end of the URL names), which nobody else can read.
    type: str
    default: sqlite:////var/lib/vmatrix/vma/registry.db
seealso:
  - module: vmatrix.mesh.vma_info
  - module: vmatrix.mesh.domain_router
"""

EXAMPLES = r"""
- name: Reserve room for the shop
  vmatrix.mesh.vma_instance:
    instance: shop-1.example.com
    reservation:
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

- name: Give it back, unless something has begun to use it
  vmatrix.mesh.vma_instance:
    instance: shop-1.example.com
    state: absent
    expected: [reserved]

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

- name: Write down that two instances are about to be resumed and published
  vmatrix.mesh.vma_instance:
    instances:
      - {instance: shop-2.example.com, state: running, in_rotation: true, operation: scale, step: resume and publish}
      - {instance: shop-3.example.com, state: running, in_rotation: true, operation: scale, step: resume and publish}
"""

RETURN = r"""
record:
  description: The instance's surroundings record; null when it has none.
  returned: success with the options of one instance
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
records:
  description: The surroundings records, in the order of O(instances); null for one that has none. Each is as RV(record).
  returned: success with O(instances)
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
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.one_or_several import OneOrSeveral
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import vma
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import OPTION

STATES = ["leaving", "reserved", "running", "stopped", "suspended"]
OPTIONS = OneOrSeveral(
    one={
        "instance": {"type": "str"},
        "reservation": shapes.RESERVATION,
        "state": {"type": "str", "choices": ["absent", *STATES]},
        "expected": {"type": "list", "elements": "str", "choices": STATES},
        "in_rotation": {"type": "bool"},
        "epoch_above": {"type": "int"},
        "forward_to": {"type": "str"},
        "move": {"type": "str", "choices": ["begin", "end", "give_up"]},
        "rm": {"type": "str"},
        "step": {"type": "str"},
        "operation": {"type": "str", "choices": shapes.OPERATIONS},
        "operation_done": {"type": "bool"},
    },
    needed=("instance",),
    shared={"registry": OPTION},
)


def _unwrapped(result: dict[str, t.Any]) -> dict[str, t.Any]:
    return {"record": result["records"][0], "router": result["router"]} if "records" in result else result


def main() -> None:
    """Run the module."""
    run_module(OPTIONS.unwrapping(vma.record, _unwrapped), [Library(*each) for each in vma.LIBRARIES], **OPTIONS.spec())


if __name__ == "__main__":
    main()
