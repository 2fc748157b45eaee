#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_steering_info
short_description: Look at which clients a name sends where
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads the steering of a name back from its zone, and shows region by region which HNs clients are sent to.
  - Without a name it shows all names of the zone. The key must be allowed to copy the zone for that.
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
  - vmatrix.mesh.dns
  - vmatrix.mesh.dns.key
  - vmatrix.mesh.dns.steering
options:
  name:
    description: The absolute name that clients ask for. If this is not given, it is all names of O(zone).
    type: str
seealso:
  - module: vmatrix.mesh.dns_steering
"""

EXAMPLES = r"""
- name: See who is sent where
  vmatrix.mesh.dns_steering_info:
    zone: steer.example.net
    server: 198.18.0.4
    key_file: /etc/vmatrix/dns/platform.key
    name: shop.example.com.steer.example.net

- name: See it of all names
  vmatrix.mesh.dns_steering_info:
    zone: steer.example.net
    server: 198.18.0.4
    key_file: /etc/vmatrix/dns/platform.key
"""

RETURN = r"""
steering:
  description: The steering document in force, V(none) when the name is not steered; see M(vmatrix.mesh.dns_steering).
  returned: if O(name) is given
  type: dict
  sample:
    name: shop.example.com.steer.example.net
    ttl: 5
    answers: 1
    check: {type: none}
    sites: [{hn: hn-east, addresses: [198.18.1.1]}, {hn: hn-west, addresses: [198.18.2.1]}]
    order: [hn-west, hn-east]
    regions: [{name: europe, prefixes: [192.0.2.0/24], order: [hn-east, hn-west]}]
table:
  description: Who is sent where while all HNs are alive, and at this moment; the region V(rest) is that of all other clients.
  returned: if O(name) is given
  type: list
  elements: dict
  sample:
    - region: europe
      prefixes: [192.0.2.0/24]
      orders: {A: [hn-east, hn-west]}
      answers: {A: [198.18.1.1]}
      now: {A: [198.18.1.1], AAAA: []}
    - region: rest
      prefixes: []
      orders: {A: [hn-west, hn-east]}
      answers: {A: [198.18.2.1]}
      now: {A: [198.18.1.1], AAAA: []}
  contains:
    region: {description: The region., type: str, returned: success, sample: europe}
    prefixes: {description: Its clients., type: list, elements: str, returned: success, sample: [192.0.2.0/24]}
    orders: {description: The HNs in order of preference for each type of records., type: dict, returned: success, sample: {A: [hn-east, hn-west]}}
    answers: {description: The addresses for each type of records., type: dict, returned: success, sample: {A: [198.18.1.1]}}
    now:
      description:
        - What a client of the region is answered at this moment; others than RV(table[].answers) when an HN does not answer.
        - Empty if the region has no client of its own, because the prefixes of others are all it has.
      type: dict
      returned: success
      sample: {A: [198.18.1.1], AAAA: []}
drift:
  description: What is not as the document says; V(records) with O(driver=powerdns), the regions with O(driver=bind).
  returned: if O(name) is given
  type: list
  elements: str
  sample: []
names:
  description: The same of each name, with its C(name).
  returned: success
  type: list
  elements: dict
  sample:
    - name: shop.example.com.steer.example.net
      steering:
        name: shop.example.com.steer.example.net
        ttl: 5
        answers: 1
        check: {type: none}
        sites: [{hn: hn-east, addresses: [198.18.1.1]}]
        regions: []
        order: [hn-east]
      table: [{region: rest, prefixes: [], orders: {A: [hn-east]}, answers: {A: [198.18.1.1]}, now: {A: [198.18.1.1], AAAA: []}}]
      drift: []
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import options
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.libraries import LIBRARIES
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_info_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import names


def call(params: dict) -> dict:
    """Read the steering back."""
    found = names.look(params, False).result["names"]
    return {"names": found, **({key: found[0][key] for key in ("steering", "table", "drift")} if params["name"] else {})}


def main() -> None:
    """Run the module."""
    run_info_module(
        call,
        libraries=[Library(*library) for library in LIBRARIES],
        argument_spec={**options.ZONE, **options.STEERING, "name": {"type": "str"}},
        required_if=options.STEERING_NEEDS,
    )


if __name__ == "__main__":
    main()
