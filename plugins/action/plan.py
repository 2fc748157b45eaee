# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan an operation on the controller, from what the role observe saw."""

from __future__ import annotations

import importlib
import os
import typing as t
import uuid

import yaml
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import parts, run, wishes
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.naming import plan_names
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import encode
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view

#: Where the planners of the verbs are, one file each.
VERBS = "ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs"

#: The roles of the verbs, whose argument specs say what can be wished for.
ROLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))), "roles")

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
            argument_spec={"operation": {"type": "str", "required": True}, "names": {"type": "dict", "default": {}, "options": NAMES}},
        )
        if args["operation"] != "names":
            return self._planned(args["operation"], args["names"], task_vars)
        try:
            return {"changed": False, "plan": plan_names(mesh_view(task_vars["groups"], task_vars["hostvars"]), args["names"])}
        except MeshError as exc:
            return {"failed": True, "changed": False, "msg": exc.message}

    def _planned(self, operation: str, names: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the plan of a verb as data, with the id of this run of it."""
        verb = importlib.import_module(f"{VERBS}.{operation}")
        wish = self._wish(operation, task_vars)
        if wish.error is not None:
            return {"failed": True, "changed": False, "msg": wish.error}
        result: dict[str, t.Any] = {"changed": False}
        if wish.renamed:
            result["warnings"] = [
                f"The variables of playbooks have names of their own now: use {new} instead of {old}, which will not do any more in version 0.3.0."
                for old, new in wish.renamed.items()
            ]
        try:
            view = mesh_view(task_vars["groups"], task_vars["hostvars"])
            plan = verb.plan(view, parts.Naming(view, names), **wish.values)
            run.refuse_limit(plan, view.rms, task_vars)
        except MeshError as exc:
            return {**result, "failed": True, "msg": exc.message}
        return {**result, "run": uuid.uuid4().hex, "plan": encode(plan)}

    def _wish(self, operation: str, task_vars: dict[str, t.Any]) -> wishes.Wish:
        """Return what is wished for: the variables that the role of the verb describes."""
        with open(os.path.join(ROLES, operation, "meta", "argument_specs.yml"), encoding="utf-8") as handle:
            options = yaml.safe_load(handle)["argument_specs"]["main"]["options"]
        given = {name: self._templar.template(task_vars[name]) for name in options if name in task_vars}
        extra = {name: self._templar.template(value) for name, value in load_extra_vars(self._loader).items()}
        return wishes.read(operation, options, given, extra)
