#!/usr/bin/python

# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sending a capsule from one RM to another."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: capsule_transfer
short_description: Send a capsule straight from one real machine to another
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Runs on the real machine (RM) that has the capsule, and sends to another RM what that one lacks of it, compressed, encrypted and authenticated over SSH.
  - The other RM verifies each file before it appears in its store, and shows the capsule once all its files are there.
  - After a cut connection it connects again and continues where it stopped; so does a further run of this module.
  - The role P(vmatrix.mesh.rm#role) sets up the keys of all RMs, which are good for nothing else.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  domain:
    description: The domain that owns the service.
    type: str
    required: true
  name:
    description: The service that the capsule is for.
    type: str
    required: true
  version:
    description: Version of the capsule.
    type: str
    required: true
  to:
    description: The RM to send it to.
    type: dict
    required: true
    suboptions:
      name:
        description: Its name in the inventory.
        type: str
        required: true
      address:
        description: Address where other RMs reach it.
        type: str
        required: true
  timeout:
    description: Seconds until giving up, attempts after cuts included.
    type: int
    default: 3600
  retries:
    description: How often to connect again after a cut, after pauses of 1, 2, 4 and so on seconds.
    type: int
    default: 5
requirements:
  - openssh-client
  - python3-jsonschema
  - python3-netaddr
  - python3-zstandard
seealso:
  - module: vmatrix.mesh.capsule
  - module: vmatrix.mesh.capsule_info
"""

EXAMPLES = r"""
- name: Have the capsule ready on the other side
  vmatrix.mesh.capsule_transfer:
    domain: example.com
    name: shop
    version: 1.0.0
    to:
      name: rm-west-1
      address: 198.51.100.11
    timeout: 600
"""

RETURN = r"""
bytes_total:
  description: Bytes of all files of the capsule.
  type: int
  returned: success
  sample: 458752000
bytes_skipped:
  description: Bytes of these that the other RM had already.
  type: int
  returned: success
  sample: 419430400
bytes_wire:
  description: Bytes that were sent, compressed, before encryption. In check mode those of the question what is missing.
  type: int
  returned: success
  sample: 21495808
seconds:
  description: How long it took.
  type: float
  returned: success
  sample: 0.412
resumed:
  description: Whether a file was continued that had arrived in part before.
  type: bool
  returned: success
  sample: false
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module import shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import transfers


def main() -> None:
    """Run the module."""
    run_module(
        transfers.bring,
        [Library(*library) for library in transfers.LIBRARIES],
        argument_spec={
            **shapes.needed("domain", "name", "version"),
            "to": {"type": "dict", "required": True, "options": shapes.needed("name", "address")},
            "timeout": {"type": "int", "default": 3600},
            "retries": {"type": "int", "default": 5},
        },
    )


if __name__ == "__main__":
    main()
