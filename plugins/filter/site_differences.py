# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a host is not as its roles describe it."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import site

DOCUMENTATION = r"""
name: site_differences
short_description: What of a host is not as its roles describe it
version_added: 0.2.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads what the host answered to the calls of P(vmatrix.mesh.site_calls#filter).
options:
  _input:
    description: What M(vmatrix.mesh.stage) returned.
    type: dict
    required: true
  parts:
    description: The names of the host's parts.
    type: list
    elements: str
    required: true
  besides:
    description: What is known to differ besides, as short sentences by part.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what differs
  ansible.builtin.debug:
    msg: "{{ site_look | vmatrix.mesh.site_differences(['gateway']) }}"
"""

RETURN = r"""
_value:
  description: Short sentences by part, of those parts that differ, or of which the host cannot tell.
  type: dict
  sample: {gateway: [There is no /etc/sysctl.d/60-vmatrix-gateway.conf.]}
"""


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"site_differences": site.differences}
