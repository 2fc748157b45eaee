# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host is asked to find out whether it is as its roles describe it."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import site

DOCUMENTATION = r"""
name: site_calls
short_description: What a host is asked to find out whether it is as its roles describe it
version_added: 0.2.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Makes the calls that M(vmatrix.mesh.stage) has the host carry out in one round trip; none of them changes anything.
  - It is what the playbook C(site) is made of, and as private to the collection as are the calls.
options:
  _input:
    description: The variables of the host, among them C(PART_described) of each part, the list of calls that describes it.
    type: dict
    required: true
  parts:
    description: The names of the host's parts.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Look what differs
  vmatrix.mesh.stage:
    calls: "{{ hostvars[inventory_hostname] | vmatrix.mesh.site_calls(['gateway']) }}"
  register: site_look
"""

RETURN = r"""
_value:
  description: The calls.
  type: list
  elements: dict
  sample: [{ids: [gateway/engines], call: engines, arguments: {}, check: true}]
"""


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"site_calls": site.calls}
