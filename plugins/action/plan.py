# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan an operation on the controller, from what the role observe saw."""

from __future__ import annotations

import functools
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.clone import plan_clone, plan_publish
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.cluster import plan_move_cluster
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.move import STRATEGIES, plan_move
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.naming import plan_name, plan_names
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import plan_here, plan_place
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.scale import plan_scale, plan_standby
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.update import plan_restart, plan_update
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view

#: Which planner serves which operation, which options it needs, and which it takes besides.
PLANNERS: dict[str, tuple[t.Callable[..., t.Any], tuple[str, ...], tuple[str, ...]]] = {
    "place": (plan_place, ("instance", "capsule", "to_hn"), ("to_rm",)),
    "move": (plan_move, ("instance",), ("to_hn", "to_rm", "strategy")),
    "move_cluster": (plan_move_cluster, ("instances",), ("to_hn", "to_rm", "strategy")),
    **{operation: (functools.partial(plan_here, operation=operation), ("instance",), ()) for operation in ("suspend", "resume", "drain", "remove")},
    "publish": (plan_publish, ("instances", "clones", "capsule"), ("to_hn",)),
    "clone": (plan_clone, ("instances", "clones", "capsule"), ("to_hn",)),
    "name": (plan_name, ("service", "domain", "naming"), ("arrives", "leaves")),
    "names": (plan_names, ("naming",), ()),
    "scale": (plan_scale, ("service", "domain", "to_hn", "count"), ("capsule", "surplus")),
    "standby": (plan_standby, ("service", "domain", "to_hn", "count"), ("capsule",)),
    "update": (plan_update, ("service", "domain", "to_hn", "capsule"), ()),
    "restart": (plan_restart, ("service", "domain", "to_hn"), ()),
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
                "instance": {"type": "str"},
                "instances": {"type": "list", "elements": "str"},
                "clones": {"type": "list", "elements": "str"},
                "service": {"type": "str"},
                "domain": {"type": "str"},
                "count": {"type": "int"},
                "surplus": {"type": "str", "choices": ["suspended", "absent"], "default": "suspended"},
                "capsule": {"type": "str"},
                "to_hn": {"type": "str"},
                "to_rm": {"type": "str"},
                "strategy": {"type": "str", "choices": list(STRATEGIES), "default": "best"},
                "naming": {"type": "dict"},
                "arrives": {"type": "list", "elements": "dict", "default": []},
                "leaves": {"type": "list", "elements": "dict", "default": []},
            },
            required_if=[("operation", operation, needed) for operation, (unused, needed, unused_too) in PLANNERS.items()],
        )
        try:
            view = mesh_view(task_vars["groups"], task_vars["hostvars"])
            planner, needed, taken = PLANNERS[args["operation"]]
            plan = planner(view, **{name: args[name] for name in (*needed, *taken)})
        except MeshError as exc:
            return {"failed": True, "changed": False, "msg": exc.message}
        return {"changed": False, "plan": plan}
