#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vpn_authority
short_description: Set up the certificate authority of a domain's owner
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Makes the owner's certificate authority (ECDSA on P-256, path length 0) where there is none, and keeps its revocation list fresh.
  - The authority's private key is readable by root only, and never leaves the host.
  - A new revocation list is signed when the one in force lacks a revoked certificate, or has less than half of its time left.
    Where a VPN gateway has a list, it lets nobody in once that has expired.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
requirements:
  - cryptography 38 or newer (Debian's C(python3-cryptography))
options:
  domain:
    description: The domain that the authority is for; it keeps it for ever.
    type: str
    required: true
  days:
    description: How many days a new authority is valid.
    type: int
    default: 3650
  crl_days:
    description: How many days a revocation list is valid.
    type: int
    default: 365
  directory:
    description: Where the authority lies.
    type: path
    default: /etc/vmatrix/authority
seealso:
  - module: vmatrix.mesh.vpn_certificate
"""

EXAMPLES = r"""
- name: Set up the authority of example.com
  vmatrix.mesh.vpn_authority:
    domain: example.com
"""

RETURN = r"""
certificate:
  description: The authority's certificate in PEM; V(none) in check mode when it would be made.
  returned: success
  type: str
  sample: "-----BEGIN CERTIFICATE-----..."
crl:
  description: The revocation list in PEM; V(none) in check mode when the authority would be made.
  returned: success
  type: str
  sample: "-----BEGIN X509 CRL-----..."
serial:
  description: The serial number of the authority's certificate in hexadecimal.
  returned: success
  type: str
  sample: 5f0b6c1d
not_after:
  description: When the authority ends to be valid.
  returned: success
  type: str
  sample: "2036-11-20T04:00:00Z"
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import certificates
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import authority


def main() -> None:
    """Run the module."""
    run_module(
        certificates.authority,
        libraries=[Library(*library) for library in certificates.LIBRARIES],
        argument_spec={
            "domain": {"type": "str", "required": True},
            "days": {"type": "int", "default": 3650},
            "crl_days": {"type": "int", "default": 365},
            "directory": {"type": "path", "default": authority.DIRECTORY},
        },
    )


if __name__ == "__main__":
    main()
