# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of an operation happens on which hosts, in which order."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.run import hosts

DOCUMENTATION = r"""
name: operation_hosts
short_description: The hosts that a part of an operation concerns
version_added: 0.2.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads the plan that P(vmatrix.mesh.operation#role) is to carry out, and what was answered so far.
options:
  _input:
    description: The variables of all hosts (C(hostvars)).
    type: dict
    required: true
  part:
    description: The part, or C(taken_up) for all of an operation that was cut off and is taken up.
    type: str
    required: true
    choices: [prepare, cut_over, settle, take_back, release, taken_up]
"""

EXAMPLES = r"""
- name: Show which hosts make the cut-over
  ansible.builtin.debug:
    msg: "{{ hostvars | vmatrix.mesh.operation_hosts('cut_over') }}"
"""

RETURN = r"""
_value:
  description: The hosts; none where there is nothing to do in that part.
  type: list
  elements: str
  sample: [gw-east, rm-east-1]
"""


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"operation_hosts": hosts}
