#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vpn_certificate
short_description: Issue, renew and revoke certificates of a domain's owner
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Gives a service, or the owner's VPN gateway, a certificate and a private key (ECDSA on P-256) with the owner's authority, renews and revokes it.
  - Runs on the host that holds the authority. The private key is readable by root only, and is not returned. For each gateway in O(recipients) it is
    returned in an envelope that this gateway alone can open.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
attributes:
  idempotent:
    support: partial
    details:
      - With O(renew) each run issues another certificate.
requirements:
  - cryptography 38 or newer (Debian's C(python3-cryptography))
options:
  name:
    description: The DNS name that the certificate is for.
    type: str
    required: true
  days:
    description: How many days a new certificate is valid; it never outlives the authority.
    type: int
    default: 90
  renew_before:
    description: A certificate that has fewer days left is replaced, together with its key.
    type: int
    default: 30
  renew:
    description: Whether to replace a good certificate too.
    type: bool
    default: false
  recipients:
    description: The public wrapping keys of the gateways that may read the private key, see M(vmatrix.mesh.vpn_wrapping_key). Nobody else has an envelope.
    type: list
    elements: str
    default: []
  crl_days:
    description: How many days the revocation list is valid that O(state=absent) signs.
    type: int
    default: 365
  directory:
    description: Where the authority lies.
    type: path
    default: /etc/vmatrix/authority
  state:
    description:
      - V(present) issues a certificate, or renews it when it is time.
      - V(absent) revokes every certificate of O(name) and removes its private key. It takes effect where the new RV(crl) is loaded.
    type: str
    default: present
    choices: [present, absent]
seealso:
  - module: vmatrix.mesh.vpn_authority
  - module: vmatrix.mesh.vpn_tunnel
"""

EXAMPLES = r"""
- name: Give the shop a certificate that the gateway of hn-east can use
  vmatrix.mesh.vpn_certificate:
    name: shop.example.com
    recipients: ["{{ hostvars['gw-east'].vpn_public_key }}"]

- name: Revoke it
  vmatrix.mesh.vpn_certificate:
    name: shop.example.com
    state: absent
"""

RETURN = r"""
certificate:
  description: The certificate in PEM; V(none) when it was revoked, or would be issued.
  returned: success
  type: str
  sample: "-----BEGIN CERTIFICATE-----..."
serial:
  description: Its serial number in hexadecimal.
  returned: success
  type: str
  sample: 7e7ac7bc893236c8
not_after:
  description: When it ends to be valid.
  returned: success
  type: str
  sample: "2027-02-21T04:00:00Z"
key_path:
  description: The file on this host that holds the private key.
  returned: success
  type: str
  sample: /etc/vmatrix/authority/keys/shop.example.com.key
envelopes:
  description: The private key for each of O(recipients), by the SHA-256 of its public wrapping key.
  returned: success
  type: dict
  sample: {"822b76daa261f9a34b70dc65d54912c5040627da514ed74861cc7a0b143e1a0e": "eyJhbGdvcml0aG0i..."}
crl:
  description: The revocation list in force, in PEM.
  returned: success
  type: str
  sample: "-----BEGIN X509 CRL-----..."
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import certificates
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import authority


def main() -> None:
    """Run the module."""
    run_module(
        certificates.certificate,
        libraries=[Library(*library) for library in certificates.LIBRARIES],
        argument_spec={
            "name": {"type": "str", "required": True},
            "days": {"type": "int", "default": 90},
            "renew_before": {"type": "int", "default": 30},
            "renew": {"type": "bool", "default": False},
            "recipients": {"type": "list", "elements": "str", "default": []},
            "crl_days": {"type": "int", "default": 365},
            "directory": {"type": "path", "default": authority.DIRECTORY},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
    )


if __name__ == "__main__":
    main()
