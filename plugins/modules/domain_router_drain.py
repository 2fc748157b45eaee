#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: domain_router_drain
short_description: Wait until members that left the rotation have no connections left
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Waits on a gateway until all connections of instances have ended that left the rotation before, see M(vmatrix.mesh.domain_router).
  - The result says how many ended by themselves and how many were cut; nothing is dropped silently.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  domain:
    description: The domain that the router belongs to.
    type: str
    required: true
  addresses:
    description: The fabric addresses of the instances.
    type: list
    elements: str
    required: true
  timeout:
    description: How many seconds their connections have for ending.
    type: float
    default: 60
  at_deadline:
    description:
      - What to do with those that are open then.
      - With V(give_up) the module fails and leaves them alone, so that the instances can be put back. With V(cut) they are reset.
        With V(wait) the module waits on for O(patience) seconds and gives up then.
    type: str
    choices: [give_up, cut, wait]
    default: give_up
  patience:
    description: How many seconds V(wait) of O(at_deadline) waits on.
    type: float
    default: 3600
seealso:
  - module: vmatrix.mesh.domain_router
  - module: vmatrix.mesh.domain_router_info
"""

EXAMPLES = r"""
- name: Give the callers of a member a minute, then reset them
  vmatrix.mesh.domain_router_drain:
    domain: example.com
    addresses: [192.168.1.10]
    timeout: 60
    at_deadline: cut
"""

RETURN = r"""
connections:
  description: How many live connections there were at first.
  returned: success, or the deadline was reached
  type: int
  sample: 12
ended:
  description: How many of them ended by themselves.
  returned: success, or the deadline was reached
  type: int
  sample: 11
cut:
  description: How many were cut. In check mode all that are open with O(at_deadline=cut), because nobody knows how many would end by themselves.
  returned: success
  type: int
  sample: 1
left:
  description: How many were left alone, still open.
  returned: the deadline was reached
  type: int
  sample: 1
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import drain
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Outcome, run_module


def call(params: dict, check_mode: bool) -> Outcome:
    """Wait, and count."""
    drained = drain.drain(params["domain"], params["addresses"], params["timeout"], params["at_deadline"], params["patience"], check_mode)
    before, after = {"connections": drained.connections}, {"connections": 0}
    return Outcome(drained.cut > 0, before, after, drained._asdict())


def main() -> None:
    """Run the module."""
    run_module(
        call,
        argument_spec={
            "domain": {"type": "str", "required": True},
            "addresses": {"type": "list", "elements": "str", "required": True},
            "timeout": {"type": "float", "default": 60},
            "at_deadline": {"type": "str", "default": "give_up", "choices": ["give_up", "cut", "wait"]},
            "patience": {"type": "float", "default": 3600},
        },
    )


if __name__ == "__main__":
    main()
