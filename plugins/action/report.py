# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Says what became of an operation: as a sentence, as data, and as the exit status of the run."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import progress
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.report import table
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.run import answers_so_far, planned


class ActionModule(ActionBase):
    """Runs on the controller only."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the report, which fails when the operation has."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        run, plan = planned(task_vars["hostvars"])
        answers = answers_so_far(plan, run, task_vars["hostvars"])
        told = progress.report(plan, answers, self._task.check_mode)
        lines = [told.message]
        if told.result["outcome"] == "planned":
            lines += table(("DEVICE", "STEP"), progress.rows(plan, answers)).splitlines()
        # Data for what comes after in a workflow, and what has to be read is read here, without the data around it.
        stats = {"data": {f"vmatrix_{plan.operation}": told.result}, "per_host": False, "aggregate": True}
        if told.failed:
            return {"failed": True, "changed": False, "msg": told.message, "ansible_stats": stats}
        self._display.display("\n".join(lines))
        doubts = {"warnings": told.result["warnings"]} if "warnings" in told.result else {}
        return {"changed": False, "msg": told.message, "operation": told.result, "ansible_stats": stats, **doubts}
