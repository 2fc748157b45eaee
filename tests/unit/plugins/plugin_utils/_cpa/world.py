# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A mesh of simulated devices, and a controller that carries plans out on them by the functions that the action plugins use."""

from __future__ import annotations

import copy
import json
import typing as t
from unittest import mock

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import document as documents
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import journal, main
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import concern, leases, progress, run
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View, mesh_view
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.devices import (
    AFTER,
    BEFORE,
    CUT_AFTER,
    CUT_BEFORE,
    LOST,
    SILENT,
    Forgetful,
    Gateway,
    Killed,
    Lost,
    NameServer,
    PowerCut,
    Rm,
    Vma,
)

#: What can befall a call besides: see Died.
DIED_BEFORE, DIED_AFTER = "died before", "died after"
#: What the action plugin C(stage) says of engines that were killed.
KILLED = "The engines ended without an answer, with exit status 137: it said nothing"
SUBSCRIPTION = {"memory_mib": 4096, "vcpus": 8, "disk_bytes": 1 << 40, "machine_types": ["pc-i440fx-7.2"], "cpus": ["qemu64"], "accelerator": "tcg"}
PARTS = ("prepare", "cut_over", "settle", "take_back")
#: Who makes its part of a cut-over before whom: who waits comes last.
ORDER = ("source", "other", "target", "gateway")


class Fault(t.NamedTuple):
    """What befalls a step, as C(devices) says."""

    step: str
    mode: str


class Halt(t.NamedTuple):
    """How far a plan has come before one of its stages: the mesh, the variables of its hosts, and which of them take part.

    Attributes:
        number: of the stage.
        part: the one that the stage is of.
    """

    world: World
    hostvars: dict[str, t.Any]
    hosts: list[str]
    number: int
    part: str


class Died(Exception):
    """The controller died, and so did the call that was made just then, before or after it did something."""


class Controller:
    """Whoever carries out a plan: how far that is.

    Attributes:
        plan: the plan.
        hostvars: the variables of its hosts.
        number: of the stage that it is in, or that comes next.
        part: the one that the stage is of, and C(hosts) those that take part in that.
        due: what is left to be asked of whom in the stage; None between two stages.
        doors: what RMs wait for in it.
        ended: whether all is done.
    """

    def __init__(self, plan: Plan, hostvars: dict[str, t.Any], number: int = 0, part: str = "", hosts: t.Sequence[str] = ()) -> None:
        self.plan, self.hostvars, self.number, self.part, self.hosts = plan, hostvars, number, part, list(hosts)
        self.due: dict[str, list[progress.Call]] | None = None
        self.answers: progress.Answers = {}
        self.doors: set[tuple[str, tuple[str, int]]] = set()
        self.ended = False

    def __deepcopy__(self, known: dict[int, t.Any]) -> Controller:
        other = copy.copy(self)
        other.hostvars, other.due, other.doors = copy.deepcopy(self.hostvars, known), copy.copy(self.due), set(self.doors)
        return other

    @property
    def stages(self) -> list[tuple[str, t.Any]]:
        return [(whose, stage) for whose in PARTS for stage in self.plan.part(whose)]

    def next_steps(self) -> list[str]:
        """Return the ids of the steps that come next: of the host whose turn it is, or of the stage."""
        if self.due:
            return [step for call in next(iter(self.due.values())) for step in call.ids]
        stages = self.stages
        return [step.id for step in stages[self.number][1].steps] if self.number < len(stages) else []


class Written:
    """A device's journal, as C(_steps.journal) keeps it."""

    def __init__(self, entries: list[dict[str, t.Any]]) -> None:
        self._entries = entries

    def begin(self, ids: list[str]) -> None:
        self._entries.append({"begun": ids})

    def end(self, answer: dict[str, t.Any], secret: bool) -> None:
        self._entries.append({"ended": json.loads(json.dumps(answer)), "secret": secret})


