# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A table for people."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import report

DOCUMENTATION = r"""
name: table
short_description: A table for people
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Lays rows out as a table of text, with columns as wide as they need to be.
options:
  _input:
    description: The rows, each a list with one cell per column.
    type: list
    elements: list
    required: true
  headings:
    description: The heading of each column.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show a table
  ansible.builtin.debug:
    msg: "{{ [['rm-east-1', 2], ['rm-east-2', 0]] | vmatrix.mesh.table(['RM', 'INSTANCES']) }}"
"""

RETURN = r"""
_value:
  description: The table.
  type: str
  sample: |-
    RM         INSTANCES
    ---------  ---------
    rm-east-1  2
    rm-east-2  0
"""


def table(rows: t.Sequence[t.Sequence[t.Any]], headings: t.Sequence[str]) -> str:
    """Return the rows as a table of text."""
    return report.table(headings, rows)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return them by name."""
        return {"table": table}
