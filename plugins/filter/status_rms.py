# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which real machines are to run something."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.report import running_rms

DOCUMENTATION = r"""
name: status_rms
short_description: Which real machines are to run something
version_added: 0.2.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads what P(vmatrix.mesh.status#role) registered on the VMAs in the same run.
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
- name: Show which real machines have something to say
  ansible.builtin.debug:
    msg: "{{ hostvars | vmatrix.mesh.status_rms(groups) }}"
"""

RETURN = r"""
_value:
  description: Hosts of the group C(rms).
  type: list
  elements: str
  sample: [rm-east-1]
"""


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"status_rms": running_rms}
