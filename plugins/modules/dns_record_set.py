#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_record_set
short_description: Change a set of address records by RFC 2136
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Makes the A or AAAA records of a name what they should be, by a signed update of the zone's primary. Any server that takes RFC 2136 updates
    signed with TSIG will do, such as BIND 9, Knot or PowerDNS.
  - An update is carried out only if the records are still as the module has read them. If somebody else was faster, nothing is changed and the
    module fails with a sentence that says so. An update that somebody recorded and sends again changes nothing.
  - The module ends when every authoritative server serves the records, see O(confirm_timeout).
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
  - vmatrix.mesh.dns
  - vmatrix.mesh.dns.confirm
  - vmatrix.mesh.dns.key
options:
  name:
    description: The absolute name of the records. It may begin with C(*.).
    type: str
    required: true
  type:
    description: The family of addresses.
    type: str
    default: A
    choices: [A, AAAA]
  values:
    description:
      - The addresses; required if O(state=present).
      - With O(state=absent) only these are taken away, or all if none is given.
    type: list
    elements: str
    default: []
  exclusive:
    description:
      - Whether O(values) are all that shall be there. Otherwise they are added to what is there, whoever put it there.
      - It has no meaning with O(state=absent).
    type: bool
    default: true
  ttl:
    description: How many seconds the records may be kept by others. If this is not given it stays as it is, or is 60 for new records.
    type: int
  key_file:
    required: true
  state:
    description: Whether the addresses should be there.
    type: str
    default: present
    choices: [present, absent]
seealso:
  - module: vmatrix.mesh.dns_record_set_info
  - module: vmatrix.mesh.dns_key
"""

EXAMPLES = r"""
- name: Send everybody to both HNs
  vmatrix.mesh.dns_record_set:
    zone: example.com
    server: 198.18.0.4
    key_file: /etc/vmatrix/dns/platform.key
    name: shop.example.com
    values: [198.18.1.1, 198.18.2.1]
    ttl: 30

- name: Take one of them out again, whatever else is there
  vmatrix.mesh.dns_record_set:
    zone: example.com
    server: 198.18.0.4
    key_file: /etc/vmatrix/dns/platform.key
    name: shop.example.com
    values: [198.18.2.1]
    state: absent
"""

RETURN = r"""
record:
  description: The records as they are now (or would be), V(none) when there are none.
  returned: success
  type: dict
  sample: {name: shop.example.com, type: A, ttl: 30, values: [198.18.1.1, 198.18.2.1]}
  contains:
    name: {description: Their name., type: str, returned: success, sample: shop.example.com}
    type: {description: Their type., type: str, returned: success, sample: A}
    ttl: {description: How many seconds they may be kept., type: int, returned: success, sample: 30}
    values: {description: Their addresses., type: list, elements: str, returned: success, sample: [198.18.1.1, 198.18.2.1]}
confirmed_by:
  description: The authoritative servers, all of which serve it; empty in check mode or if O(confirm_timeout=0).
  returned: success
  type: list
  elements: str
  sample: [198.18.0.4]
unconfirmed:
  description: The authoritative servers that do not serve it in time.
  returned: when not every authoritative server serves it in time
  type: list
  elements: str
  sample: [198.18.0.5]
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import options
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import records


def main() -> None:
    """Run the module."""
    run_module(
        records.ensure,
        libraries=[Library(*library) for library in records.LIBRARIES],
        argument_spec={
            **options.ZONE,
            **options.CONFIRM,
            "key_file": {**options.KEY_FILE, "required": True},
            "name": {"type": "str", "required": True},
            "type": {"type": "str", "default": "A", "choices": ["A", "AAAA"]},
            "values": {"type": "list", "elements": "str", "default": []},
            "exclusive": {"type": "bool", "default": True},
            "ttl": {"type": "int"},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
    )


if __name__ == "__main__":
    main()
