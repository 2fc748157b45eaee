#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: domain_router
short_description: Apply a domain's router document on a gateway
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Makes the router of a domain on a gateway what its document says. It is a network namespace with the domain's VLAN on one side and the
    public addresses on the other, NAT and load balancing between them, and a firewall that opens the declared ports only.
  - All rules change in one atomic transaction, so no connection meets half of a change. Callers keep their source address.
  - A service without members stays reachable in so far as its declared TCP ports refuse connections at once.
  - Guests can ping their gateway, and answer those who call them; they cannot open connections to the outside yet.
  - Members that fail their health checks get no new connections until they answer again, see RV(vmatrix.mesh.domain_router_info#module:routers).
  - The tunnels of its services into their owner's intranet begin in it. A service has one as long as its C(mappings) are in the document, and
    it is up before new members are asked for an answer. When it does not come up the module fails, and rotation and tunnels stay as they were.
  - What was changed by hand is found and repaired. Routers and tunnels come back after a reboot of the gateway.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  domain:
    description: The domain that the router belongs to.
    type: str
    required: true
  vlan:
    description: The domain's VLAN in this HN; required if O(state=present).
    type: int
  generation:
    description:
      - The registry's counter for the document; required if O(state=present).
      - A document that is older than the one in force is refused, also in check mode and with O(state=absent); RV(stale) is V(true) then. Another operation
        of the domain was faster, or the registry was restored from a copy and must be rebuilt. One of the same generation is applied again.
    type: int
  gateways:
    description: The addresses, with prefix, that guests believe to be their router; required if O(state=present).
    type: list
    elements: str
  services:
    description: The domain's services in this HN; what is not there is closed. Without any, the router goes as with O(state=absent).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The service.
        type: str
        required: true
      public_address:
        description: The address that the world connects to.
        type: str
        required: true
      ports:
        description: The declared ports; nothing else is let through.
        type: list
        elements: dict
        required: true
        suboptions:
          protocol:
            description: The transport protocol.
            type: str
            default: tcp
            choices: [tcp, udp]
          port:
            description: The port, the same outside and at the guest; the first one of a range.
            type: int
            required: true
          last_port:
            description: >-
              The last port of a range. Connections to several of its ports go to the same instance only if the balance is V(sticky), or there is but one.
            type: int
          helper:
            description: >-
              What lets further connections pass that the protocol agrees on. V(ftp) (RFC 959) lets data connections through to the instance that agreed on
              them, and puts the public address into what it says of them; only where the control connection is not encrypted.
            type: str
            choices: [ftp]
      balance:
        description: How the members share the service's callers, and what shows that they are alive; what is not said is as usual.
        type: dict
        suboptions:
          policy:
            description: >-
              V(spread) (as usual) gives each new connection to the next instance, by weight; V(sticky) gives all connections of one source address
              to the same instance as long as it is in rotation.
            type: str
            choices: [spread, sticky]
          check:
            description: >-
              What shows that an instance is alive. V(tcp) (as usual) is an accepted connection, V(http) and V(https) a response to a GET request with the
              right status (no certificate is looked at), V(udp) a port that is not refused, V(arp) a guest that answers for its address. Where a service
              declares several TCP ports and none is named, or none at all, V(tcp) is V(arp).
            type: str
            choices: [tcp, http, https, udp, arp]
          path:
            description: What an V(http) or V(https) check asks for; V(/) as usual.
            type: str
          ping:
            description: Whether the public address answers a ping while an instance is alive; V(true) as usual.
            type: bool
          check_port:
            description: The declared port that is asked; as usual the only one that there is.
            type: int
          check_status:
            description: The HTTP status that counts, such as V(200), or a range such as V(200-399); V(100-499) as usual.
            type: str
          check_interval:
            description: Seconds from one attempt to the next, V(0.2) to V(300); V(2) as usual.
            type: float
          check_timeout:
            description: Seconds that an attempt may take in all, V(0.1) to V(30); V(1) as usual.
            type: float
          check_failures:
            description: How many attempts in a row must fail before an instance leaves the rotation, V(1) to V(20); V(2) as usual.
            type: int
      members:
        description: The instances that share the service's connections; none of them makes the service refuse.
        type: list
        elements: dict
        default: []
        suboptions:
          instance:
            description: The instance.
            type: str
            required: true
          address:
            description: Its fabric address.
            type: str
            required: true
          weight:
            description: Its share of new connections in relation to those of the others, 1 (as usual) to 100.
            type: int
      forward_to:
        description: Where the service is served now, when nobody serves it here any more; who still comes here is forwarded.
        type: str
      mappings:
        description: The instances that use the service's tunnel, and what they are in the intranet; for a service with a tunnel only.
        type: list
        elements: dict
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
            description: Its address in the owner's intranet.
            type: str
            required: true
  tunnels:
    description:
      - What tunnels need that are new on this gateway.
      - It stays on the gateway as long as the service does, so later documents need it no more. A certificate or pre-shared key that is there already
        keeps its envelope.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: The service.
        type: str
        required: true
      certificate:
        description: The service's certificate in PEM. Without one O(tunnels[].envelope) holds a pre-shared key.
        type: str
      envelope:
        description: Its private key, or the key that it shares with the owner's VPN gateway, wrapped for this gateway.
        type: str
        required: true
      identity:
        description: What the service calls itself to the owner's VPN gateway, where that is not C(service.domain).
        type: str
        version_added: 0.2.0
      peer:
        description: The owner's VPN gateway.
        type: dict
        required: true
        suboptions:
          address:
            description: Its address.
            type: str
            required: true
          identity:
            description: What its certificate must be for, or what it calls itself with a pre-shared key.
            type: str
            required: true
          authority:
            description: The certificate, in PEM, of the owner's authority; needed with O(tunnels[].certificate), and only with it.
            type: str
          crl:
            description: The authority's revocation list in PEM.
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
      backends:
        description: The hosts of the intranet that instances may call, each with C(address) and C(ports).
        type: list
        elements: dict
        required: true
      inbound:
        description: The ports of instances that the back-ends may call.
        type: list
        elements: dict
        default: []
  tunnel_timeout:
    description: How many seconds what is new of tunnels has for coming up; V(0) does not wait.
    type: float
    default: 20
  answer_timeout:
    description:
      - How many seconds members that are new have for answering before they enter the rotation. With V(0) they enter at once.
      - The network is made ready first, so that the module can be started before the guest is there.
      - When one of them does not answer in time the module fails and the rotation stays as it was.
    type: float
    default: 0
  close_connections:
    description:
      - Whether members that leave the rotation lose the connections that they still have.
      - Otherwise these go on until one of the two sides closes them.
    type: bool
    default: false
  wan_interface:
    description: The gateway's interface that faces the world; it answers ARP for the public addresses.
    type: str
    default: wan0
  bridge:
    description: The switch that the domain's VLAN is on.
    type: str
    default: br-mesh
  state:
    description: Whether the router should exist.
    type: str
    default: present
    choices: [present, absent]
seealso:
  - module: vmatrix.mesh.domain_router_info
  - module: vmatrix.mesh.vpn_tunnel_info
  - module: vmatrix.mesh.switch
"""

EXAMPLES = r"""
- name: Publish an instance as soon as it answers
  vmatrix.mesh.domain_router:
    domain: example.com
    vlan: 101
    generation: 17
    gateways: [192.168.1.1/24]
    services:
      - name: shop
        public_address: 198.18.1.1
        ports: [{protocol: tcp, port: 80}]
        balance: {policy: sticky, check: http, path: /health}
        members: [{instance: shop-1.example.com, address: 192.168.1.10}]
    answer_timeout: 30

- name: Remove a domain's router
  vmatrix.mesh.domain_router:
    domain: example.com
    state: absent
"""

RETURN = r"""
router:
  description: The router document in force (or that would be), V(none) when the router was removed.
  returned: success
  type: dict
  sample:
    domain: example.com
    vlan: 101
    generation: 17
    gateways: [192.168.1.1/24]
    services:
      - name: shop
        public_address: 198.18.1.1
        ports: [{protocol: tcp, port: 80}]
        members: [{instance: shop-1.example.com, address: 192.168.1.10}]
waited:
  description: How long each new member took to answer, with O(answer_timeout).
  returned: success
  type: list
  elements: dict
  sample: [{instance: shop-1.example.com, seconds: 0.412}]
  contains:
    instance:
      description: The instance.
      type: str
      returned: success
      sample: shop-1.example.com
    seconds:
      description: Seconds until it had answered on all its declared TCP ports.
      type: float
      returned: success
      sample: 0.412
warnings:
  description:
    - What is doubtful about new members that have answered, in sentences; nothing is refused for that.
    - It is told when a caller from outside, made for that on the gateway, does not reach the service by its public address, with what is likely in the way,
      and when only packets of less than the usual size reach an instance.
  returned: success
  type: list
  elements: str
  sample: []
tunnels:
  description: The tunnels that begin in the router, by service, with serial numbers in the place of certificates.
  returned: success
  type: dict
  sample:
    shop:
      domain: example.com
      service: shop
      local: {address: 198.18.1.1, serial: 7e7ac7bc893236c8, not_after: "2027-02-21T04:00:00Z"}
      peer: {address: 198.18.0.3, identity: vpn.example.com, authority: 5f0b6c1d, revoked: null}
      mappings: [{instance: shop-1.example.com, fabric_address: 192.168.1.10, intranet_address: 172.21.162.9}]
      backends: [{address: 172.21.162.10, ports: [{protocol: tcp, port: 5432}]}]
      inbound: []
stale:
  description: That the document was refused because the one in force has a higher generation.
  returned: when the document is older than the one in force
  type: bool
  sample: true
"""

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._module import shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import router

DOCUMENT = ("domain", "vlan", "generation", "gateways", "services")


def call(params: dict[str, t.Any], check: bool) -> Outcome:
    """Bring the router to the document that the options are; one without services goes."""
    document = {key: params[key] for key in DOCUMENT}
    if params["state"] == "absent":
        document["services"] = []
    return router.apply({"document": document, **{key: value for key, value in params.items() if key not in DOCUMENT}}, check)


def main() -> None:
    """Run the module."""
    run_module(
        call,
        argument_spec={
            "domain": {"type": "str", "required": True},
            "vlan": {"type": "int"},
            "generation": {"type": "int"},
            "gateways": {"type": "list", "elements": "str"},
            "services": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "public_address": {"type": "str", "required": True},
                    "ports": {
                        "type": "list",
                        "elements": "dict",
                        "required": True,
                        "options": {
                            "protocol": {"type": "str", "default": "tcp", "choices": ["tcp", "udp"]},
                            "port": {"type": "int", "required": True},
                            "last_port": {"type": "int"},
                            "helper": {"type": "str", "choices": ["ftp"]},
                        },
                    },
                    "balance": shapes.SERVICE_BALANCE,
                    "forward_to": {"type": "str"},
                    "members": {
                        "type": "list",
                        "elements": "dict",
                        "default": [],
                        "options": {**shapes.needed("instance", "address"), "weight": {"type": "int"}},
                    },
                    "mappings": {
                        "type": "list",
                        "elements": "dict",
                        "options": shapes.needed("instance", "fabric_address", "intranet_address"),
                    },
                },
            },
            "tunnels": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "service": {"type": "str", "required": True},
                    "certificate": {"type": "str", "no_log": True},
                    "envelope": {"type": "str", "required": True, "no_log": True},
                    "identity": {"type": "str"},
                    "peer": {
                        "type": "dict",
                        "required": True,
                        "options": {
                            "address": {"type": "str", "required": True},
                            "identity": {"type": "str", "required": True},
                            "authority": {"type": "str", "no_log": True},
                            "crl": {"type": "str", "no_log": True},
                            "proposals": shapes.PROPOSALS,
                        },
                    },
                    "backends": {"type": "list", "elements": "dict", "required": True},
                    "inbound": {"type": "list", "elements": "dict", "default": []},
                },
            },
            "tunnel_timeout": {"type": "float", "default": 20},
            "answer_timeout": {"type": "float", "default": 0},
            "close_connections": {"type": "bool", "default": False},
            "wan_interface": {"type": "str", "default": "wan0"},
            "bridge": {"type": "str", "default": "br-mesh"},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
        required_if=[("state", "present", ("vlan", "generation", "gateways"))],
    )


if __name__ == "__main__":
    main()
