# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out on a host what a stage of an operation asks of it: all of it in one round trip, by engines that are there already."""

from __future__ import annotations

import hashlib
import json
import shlex
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.action import ActionBase

from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.main import CALLS
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import leases, progress
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.run import answers_so_far, planned, run_id
from ansible_collections.vmatrix.mesh.plugins.plugin_utils.engines import MODULE_UTILS, archive

try:
    from cryptography.fernet import Fernet
except ImportError:
    Fernet = None

#: Where a host keeps the engines of operations, one directory for each release of them.
CACHE = "/var/cache/vmatrix/engines"
#: What carries out calls, in there.
RESIDENT = "ansible_collections.vmatrix.mesh.plugins.module_utils._steps.resident"
#: What the shell says when the engines are not there.
ABSENT = 89

#: The archive and its digest. Made when this is imported, which is once in a run: workers are forked after that.
ARCHIVE = archive(MODULE_UTILS)
DIGEST = hashlib.sha256(ARCHIVE).hexdigest()

#: What tunnels need is not to be seen in results, where they are shown or kept. Like the archive it is made once in a run.
SEAL = Fernet and Fernet(Fernet.generate_key())

#: Unpacks the archive on standard input, compiles it, puts it in its place, and drops what has not been used for a month.
INSTALL = """
import compileall, io, os, shutil, sys, time, zipfile
cache, digest = sys.argv[1:]
os.makedirs(cache, mode=0o755, exist_ok=True)
fresh, there = f"{cache}/.new-{os.getpid()}", f"{cache}/{digest}"
zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())).extractall(fresh)
compileall.compile_dir(fresh, quiet=2)
try:
    os.rename(fresh, there)
except OSError:
    shutil.rmtree(fresh)
for other in os.scandir(cache):
    if other.name != digest and other.stat().st_mtime < time.time() - 30 * 86400:
        shutil.rmtree(other.path, ignore_errors=True)
"""


