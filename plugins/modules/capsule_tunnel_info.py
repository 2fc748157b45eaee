#!/usr/bin/python

# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a gateway needs for the tunnel of a capsule's service."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: capsule_tunnel_info
short_description: Give out what one gateway needs for the tunnel of a capsule's service
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads from a capsule in the store of a real machine (RM) what the tunnel of its service needs on one gateway,
    for O(vmatrix.mesh.domain_router#module:tunnels).
  - The private key in it can be opened by that gateway alone. Certificates and envelopes are not for everybody's eyes all the same, so use it with C(no_log).
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  domain:
    description: The domain that owns the service.
    type: str
    required: true
  name:
    description: The service.
    type: str
    required: true
  version:
    description: The version of the capsule.
    type: str
    required: true
  reader:
    description: The fingerprint of the gateway's wrapping key, see M(vmatrix.mesh.vpn_wrapping_key).
    type: str
    required: true
requirements:
  - python3-jsonschema
  - python3-netaddr
seealso:
  - module: vmatrix.mesh.capsule
  - module: vmatrix.mesh.domain_router
  - module: vmatrix.mesh.vpn_wrapping_key
"""

EXAMPLES = r"""
- name: Ask for what gw-east needs
  vmatrix.mesh.capsule_tunnel_info:
    domain: example.com
    name: shop
    version: 1.0.0
    reader: "{{ wrapping.fingerprint }}"
  register: shop_tunnel
  no_log: true
"""

RETURN = r"""
tunnel:
  description: What the tunnel needs.
  type: dict
  returned: success
  sample:
    service: shop
    certificate: "-----BEGIN CERTIFICATE-----..."
    envelope: eyJhbGdvcml0aG0i...
    peer: {address: 198.18.0.3, identity: vpn.example.com, authority: "-----BEGIN CERTIFICATE-----...", crl: null}
    backends: [{address: 172.21.162.10, ports: [{protocol: tcp, port: 5432}]}]
    inbound: []
"""

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import credentials, libraries, store
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_info_module


def call(params: dict[str, t.Any]) -> dict[str, t.Any]:
    capsules = store.Store()
    manifest = capsules.get(params["domain"], params["name"], params["version"])
    return {"tunnel": credentials.parcel(capsules, manifest, params["reader"])}


def main() -> None:
    run_info_module(
        call,
        [Library(*library) for library in libraries.LIBRARIES],
        argument_spec={key: {"type": "str", "required": True} for key in ("domain", "name", "version", "reader")},
    )


if __name__ == "__main__":
    main()
