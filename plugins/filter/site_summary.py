# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many hosts are as they should be, and what differs on others."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import site

DOCUMENTATION = r"""
name: site_summary
short_description: How many hosts are as they should be, and what differs on others
version_added: 0.2.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads what P(vmatrix.mesh.site_differences#filter) found on each host.
options:
  _input:
    description: The variables of all hosts, C(hostvars), among them C(site_differs), what that filter returned.
    type: dict
    required: true
  hosts:
    description: The hosts.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show it
  ansible.builtin.debug:
    msg: "{{ hostvars | vmatrix.mesh.site_summary(ansible_play_hosts) }}"
"""

RETURN = r"""
_value:
  description: A line for each host that differs, and one that counts the others.
  type: list
  elements: str
  sample: [1 of 1 hosts are as they should be.]
"""


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"site_summary": site.summary}