class World:
    """A mesh.

    Attributes:
        rms, gateways, vmas, names: its devices, by host.
        silent: the hosts that do not answer the controller.
        done: the ids of the steps that were carried out, in order.
        copies: whether an instance may live twice, if in two epochs.
        mute: the instances whose guests answer nobody.
        off: the RMs that have no power.
        runs: how many operations were planned.
        journals: what each device has written down of each run.
    """

    #: What its VMAs are.
    vma: type[Vma] = Vma

    def __init__(self, groups: t.Mapping[str, list[str]], capsules: t.Iterable[dict]) -> None:
        self.groups = {**groups, "dns_servers": ["ns-1"]}
        self.names = NameServer()
        self.rms, self.gateways, self.vmas = {}, {}, {}
        for number, rm in enumerate(groups["rms"], start=11):
            self.rms[rm] = Rm(rm, _hn(rm), capsules if number == 11 else ())
        for gateway in groups["gateways"]:
            self.gateways[gateway] = Gateway(gateway, _hn(gateway))
        memory = Forgetful()
        for number, vma in enumerate(groups["vmas"], start=1):
            self.vmas[vma] = self.vma(vma, _hn(vma), memory)
            subscribed = {
                name: {**SUBSCRIPTION, "address": f"10.0.0.{each}", "capsules": list(self.rms[name].capsules.values())}
                for each, name in enumerate(groups["rms"], start=11)
                if _hn(name) == _hn(vma)
            }
            self.vmas[vma].declare([f"198.18.{number}.0/28"], 100 * number, 100 * number + 50, subscribed)
        self.silent: set[str] = set()
        self.faults: list[Fault] = []
        self.done: list[str] = []
        self.copies = False
        self.mute: set[str] = set()
        self.off: set[str] = set()
        self.runs = 0
        #: The runs that recoveries have taken up.
        self.taken_up: set[str] = set()
        self.journals: dict[tuple[str, str], list[dict[str, t.Any]]] = {}
        self._highest: dict[tuple[str, str], int] = {}

    # What the controller sees

    def look(self, verb: t.Any, wish: t.Mapping[str, t.Any]) -> View:
        """Look at the mesh, as the planner of a verb needs it: first at the VMAs, and then at the RMs that the wish concerns."""
        found: dict[str, dict[str, t.Any]] = {host: {"hn": _hn(host), "gateway_wan_interface": "wan0"} for host in {*self.rms, *self.gateways, *self.vmas}}
        for number, rm in enumerate(self.rms, start=11):
            found[rm]["rm_address"] = f"10.0.0.{number}"
        for host, vma in self.vmas.items():
            found[host].update(mesh.silent() if host in self.silent else mesh.looked("look", vma.known()))
        asked = concern.of(verb, mesh_view({**self.groups, "rms": []}, found), wish)
        for host in asked.rms:
            found[host].update(mesh.silent() if host in self.silent | self.off else {"observe_held": {"answers": self._held(host, asked)}})
        return mesh_view(self.groups, found, asked.rms)

    def _held(self, host: str, asked: concern.Concern) -> dict[str, t.Any]:
        """Return what an RM answers when it is asked for capsules, and which instances it holds."""
        answers = {}
        for call in asked.calls():
            if call["call"] == "holdings":
                answers["holdings"] = {"failed": False, "unreachable": False, "result": {"instances": self.holdings(host)}}
                continue
            only = {key: value for key, value in call["arguments"].items() if key != "domain"}
            held = [copy.deepcopy(each) for each in self.rms[host].capsules.values() if all(each[key] == value for key, value in only.items())]
            result = {"capsules": [{"manifest": each, "complete": True, "problems": []} for each in held]}
            answers[call["ids"][0]] = {"failed": False, "unreachable": False, "result": result}
        return answers

    def holdings(self, rm: str) -> list[dict[str, t.Any]]:
        """Return what an RM holds, as C(_hypervisor.state.holdings) does."""
        here = self.rms[rm]
        return [
            {"name": name, "state": guest.state, "epoch": here.known(name)[0], "lease": here.leases.get(name, 0)}
            for name, guest in here.guests.items()
            if guest.state == "running" or here.known(name)[1]
        ]

    def registries(self) -> dict[str, dict[str, t.Any]]:
        """Return what the VMA of each HN knows."""
        return {vma.hn: vma.known() for vma in self.vmas.values()}

    def plan(self, verb: t.Any, wish: t.Mapping[str, t.Any], dead: bool | t.Container[int] = True) -> Plan:
        """Look at the mesh, and plan a wish.

        Args:
            verb: the verb's planner.
            wish: what is wished for.
            dead: whether all that were at work before are known to be dead; or the numbers of those that are.
        """
        seen = self.look(verb, wish)
        self.runs += 1
        holder = {"run": f"run{self.runs}", "who": "op@ctl", "controller": {"number": self.runs}, "seconds": 600}

        def gone(controller: t.Mapping[str, t.Any]) -> bool:
            return dead if isinstance(dead, bool) else controller.get("number") in dead

        plan = leases.leased(verb.plan(seen, mesh.naming(seen), **wish), seen, False, gone, **holder)
        self.taken_up.update({plan.recovers} if plan.recovers else ())
        return plan

    # What the controller does

    def walk(self, plan: Plan, *faults: Fault, since: Halt | None = None, halt: t.Callable[[Halt], None] | None = None) -> progress.Report:
        """Carry out a plan, as the role C(operation) does, with faults; all devices answer again afterwards.

        Args:
            plan: the plan.
            faults: what befalls which steps.
            since: where to go on, if not from the beginning; it is of another walk of the same plan.
            halt: is told how far it is before each stage.
        """
        self.faults, self.done = list(faults), []
        answers = {}
        for halted in self.stages(plan, since):
            if halt and halted.part:
                halt(halted)
            answers = halted.hostvars
        self.silent, self.faults = set(), []
        return self.reported(plan, answers)

    def forsaken(self) -> None:
        """The controller of a walk has died in it: nobody is at work any more."""
        self.silent, self.faults = set(), []
        for rm in self.rms.values():
            rm.awaits.clear()

    def sent(self, plan: Plan, since: Halt | None = None) -> Controller:
        """Return a controller that carries out a plan, if need be from where another one halted."""
        hosts = {*self.rms, *self.gateways, *self.vmas, "ns-1"}
        hostvars: dict[str, t.Any] = copy.deepcopy(since.hostvars) if since else {host: {} for host in hosts}
        # What a plan is written down as has tests of its own.
        hostvars["localhost"] = {run.PLANNED: {"run": "now", "plan": None}}
        return Controller(plan, hostvars, *((since.number, since.part, since.hosts) if since else ()))

    def stages(self, plan: Plan, since: Halt | None = None) -> t.Iterator[Halt]:
        """Carry out a plan, and tell before each stage how far it is; the last one that is told has no part."""
        controller = self.sent(plan, since)
        while self.enter(controller):
            yield Halt(self, controller.hostvars, controller.hosts, controller.number, controller.part)
            number = controller.number
            while controller.number == number:
                self.turn(controller)
        self.turn(controller)
        yield Halt(self, controller.hostvars, controller.hosts, max(controller.number - 1, 0), "")

    def enter(self, controller: Controller) -> bool:
        """Have a controller come to its next stage, if there is one; who takes part in a part is known when that begins."""
        stages = controller.stages
        if controller.number == len(stages):
            return False
        whose = stages[controller.number][0]
        if whose != controller.part:
            with self._planned(controller.plan):
                controller.part, controller.hosts = whose, run.hosts(controller.hostvars, whose)
        return True

    def turn(self, controller: Controller) -> None:
        """Have a controller ask the next host for its part of a stage, and end the stage with the last one; after the last stage it gives its leases back."""
        with self._planned(controller.plan):
            if not self.enter(controller):
                self._give_back(controller)
                return
            if controller.due is None:
                self._begin(controller)
            if controller.due:
                host = next(iter(controller.due))
                self._ask(controller, host, controller.due.pop(host))
            if not controller.due:
                self.shut(controller)
                controller.due = None
                controller.number += 1

    def shut(self, controller: Controller) -> None:
        """Close the doors that a controller had opened."""
        for rm, parcel in controller.doors:
            self.rms[rm].awaits.discard(parcel)
        controller.doors = set()

    def _give_back(self, controller: Controller) -> None:
        plan, hostvars = controller.plan, controller.hostvars
        for host in run.hosts(hostvars, "release") if plan.claim else ():
            if host not in self.silent:
                known = run.answers_so_far(plan, "now", hostvars)
                self.vmas[host].release(leases.signed("release", {"last": True}, plan, known), False)
        controller.ended = True

    def reported(self, plan: Plan, hostvars: dict[str, t.Any]) -> progress.Report:
        """Say what became of a plan that was carried out."""
        with self._planned(plan):
            return progress.report(plan, run.answers_so_far(plan, "now", hostvars))

    @staticmethod
    def _planned(plan: Plan) -> t.ContextManager[t.Any]:
        return mock.patch.object(run, "planned", lambda hostvars: ("now", plan))

    def _begin(self, controller: Controller) -> None:
        """Find out what each host has to do in the stage; that is known when it begins."""
        plan, hostvars, stage = controller.plan, controller.hostvars, controller.stages[controller.number][1].id
        answers = controller.answers = run.answers_so_far(plan, "now", hostvars)
        due: dict[str, list[progress.Call]] = {}
        for host in sorted(controller.hosts, key=lambda host: self._turn(plan, controller.part, host, hostvars)):
            mine = {step: answer for step, answer in answers.items() if answer["device"] == host and not answer.get("taken_up")}
            fresh: dict[str, t.Any] = {}
            try:
                due[host] = progress.calls(plan, stage, host, answers)
            except progress.Stalled as exc:
                fresh = progress.answers_of({"ids": exc.steps, "changed": False, "failed": True, "msg": str(exc), "result": {}}, host)
            hostvars[host]["operation_stage"] = {"run": "now", "answers": {**mine, **fresh}}
        controller.due = {host: made for host, made in due.items() if made}
        self._await(controller)

    def _ask(self, controller: Controller, host: str, made: list[progress.Call]) -> None:
        """Have a host do its part of a stage."""
        plan, hostvars, stage, answers = controller.plan, controller.hostvars, controller.stages[controller.number][1], controller.answers
        calls = [
            {
                "ids": list(each.ids),
                "call": each.call,
                "arguments": leases.signed(each.call, progress.written(each.arguments), plan, answers),
                "check": each.rehearses,
                "secret": stage.secret,
            }
            for each in made
        ]
        told = self._carried_out(host, leases.journaled(plan), calls)
        fresh = {step: answer for each in told for step, answer in progress.answers_of(each, host).items()}
        hostvars[host]["operation_stage"]["answers"].update(fresh)
        followed = hostvars[host].setdefault("operation_follow_ups", {"results": []})["results"]
        for follow_up in progress.follow_ups(plan, stage.id, host, {**answers, **fresh}) if controller.part == "cut_over" else ():
            calls = [
                {"check": False, **each, "arguments": leases.signed(each["call"], each["arguments"], plan, {**answers, **fresh})}
                for each in follow_up["calls"]
            ]
            told = self._carried_out(follow_up["device"], leases.journaled(plan), calls)
            known = {step: answer for each in told for step, answer in progress.answers_of(each, follow_up["device"]).items()}
            followed.append({"run": "now", "answers": known})

    def _await(self, controller: Controller) -> None:
        """Open the doors of those who will come to wait for a parcel."""
        for host, made in (controller.due or {}).items():
            for call in made:
                if any(fault.step in call.ids and fault.mode in (BEFORE, SILENT) for fault in self.faults) or host in self.silent:
                    break
                if call.call == "hand_over" and call.arguments["side"] == "target":
                    awaited = {(order["name"], order["epoch"]) for order in call.arguments["instances"] if self.rms[host].lets_in(order)}
                    self.rms[host].awaits |= awaited
                    controller.doors |= {(host, parcel) for parcel in awaited}

    def _turn(self, plan: Plan, part: str, host: str, hostvars: dict) -> tuple[int, bool]:
        if part != "cut_over":
            return 0, False
        answers = run.answers_so_far(plan, "now", hostvars)
        sides = {step.arguments.get("side") for step in plan.cut_over.steps if progress.resolve(step.device, plan, answers) == host}
        kind = "source" if "source" in sides else "target" if "target" in sides else "gateway" if host in self.gateways else "other"
        if any(step.call == "router" and "answer_timeout" not in step.arguments for step in plan.cut_over.steps if step.device == host):
            # Who withdraws waits for nobody.
            kind = "source"
        # Who publishes waits for the RMs that others are.
        return ORDER.index(kind), host in self.gateways

    def _carried_out(self, host: str, journaled: str, calls: list[dict]) -> list[dict]:
        """Have a host make calls, and return its answers as the action plugin C(stage) does."""
        every = [step for call in calls for step in call["ids"]]
        gone = [{"ids": every, "changed": False, "failed": False, "unreachable": True, "msg": "ssh", "result": {}}]
        if host in self.silent | self.off:
            return gone
        pending = iter(calls)
        with mock.patch.object(main, "_act", lambda name: self._act(host, next(pending))):
            try:
                written = self.journals.setdefault((host, journaled), [])
                return json.loads(json.dumps(main.carry_out(json.loads(json.dumps(calls)), Written(written))))
            except Lost:
                self.silent.add(host)
                return gone
            except Killed:
                return [{"ids": every, "changed": None, "failed": True, "msg": KILLED, "result": {}}]

    def _act(self, host: str, call: dict) -> t.Callable[[dict, bool], Outcome]:
        """Return what makes one call; whatever befalls it was said before."""
        modes = {fault.step: fault.mode for fault in self.faults if fault.step in call["ids"]}

        def act(arguments: dict, check: bool) -> Outcome:
            if SILENT in modes.values():
                raise Lost
            if DIED_BEFORE in modes.values():
                raise Died
            if CUT_BEFORE in modes.values():
                self.cut(host)
                raise Lost
            self.done += call["ids"]
            try:
                outcome = self._made(host, call["call"], [modes.get(step) for step in call["ids"]], arguments, check)
            except PowerCut:
                self.cut(host)
                raise Lost from None
            finally:
                self.watch()
            if DIED_AFTER in modes.values():
                raise Died
            if CUT_AFTER in modes.values():
                self.cut(host)
            if LOST in modes.values() or CUT_AFTER in modes.values():
                raise Lost
            return outcome

        return act

    def _made(self, host: str, call: str, modes: list[str | None], arguments: dict, check: bool) -> Outcome:
        if call in progress.JOINED:
            return self._for_each(self.rms[host], call, modes, arguments, check)
        if BEFORE in modes:
            raise MeshError("It broke before.")
        outcome = self._whole(host, call, arguments, check)
        if AFTER in modes:
            raise Killed
        return outcome

    def _whole(self, host: str, call: str, arguments: dict, check: bool) -> Outcome:
        if call == "record":
            return self.vmas[host].record(arguments, check)
        if call == "journal":
            for device in (each[host] for each in (self.rms, self.gateways) if host in each):
                device.leases.update(arguments["lease"]["numbers"])
            if host not in {**self.rms, **self.gateways, **self.vmas}:
                self.names.leases.update(arguments["lease"]["numbers"])
            return Outcome(False, None, None, {"told": journal.answers(self.journals.get((host, arguments["run"]), []))})
        if call in ("consent", "lease", "readmit", "release", "vouch"):
            return getattr(self.vmas[host], call)(arguments, check)
        if call in ("hear", "hold", "subscribe"):
            return getattr(self.vmas[host], call)(arguments, check)
        if call == "awake":
            leased = [order for order in arguments["instances"] if order["name"] in arguments["lease"]["numbers"]]
            for order in leased:
                self.rms[host].follow(order, arguments, check)
            started = [order for order in leased if self.rms[host].awake(order, check)]
            return Outcome(bool(started), None, None, {})
        if call == "router":
            return self.gateways[host].apply(arguments, lambda instance: self._lives(_hn(host), instance), check)
        if call == "drain":
            return self.gateways[host].drain(arguments, check)
        if call == "evidence":
            return Outcome(False, None, None, {"instances": [{"evidence": f" {each['name']} said so."} for each in arguments["instances"]]})
        if call == "answers":
            return Outcome(False, None, None, {"late": [each for each in arguments["instances"] if each in self.mute or not self._lives(_hn(host), each)]})
        if call == "name":
            return self.names.follow(arguments, self._served, check)
        if call == "bring":
            return self._bring(self.rms[host], arguments)
        if call == "remove_capsule":
            return self.rms[host].remove_capsule(arguments, check)
        if call == "unpack_tunnel":
            self.rms[host].held(f"{arguments['name']}-1.", arguments["version"])
            return Outcome(False, None, None, {"tunnel": {"service": arguments["name"], "reader": arguments["reader"]}})
        if call == "wrap_tunnel":
            if arguments["service"] not in self.gateways[host].keys:
                raise MeshError(f"The key of {arguments['service']} is not on {host}.")
            return Outcome(False, None, None, {"tunnel": {"service": arguments["service"], "reader": arguments["recipient"]}})
        assert call in ("ready", "call_off", "forget", "spare", "stop_waiting", "wrapping_key")
        return Outcome(False, None, None, {"public_key": f"key of {host}", "fingerprint": f"print of {host}"})

    def _for_each(self, rm: Rm, call: str, modes: list[str | None], arguments: dict, check: bool) -> Outcome:
        """Do the same for several instances; one that fails does not stop the others."""
        told, errors = [], []
        for order, mode in zip(arguments["instances"], modes):
            mode = None if mode in (SILENT, LOST, CUT_AFTER) else mode
            try:
                if call != "publish":
                    rm.follow(order, arguments, check)
                if call == "instances":
                    done = rm.ensure(order, mode, check, arguments)
                elif call == "publish":
                    done = rm.publish(order, mode, check)
                elif arguments["side"] == "source":
                    done = rm.give(order, arguments["live"], self._peer(order["peer"]["name"]), mode, check)
                else:
                    done = rm.take(order, arguments["live"], mode, check)
                told.append({**done, "error": None})
            except MeshError as exc:
                told.append({**exc.result, "error": exc.message})
                errors.append(exc.message)
            # What one side has done may be what the other one looks at.
            self.watch()
        result = {"capsules" if call == "publish" else "instances": told}
        if errors:
            raise MeshError(" ".join(errors), result)
        changed = any(each.get("made") for each in told) if call == "publish" else True
        return Outcome(changed, None, None, result)

    def cut(self, host: str) -> None:
        """Have the power of a host fail, and come back."""
        if host in self.rms:
            self.rms[host].cut()

    def switch_off(self, rm: str) -> None:
        """Have the power of an RM fail for good."""
        self.cut(rm)
        self.off.add(rm)

    def _peer(self, name: str) -> Rm | None:
        return None if name in self.silent | self.off else self.rms[name]

    def _bring(self, rm: Rm, arguments: dict) -> Outcome:
        capsule = rm.held(f"{arguments['name']}-1.", arguments["version"])
        peer = self._peer(arguments["to"]["name"])
        if peer is None:
            raise MeshError(f"{arguments['to']['name']} cannot be reached from {rm.name}.")
        brought = (arguments["name"], arguments["version"]) not in peer.capsules
        peer.capsules[arguments["name"], arguments["version"]] = capsule
        return Outcome(brought, None, None, {})

    def _lives(self, hn: str, instance: str) -> bool:
        return any(rm.hn == hn and instance in rm.guests and rm.guests[instance].state == "running" for rm in self.rms.values())

    def _served(self, hn: str, address: str) -> bool | None:
        (gateway,) = (gateway for gateway in self.gateways.values() if gateway.hn == hn)
        members = gateway.serves(address)
        return None if members is None else any(self._lives(hn, member) for member in members)

    # What holds at every moment

    def lives(self) -> dict[str, list[tuple[str, int]]]:
        """Return where each instance runs, and in which epoch."""
        found: dict[str, list[tuple[str, int]]] = {}
        for rm in self.rms.values():
            for name, guest in rm.guests.items():
                if guest.state == "running":
                    found.setdefault(name, []).append((rm.name, guest.epoch))
        return found

    def serving(self, address: str) -> list[str]:
        """Return who is in rotation behind a public address."""
        return [member for gateway in self.gateways.values() for member in gateway.serves(address) or ()]

    def watch(self) -> None:
        """Be sure that no instance lives twice, and that no RM forgets an epoch."""
        for name, places in self.lives().items():
            assert len({epoch for unused, epoch in places}) == len(places) if self.copies else len(places) == 1, f"{name} lives on {places}"
        for rm in self.rms.values():
            for name, (number, unused) in rm.epochs.items():
                assert number >= self._highest.get((rm.name, name), 0), f"{rm.name} forgot an epoch of {name}"
                self._highest[rm.name, name] = number

    # What holds when nothing is under way

    def problems(self) -> list[str]:
        """Return what does not agree: records, guests, routers, names, and what is open."""
        found, registries = [], self.registries()
        for hn, known in registries.items():
            # Nobody comes back for what was taken up; who died before anything was recorded is replaced, or waited for.
            mine = [each for each in known["leases"] if each["run"].rpartition(".")[2] == f"run{self.runs}" or each["run"].partition(".")[0] in self.taken_up]
            found += [f"{each['instance']} is leased in {hn} by {each['operation']}" for each in mine]
            found += [f"{each['kind']} of {each['instance']} is open in {hn}" for each in known["operations"] if each["closed"] is None]
            found += [problem for record in known["records"] for problem in self._of_record(hn, record)]
            found += self._of_routers(hn, known)
        recorded = {(record["rm"], record["instance"]) for known in registries.values() for record in known["records"]}
        for rm in (rm for rm in self.rms.values() if rm.name not in self.off):
            found += [f"{name} is {guest.state} on {rm.name}, which no VMA knows" for name, guest in rm.guests.items() if (rm.name, name) not in recorded]
        return [*found, *self._of_names(registries)]

    def _of_record(self, hn: str, record: dict) -> t.Iterator[str]:
        name, guest = record["instance"], self.rms[record["rm"]].guests.get(record["instance"])
        state = guest.state if guest else "absent"
        if record["state"] != state or record["moves_to"]:
            yield f"{name} is recorded as {record['state']} in {hn} (moves to {record['moves_to']}), but {state} on {record['rm']}"
        if guest and (record["epoch"], True) != self.rms[record["rm"]].known(name):
            yield f"{name} has epoch {record['epoch']} in {hn}, but {self.rms[record['rm']].known(name)} on {record['rm']}"

    def _of_routers(self, hn: str, known: dict) -> t.Iterator[str]:
        (gateway,) = (gateway for gateway in self.gateways.values() if gateway.hn == hn)
        domains = {*gateway.routers, *known["routers"]}
        for domain in domains:
            wanted, there = known["routers"].get(domain), gateway.routers.get(domain)
            if wanted and wanted["services"]:
                plain = [{key: value for key, value in each.items() if key != "mappings"} for each in wanted["services"]]
                wanted = {**documents.checked({**wanted, "services": plain}), "generation": 0}
            else:
                wanted = None
            if wanted != (there and {**there, "generation": 0}):
                yield f"the router of {domain} in {hn} is {_short(there)}, not {_short(wanted)}"
        for router in gateway.routers.values():
            for service in router["services"]:
                yield from (
                    f"{each['instance']} is in rotation in {hn} and does not run" for each in service["members"] if not self._lives(hn, each["instance"])
                )

    def _of_names(self, registries: dict[str, dict[str, t.Any]]) -> t.Iterator[str]:
        serving: dict[str, dict[str, list[str]]] = {}
        for hn, known in registries.items():
            for record in known["records"]:
                if record["in_rotation"]:
                    serving.setdefault(f"{record['service']}.{record['domain']}", {})[hn] = [record["public_address"]]
        for name in {*serving, *self.names.names}:
            if serving.get(name, {}) != self.names.names.get(name, {}):
                yield f"{name} is served by {serving.get(name, {})}, but says {self.names.names.get(name, {})}"

    def unlike_recorded(self) -> list[str]:
        """Return which capsules are held as no VMA knows, and which are not though one says so."""
        recorded = {
            (rm, each["manifest"]["name"], each["manifest"]["version"])
            for known in self.registries().values()
            for each in known["capsules"]
            for rm in each["rms"]
        }
        real = {(rm.name, *capsule) for rm in self.rms.values() for capsule in rm.capsules}
        return [f"{' '.join(each)} is {'held' if each in real else 'recorded'} only" for each in sorted(real ^ recorded)]

    def picture(self) -> dict[str, t.Any]:
        """Return all that an operation that was undone must have left as it was."""
        records = {(hn, each["instance"]): each for hn, known in self.registries().items() for each in known["records"]}
        kept = ("rm", "state", "in_rotation", "moves_to", "public_address", "fabric_address", "capsule", "forward_to")
        return {
            "records": {key: {field: record[field] for field in kept} for key, record in records.items()},
            "guests": {(rm.name, name): (guest.state, guest.capsule) for rm in self.rms.values() for name, guest in rm.guests.items()},
            "routers": {(name, domain): {**one, "generation": 0} for name, gateway in self.gateways.items() for domain, one in gateway.routers.items()},
            "names": {name: sites for name, sites in self.names.names.items() if sites},
        }


def _hn(host: str) -> str:
    return f"hn-{host.split('-')[1]}"


def _short(router: dict | None) -> str:
    if router is None:
        return "none"
    services = [f"{each['name']} at {each['public_address']}: {[member['instance'] for member in each['members']]}" for each in router["services"]]
    return f"{'; '.join(services)}{''.join(' forwards' for each in router['services'] if each.get('forward_to'))}"
