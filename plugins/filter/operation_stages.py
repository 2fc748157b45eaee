# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which stages a part of an operation has."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.run import stages

DOCUMENTATION = r"""
name: operation_stages
short_description: The stages of a part of an operation
version_added: 0.2.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads the plan that P(vmatrix.mesh.operation#role) is to carry out.
options:
  _input:
    description: The variables of all hosts (C(hostvars)).
    type: dict
    required: true
  part:
    description: The part.
    type: str
    required: true
    choices: [prepare, cut_over, settle, take_back]
"""

EXAMPLES = r"""
- name: Show what happens before the cut-over
  ansible.builtin.debug:
    msg: "{{ hostvars | vmatrix.mesh.operation_stages('prepare') | map(attribute='what') }}"
"""

RETURN = r"""
_value:
  description: The stages, in their order.
  type: list
  elements: dict
  sample: [{id: tell, what: Record what is about to run}]
"""


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"operation_stages": stages}
