#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vpn_tunnel_info
short_description: Look at the tunnels of a gateway
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Shows the services' tunnels on a gateway, or on the owner's VPN gateway, as the IKE daemons have them, and whether everything is as the documents say.
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
requirements:
  - cryptography 38 or newer (Debian's C(python3-cryptography))
  - vici 5.9 or newer (from PyPI)
options:
  domain:
    description: The domain whose tunnels to look at; those of all domains if not given.
    type: str
  service:
    description: The service whose tunnel to look at; those of all services if not given.
    type: str
seealso:
  - module: vmatrix.mesh.vpn_tunnel
"""

EXAMPLES = r"""
- name: See whether the shop is connected
  vmatrix.mesh.vpn_tunnel_info:
    domain: example.com
    service: shop
"""

RETURN = r"""
tunnels:
  description: The tunnels, in the order of domains and services.
  returned: success
  type: list
  elements: dict
  sample:
    - domain: example.com
      service: shop
      established: true
      since: "2026-11-23T04:00:00Z"
      bytes_in: 18344
      bytes_out: 2210
      peers: [{address: 198.18.0.3, identity: vpn.example.com}]
      instances: [{instance: shop-1.example.com, fabric_address: 192.168.1.10, intranet_address: 172.21.162.9, established: true}]
      certificate: {serial: 7e7ac7bc893236c8, not_after: "2027-02-21T04:00:00Z"}
      kernel_esp: true
      drift: []
  contains:
    domain:
      description: The domain.
      type: str
      returned: success
      sample: example.com
    service:
      description: The service.
      type: str
      returned: success
      sample: shop
    established:
      description: Whether every instance has its way through the tunnel; on the owner's VPN gateway, whether anybody is connected.
      type: bool
      returned: success
      sample: true
    since:
      description: Since when, by the clock of the host, to the second; V(none) when it is down.
      type: str
      returned: success
      sample: "2026-11-23T04:00:00Z"
    bytes_in:
      description: Bytes received since the keys of the tunnel were made.
      type: int
      returned: success
      sample: 18344
    bytes_out:
      description: Bytes sent since then.
      type: int
      returned: success
      sample: 2210
    peers:
      description: Who is at the other end.
      type: list
      elements: dict
      returned: success
      sample: [{address: 198.18.0.3, identity: vpn.example.com}]
      contains:
        address:
          description: Its address.
          type: str
          returned: success
          sample: 198.18.0.3
        identity:
          description: What it calls itself, as its certificate or pre-shared key shows.
          type: str
          returned: success
          sample: vpn.example.com
    instances:
      description: The service's instances here; none on the owner's VPN gateway.
      type: list
      elements: dict
      returned: success
      sample: [{instance: shop-1.example.com, fabric_address: 192.168.1.10, intranet_address: 172.21.162.9, established: true}]
      contains:
        instance:
          description: The instance.
          type: str
          returned: success
          sample: shop-1.example.com
        fabric_address:
          description: Its fabric address.
          type: str
          returned: success
          sample: 192.168.1.10
        intranet_address:
          description: Its intranet address.
          type: str
          returned: success
          sample: 172.21.162.9
        established:
          description: Whether it has its way through the tunnel.
          type: bool
          returned: success
          sample: true
    certificate:
      description: The certificate of this end; V(none) with a pre-shared key.
      type: dict
      returned: success
      sample: {serial: 7e7ac7bc893236c8, not_after: "2027-02-21T04:00:00Z"}
      contains:
        serial:
          description: Its serial number in hexadecimal.
          type: str
          returned: success
          sample: 7e7ac7bc893236c8
        not_after:
          description: When it expires.
          type: str
          returned: success
          sample: "2027-02-21T04:00:00Z"
    kernel_esp:
      description: Whether the kernel encrypts; otherwise the IKE daemon does, in user space.
      type: bool
      returned: success
      sample: true
    drift:
      description: What is not as the documents of the domain say; some of V(daemon), V(credentials), V(connections), V(links) and V(rules).
      type: list
      elements: str
      returned: success
      sample: []
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_info_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import observe, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.libraries import LIBRARIES


def call(params: dict) -> dict:
    """Look."""
    found = [tunnel for endpoint in state.endpoints() if params["domain"] in (None, endpoint.domain) for tunnel in observe.look(endpoint)]
    return {"tunnels": [tunnel for tunnel in found if params["service"] in (None, tunnel["service"])]}


def main() -> None:
    """Run the module."""
    run_info_module(call, libraries=[Library(*library) for library in LIBRARIES], argument_spec={"domain": {"type": "str"}, "service": {"type": "str"}})


if __name__ == "__main__":
    main()
