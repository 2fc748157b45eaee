#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vma_info
short_description: Look at the registry of a hosting network
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Returns what a VMA knows. It holds the registry while it looks, so what it returns is one consistent state.
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
requirements:
  - SQLAlchemy 1.4.46 or newer (Debian's C(python3-sqlalchemy))
  - netaddr 0.8 or newer (Debian's C(python3-netaddr))
options:
  instance:
    description: Look at this instance only.
    type: str
  domain:
    description: Look at this domain only.
    type: str
  operations:
    description: How many of the closed operations to return. Those that are open are always returned.
    type: int
    default: 20
  registry:
    description:
      - The database of the registry, as a URL of SQLAlchemy. It is of SQLite, or of PostgreSQL by the driver psycopg2 (Debian's C(python3-psycopg2)) or,
        with SQLAlchemy 2, psycopg, as V(postgresql+psycopg2://vma@db.example.com/vma).
      - It must not hold a password. Where one is needed, it belongs into the database's own password file (C(~/.pgpass) of the user that this module runs as,
        or what C(?passfile=/etc/vmatrix/vma.pgpass) at the end of the URL names), which nobody else can read.
    type: str
    default: sqlite:////var/lib/vmatrix/vma/registry.db
seealso:
  - module: vmatrix.mesh.vma_hn
  - module: vmatrix.mesh.vma_rm
  - module: vmatrix.mesh.vma_instance
"""

EXAMPLES = r"""
- name: Look at the registry
  vmatrix.mesh.vma_info:
  register: registry

- name: Look at one instance
  vmatrix.mesh.vma_info:
    instance: shop-1.example.com
  register: shop
"""

RETURN = r"""
hn:
  description: The HN.
  returned: success
  type: dict
  contains:
    name: {description: Its name., type: str, returned: success, sample: hn-east}
    public_pools: {description: Its pools of public addresses., type: list, elements: str, returned: success, sample: [198.18.1.0/24]}
    vlan_first: {description: The first VLAN that a domain may get., type: int, returned: success, sample: 100}
    vlan_last: {description: The last VLAN that a domain may get., type: int, returned: success, sample: 4000}
    vcpu_overcommit: {description: How many vCPUs of instances share one CPU of an RM., type: int, returned: success, sample: 8}
    generation: {description: The registry's counter., type: int, returned: success, sample: 17}
    lease: {description: The highest number of a lease that it knows of., type: int, returned: success, sample: 42}
rms:
  description: The RMs with what is left on each, sorted by name. What is left is negative when an RM has shrunk under its instances.
  returned: success
  type: list
  elements: dict
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
    memory_mib_left: {description: Memory that is not reserved in MiB., type: int, returned: success, sample: 1920}
    vcpus_left: {description: Virtual CPUs that are not reserved., type: int, returned: success, sample: 15}
    disk_bytes_left: {description: Room on disk that is not reserved in bytes., type: int, returned: success, sample: 106300440576}
    instances: {description: The instances that it holds., type: list, elements: str, returned: success, sample: [shop-1.example.com]}
    listed: {description: Whether it has told all capsules that it holds., type: bool, returned: success, sample: true}
capsules:
  description: The capsules that RMs hold, as far as they or operations told, sorted by domain, name and version.
  returned: success
  type: list
  elements: dict
  contains:
    manifest:
      description: The capsule's manifest, see M(vmatrix.mesh.capsule_info).
      type: dict
      returned: success
      sample: {name: shop, version: 1.0.0, domain: example.com}
    rms: {description: The RMs that hold it., type: list, elements: str, returned: success, sample: [rm-east-1]}
records:
  description: Surroundings records, sorted by instance.
  returned: success
  type: list
  elements: dict
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
routers:
  description: The document of each domain's router, by domain.
  returned: success
  type: dict
  sample:
    example.com:
      domain: example.com
      vlan: 100
      generation: 17
      gateways: [192.168.1.1/24]
      services:
        - name: shop
          public_address: 198.18.1.1
          ports: [{protocol: tcp, port: 80}]
          members: [{instance: shop-1.example.com, address: 192.168.1.10}]
epochs:
  description: The highest epoch ever granted or seen for each instance, also of those that are gone.
  returned: success
  type: dict
  sample: {shop-1.example.com: 3}
operations:
  description: Operations of the journal, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: Its number., type: int, returned: success, sample: 7}
    instance: {description: The instance., type: str, returned: success, sample: shop-1.example.com}
    kind: {description: What was begun., type: str, returned: success, sample: place}
    opened: {description: When it was begun (UTC)., type: str, returned: success, sample: "2026-01-01T12:00:00Z"}
    closed: {description: When it ended; null while it is open., type: str, returned: success, sample: "2026-01-01T12:00:05Z"}
    steps:
      description: What was written down on the way.
      type: list
      elements: dict
      returned: success
      sample: [{at: "2026-01-01T12:00:00Z", step: reserved on rm-east-1 with epoch 1}]
leases:
  description: Which operations are at work on which instances.
  returned: success
  type: list
  elements: dict
  contains:
    instance: {description: The instance., type: str, returned: success, sample: shop-1.example.com}
    number: {description: The number of the lease; those of an instance grow., type: int, returned: success, sample: 17}
    run: {description: The id of this run of the operation., type: str, returned: success, sample: 8d1f3c2a4b5e4f60a1b2c3d4e5f60718}
    operation: {description: What is done., type: str, returned: success, sample: move}
    who: {description: Who runs it., type: str, returned: success, sample: ada@controller}
    controller:
      description: The process that runs it.
      type: dict
      returned: success
      sample: {where: 3f0e/4026531836, process: 4711, started: "81520"}
    since: {description: When it began here (UTC)., type: str, returned: success, sample: "2026-01-01T12:00:00Z"}
    left: {description: Seconds after which another operation need not wait for it any more., type: float, returned: success, sample: 599.2}
runs:
  description: The runs of operations that have not ended, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    run: {description: Its id., type: str, returned: success, sample: 8d1f3c2a4b5e4f60a1b2c3d4e5f60718}
    operation: {description: What is done., type: str, returned: success, sample: move}
    subject: {description: What it is done to., type: str, returned: success, sample: shop-1.example.com}
    who: {description: Who runs it., type: str, returned: success, sample: ada@controller}
    instances: {description: The instances that it is about., type: list, elements: str, returned: success, sample: [shop-1.example.com]}
    began: {description: When it was begun (UTC)., type: str, returned: success, sample: "2026-01-01T12:00:00.000000Z"}
    ended: {description: When it ended; null., type: str, returned: success, sample: null}
    outcome: {description: How it ended; null., type: str, returned: success, sample: null}
    steps: {description: What each step was; empty until it has ended., type: list, elements: dict, returned: success, sample: []}
    plan: {description: Its plan as text., type: str, returned: success, sample: "{}"}
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_info_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import vma
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import OPTION


def main() -> None:
    """Run the module."""
    run_info_module(
        lambda params: vma.look(params, False).result,
        libraries=[Library(*library) for library in vma.LIBRARIES],
        argument_spec={
            "instance": {"type": "str"},
            "domain": {"type": "str"},
            "operations": {"type": "int", "default": 20},
            "registry": OPTION,
        },
        mutually_exclusive=[("instance", "domain")],
    )


if __name__ == "__main__":
    main()
