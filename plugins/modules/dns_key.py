#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: dns_key
short_description: Keep a TSIG key in a file
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Makes the file of a TSIG key, readable by its owner only, in the form that BIND 9, Knot and the tools of both read.
  - The secret is made on the host and never returned. To give the key to somebody else, copy the file.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  path:
    description: The file. Its directory must exist.
    type: path
    required: true
  name:
    description: The key's name, which server and client must agree upon; required if O(state=present).
    type: str
  algorithm:
    description: The key's algorithm.
    type: str
    default: hmac-sha256
    choices: [hmac-sha256, hmac-sha384, hmac-sha512]
  secret:
    description:
      - The secret in base64, for a key that was made elsewhere.
      - If this is not given, the secret that is there is kept; where there is none, a random one is made.
    type: str
  state:
    description: Whether the file should exist.
    type: str
    default: present
    choices: [present, absent]
seealso:
  - module: vmatrix.mesh.dns_zone
  - module: vmatrix.mesh.dns_record_set
"""

EXAMPLES = r"""
- name: Make the key that the platform signs with
  vmatrix.mesh.dns_key:
    path: /etc/vmatrix/dns/platform.key
    name: platform
"""

RETURN = r"""
key:
  description: The key without its secret, V(none) when its file was removed.
  returned: success
  type: dict
  sample: {name: platform, algorithm: hmac-sha256, path: /etc/vmatrix/dns/platform.key}
  contains:
    name: {description: Its name., type: str, returned: success, sample: platform}
    algorithm: {description: Its algorithm., type: str, returned: success, sample: hmac-sha256}
    path: {description: Its file., type: str, returned: success, sample: /etc/vmatrix/dns/platform.key}
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import keys
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import zones


def main() -> None:
    """Run the module."""
    run_module(
        zones.key,
        argument_spec={
            "path": {"type": "path", "required": True},
            "name": {"type": "str"},
            "algorithm": {"type": "str", "default": "hmac-sha256", "choices": list(keys.ALGORITHMS)},
            "secret": {"type": "str", "no_log": True},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
        required_if=[("state", "present", ("name",))],
    )


if __name__ == "__main__":
    main()
