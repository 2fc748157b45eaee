#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_zone
short_description: Set a zone up on a PowerDNS of this host
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Makes a zone on the PowerDNS of the host where the module runs, and sets which keys may change and copy it. Nobody else may.
  - The keys are given to the server from their files; a key of the same name with another secret is replaced.
  - Records of the zone are changed by M(vmatrix.mesh.dns_record_set) and M(vmatrix.mesh.dns_steering).
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  name:
    description: The zone.
    type: str
    required: true
  nameservers:
    description: The names of its authoritative servers; required if O(state=present). Names in the zone itself need address records there.
    type: list
    elements: str
  update_keys:
    description: The files of the keys that may change the zone; without any nobody may.
    type: list
    elements: path
    default: []
  transfer_keys:
    description: The files of the keys that may copy the zone; without any nobody may.
    type: list
    elements: path
    default: []
  update_from:
    description: The prefixes that changes may come from; they must be signed all the same.
    type: list
    elements: str
    default: [0.0.0.0/0, "::/0"]
  steering:
    description:
      - Whether the zone holds steering records, which are programs that the name server runs.
      - Such a zone must have exactly one key in O(update_keys), the platform's. A zone that was open to another key cannot become one.
    type: bool
    default: false
  api_url:
    description: Where the server's API listens on this host.
    type: str
    default: http://127.0.0.1:8081
  api_file:
    description: The server's configuration file that has the API's key in a line C(api-key=...).
    type: path
    default: /etc/powerdns/pdns.d/vmatrix-api.conf
  state:
    description: Whether the zone should exist; its records go with it.
    type: str
    default: present
    choices: [present, absent]
seealso:
  - module: vmatrix.mesh.dns_key
  - module: vmatrix.mesh.dns_steering
"""

EXAMPLES = r"""
- name: Make the steering zone
  vmatrix.mesh.dns_zone:
    name: steer.example.net
    nameservers: [ns1.example.net]
    update_keys: [/etc/vmatrix/dns/platform.key]
    steering: true

- name: Make the zone of a customer
  vmatrix.mesh.dns_zone:
    name: example.com
    nameservers: [ns1.example.net]
    update_keys: [/etc/vmatrix/dns/platform.key, /etc/vmatrix/dns/example.com.key]
"""

RETURN = r"""
zone:
  description: The zone, V(none) when it was removed.
  returned: success
  type: dict
  sample:
    name: steer.example.net
    nameservers: [ns1.example.net]
    update_keys: [platform]
    transfer_keys: []
    update_from: [0.0.0.0/0, "::/0"]
    notify: true
    steering: true
  contains:
    name: {description: Its name., type: str, returned: success, sample: steer.example.net}
    nameservers: {description: Its authoritative servers., type: list, elements: str, returned: success, sample: [ns1.example.net]}
    update_keys: {description: The names of the keys that may change it., type: list, elements: str, returned: success, sample: [platform]}
    transfer_keys: {description: The names of the keys that may copy it., type: list, elements: str, returned: success, sample: []}
    update_from: {description: The prefixes that changes may come from., type: list, elements: str, returned: success, sample: [0.0.0.0/0]}
    notify: {description: Whether other servers are told of changes., type: bool, returned: success, sample: true}
    steering: {description: Whether it holds steering records., type: bool, returned: success, sample: true}
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import server
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import zones


def main() -> None:
    """Run the module."""
    run_module(
        zones.zone,
        argument_spec={
            "name": {"type": "str", "required": True},
            "nameservers": {"type": "list", "elements": "str"},
            "update_keys": {"type": "list", "elements": "path", "default": [], "no_log": False},
            "transfer_keys": {"type": "list", "elements": "path", "default": [], "no_log": False},
            "update_from": {"type": "list", "elements": "str", "default": ["0.0.0.0/0", "::/0"]},
            "steering": {"type": "bool", "default": False},
            "api_url": {"type": "str", "default": server.URL},
            "api_file": {"type": "path", "default": server.API_FILE},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
        required_if=[("state", "present", ("nameservers",))],
    )


if __name__ == "__main__":
    main()
