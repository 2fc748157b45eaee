#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vma_hn
short_description: Set the registry of a hosting network up
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Makes the registry of a VMA where there is none, and sets the HN's name, public addresses and VLANs in it.
  - The file of an SQLite registry is readable by its owner only. Its directory must exist.
  - A database of PostgreSQL must exist, hold nothing else, and belong to the user that the URL names, or its schema must, since tables are made in it.
  - What is in use is never taken away. A pool cannot be dropped or shrunk while a service uses an address of it, nor the VLANs while a domain uses one.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
requirements:
  - SQLAlchemy 1.4.46 or newer (Debian's C(python3-sqlalchemy))
  - netaddr 0.8 or newer (Debian's C(python3-netaddr))
options:
  name:
    description: The HN's name. A registry belongs to one HN for ever.
    type: str
    required: true
  public_pools:
    description:
      - The networks whose addresses the world can reach here, as CIDRs.
      - The network and broadcast address of a pool are not given to services.
    type: list
    elements: str
    required: true
  vlan_first:
    description: The first VLAN that a domain may get.
    type: int
    default: 100
  vlan_last:
    description: The last VLAN that a domain may get.
    type: int
    default: 4000
  vcpu_overcommit:
    description: How many vCPUs of instances share one CPU of an RM.
    type: int
    default: 8
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
  - module: vmatrix.mesh.vma_rm
"""

EXAMPLES = r"""
- name: Set the registry of hn-east up
  vmatrix.mesh.vma_hn:
    name: hn-east
    public_pools:
      - 198.18.1.0/24

- name: Set it up in PostgreSQL
  vmatrix.mesh.vma_hn:
    name: hn-east
    public_pools:
      - 198.18.1.0/24
    registry: postgresql+psycopg2://vma@db.example.com/vma?passfile=/etc/vmatrix/vma.pgpass
"""

RETURN = r"""
hn:
  description: The HN as it is recorded.
  returned: success
  type: dict
  contains:
    name: {description: Its name., type: str, returned: success, sample: hn-east}
    public_pools: {description: Its pools of public addresses., type: list, elements: str, returned: success, sample: [198.18.1.0/24]}
    vlan_first: {description: The first VLAN that a domain may get., type: int, returned: success, sample: 100}
    vlan_last: {description: The last VLAN that a domain may get., type: int, returned: success, sample: 4000}
    vcpu_overcommit: {description: How many vCPUs of instances share one CPU of an RM., type: int, returned: success, sample: 8}
    generation: {description: The registry's counter., type: int, returned: success, sample: 17}
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import vma
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import OPTION


def main() -> None:
    """Run the module."""
    run_module(
        vma.declare,
        libraries=[Library(*library) for library in vma.LIBRARIES],
        argument_spec={
            "name": {"type": "str", "required": True},
            "public_pools": {"type": "list", "elements": "str", "required": True},
            "vlan_first": {"type": "int", "default": 100},
            "vlan_last": {"type": "int", "default": 4000},
            "vcpu_overcommit": {"type": "int", "default": 8},
            "registry": OPTION,
        },
    )


if __name__ == "__main__":
    main()
