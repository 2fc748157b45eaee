#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_service
short_description: Let the name of a service follow where it is served
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Publishes an HN under a service's name after the service has answered a real request through its public address from the host where the
    module runs, and takes an HN out of the name before it stops serving.
  - Both are merged into the steering (see M(vmatrix.mesh.dns_steering)) that is found, so whoever changes other HNs of the same name loses nothing.
    A name that no HN serves any more is removed.
  - The module ends when every authoritative server follows, and if that is asked for, when nobody counts on what was retired any more.
    If a server does not follow in time the module fails, and what the primary had taken is changed back.
  - In check mode an address that is to be published need not answer yet; that it can be reached at all must show, by a refused connection if nothing else.
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
    description: The absolute name that is steered, in O(zone).
    type: str
    required: true
  alias:
    description:
      - The name by which people know the service, in its owner's zone. It is made an alias (CNAME) of O(name), signed with O(key_file).
      - What its owner has put under that name is left alone.
      - Without a O(alias.zone) nothing is made, and RV(warnings) says so.
    type: dict
    suboptions:
      name:
        description: The absolute name.
        type: str
        required: true
      zone:
        description: Its zone, on the same primary; not given if there is none.
        type: str
  publish:
    description: The HNs that have begun to serve. Addresses that the name has already are not asked again.
    type: list
    elements: dict
    default: []
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
  retire:
    description: The HNs that are about to serve no more.
    type: list
    elements: str
    default: []
  only:
    description: Whether the HNs in O(publish) are all that serve the name; others are dropped.
    type: bool
    default: false
  order:
    description: The order of HNs for all clients that no region names.
    type: list
    elements: str
    required: true
  check:
    description: How the name server finds out all along whether an HN is alive. If none is, all count as alive.
    type: dict
    default: {type: none}
    suboptions: &check
      type:
        description: V(http) asks for a page, V(tcp) connects, V(none) does nothing.
        type: str
        default: none
        choices: [http, tcp, none]
      port:
        description: The port; required unless it is V(none).
        type: int
      path:
        description: The page's path, with V(http).
        type: str
        default: /
      host:
        description: The host that is asked for, with V(http). If this is not given, it is O(name).
        type: str
  ask:
    description: The request that an address has to answer before it is published. With V(http) every answer below 500 counts.
    type: dict
    default: {type: none}
    suboptions: *check
  ask_timeout:
    description: How many seconds each address has for that.
    type: float
    default: 30
  hold:
    description:
      - After O(retire), wait until answers that were given before may be kept no longer, and for so many seconds more, for resolvers that keep them longer.
      - If this is not given, do not wait.
    type: float
seealso:
  - module: vmatrix.mesh.dns_steering
  - module: vmatrix.mesh.dns_steering_info
"""

EXAMPLES = r"""
- name: Send clients to the west instead of the east, and wait until nobody comes to the east any more
  vmatrix.mesh.dns_service:
    zone: steer.example.net
    server: 198.18.0.4
    key_file: /etc/vmatrix/dns/platform.key
    name: shop.example.com.steer.example.net
    alias: {name: shop.example.com, zone: example.com}
    publish:
      - {hn: hn-west, addresses: [198.18.2.1]}
    retire: [hn-east]
    order: [hn-east, hn-west]
    check: {type: tcp, port: 80}
    ask: {type: http, port: 80, path: /, host: shop.example.com}
    hold: 60
"""

RETURN = r"""
steering:
  description: The steering document in force (or that would be), V(none) when nobody serves the name.
  returned: success
  type: dict
  sample:
    name: shop.example.com.steer.example.net
    ttl: 5
    answers: 1
    check: {type: tcp, port: 80}
    sites: [{hn: hn-west, addresses: [198.18.2.1]}]
    regions: []
    order: [hn-east, hn-west]
asked:
  description: The addresses that had to answer a request, and did.
  returned: success
  type: list
  elements: str
  sample: [198.18.2.1]
alias:
  description:
    - What was found under the name of O(alias); V(made) if it was nothing, V(there) if it was the alias, V(foreign) if its owner has something else there.
    - Null without O(alias), or if nobody serves the name.
  returned: success
  type: str
  sample: there
warnings:
  description: That the name of O(alias) has no zone here, so that it does not lead to O(name), and what to do about it.
  returned: success
  type: list
  elements: str
  sample: []
held:
  description: How many seconds were waited; null if none.
  returned: success
  type: float
  sample: 65.0
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

from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import options
from ansible_collections.vmatrix.mesh.plugins.module_utils._module import shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import names


def main() -> None:
    """Run the module."""
    run_module(
        names.follow,
        libraries=[Library(*library) for library in names.LIBRARIES],
        argument_spec={
            **options.ZONE,
            **options.CONFIRM,
            **options.STEERING,
            "name": {"type": "str", "required": True},
            "alias": {"type": "dict", "options": {**shapes.needed("name"), "zone": {"type": "str"}}},
            "publish": {**options.SITES, "default": []},
            "retire": {"type": "list", "elements": "str", "default": []},
            "only": {"type": "bool", "default": False},
            "order": {"type": "list", "elements": "str", "required": True},
            "regions": options.REGIONS,
            "answers": {"type": "int", "default": 1},
            "ttl": {"type": "int", "default": 5},
            "check": options.CHECK,
            "ask": options.CHECK,
            "ask_timeout": {"type": "float", "default": 30},
            "hold": {"type": "float"},
        },
        required_if=options.STEERING_NEEDS,
    )


if __name__ == "__main__":
    main()
