# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: concerned
short_description: The real machines that an operation concerns, and what they are asked before it is planned
version_added: 0.2.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads what P(vmatrix.mesh.observe#role) registered on the VMAs in the same run, and the variables of the operation's role.
options:
  _terms:
    description: The operation.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show which real machines are asked before an instance is placed
  ansible.builtin.debug:
    msg: "{{ lookup('vmatrix.mesh.concerned', 'place').rms }}"
"""

RETURN = r"""
_value:
  description:
    - The C(rms) that are asked, hosts of the group C(rms), and the C(calls) that each of them is asked by, as M(vmatrix.mesh.stage) takes them.
    - There are none where the operation needs nothing of them, or cannot be planned; M(vmatrix.mesh.plan) says why.
  type: list
  elements: dict
  sample:
    - rms: [rm-east-1, rm-east-2]
      calls: [{ids: [example.com shop 1.0.0], call: capsules, arguments: {domain: example.com, name: shop, version: 1.0.0}}]
"""

import typing as t

from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import verb


class LookupModule(LookupBase):
    """Asks nobody: it reads what VMAs have answered."""

    def run(self, terms: list[str], variables: dict[str, t.Any] | None = None, **_options: t.Any) -> list[dict[str, t.Any]]:
        """Return it; see the documentation above."""
        if not variables or "hostvars" not in variables:
            return [{"rms": [], "calls": []}]
        wished = verb.wish(terms[0], variables, load_extra_vars(self._loader), self._templar.template)
        concern = verb.concerned(terms[0], variables, wished)
        return [{"rms": list(concern.rms), "calls": concern.calls() if concern.rms else []}]
