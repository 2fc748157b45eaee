# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes to a host in a stage, and what comes back."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import types

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.vmatrix.mesh.plugins.action import stage
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import run
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, FollowUp, Plan, Stage, Step, encode

ROUTER = {"document": Answer("tell", ("router",))}
PLAN = Plan(
    "place",
    "it",
    claim={"run": "a1.b2"},
    prepare=(
        Stage("key", "Wrap it", (Step("wrap", "gw-2", "wrap_tunnel", {}, "wrap it"),), secret=True),
        Stage("tell", "Tell", (Step("tell", "gw-1", "record", {"instances": []}, "tell", reserves=True), Step("publish", "gw-1", "router", ROUTER, "publish"))),
    ),
    cut_over=Stage("cut_over", "Cut over", (Step("start", "rm-1", "instances", {"instances": [{"name": "a", "key": Answer("wrap", ("tunnel",))}]}, "start"),)),
    follow_ups=(FollowUp("start", False, Step("off", "gw-1", "call_off", ROUTER, "call it off")),),
    take_back=(Stage("untell", "Take it back", (Step("untell", "gw-1", "record", {"instances": []}, "untell", undoes=("tell",)),)),),
)
WELL = {"changed": True, "failed": False, "msg": "", "result": {}, "before": None, "after": {"there": True}}


class Host(stage.ActionModule):
    """A task on a host that replies to commands in this order; an exception is what its connection raises."""

    def __init__(self, name, *replies, check=False, **args):
        self.name, self.replies, self.asked, self.shown = name, list(replies), [], None
        self._task = types.SimpleNamespace(check_mode=check, async_val=0, args=args, action="stage")
        self._connection = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir="/tmp"), _play_context=types.SimpleNamespace(no_log=False))

    def _low_level_execute_command(self, command, in_data=None, sudoable=True):
        assert sudoable
        self.asked.append((command, in_data))
        self.shown = not self._connection._play_context.no_log
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return {"rc": 0, "stderr": "", "stdout": "", **reply}

    def carry(self, answers=(), plan=PLAN):
        """Carry it out; *answers* are those so far."""
        hostvars = {host: {} for host in ("gw-1", "gw-2", "rm-1")}
        for answer in answers:
            hostvars[answer["device"]].setdefault("operation_stage", {"run": "now", "answers": {}})["answers"][answer["step"]] = answer
        hostvars["localhost"] = {run.PLANNED: {"run": "now", "plan": json.dumps(encode(plan))}}
        return self.run(task_vars={"hostvars": hostvars, "inventory_hostname": self.name})

    def calls(self, number=-1):
        return json.loads(self.asked[number][1])["calls"]


def replied(*answers):
    return {"stdout": "Welcome to rm-1!\n" + json.dumps({"answers": [{**WELL, **each} for each in answers]}) + "\n"}


def answer(step, device, **more):
    return {"step": step, "device": device, "changed": True, "failed": False, "unreachable": False, "msg": "", "result": {}, **more}


WRAPPED = answer("wrap", "gw-2", result={"tunnel": "secret"})
TOLD = answer("tell", "gw-1", result={"router": {"generation": 7}})


def test_all_that_a_host_has_to_do_goes_there_in_one_round_trip():
    host = Host("gw-1", replied({"ids": ["tell"], "result": {"router": {}}}, {"ids": ["publish"], "changed": False}), stage="tell")
    told = host.carry([WRAPPED])
    ((command, unused),) = host.asked
    assert command.startswith(f"test -d {stage.CACHE}/{stage.DIGEST} || exit 89; ") and command.endswith(f"/usr/bin/python3 -m {stage.RESIDENT} {stage.DIGEST}")
    how = {"check": False, "secret": False}
    lease = {"run": "a1.b2", "numbers": {}}
    assert host.calls() == [
        {"ids": ["tell"], "call": "record", "arguments": {"instances": [], "lease": lease}, "reserves": True, **how},
        {"ids": ["publish"], "call": "router", "arguments": {"document": {"_answer": ["tell", "router"]}, "lease": lease}, "reserves": False, **how},
    ]
    assert json.loads(host.asked[0][1])["run"] == "a1", "in whose journal it is written down"
    assert (told["changed"], told["run"], list(told["answers"]), told.get("failed")) == (True, "now", ["tell", "publish"], None)
    assert told["diff"] == [{"before_header": "tell", "after_header": "tell", "before": {}, "after": {"there": True}}]


