# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: obstacles
short_description: What is in the way of an operation
version_added: 0.2.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Reads what P(vmatrix.mesh.observe#role) registered on the VMAs in the same run, and the variables of the operation's role.
  - An operation waits for others as long as C(operation_wait) says, and takes up what was cut off on one of its instances.
options:
  _terms:
    description: The operation. An empty one meets nothing.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what is in the way of a move
  ansible.builtin.debug:
    msg: "{{ lookup('vmatrix.mesh.obstacles', 'move') }}"
"""

RETURN = r"""
_value:
  description:
    - By VMA the leases that others have on the instances of the operation (C(at_work)), the number of each by its instance; only if C(operation_wait) says
      that they are to be waited for, or if an RM has them that starts its instances again; and for how many seconds (C(wait)).
    - An instance of the oldest operation that was cut off on one of them (C(cut_off)), which is empty if there is none.
  type: list
  elements: dict
  sample:
    - {at_work: {gw-east: {shop-1.example.com: 1764515622001}}, wait: 60, cut_off: ""}
"""

import typing as t

from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars

from ansible_collections.vmatrix.mesh.plugins.plugin_utils import controller
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import obstacles, verb


class LookupModule(LookupBase):
    """Asks nobody: it reads what VMAs have answered."""

    def run(self, terms: list[str], variables: dict[str, t.Any] | None = None, **_options: t.Any) -> list[dict[str, t.Any]]:
        """Return it; see the documentation above."""
        if not terms[0] or not variables or "hostvars" not in variables:
            return [{"at_work": {}, "wait": 0, "cut_off": ""}]
        wished = verb.wish(terms[0], variables, load_extra_vars(self._loader), self._templar.template)
        settings = {name: self._templar.template(variables.get(name, 0)) for name in ("operation_wait", "operation_take_over")}
        found = verb.obstacles(variables, wished, controller.gone, str(settings["operation_take_over"]).lower() in ("true", "yes", "1"))
        patience = int(settings["operation_wait"])
        waited = found.at_work if patience > 0 else found.starting
        seconds = max(patience, obstacles.RESTART_SECONDS if found.starting else 0)
        return [{"at_work": waited, "wait": seconds if waited else 0, "cut_off": found.cut_off or ""}]
