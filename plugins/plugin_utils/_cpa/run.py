# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""An operation in one run of ansible-playbook: where its plan lies, and what its devices have answered."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import leases, recovery
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan, decode
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.progress import Answers, busy, verdict

HostVars = t.Mapping[str, t.Mapping[str, t.Any]]

#: The variable of localhost in which the plan lies, and those of a device in which its answers do.
PLANNED = "operation_planned"
STAGE, FOLLOW_UPS = "operation_stage", "operation_follow_ups"


def run_id(hostvars: HostVars) -> str | None:
    """Return the id of the run that is under way, if any."""
    return ((hostvars.get("localhost") or {}).get(PLANNED) or {}).get("run")


def planned(hostvars: HostVars) -> tuple[str, Plan]:
    """Return the id of the run that is under way, and its plan.

    Raises:
        KeyError: nothing was planned.
    """
    found = hostvars["localhost"][PLANNED]
    return found["run"], decode(json.loads(found["plan"]))


def answers_so_far(plan: Plan, run: str, hostvars: HostVars) -> Answers:
    """Return what all devices have answered in a run."""
    answers: dict[str, t.Any] = {}
    asked: set[str] = set()
    stages = (*plan.stages, *plan.take_back)
    # Which RMs there are besides can stand in the answers.
    while fresh := set(busy(plan, stages, answers)) - asked:
        for device in sorted(fresh):
            # In a loop each device that was told answers for itself.
            followed = (hostvars[device].get(FOLLOW_UPS) or {}).get("results", ())
            for found in (hostvars[device].get(STAGE) or {}, *followed):
                if found.get("run") == run:
                    answers.update(found["answers"])
            if plan.recovers:
                answers = dict(recovery.expanded(plan, answers))
        asked |= fresh
    return answers


def hosts(hostvars: HostVars, part: str) -> list[str]:
    """Return the hosts that a part of an operation concerns, as far as it can be known by then; none where there is nothing to do."""
    if not run_id(hostvars):
        return []
    run, plan = planned(hostvars)
    answers = answers_so_far(plan, run, hostvars)
    if part == "release":
        return leases.holders(plan, answers)
    if part == "taken_up":
        return list(dict.fromkeys([*busy(plan, (*plan.stages, *plan.take_back), answers), *plan.candidates])) if plan.recovers else []
    way = verdict(plan, answers).way
    if way != ("back" if part == "take_back" else "on"):
        return []
    return list(dict.fromkeys([*busy(plan, plan.part(part), answers), *(plan.candidates if plan.part(part) else ())]))


def stages(hostvars: HostVars, part: str) -> list[dict[str, t.Any]]:
    """Return the stages of a part of an operation, for a loop: C(id) and C(what)."""
    _run, plan = planned(hostvars)
    return [{"id": each.id, "what": each.what} for each in plan.part(part)]


def refuse_limit(plan: Plan, rms: t.Iterable[str], task_vars: t.Mapping[str, t.Any]) -> None:
    """Raise Refused when C(--limit) leaves out a device of the plan; where a VMA will choose an RM, it must leave out none."""
    steps = [step for stage in (*plan.stages, *plan.take_back) for step in stage.steps]
    needed = {step.device for step in steps if isinstance(step.device, str)} | (set() if all(isinstance(step.device, str) for step in steps) else set(rms))
    refuse_left_out(needed, task_vars)


def refuse_left_out(needed: t.Iterable[str], task_vars: t.Mapping[str, t.Any]) -> None:
    """Raise Refused when C(--limit) leaves out a host that is needed."""
    limit = task_vars.get("ansible_limit")
    if not limit:
        return
    left_out = sorted(device for device in needed if "observe_limited" not in task_vars["hostvars"][device])
    if left_out:
        raise Refused(f"The limit {limit} leaves out {', '.join(left_out)}, which this operation needs; run it without a limit.")
