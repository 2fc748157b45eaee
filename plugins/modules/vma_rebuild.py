#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vma_rebuild
short_description: Make the registry of a hosting network equal to what really runs
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Replaces the surroundings records by those of the instances that the RMs hold, such as after the registry was lost.
  - VLANs, public addresses, epochs and the rotation come back with them. What is merely reserved stays, because nothing of it runs yet.
  - Say what ALL RMs of the HN hold. What none of them holds is forgotten.
  - What an RM has handed over to another one is not made anew, but kept where it is recorded, because a move that was cut short needs it.
  - The HN (M(vmatrix.mesh.vma_hn)) and its RMs (M(vmatrix.mesh.vma_rm)) must be recorded first.
  - It is refused when two RMs run one instance, or when what runs contradicts itself or the HN's pools and VLANs.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
requirements:
  - SQLAlchemy 1.4.46 or newer (Debian's C(python3-sqlalchemy))
  - netaddr 0.8 or newer (Debian's C(python3-netaddr))
options:
  instances:
    description: What the RMs hold, as M(vmatrix.mesh.instance_info) returns it, each with its RM. Further keys do no harm.
    type: list
    elements: dict
    required: true
  routers:
    description: The documents in force on the gateway, as M(vmatrix.mesh.domain_router_info) returns them. Further keys do no harm.
    type: list
    elements: dict
    required: true
  registry:
    description:
      - The database of the registry, as a URL of SQLAlchemy. It is of SQLite, or of PostgreSQL by the driver psycopg2 (Debian's C(python3-psycopg2)) or,
        with SQLAlchemy 2, psycopg, as V(postgresql+psycopg2://vma@db.example.com/vma).
      - It must not hold a password. Where one is needed, it belongs into the database's own password file (C(~/.pgpass) of the user that this module runs as,
        or what C(?passfile=/etc/vmatrix/vma.pgpass) at the end of the URL names), which nobody else can read.
    type: str
    default: sqlite:////var/lib/vmatrix/vma/registry.db
seealso:
  - module: vmatrix.mesh.instance_info
  - module: vmatrix.mesh.domain_router_info
  - module: vmatrix.mesh.vma_info
"""

EXAMPLES = r"""
- name: Rebuild the registry
  vmatrix.mesh.vma_rebuild:
    instances:
      - name: shop-1.example.com
        rm: rm-east-1
        state: running
        epoch: 3
        record:
          instance: shop-1.example.com
          service: shop
          domain: example.com
          capsule: "1.0.0"
          rm: rm-east-1
          epoch: 3
          state: running
          in_rotation: true
          guest:
            address: 192.168.1.10/24
            gateway: 192.168.1.1
            mac: 52:54:00:12:34:56
          fabric_address: 192.168.1.10
          vlan: 100
          public_address: 198.18.1.1
          ports:
            - protocol: tcp
              port: 80
          requirements:
            memory_mib: 128
            vcpus: 1
            disk_bytes: 1073741824
            machine_type: pc-i440fx-7.2
            cpu: qemu64
            accelerator: null
    routers:
      - domain: example.com
        vlan: 100
        generation: 17
        gateways:
          - 192.168.1.1/24
        services:
          - name: shop
            public_address: 198.18.1.1
            ports:
              - protocol: tcp
                port: 80
            members:
              - instance: shop-1.example.com
                address: 192.168.1.10
"""

RETURN = r"""
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
generation:
  description: The registry's counter; above that of every document in force.
  returned: success
  type: int
  sample: 18
"""

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import rebuild
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import LIBRARIES
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import OPTION


def call(params: dict[str, t.Any], check: bool) -> Outcome:
    """Rebuild the records."""
    return Outcome(*rebuild.rebuild(params["registry"], params["instances"], params["routers"], check))


def main() -> None:
    """Run the module."""
    run_module(
        call,
        libraries=[Library(*library) for library in LIBRARIES],
        argument_spec={
            "instances": {"type": "list", "elements": "dict", "required": True},
            "routers": {"type": "list", "elements": "dict", "required": True},
            "registry": OPTION,
        },
    )


if __name__ == "__main__":
    main()
