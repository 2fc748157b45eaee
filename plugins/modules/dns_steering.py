#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_steering
short_description: Answer each client with the addresses of its nearest hosting networks
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Has a name answered by a table from prefixes of clients to HNs in order of preference. The table is the caller's, for example of
    P(vmatrix.mesh.steering_regions#filter); the name server does not guess who is near whom.
  - The longest prefix that has the client in it counts. HNs that an order leaves out come last, in the order of O(order).
  - The steering is read back from the zone and changed only if it is still as it was read. If somebody else was faster, nothing is changed and
    the module fails with a sentence that says so.
  - The module ends when every authoritative server follows, see O(confirm_timeout).
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
  - vmatrix.mesh.dns
  - vmatrix.mesh.dns.confirm
  - vmatrix.mesh.dns.key
  - vmatrix.mesh.dns.steering
  - vmatrix.mesh.dns.regions
options:
  name:
    description: The absolute name that clients ask for, in O(zone). Names of other zones can be aliases (CNAME) of it.
    type: str
    required: true
  sites:
    description: The HNs that serve the name; required if O(state=present).
    type: list
    elements: dict
    suboptions:
      hn:
        description: The HN.
        type: str
        required: true
      addresses:
        description: Its public addresses for this name, IPv4 and IPv6.
        type: list
        elements: str
        required: true
  order:
    description: The order of HNs for all clients that no region names; required if O(state=present).
    type: list
    elements: str
  check:
    description: How the name server finds out whether an HN is alive. If none is, all count as alive.
    type: dict
    default: {type: none}
    suboptions:
      type:
        description:
          - V(http) asks for a page at each address, V(tcp) connects, V(none) takes all as alive.
        type: str
        default: none
        choices: [http, tcp, none]
      port:
        description: The port; required unless O(check.type=none).
        type: int
      path:
        description: The page's path, with O(check.type=http).
        type: str
        default: /
      host:
        description: The host that is asked for, with O(check.type=http). If this is not given, it is O(name).
        type: str
  state:
    description: Whether the name should be steered.
    type: str
    default: present
    choices: [present, absent]
seealso:
  - module: vmatrix.mesh.dns_steering_info
  - module: vmatrix.mesh.dns_zone
"""

EXAMPLES = r"""
- name: Send Europe to the east, everybody else to the west
  vmatrix.mesh.dns_steering:
    zone: steer.example.net
    server: 198.18.0.4
    key_file: /etc/vmatrix/dns/platform.key
    name: shop.example.com.steer.example.net
    sites:
      - {hn: hn-east, addresses: [198.18.1.1, 2001:db8:1::1]}
      - {hn: hn-west, addresses: [198.18.2.1, 2001:db8:2::1]}
    order: [hn-west, hn-east]
    regions:
      - {name: europe, prefixes: [192.0.2.0/24, 2001:db8:e::/48], order: [hn-east, hn-west]}
    check: {type: http, port: 80, path: /health, host: shop.example.com}
"""

RETURN = r"""
steering:
  description: The steering document in force (or that would be), V(none) when the name is not steered.
  returned: success
  type: dict
  sample:
    name: shop.example.com.steer.example.net
    ttl: 5
    answers: 1
    check: {type: http, port: 80, path: /health, host: shop.example.com}
    sites:
      - {hn: hn-east, addresses: [198.18.1.1, 2001:db8:1::1]}
      - {hn: hn-west, addresses: [198.18.2.1, 2001:db8:2::1]}
    order: [hn-west, hn-east]
    regions: [{name: europe, prefixes: [192.0.2.0/24, 2001:db8:e::/48], order: [hn-east, hn-west]}]
confirmed_by:
  description: The authoritative servers, all of which follow; empty in check mode or if O(confirm_timeout=0).
  returned: success
  type: list
  elements: str
  sample: [198.18.0.4]
unconfirmed:
  description: The authoritative servers that do not follow in time.
  returned: when not every authoritative server follows in time
  type: list
  elements: str
  sample: [198.18.0.5]
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import options, policy, shapes, steering
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.libraries import LIBRARIES
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module

DOCUMENT = ("name", "zone", "sites", "order", "regions", "ttl", "answers", "check")


def call(params: dict, check: bool) -> Outcome:
    """Steer the name as the parameters say."""
    wanted = policy.document(**{key: params[key] for key in DOCUMENT}) if params["state"] == "present" else None
    name = shapes.within(params["name"], shapes.name(params["zone"]))
    return Outcome(*steering.apply(options.driver(params), name, wanted, params["confirm_timeout"], check))


def main() -> None:
    """Run the module."""
    run_module(
        call,
        libraries=[Library(*library) for library in LIBRARIES],
        argument_spec={
            **options.ZONE,
            **options.CONFIRM,
            **options.STEERING,
            "name": {"type": "str", "required": True},
            "sites": options.SITES,
            "order": {"type": "list", "elements": "str"},
            "regions": options.REGIONS,
            "answers": {"type": "int", "default": 1},
            "ttl": {"type": "int", "default": 5},
            "check": options.CHECK,
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
        required_if=[*options.STEERING_NEEDS, ("state", "present", ("sites", "order"))],
    )


if __name__ == "__main__":
    main()