def test_a_vma_is_told_which_registry_it_has():
    url = "postgresql+psycopg2://vma@db.example.com/vma"
    host = Host("gw-1", replied({"ids": ["look"]}, {"ids": ["routers"]}), calls=[{"call": "look", "arguments": {"domain": "example.com"}}, {"call": "routers"}])
    host._templar = types.SimpleNamespace(template=lambda text: text.replace("{{ where }}", "db.example.com"))
    host.run(task_vars={"hostvars": {"localhost": {}}, "inventory_hostname": "gw-1", "vma_registry": "postgresql+psycopg2://vma@{{ where }}/vma"})
    assert [call["arguments"] for call in host.calls()] == [{"domain": "example.com", "registry": url}, {}]


def test_what_a_host_answered_before_stays_its_answer():
    host = Host("gw-1", replied({"ids": ["tell"]}), stage="tell")
    assert set(host.carry([WRAPPED, answer("before", "gw-1")])["answers"]) >= {"tell"}
    idle = Host("gw-2", stage="tell").carry([WRAPPED])
    assert idle["skipped"] and list(idle["answers"]) == ["wrap"] and idle["run"] == "now", "a later task has the same name"


def test_check_mode_is_the_hosts_matter():
    host = Host("gw-1", replied({"ids": ["tell"]}), check=True, stage="tell")
    host.carry([WRAPPED])
    assert all(call["check"] for call in host.calls())


def test_engines_that_are_not_there_are_sent_once():
    host = Host("gw-1", {"rc": 89}, {}, replied({"ids": ["tell"]}), stage="tell")
    assert host.carry([WRAPPED])["changed"]
    assert [content[:2] for unused, content in host.asked] == [b'{"', b"PK", b'{"'] and host.asked[0] == host.asked[2]
    failed = Host("gw-1", {"rc": 89}, {"rc": 1, "stderr": "No space left on device\n"}, stage="tell").carry([WRAPPED])
    assert failed["failed"] and failed["msg"] == "The engines ended without an answer, with exit status 1: No space left on device"


def test_the_installed_engines_carry_out_calls(tmp_path):
    cache = tmp_path / "engines"
    subprocess.run([sys.executable, "-c", stage.INSTALL, str(cache), stage.DIGEST], input=stage.ARCHIVE, check=True)
    subprocess.run([sys.executable, "-c", stage.INSTALL, str(cache), stage.DIGEST], input=stage.ARCHIVE, check=True)
    assert [each.name for each in cache.iterdir()] == [stage.DIGEST], "who comes second leaves nothing behind"
    script = f"from {stage.RESIDENT} import *; import sys; sys.exit(call({str(tmp_path / 'socket')!r}))"
    calls = [{"ids": ["engines"], "call": "engines", "arguments": {"path": str(tmp_path / "engines.zip")}, "check": True}]
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(cache / stage.DIGEST)},
        input=json.dumps({"calls": calls}).encode(),
        capture_output=True,
        check=True,
        cwd=tmp_path,
    )
    (told,) = json.loads(done.stdout)["answers"]
    assert told["after"] == {"engines": hashlib.sha256(stage.ARCHIVE).hexdigest()}, "they know which archive they came in"


def test_what_failed_says_why_and_the_others_what_they_did():
    wrong = {"ids": ["publish"], "failed": True, "changed": False, "msg": "No answer.", "exception": "Traceback\nRefused"}
    told = Host("gw-1", replied({"ids": ["tell"]}, wrong), stage="tell").carry([WRAPPED])
    assert (told["failed"], told["msg"], told["trace"]) == (True, "No answer.", ["Traceback", "Refused"])
    assert [(step, each["failed"]) for step, each in told["answers"].items()] == [("tell", False), ("publish", True)]


