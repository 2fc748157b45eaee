# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs where, as tables for people."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import report

DOCUMENTATION = r"""
name: mesh_status
short_description: What runs where, as tables for people
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads what P(vmatrix.mesh.status#role) registered on the devices in the same run.
options:
  _input:
    description: The variables of all hosts, C(hostvars).
    type: dict
    required: true
  groups:
    description: The inventory's groups.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what runs where
  ansible.builtin.debug:
    msg: "{{ hostvars | vmatrix.mesh.mesh_status(groups) }}"
"""

RETURN = r"""
_value:
  description:
    - A table of instances and a table of RMs, and the names of devices that did not answer.
    - With name servers in the inventory, also a table of who is sent where, see P(vmatrix.mesh.mesh_names#filter).
    - If there are any, also a table of operations that have not ended and one of transfers between RMs.
  type: str
  sample: |-
    INSTANCE            HN       RM         STATE    EPOCH  PUBLIC ADDRESS  ROTATION  CONNECTIONS
    ------------------  -------  ---------  -------  -----  --------------  --------  -----------
    shop-1.example.com  hn-east  rm-east-1  running  1      198.18.1.1      yes       3
"""


def mesh_status(hostvars: t.Mapping[str, t.Any], groups: t.Mapping[str, t.Any]) -> str:
    """Return it; see the documentation above."""
    try:
        return report.mesh_status(hostvars, groups)
    except MeshError as exc:
        raise AnsibleFilterError(exc.message) from exc


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"mesh_status": mesh_status}
