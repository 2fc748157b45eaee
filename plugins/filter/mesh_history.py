# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was done, by whom and when, as a table for people."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import report

DOCUMENTATION = r"""
name: mesh_history
short_description: What was done, by whom and when, as a table for people
version_added: 0.2.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads what the role P(vmatrix.mesh.history#role) registered on the VMAs in the same run.
options:
  _input:
    description: The variables of all hosts, C(hostvars).
    type: dict
    required: true
  groups:
    description: The inventory's groups.
    type: dict
    required: true
  instance:
    description: The instance whose operations are shown with their steps; empty for all operations, without.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show what was done
  ansible.builtin.debug:
    msg: "{{ hostvars | vmatrix.mesh.mesh_history(groups) }}"
"""

RETURN = r"""
_value:
  description: A table of operations, the oldest first, and of an instance's also one of the steps of each.
  type: str
  sample: |-
    BEGAN                 OPERATION  OF                  IN                WHO             ENDED                 OUTCOME
    --------------------  ---------  ------------------  ----------------  --------------  --------------------  -------
    2026-01-01T12:00:00Z  move       shop-1.example.com  hn-east, hn-west  ada@controller  2026-01-01T12:00:04Z  done
"""


def mesh_history(hostvars: t.Mapping[str, t.Any], groups: t.Mapping[str, t.Any], instance: str = "") -> str:
    """Return it; see the documentation above."""
    try:
        return report.mesh_history(hostvars, groups, instance)
    except MeshError as exc:
        raise AnsibleFilterError(exc.message) from exc


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"mesh_history": mesh_history}
