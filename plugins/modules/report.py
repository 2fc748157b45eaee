# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Say what became of an operation
version_added: 0.2.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Says in a sentence what became of the operation that was planned in this run, and fails if the operation did.
    In check mode it says what the operation would do, step by step.
  - What it returns is among the run's statistics, too, as C(vmatrix_) and the name of the operation.
  - It is the end of the role P(vmatrix.mesh.operation#role). It runs on the controller, asks no device and changes nothing.
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
options: {}
seealso:
  - module: vmatrix.mesh.plan
  - module: vmatrix.mesh.stage
"""

EXAMPLES = r"""
- name: Say what became of it
  vmatrix.mesh.report:
"""

RETURN = r"""
operation:
  description:
    - What became of it. C(outcome) is V(done), V(nothing) when there was nothing to do, V(planned) in check mode, V(undone) when it failed and was taken
      back, V(kept) when it failed and was left for looking as was wished for, or what else is left of one that failed.
    - What else there is depends on C(operation).
  returned: always
  type: dict
  sample: {operation: suspend, outcome: done}
"""