class ActionModule(ActionBase):
    """Does what the plan says this host does now, or the calls that it is given."""

    TRANSFERS_FILES = False
    _requires_connection = True
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return what the host answered, with C(answers), all that it has answered in this operation, by the ids of the steps."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        unused, args = self.validate_argument_spec(
            argument_spec={"stage": {"type": "str"}, "calls": {"type": "list", "elements": "dict"}, "device": {"type": "str"}, "packed": {"type": "bool"}},
            required_one_of=[("stage", "calls")],
            mutually_exclusive=[("stage", "calls")],
        )
        check = self._task.check_mode
        if args["calls"] is not None:
            usual = {"arguments": {}, "check": check, "goes_on": True}
            calls = [{"ids": [each["call"]], **usual, **each} for each in args["calls"]]
            run = None
            if any(each["call"] in leases.LEASED for each in calls):
                current, plan = planned(task_vars["hostvars"])
                known = answers_so_far(plan, current, task_vars["hostvars"])
                calls = [_signed(each, plan, known) for each in calls]
                run = None if check else leases.journaled(plan)
            result = self._answered(self._carried_out(calls, task_vars, run), {}, args["device"])
            if args["packed"]:
                result["answers"] = {step: {**answer, "result": json.dumps(answer["result"])} for step, answer in result["answers"].items()}
            return {**result, "run": run_id(task_vars["hostvars"])}
        run, plan = planned(task_vars["hostvars"])
        host, kept = task_vars["inventory_hostname"], answers_so_far(plan, run, task_vars["hostvars"])
        answers = {step: _opened(answer) for step, answer in kept.items()}
        mine = {step: answer for step, answer in kept.items() if answer["device"] == host and not answer.get("taken_up")}
        try:
            made = progress.calls(plan, args["stage"], host, answers, check)
        except progress.Stalled as exc:
            failed = {"ids": list(exc.steps), "changed": False, "failed": True, "msg": str(exc), "result": {}}
            return {**self._answered([failed], mine, host), "run": run}
        if not made:
            return {"skipped": True, "changed": False, "skip_reason": "This host has nothing to do in this stage.", "answers": mine, "run": run}
        secret = progress.stage_of(plan, args["stage"])[0].secret
        calls = [
            {
                "ids": list(each.ids),
                "call": each.call,
                "arguments": progress.written(each.arguments),
                "check": check or each.rehearses,
                "reserves": each.reserves,
                "secret": secret,
            }
            for each in made
        ]
        calls = [_signed(each, plan, kept) for each in calls]
        if secret:
            # Connections that are told to be talkative (-vvv) show all that a host says.
            self._connection._play_context.no_log = True
        told = self._carried_out(calls, task_vars, None if check else leases.journaled(plan))
        result = self._answered(told, mine, host)
        if secret:
            result["answers"] = {step: answer if step in mine else _sealed(answer) for step, answer in result["answers"].items()}
        return {**result, "run": run, "follow_ups": progress.follow_ups(plan, args["stage"], host, {**answers, **result["answers"]})}

    def _answered(self, told: list[dict[str, t.Any]], before: dict[str, t.Any], host: str | None) -> dict[str, t.Any]:
        """Return the task's result: what changed, what failed, and the answers."""
        fresh = {step: answer for each in told for step, answer in progress.answers_of(each, host).items()}
        wrong = [each for each in told if each["failed"] or each.get("unreachable")]
        result: dict[str, t.Any] = {"changed": any(each["changed"] for each in told), "answers": {**before, **fresh}}
        result["diff"] = [
            {"before_header": ", ".join(each["ids"]), "after_header": ", ".join(each["ids"]), "before": each["before"] or {}, "after": each["after"] or {}}
            for each in told
            if each["changed"]
        ]
        if any(each.get("unreachable") for each in told):
            result["unreachable"] = True
        if wrong:
            result.update(failed=not result.get("unreachable"), msg=" ".join(each["msg"] for each in wrong))
            if wrong[-1].get("exception"):
                result["trace"] = wrong[-1]["exception"].splitlines()
        return result

    def _carried_out(self, calls: list[dict[str, t.Any]], task_vars: dict[str, t.Any], run: str | None = None) -> list[dict[str, t.Any]]:
        """Have the host make the calls, and write them down as those of a run; return its answers. Those that it never gave have failed."""
        where = f"{CACHE}/{DIGEST}"
        command = f"test -d {where} || exit {ABSENT}; PYTHONPATH={where} exec {self._python(task_vars)} -m {RESIDENT} {DIGEST}"
        asked = json.dumps({"calls": self._registered(calls, task_vars), "run": run}).encode()
        try:
            done = self._piped(command, asked)
            if done["rc"] == ABSENT:
                install = f"{self._python(task_vars)} -c {shlex.quote(INSTALL)} {CACHE} {DIGEST}"
                sent = self._piped(install, ARCHIVE)
                done = self._piped(command, asked) if sent["rc"] == 0 else sent
        except AnsibleConnectionFailure as exc:
            return [
                {"ids": [step for call in calls for step in call["ids"]], "changed": False, "failed": False, "unreachable": True, "msg": str(exc), "result": {}}
            ]
        try:
            return json.loads(done["stdout"].strip().rpartition("\n")[2])["answers"]
        except (ValueError, KeyError):
            words = (done["stderr"] or done["stdout"]).strip().splitlines() or ["it said nothing"]
            why = f"The engines ended without an answer, with exit status {done['rc']}: {words[-1]}"
            # What they did before they ended nobody knows.
            return [{"ids": [step for call in calls for step in call["ids"]], "changed": None, "failed": True, "msg": why, "result": {}}]

    def _registered(self, calls: list[dict[str, t.Any]], task_vars: dict[str, t.Any]) -> list[dict[str, t.Any]]:
        """Return the calls, those of a VMA with the registry that the inventory names for it, if it does."""
        if "vma_registry" not in task_vars:
            return calls
        registry = {"registry": self._templar.template(task_vars["vma_registry"])}
        return [{**call, "arguments": {**registry, **call["arguments"]}} if CALLS[call["call"]][0] == "vma" else call for call in calls]

    def _piped(self, command: str, content: bytes) -> dict[str, t.Any]:
        """Run a command with *content* on its standard input, with the rights that the task has."""
        return self._low_level_execute_command(command, in_data=content, sudoable=True)

    @staticmethod
    def _python(task_vars: dict[str, t.Any]) -> str:
        chosen = task_vars.get("ansible_python_interpreter") or C.config.get_config_value("INTERPRETER_PYTHON", variables=task_vars)
        return "/usr/bin/python3" if str(chosen).startswith("auto") else shlex.quote(str(chosen))


def _signed(call: dict[str, t.Any], plan: Plan, answers: progress.Answers) -> dict[str, t.Any]:
    """Return a call with the lease that it is made under."""
    return {**call, "arguments": leases.signed(call["call"], call["arguments"], plan, answers)}


def _sealed(answer: dict[str, t.Any]) -> dict[str, t.Any]:
    if SEAL is None:
        raise AnsibleActionFail(missing_required_lib("cryptography"))
    return {**answer, "result": {"sealed": SEAL.encrypt(json.dumps(answer["result"]).encode()).decode()}}


def _opened(answer: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    result = answer["result"]
    return {**answer, "result": json.loads(SEAL.decrypt(result["sealed"].encode())) if set(result) == {"sealed"} else result}
