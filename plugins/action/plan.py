# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan an operation on the controller, from what the role observe saw."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import PLANNERS
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view

OPTIONS = {
    "place": ("instance", "capsule", "to_hn", "to_rm"),
    "move": ("instance", "to_hn", "to_rm"),
    "suspend": ("instance",),
    "resume": ("instance",),
    "drain": ("instance",),
    "remove": ("instance",),
}


class ActionModule(ActionBase):
    """Runs on the controller only, for the host of the play."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the plan, or fail with the planner's one sentence."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        unused, args = self.validate_argument_spec(
            argument_spec={
                "operation": {"type": "str", "required": True, "choices": sorted(PLANNERS)},
                "instance": {"type": "str", "required": True},
                "capsule": {"type": "str"},
                "to_hn": {"type": "str"},
                "to_rm": {"type": "str"},
            },
            required_if=[("operation", "place", ("capsule", "to_hn")), ("operation", "move", ("to_hn",))],
        )
        try:
            view = mesh_view(task_vars["groups"], task_vars["hostvars"])
            plan = PLANNERS[args["operation"]](view, **{name: args[name] for name in OPTIONS[args["operation"]]})
        except MeshError as exc:
            return {"failed": True, "changed": False, "msg": exc.message}
        return {"changed": False, "plan": plan}
