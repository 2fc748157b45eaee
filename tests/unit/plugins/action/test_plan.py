# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From an operator's variables to a plan, or to one sentence why there is none; and from the answers to what is said in the end."""

from __future__ import annotations

import json
import types

import pytest

from ansible_collections.vmatrix.mesh.plugins.action import plan as planning
from ansible_collections.vmatrix.mesh.plugins.action import report as reporting
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import run
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan, Stage, Step, decode, encode
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh

SUSPEND = {"suspend_instance": mesh.SHOP}


def action(module, check=False, **args):
    """Return the action of a task on localhost, whose templates are what they say."""
    made = object.__new__(module.ActionModule)
    made._task = types.SimpleNamespace(check_mode=check, async_val=0, args=args, action="plan")
    made._connection = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir="/tmp"))
    made._templar, made._loader = types.SimpleNamespace(template=lambda value: value), None
    made._display = types.SimpleNamespace(display=made.__dict__.setdefault("shown", []).append)
    return made


@pytest.fixture
def plan(monkeypatch):
    """Return what plans an operation with variables, in a mesh where the shop runs."""

    def ask(operation, given, extra=None, limit=None, names=None, within=(), found=None):
        monkeypatch.setattr(planning, "load_extra_vars", lambda loader: extra or {})
        hostvars = {**(found or mesh.hostvars([mesh.record()])), "ns-1": {}}
        for host in within:
            hostvars[host]["observe_limited"] = {}
        task_vars = {"groups": mesh.GROUPS, "hostvars": hostvars, **given, **({"ansible_limit": limit} if limit else {})}
        return action(planning, operation=operation, names=names or {**mesh.NAMES, "host": ""}).run(task_vars=task_vars)

    return ask


def test_a_plan_is_data_that_knows_its_run(plan):
    told = plan("suspend", SUSPEND)
    made = decode(json.loads(told["plan"]))
    assert (made.operation, made.subject, told["changed"]) == ("suspend", mesh.SHOP, False) and "warnings" not in told
    assert len(told["run"]) == 32 and plan("suspend", SUSPEND)["run"] != told["run"]


def test_former_names_are_told(plan):
    told = plan("suspend", {}, extra={"instance": mesh.SHOP})
    assert decode(json.loads(told["plan"])).subject == mesh.SHOP
    assert told["warnings"] == [
        "The variables of playbooks have names of their own now: use suspend_instance instead of instance, which will not do any more in version 0.3.0."
    ]


@pytest.mark.parametrize(
    ("given", "limit", "sentence"),
    [
        ({}, None, "The variable suspend_instance is missing or empty: say it with -e suspend_instance=..."),
        ({"suspend_instance": "blog-1.example.com"}, None, "No HN knows the instance blog-1.example.com; known are: shop-1.example.com."),
        (SUSPEND, "gateways", "The limit gateways leaves out gw-east, rm-east-1, which this operation needs; run it without a limit."),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(plan, given, limit, sentence):
    told = plan("suspend", given, limit=limit)
    assert told["failed"] and told["msg"].startswith(sentence) and "plan" not in told


def test_a_limit_must_leave_whom_the_operation_asks(plan):
    wish = {"move_instances": [mesh.SHOP], "move_to_hn": "hn-west", "move_to_rm": "rm-west-1"}
    told = plan("move", wish, limit="some", within=["gw-east", "gw-west", "rm-east-1"])
    assert told["msg"] == "The limit some leaves out rm-west-1, which this operation needs; run it without a limit."
    assert "plan" in plan("move", wish)


def test_only_those_are_heard_whom_the_operation_asks(plan):
    """All RMs of this mesh have registered something."""
    moved = decode(json.loads(plan("move", {"move_instances": [mesh.SHOP], "move_to_rm": "rm-east-2"})["plan"]))
    assert {step.device for stage in moved.stages for step in stage.steps} == {"gw-east", "rm-east-1", "rm-east-2"}


def test_settings_of_names_may_be_text(plan):
    texts = {**mesh.NAMES, "ttl": "5", "margin": "60", "answers": "1", "ask_timeout": "30", "checks": "true"}
    (leave,) = [step for stage in decode(json.loads(plan("suspend", SUSPEND, names=texts)["plan"])).stages for step in stage.steps if step.id == "leave"]
    assert (leave.arguments["ttl"], leave.arguments["hold"], leave.arguments["ask_timeout"]) == (5, 60.0, 30.0)


def test_all_names_are_planned_without_a_verb(plan):
    told = plan("names", {}, names=mesh.NAMES)
    assert [each["publish"] for each in told["plan"]] == [[{"hn": "hn-east", "addresses": ["198.18.1.10"]}]] and "run" not in told


ONE = Plan(
    "suspend",
    "it",
    prepare=(Stage("a", "A", (Step("one", "gw-1", "record", {}, "do it"),)),),
    take_back=(Stage("b", "B", (Step("undo", "gw-1", "record", {}, "undo it", undoes=("one",)),)),),
    done="It is suspended.",
    was="It is as it was.",
)


def reported(plan, check=False, **answers):
    made = {"device": "gw-1", "changed": True, "failed": False, "unreachable": False, "msg": "", "result": {}}
    known = {"run": "now", "answers": {step: {**made, **answer} for step, answer in answers.items()}}
    hostvars = {"localhost": {run.PLANNED: {"run": "now", "plan": json.dumps(encode(plan))}}, "gw-1": {"operation_stage": known}}
    asked = action(reporting, check)
    return asked.run(task_vars={"hostvars": hostvars}), "\n".join(asked.shown)


def test_what_was_done_is_shown_and_kept_for_what_comes_after():
    told, shown = reported(ONE, one={})
    assert (shown, told["msg"], told.get("failed")) == ("It is suspended.", "It is suspended.", None)
    assert told["ansible_stats"]["data"] == {"vmatrix_suspend": {"operation": "suspend", "outcome": "done"}}


def test_a_failure_fails_the_run():
    told, unused = reported(ONE, one={"failed": True, "changed": False, "msg": "No."}, undo={})
    assert told["failed"] and told["msg"] == "gw-1: No. It is as it was."
    assert told["ansible_stats"]["data"]["vmatrix_suspend"]["outcome"] == "undone"


def test_check_mode_shows_the_plan_step_by_step():
    unused, shown = reported(ONE, check=True, one={})
    assert shown.splitlines() == ["This is what suspend would do.", "DEVICE  STEP", "------  -----", "gw-1    do it"]


def test_who_is_at_work_on_it_is_said_before_what_is_wrong_with_what_he_has_half_done(plan):
    found = mesh.hostvars([mesh.record(state="leaving")], [mesh.record(rm="rm-west-1", state="reserved")])
    known = found["gw-east"]["observe_look"]["answers"]["look"]["result"]
    half = plan("suspend", {"suspend_instance": mesh.SHOP}, found=found)
    assert half["msg"] == f"{mesh.SHOP} is on its way between hn-east and hn-west; finish the move first by running it again."
    known["leases"] = [{**dict.fromkeys(("operation", "who", "since"), "x"), "instance": mesh.SHOP, "run": "run1", "number": 7, "controller": {}, "left": 9}]
    assert plan("suspend", {"suspend_instance": mesh.SHOP}, found=found)["msg"].startswith(f"{mesh.SHOP} is busy in hn-east: x by x since x.")
