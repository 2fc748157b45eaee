# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must not be in a mesh, as sentences."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.report import mesh_problems

DOCUMENTATION = r"""
name: mesh_problems
short_description: What must not be in a mesh, as sentences
version_added: 0.2.0
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
- name: Say what must not be
  ansible.builtin.fail:
    msg: "{{ problems | join(' ') }}"
  when: problems | length > 0
  vars:
    problems: "{{ hostvars | vmatrix.mesh.mesh_problems(groups) }}"
"""

RETURN = r"""
_value:
  description:
    - A sentence for each instance that runs on two RMs, for each that an RM holds without a record, and for each registry that was lost or restored from a
      copy. It says what to do.
    - RMs that were not asked count as they told their VMA.
  type: list
  elements: str
  sample:
    - "shop-1.example.com runs on rm-east-1 and rm-west-1: remove one of them, by the playbook remove with remove_instance=shop-1.example.com and remove_rm."
"""


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"mesh_problems": mesh_problems}
