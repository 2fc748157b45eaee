#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_record_set_info
short_description: Look at a set of address records on every authoritative server
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Asks every authoritative server of a zone, not a cache, for the A and AAAA records of a name.
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
  - vmatrix.mesh.dns
options:
  name:
    description: The absolute name of the records.
    type: str
    required: true
seealso:
  - module: vmatrix.mesh.dns_record_set
"""

EXAMPLES = r"""
- name: See whether all servers have the same addresses of the shop
  vmatrix.mesh.dns_record_set_info:
    zone: example.com
    server: 198.18.0.4
    name: shop.example.com
"""

RETURN = r"""
answers:
  description: What each authoritative server has.
  returned: success
  type: list
  elements: dict
  sample:
    - server: 198.18.0.4
      records: [{name: shop.example.com, type: A, ttl: 30, values: [198.18.1.1, 198.18.2.1]}]
      problem: null
  contains:
    server: {description: The server., type: str, returned: success, sample: 198.18.0.4}
    records:
      description: The records that it has.
      type: list
      elements: dict
      returned: success
      sample: [{name: shop.example.com, type: A, ttl: 30, values: [198.18.1.1, 198.18.2.1]}]
    problem: {description: Why it did not say, type: str, returned: success, sample: The name server 198.18.0.5 did not answer within 5 s.}
agree:
  description: Whether all servers have the same.
  returned: success
  type: bool
  sample: true
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import options, record_set, shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.libraries import LIBRARIES
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_info_module


def call(params: dict) -> dict:
    """Ask all servers."""
    zone = options.zone(params)
    return record_set.survey(zone, shapes.record_name(params["name"], zone.name), options.servers(params))


def main() -> None:
    """Run the module."""
    run_info_module(
        call,
        libraries=[Library(*library) for library in LIBRARIES],
        argument_spec={**options.ZONE, "name": {"type": "str", "required": True}},
    )


if __name__ == "__main__":
    main()
