#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vpn_responder
short_description: Let a domain's services into their owner's intranet
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Makes the owner's VPN gateway answer the tunnels of the domain's services, in the host's own network namespace.
  - A service must show a certificate of the owner's authority for its own name, and may claim its own intranet addresses only.
  - Where an intranet address lies in the network of one of the host's interfaces, the host answers ARP for it there. So back-ends need not know of the VPN.
  - When another O(crl) is loaded, every tunnel is closed, and those that may come back do so within a second.
  - Forwarding between the intranet and the tunnels is the host's own business, and so is its firewall.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
requirements:
  - cryptography 38 or newer (Debian's C(python3-cryptography))
  - vici 5.9 or newer (from PyPI)
  - strongSwan 5.9 or newer, as the role P(vmatrix.mesh.vpn#role) installs it
options:
  domain:
    description: The domain.
    type: str
    required: true
  local:
    description: This end of the tunnels; required if O(state=present).
    type: dict
    suboptions:
      address:
        description: The host's address that services call.
        type: str
        required: true
      identity:
        description: The name that O(local.certificate) is for.
        type: str
        required: true
      certificate:
        description: The VPN gateway's certificate in PEM.
        type: str
        required: true
      key:
        description: The file on this host that holds the private key; it must have mode C(0600).
        type: path
      envelope:
        description: The private key, wrapped for this host, instead of O(local.key).
        type: str
  authority:
    description: The certificate, in PEM, of the owner's authority; required if O(state=present).
    type: str
  crl:
    description: The authority's revocation list in PEM. With one, whoever it does not vouch for is refused.
    type: str
  backends:
    description: The addresses of the hosts that services may reach; required if O(state=present).
    type: list
    elements: str
  services:
    description: The services that are let in.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The service.
        type: str
        required: true
      addresses:
        description: Its intranet addresses, as addresses or networks; at most 256.
        type: list
        elements: str
        required: true
  state:
    description: Whether the host should be a VPN gateway of the domain.
    type: str
    default: present
    choices: [present, absent]
seealso:
  - module: vmatrix.mesh.vpn_tunnel
  - module: vmatrix.mesh.vpn_authority
"""

EXAMPLES = r"""
- name: Let the shop into the intranet of example.com
  vmatrix.mesh.vpn_responder:
    domain: example.com
    local:
      address: 198.18.0.3
      identity: vpn.example.com
      certificate: "{{ vpn.certificate }}"
      key: /etc/vmatrix/authority/keys/vpn.example.com.key
    authority: "{{ authority.certificate }}"
    crl: "{{ authority.crl }}"
    backends: [172.21.162.10]
    services:
      - name: shop
        addresses: [172.21.162.9, 172.21.162.16/28]
"""

RETURN = r"""
responder:
  description: The VPN gateway as its document says it is (or would be), with serial numbers in the place of certificates; V(none) when it was removed.
  returned: success
  type: dict
  sample:
    domain: example.com
    local: {address: 198.18.0.3, identity: vpn.example.com, serial: 1a2b3c4d, not_after: "2027-02-21T04:00:00Z"}
    peer: {authority: 5f0b6c1d, revoked: [7e7ac7bc893236c8]}
    backends: [172.21.162.10]
    services: [{name: shop, addresses: [172.21.162.9]}]
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import responder


def main() -> None:
    """Run the module."""
    run_module(
        responder.ensure,
        libraries=[Library(*library) for library in responder.LIBRARIES],
        argument_spec={
            "domain": {"type": "str", "required": True},
            "local": {
                "type": "dict",
                "options": {
                    "address": {"type": "str", "required": True},
                    "identity": {"type": "str", "required": True},
                    "certificate": {"type": "str", "required": True, "no_log": True},
                    # The path of a file, not the key.
                    "key": {"type": "path", "no_log": False},
                    "envelope": {"type": "str", "no_log": True},
                },
                "mutually_exclusive": [("envelope", "key")],
                "required_one_of": [("envelope", "key")],
            },
            "authority": {"type": "str", "no_log": True},
            "crl": {"type": "str", "no_log": True},
            "backends": {"type": "list", "elements": "str"},
            "services": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"name": {"type": "str", "required": True}, "addresses": {"type": "list", "elements": "str", "required": True}},
            },
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
        required_if=[("state", "present", ("local", "authority", "backends"))],
    )


if __name__ == "__main__":
    main()
