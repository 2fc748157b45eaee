#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: domain_router_info
short_description: Look at the domain routers of a gateway
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Shows the router documents in force on a gateway, the live connections of each member, and whether a router is still as its document says.
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  domain:
    description: The domain whose router to look at; all of them if not given.
    type: str
seealso:
  - module: vmatrix.mesh.domain_router
"""

EXAMPLES = r"""
- name: See who serves example.com
  vmatrix.mesh.domain_router_info:
    domain: example.com
"""

RETURN = r"""
routers:
  description: The routers, in the order of their domains.
  returned: success
  type: list
  elements: dict
  sample:
    - domain: example.com
      vlan: 101
      generation: 17
      gateways: [192.168.1.1/24]
      services:
        - name: shop
          public_address: 198.18.1.1
          ports: [{protocol: tcp, port: 80}]
          members: [{instance: shop-1.example.com, address: 192.168.1.10, connections: 4, healthy: true}]
          leaving: []
      drift: false
      drifted: []
  contains:
    domain:
      description: The domain.
      type: str
      returned: success
      sample: example.com
    lease:
      description: The highest number of a lease that the gateway acted under, of all routers.
      type: int
      returned: success
      sample: 42
    vlan:
      description: Its VLAN.
      type: int
      returned: success
      sample: 101
    generation:
      description: The registry's counter of the document in force.
      type: int
      returned: success
      sample: 17
    gateways:
      description: The addresses that guests believe to be their router.
      type: list
      elements: str
      returned: success
      sample: [192.168.1.1/24]
    services:
      description: The services.
      type: list
      elements: dict
      returned: success
      sample:
        - name: shop
          public_address: 198.18.1.1
          ports: [{protocol: tcp, port: 80}]
          members: [{instance: shop-1.example.com, address: 192.168.1.10, connections: 4, healthy: true}]
          leaving: []
      contains:
        name:
          description: The service.
          type: str
          returned: success
          sample: shop
        public_address:
          description: The address that the world connects to.
          type: str
          returned: success
          sample: 198.18.1.1
        ports:
          description: The declared ports.
          type: list
          elements: dict
          returned: success
          sample: [{protocol: tcp, port: 80}]
        balance:
          description: How the members share its callers, as far as that is not as usual.
          type: dict
          returned: when something is not as usual
          sample: {policy: sticky}
        forward_to:
          description: Where those who still come here are forwarded.
          type: str
          returned: when the service is served elsewhere now
          sample: 198.18.2.1
        members:
          description: >-
            The members of the rotation with the number of their live connections, and whether they pass their health checks;
            with their C(weight) if it is not 1.
          type: list
          elements: dict
          returned: success
          sample: [{instance: shop-1.example.com, address: 192.168.1.10, connections: 4, healthy: true}]
        leaving:
          description: Addresses that are no longer in rotation, but still have connections.
          type: list
          elements: dict
          returned: success
          sample: [{address: 192.168.1.11, connections: 1}]
    drift:
      description: Whether anything is not as the document says.
      type: bool
      returned: success
      sample: false
    drifted:
      description: What is not; some of V(links), V(access port) and V(rules).
      type: list
      elements: str
      returned: success
      sample: []
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import run_info_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import router


def call(params: dict) -> dict:
    return router.look(params, False).result


def main() -> None:
    run_info_module(call, argument_spec={"domain": {"type": "str"}})


if __name__ == "__main__":
    main()
