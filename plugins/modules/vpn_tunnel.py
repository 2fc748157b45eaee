#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vpn_tunnel
short_description: Connect a service with its owner's intranet
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Makes the IPsec tunnel of a service on a gateway what its document says.
  - It begins in the domain's router, which has to be there, and ends at the owner's VPN gateway.
  - In the intranet each instance appears with an address of its own. Only the service's own instances use the tunnel, only to declared back-ends and ports,
    and nothing goes to a back-end in the clear.
  - IKEv2 with X.509 certificates, or with a pre-shared key. The peer must show a certificate of the named authority for the named identity, or that it has the
    same key under that identity.
  - The module waits until the tunnel is up. When it does not come up in time the module fails, and everything is as it was before.
  - What was changed by hand is found and repaired. Tunnels come back by themselves after a failure of the peer and after a reboot of the gateway.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
requirements:
  - cryptography 38 or newer (Debian's C(python3-cryptography))
  - vici 5.9 or newer (from PyPI)
  - strongSwan 5.9 or newer, as the role P(vmatrix.mesh.vpn#role) installs it
options:
  domain:
    description: The domain that the service belongs to.
    type: str
    required: true
  service:
    description: The service.
    type: str
    required: true
  local:
    description: This end of the tunnel; required if O(state=present) and if O(state=renewed).
    type: dict
    suboptions:
      address:
        description: The public address of the domain's router that the tunnel begins at. Required if O(state=present).
        type: str
      identity:
        description:
          - What the service calls itself to the peer; its name C(service.domain) when omitted. It may be a name, an e-mail address, an IPv4 address,
            a distinguished name such as V(C=DE, O=Example, CN=shop), or a key id such as V(keyid:shop-17) or, in hexadecimal, V(keyid:#0a0b).
          - Services of a domain that have pre-shared keys with the same peer need different ones.
        type: str
        version_added: 0.2.0
      certificate:
        description: The service's certificate in PEM, for its identity. Without one O(local.envelope) holds a pre-shared key.
        type: str
      envelope:
        description: The private or pre-shared key, wrapped for this gateway, see M(vmatrix.mesh.vpn_certificate) and M(vmatrix.mesh.vpn_secret).
        type: str
      key:
        description: The file on this gateway that holds the private key, instead of O(local.envelope); it must have mode C(0600).
        type: path
  peer:
    description: The owner's VPN gateway; required if O(state=present).
    type: dict
    suboptions:
      address:
        description: Its address.
        type: str
        required: true
      identity:
        description: What its certificate must be for, or what it calls itself with a pre-shared key; of the same forms as O(local.identity).
        type: str
        required: true
      authority:
        description: The certificate, in PEM, of the owner's authority; needed with O(local.certificate), and only with it.
        type: str
      crl:
        description: The authority's revocation list in PEM. With one, a peer that it does not vouch for is refused.
        type: str
      proposals:
        description: >-
          What it proposes, in the words of strongSwan, the one that is liked best first; what is not said is as our own gateways do it.
          A gateway of others may know other algorithms only.
        type: dict
        suboptions:
          ike:
            description: For IKE, such as V(aes256-sha256-modp2048); V(aes128gcm16-prfsha256-ecp256) as usual.
            type: list
            elements: str
          esp:
            description: For ESP, such as V(aes256-sha256); V(aes128gcm16-ecp256) as usual.
            type: list
            elements: str
  mappings:
    description: The service's instances in this HN, and what they are in the intranet.
    type: list
    elements: dict
    default: []
    suboptions:
      instance:
        description: The instance.
        type: str
        required: true
      fabric_address:
        description: Its fabric address.
        type: str
        required: true
      intranet_address:
        description: Its intranet address.
        type: str
        required: true
  backends:
    description: The hosts of the intranet that instances may call; required if O(state=present).
    type: list
    elements: dict
    suboptions:
      address:
        description: The back-end's address in the intranet.
        type: str
        required: true
      ports:
        description: Its declared ports; nothing else is let through.
        type: list
        elements: dict
        required: true
        suboptions: &port
          protocol:
            description: The protocol; V(icmp) is an echo request (ping) and has no port.
            type: str
            default: tcp
            choices: [tcp, udp, icmp]
          port:
            description: The port.
            type: int
  inbound:
    description: The ports of instances that the back-ends may call.
    type: list
    elements: dict
    default: []
    suboptions: *port
  crl:
    description: The authority's revocation list in PEM that takes the place of O(peer.crl) if O(state=renewed).
    type: str
  timeout:
    description: How many seconds the tunnel has for coming up; V(0) does not wait.
    type: float
    default: 30
  state:
    description:
      - Whether the service should have a tunnel here.
      - V(renewed) only gives a tunnel that is there the certificate and envelope of O(local), and O(crl). Connections through it go on.
        One that goes by a pre-shared key can be given another one, and no certificate.
    type: str
    default: present
    choices: [present, absent, renewed]
seealso:
  - module: vmatrix.mesh.vpn_tunnel_info
  - module: vmatrix.mesh.vpn_responder
  - module: vmatrix.mesh.domain_router
"""

EXAMPLES = r"""
- name: Connect the shop with its database
  vmatrix.mesh.vpn_tunnel:
    domain: example.com
    service: shop
    local:
      address: 198.18.1.1
      certificate: "{{ shop_certificate }}"
      envelope: "{{ shop_envelope }}"
    peer:
      address: 198.18.0.3
      identity: vpn.example.com
      authority: "{{ owner_authority }}"
    mappings:
      - instance: shop-1.example.com
        fabric_address: 192.168.1.10
        intranet_address: 172.21.162.9
    backends:
      - address: 172.21.162.10
        ports: [{protocol: tcp, port: 5432}]

- name: Go on with a new certificate, where the shop has a tunnel
  vmatrix.mesh.vpn_tunnel:
    domain: example.com
    service: shop
    local:
      certificate: "{{ shop_certificate }}"
      envelope: "{{ shop_envelope }}"
    state: renewed

- name: Take the tunnel away
  vmatrix.mesh.vpn_tunnel:
    domain: example.com
    service: shop
    state: absent
"""

RETURN = r"""
tunnel:
  description: The tunnel as its document says it is (or would be), with serial numbers in the place of certificates, and the name of its
    envelope (C(shared)) in that of a pre-shared key; V(none) when it was removed.
  returned: success
  type: dict
  sample:
    domain: example.com
    service: shop
    local: {address: 198.18.1.1, serial: 7e7ac7bc893236c8, not_after: "2027-02-21T04:00:00Z"}
    peer: {address: 198.18.0.3, identity: vpn.example.com, authority: 5f0b6c1d, revoked: null}
    mappings: [{instance: shop-1.example.com, fabric_address: 192.168.1.10, intranet_address: 172.21.162.9}]
    backends: [{address: 172.21.162.10, ports: [{protocol: tcp, port: 5432}]}]
    inbound: []
waited:
  description: How many seconds the change took until the tunnel was up.
  returned: success
  type: float
  sample: 0.052
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._module import shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import state, tunnel
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.libraries import LIBRARIES

DOCUMENT = ("domain", "service", "local", "peer", "mappings", "backends", "inbound")
PORT = {"protocol": {"type": "str", "default": "tcp", "choices": ["tcp", "udp", "icmp"]}, "port": {"type": "int"}}


def call(params: dict, check: bool) -> Outcome:
    """Apply or remove the tunnel."""
    endpoint = state.gateway(params["domain"])
    if params["state"] == "absent":
        report = tunnel.remove(endpoint, params["service"], check)
    elif params["state"] == "renewed":
        parcel = {**{key: params["local"][key] for key in ("certificate", "envelope")}, "crl": params["crl"]}
        report = tunnel.renew(endpoint, params["service"], parcel, params["timeout"], check)
    else:
        report = tunnel.apply_tunnel(endpoint, {key: params[key] for key in DOCUMENT}, params["timeout"], check)
    return Outcome(report.changed, report.before, report.after, {"tunnel": report.after["tunnel"], "waited": round(report.waited, 3)})


def main() -> None:
    """Run the module."""
    run_module(
        call,
        libraries=[Library(*library) for library in LIBRARIES],
        argument_spec={
            "domain": {"type": "str", "required": True},
            "service": {"type": "str", "required": True},
            "local": {
                "type": "dict",
                "options": {
                    "address": {"type": "str"},
                    "identity": {"type": "str"},
                    "certificate": {"type": "str", "no_log": True},
                    "envelope": {"type": "str", "no_log": True},
                    # The path of a file, not the key.
                    "key": {"type": "path", "no_log": False},
                },
                "mutually_exclusive": [("envelope", "key")],
                "required_one_of": [("envelope", "key")],
            },
            "peer": {
                "type": "dict",
                "options": {
                    "address": {"type": "str", "required": True},
                    "identity": {"type": "str", "required": True},
                    "authority": {"type": "str", "no_log": True},
                    "crl": {"type": "str", "no_log": True},
                    "proposals": shapes.PROPOSALS,
                },
            },
            "mappings": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "instance": {"type": "str", "required": True},
                    "fabric_address": {"type": "str", "required": True},
                    "intranet_address": {"type": "str", "required": True},
                },
            },
            "backends": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "address": {"type": "str", "required": True},
                    "ports": {"type": "list", "elements": "dict", "required": True, "options": PORT},
                },
            },
            "inbound": {"type": "list", "elements": "dict", "default": [], "options": PORT},
            "crl": {"type": "str", "no_log": True},
            "timeout": {"type": "float", "default": 30},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent", "renewed"]},
        },
        required_if=[("state", "present", ("local", "peer", "backends")), ("state", "renewed", ("local",))],
    )


if __name__ == "__main__":
    main()
