#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vpn_envelope
short_description: Make up a service's tunnel for another gateway
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Runs on a gateway that has the tunnel of a service, and returns the service's private key in an envelope that only the gateway of another HN can open.
  - What else the tunnel needs there comes with it.
  - Nobody in between, the controller included, sees the key in the clear. Nothing on the gateway changes.
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
attributes:
  idempotent:
    support: partial
    details:
      - Nothing changes, but each run returns another envelope of the same key.
requirements:
  - cryptography 38 or newer (Debian's C(python3-cryptography))
options:
  domain:
    description: The domain.
    type: str
    required: true
  service:
    description: The service.
    type: str
    required: true
  recipient:
    description: The public wrapping key of the other gateway, see M(vmatrix.mesh.vpn_wrapping_key).
    type: str
    required: true
seealso:
  - module: vmatrix.mesh.vpn_wrapping_key
  - module: vmatrix.mesh.vpn_tunnel
"""

EXAMPLES = r"""
- name: Let the gateway of hn-west use the shop's certificate
  vmatrix.mesh.vpn_envelope:
    domain: example.com
    service: shop
    recipient: "{{ hostvars['gw-west'].vpn_public_key }}"
  delegate_to: gw-east
  register: moving
  no_log: true
"""

RETURN = r"""
tunnel:
  description: What the tunnel needs on the other gateway, for O(vmatrix.mesh.domain_router#module:tunnels). Its C(envelope) is for O(recipient) alone.
  returned: success
  type: dict
  sample:
    service: shop
    certificate: "-----BEGIN CERTIFICATE-----..."
    envelope: eyJhbGdvcml0aG0i...
    peer: {address: 198.18.0.3, identity: vpn.example.com, authority: "-----BEGIN CERTIFICATE-----...", crl: null}
    backends: [{address: 172.21.162.10, ports: [{protocol: tcp, port: 5432}]}]
    inbound: []
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_info_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import handover, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.libraries import CRYPTOGRAPHY


def call(params: dict) -> dict:
    """Wrap the key anew."""
    return {"tunnel": handover.envelope_for(state.gateway(params["domain"]), params["service"], params["recipient"])}


def main() -> None:
    """Run the module."""
    run_info_module(
        call,
        libraries=[Library(*CRYPTOGRAPHY)],
        argument_spec={
            "domain": {"type": "str", "required": True},
            "service": {"type": "str", "required": True},
            "recipient": {"type": "str", "required": True},
        },
    )


if __name__ == "__main__":
    main()
