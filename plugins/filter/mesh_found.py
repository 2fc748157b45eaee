# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What really runs in one HN, for rebuilding its registry."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import report

DOCUMENTATION = r"""
name: mesh_found
short_description: What really runs in one HN, for rebuilding its registry
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
  hn:
    description: The HN.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Collect what runs in hn-east
  ansible.builtin.set_fact:
    found: "{{ hostvars | vmatrix.mesh.mesh_found(groups, 'hn-east') }}"
"""

RETURN = r"""
_value:
  description: The C(instances) that its RMs run, each with its C(rm), and the C(routers) of its gateway.
  type: dict
  sample:
    instances: [{name: shop-1.example.com, rm: rm-east-1, state: running, epoch: 1}]
    routers: [{domain: example.com, vlan: 100}]
"""


def mesh_found(hostvars: t.Mapping[str, t.Any], groups: t.Mapping[str, t.Any], hn: str) -> dict[str, list[dict]]:
    """Return it; see the documentation above."""
    try:
        return report.mesh_found(hostvars, groups, hn)
    except MeshError as exc:
        raise AnsibleFilterError(exc.message) from exc


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"mesh_found": mesh_found}
