# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is sent where, as a table for people."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import report

DOCUMENTATION = r"""
name: mesh_names
short_description: Who is sent where, as a table for people
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads what the entry point C(look) of P(vmatrix.mesh.names#role) registered on the name servers in the same run.
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
- name: Show who is sent where
  ansible.builtin.debug:
    msg: "{{ hostvars | vmatrix.mesh.mesh_names(groups) }}"
"""

RETURN = r"""
_value:
  description:
    - For each name and each region of clients, the HN that they are sent to at this moment with its address, and why.
    - A sentence about each name server that cannot say, and each name that does not answer as it should.
  type: str
  sample: |-
    NAME                               REGION  CLIENTS       SENT TO               WHY
    ---------------------------------  ------  ------------  --------------------  --------------------------------
    shop.example.com.steer.example.net office  192.0.2.0/24  hn-east (198.18.1.1)  nearest first: hn-east, hn-west
"""


def mesh_names(hostvars: t.Mapping[str, t.Any], groups: t.Mapping[str, t.Any]) -> str:
    """Return it; see the documentation above."""
    try:
        return report.mesh_names(hostvars, groups)
    except MeshError as exc:
        raise AnsibleFilterError(exc.message) from exc


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"mesh_names": mesh_names}
