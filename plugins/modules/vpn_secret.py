#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vpn_secret
short_description: Wrap what an owner gave for a service's tunnel
version_added: 0.2.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Puts a pre-shared key, or the private key of a certificate, into an envelope that only the gateway on which it runs can open.
  - It is for owners' VPN gateways that are not ours. For those that are, M(vmatrix.mesh.vpn_certificate) issues certificates.
  - Nothing is kept on the gateway, so nothing changes there. The envelope of the same key is the same each time.
  - What cannot be used is refused in one sentence that shows none of it, such as a pre-shared key that can be guessed.
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
requirements:
  - cryptography 38 or newer (Debian's C(python3-cryptography))
options:
  name:
    description: The service and its domain, such as V(shop.example.com).
    type: str
    required: true
  identity:
    description: What the service calls itself to its owner's VPN gateway, where that is not O(name). The certificate must be for it.
    type: str
  psk:
    description:
      - The pre-shared key, written as in C(swanctl.conf), that is V(0x) and hexadecimal digits, V(0s) and base64, or plain text.
      - It must have at least 16 bytes in the first two forms, or 20 characters. Draw it, as with C(openssl rand -base64 32).
      - Either this or O(certificate) is needed.
    type: str
  certificate:
    description: The service's certificate in PEM, as the owner's authority has issued it.
    type: str
  key:
    description: The private key of O(certificate) in PEM, not encrypted. Needed with it.
    type: str
  authority:
    description: The certificate, in PEM, of the authority that the certificate of the owner's VPN gateway is of. Needed with O(certificate).
    type: str
  crl:
    description: The authority's revocation list in PEM.
    type: str
seealso:
  - module: vmatrix.mesh.vpn_certificate
  - module: vmatrix.mesh.vpn_tunnel
  - module: vmatrix.mesh.vpn_wrapping_key
"""

EXAMPLES = r"""
- name: Wrap the key that the shop shares with its owner's VPN gateway
  vmatrix.mesh.vpn_secret:
    name: shop.example.com
    psk: "{{ vault_shop_psk }}"
  register: shop_secret
  no_log: true
"""

RETURN = r"""
fingerprint:
  description: The SHA-256 in hexadecimal of the gateway's public wrapping key, by which envelopes name their reader.
  returned: success
  type: str
  sample: 822b76daa261f9a34b70dc65d54912c5040627da514ed74861cc7a0b143e1a0e
envelope:
  description: The pre-shared or private key, wrapped for this gateway.
  returned: success
  type: str
  sample: eyJhbGdvcml0aG0iOiAi...
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_info_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import given
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.libraries import CRYPTOGRAPHY


def call(params: dict) -> dict:
    """Wrap it."""
    return given.wrapped(params["name"], params)


def main() -> None:
    """Run the module."""
    run_info_module(
        call,
        libraries=[Library(*CRYPTOGRAPHY)],
        argument_spec={
            "name": {"type": "str", "required": True},
            "identity": {"type": "str"},
            **{part: {"type": "str", "no_log": True} for part in ("psk", "certificate", "key", "authority", "crl")},
        },
    )


if __name__ == "__main__":
    main()
