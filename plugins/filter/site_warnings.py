# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What around hosts will be in the way, and no role mends."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import site

DOCUMENTATION = r"""
name: site_warnings
short_description: What around hosts will be in the way, and no role mends
version_added: 0.2.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads what hosts answered to the calls of P(vmatrix.mesh.site_calls#filter) - links that carry less than guests believe, firewalls of others.
options:
  _input:
    description: The variables of all hosts, C(hostvars), among them C(site_look), what they answered.
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
    msg: "{{ hostvars | vmatrix.mesh.site_warnings(ansible_play_hosts) }}"
"""

RETURN = r"""
_value:
  description: A line for each.
  type: list
  elements: str
  sample: ["gw-east: The WAN interface eth0 carries 1492 bytes, not 1500."]
"""


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"site_warnings": site.warnings}