def test_nobody_knows_what_engines_did_that_end_without_an_answer():
    told = Host("gw-1", {"rc": 137, "stdout": "Killed\n"}, stage="tell").carry([WRAPPED])
    assert told["failed"] and told["msg"] == "The engines ended without an answer, with exit status 137: Killed"
    assert {step: (each["failed"], each["changed"]) for step, each in told["answers"].items()} == {"tell": (True, None), "publish": (True, None)}
    assert Host("gw-1", {"rc": 1}, stage="tell").carry([WRAPPED])["msg"].endswith("it said nothing")


def test_a_host_that_does_not_answer_is_unreachable():
    told = Host("gw-1", AnsibleConnectionFailure("no route"), stage="tell").carry([WRAPPED])
    assert told["unreachable"] and not told["failed"] and all(each["unreachable"] for each in told["answers"].values())


def test_nothing_is_done_before_what_has_to_come_first():
    told = Host("gw-1", stage="tell").carry()
    assert told["failed"] and told["msg"] == "Nobody was there to wrap it, which has to come first."
    assert {step: each["changed"] for step, each in told["answers"].items()} == {"tell": False, "publish": False}


def test_another_device_is_to_be_told_when_one_has_failed():
    host = Host("rm-1", replied({"ids": ["start"], "failed": True, "changed": False, "msg": "No.", "result": {"instances": []}}), stage="cut_over")
    told = host.carry([WRAPPED, TOLD, answer("publish", "gw-1")])
    assert told["follow_ups"] == [{"device": "gw-1", "calls": [{"ids": ["off"], "call": "call_off", "arguments": {"document": {"generation": 7}}}]}]
    well = Host("rm-1", replied({"ids": ["start"]}), stage="cut_over").carry([WRAPPED, TOLD, answer("publish", "gw-1")])
    assert well["follow_ups"] == []


def test_calls_that_are_given_are_made_for_their_device():
    host = Host("rm-1", replied({"ids": ["off"]}), calls=[{"ids": ["off"], "call": "call_off", "arguments": {"a": 1}}], device="gw-1")
    told = host.carry()
    (call,) = host.calls()
    assert (call["ids"], call["arguments"], call["check"]) == (["off"], {"a": 1}, False)
    assert told["answers"]["off"]["device"] == "gw-1" and told["run"] == "now"
    look = Host("gw-1", replied({"ids": ["look"]}), check=True, calls=[{"call": "look"}])
    assert look.carry()["answers"]["look"]["result"] == {} and look.calls()[0]["ids"] == ["look"]


def test_secrets_are_sealed_where_they_are_kept_and_opened_where_they_are_needed():
    gateway = Host("gw-2", replied({"ids": ["wrap"], "result": {"tunnel": "secret"}}), stage="key")
    told = gateway.carry()
    assert not gateway.shown, "nor does a talkative connection show them"
    assert "secret" not in json.dumps(told) and set(told["answers"]["wrap"]["result"]) == {"sealed"}
    kept = {"step": "wrap", **told["answers"]["wrap"]}
    rm = Host("rm-1", replied({"ids": ["start"]}), stage="cut_over")
    rm.carry([kept, TOLD, answer("publish", "gw-1")])
    assert rm.shown
    assert rm.calls()[0]["arguments"]["instances"] == [{"name": "a", "key": "secret"}]
    again = Host("gw-2", stage="cut_over").carry([kept, TOLD, answer("publish", "gw-1")])
    assert again["answers"]["wrap"] == kept, "nobody opens it for keeping"


@pytest.mark.parametrize("args", [{}, {"stage": "tell", "calls": []}])
def test_it_is_a_stage_or_calls(args):
    with pytest.raises(Exception, match="stage"):
        Host("gw-1", **args).carry()


def test_what_is_large_may_be_left_as_text():
    host = Host("gw-1", replied({"ids": ["look"], "result": {"records": []}}), calls=[{"call": "look"}], packed=True)
    assert host.carry()["answers"]["look"]["result"] == '{"records": []}'
