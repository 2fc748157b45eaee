# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan an operation on the controller, from what the role observe saw."""

from __future__ import annotations

import json
import typing as t
import uuid

from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.plugin_utils import controller
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import leases, lost, obstacles, parts, run, verb
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.naming import plan_names
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import encode
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view

#: How names follow, as the variables of the role names say. What templates make of numbers may be text.
NAMES: dict[str, t.Any] = {
    **{key: {"type": "str"} for key in ("host", "server", "driver", "key_file", "zone")},
    **{key: {"type": "float"} for key in ("margin", "ask_timeout")},
    **{key: {"type": "int"} for key in ("ttl", "answers")},
    **{key: {"type": "list", "elements": "str"} for key in ("zones", "order")},
    **{key: {"type": "list", "elements": "dict"} for key in ("views", "regions")},
    **{key: {"type": "dict"} for key in ("places", "services")},
    "checks": {"type": "bool"},
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
                "operation": {"type": "str", "required": True},
                "names": {"type": "dict", "default": {}, "options": NAMES},
                "take_over": {"type": "bool", "default": False},
                "lease": {"type": "int", "default": 600},
                "lost_hn": {"type": "list", "elements": "str", "default": []},
            },
        )
        if args["operation"] != "names":
            return self._planned(args, task_vars)
        try:
            return {"changed": False, "plan": plan_names(mesh_view(task_vars["groups"], task_vars["hostvars"]), args["names"])}
        except MeshError as exc:
            return {"failed": True, "changed": False, "msg": exc.message}

    def _planned(self, args: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the plan of a verb as JSON text, which nobody but the operation reads, with the id of this run of it."""
        operation = args["operation"]
        extra = load_extra_vars(self._loader)
        wish = verb.wish(operation, task_vars, extra, self._templar.template)
        if wish.error is not None:
            return {"failed": True, "changed": False, "msg": wish.error}
        result: dict[str, t.Any] = {"changed": False}
        if wish.renamed:
            result["warnings"] = [
                f"The variables of playbooks have names of their own now: use {new} instead of {old}, which will not do any more in version 0.3.0."
                for old, new in wish.renamed.items()
            ]
        try:
            asked = verb.concerned(operation, task_vars, wish).rms
            run.refuse_left_out(asked, task_vars)
            view = lost.given_up(mesh_view(task_vars["groups"], task_vars["hostvars"], asked), args["lost_hn"])
            try:
                plan = verb.planner(operation).plan(view, parts.Naming(view, args["names"]), **wish.values)
            except MeshError:
                # What it is about may be half done by somebody else.
                obstacles.refuse_busy(view, wish.values, controller.gone, args["take_over"])
                raise
            holder = {"run": uuid.uuid4().hex, "who": controller.who(task_vars), "controller": controller.this(), "seconds": args["lease"]}
            plan = leases.leased(plan, view, args["take_over"], controller.gone, **holder)
            run.refuse_limit(plan, view.rms, task_vars)
        except MeshError as exc:
            return {**result, "failed": True, "msg": exc.message}
        return {**result, "run": holder["run"], "plan": json.dumps(encode(plan))}
