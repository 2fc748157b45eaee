# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A mesh of three HNs in which up to three controllers do whatever they like, while everything fails that can.

After each step an instance lives once at most, and what a guest has written is where it can live again. In the end everything answers, what was cut off is
recovered, and then nothing is left over, a second recovery changes nothing, every instance comes to life with its data, and all can be removed.

C(VMATRIX_SEED) and C(VMATRIX_WALKS) make other walks, and more of them; a failure prints what was done, to be done again.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import re
import typing as t

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.restart import SPARE
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import restarts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.leases import instances
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import (
    clone,
    drain,
    move,
    recover,
    remove,
    rescue,
    resume,
    scale,
    standby,
    suspend,
    update,
)
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.devices import (
    AFTER,
    BEFORE,
    CUT_AFTER,
    CUT_BEFORE,
    CUT_BETWEEN,
    LOST,
    MIDDLE,
    SILENT,
    UNHEARD,
    simulated,
)
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_one_life import (
    CAPSULES,
    CLONE,
    DB,
    MOVE,
    RESCUE,
    SCALE,
    SHOP,
    TWO,
    UPDATE,
    placed,
)
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import DIED_AFTER, DIED_BEFORE, Controller, Died, Fault, World

GROUPS = {
    "vmas": ["gw-east", "gw-west", "gw-north"],
    "gateways": ["gw-east", "gw-west", "gw-north"],
    "rms": ["rm-east-1", "rm-east-2", "rm-west-1", "rm-west-2", "rm-north-1"],
}
HOSTS = sorted({host for hosts in GROUPS.values() for host in hosts})
HNS = ["hn-east", "hn-west", "hn-north"]
NAMES = [SHOP, TWO, DB]
#: What can befall the next host that is asked; None twice as often as each.
FAULTS = [None, None, BEFORE, AFTER, SILENT, LOST, MIDDLE, UNHEARD, CUT_BEFORE, CUT_BETWEEN, CUT_AFTER, DIED_BEFORE, DIED_AFTER]
#: Verbs after which an instance, or what it has written, need not be there.
ENDS = (remove, scale, standby, update, clone, drain, recover, rescue)
#: What operators are told to do.
AGAIN = re.compile(r"\b[Rr]un (it|this|the \w+) again")
#: So many walks are made, each of so many steps, from a seed.
WALKS, LENGTH, SEED = int(os.environ.get("VMATRIX_WALKS", "140")), 100, int(os.environ.get("VMATRIX_SEED", "0"))
#: When every walk begins, in seconds.
BEGINNING = 1e6


def wishes() -> list[tuple[t.Any, dict[str, t.Any]]]:
    """Return all that can be wished for."""
    found = [placed(name, to_hn=hn, **how) for name in NAMES for hn in HNS for how in ({}, {"keep_failed": True})]
    for name in NAMES:
        found += [(move, {**MOVE, "instances": [name], "to_hn": hn, "strategy": how}) for hn in HNS for how in ("suspend", "live")]
        found += [(move, {**MOVE, "instances": [name], "to_hn": None, "to_rm": rm, "strategy": "best"}) for rm in GROUPS["rms"][:4]]
        found += [(suspend, {"instance": name}), (resume, {"instance": name, "answer_timeout": 60}), (remove, {"instance": name})]
        found += [(drain, {"instance": name, "then": then, **mesh.DRAIN}) for then in ("leave", "suspend")]
    for hn in HNS:
        found += [(scale, {**SCALE, "to_hn": hn, "count": count, "capsule": "1.0.0"}) for count in (0, 1, 2)]
        found += [(standby, {**mesh.SERVICE, "to_hn": hn, "count": count, "capsule": "warm"}) for count in (0, 1)]
        found += [(update, {**UPDATE, "to_hn": hn})]
    return [*found, (clone, CLONE), (recover, {"instance": None}), (recover, {"instance": SHOP})]


WISHES = wishes()


@functools.lru_cache(maxsize=None)
def template() -> World:
    """Return the mesh that every walk begins with: two instances live."""
    world = World(GROUPS, CAPSULES)
    for wish in (placed(SHOP, to_rm="rm-east-1"), placed(DB, to_hn="hn-west")):
        assert not world.walk(world.plan(*wish)).failed
    return world


class Granted(t.NamedTuple):
    """What an RM may start again: in which boot of it and when it asked, the epoch and the number of the lease of each instance, and the id of that."""

    boot: int
    at: float
    instances: dict[str, tuple[int, int]]
    run: str


class Operators(RuleBasedStateMachine):
    """Controllers, operators and misfortunes.

    Attributes:
        world: the mesh.
        controllers: those that are at work.
        dead: the numbers of those that are known to be dead.
        wrote: the last that each instance has written and somebody was told of.
        wished: what each controller, also of those that have ended, was to do.
        wishes: what is wished for in this walk.
        again: what operators were told to run again.
        granted: what RMs may start again.
        ending: the instances that somebody has wished an end to.
        rescued: the RMs that somebody has rescued something of, each with what.
        steps: how many steps all walks had.
    """

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.said, self.now = 0, BEGINNING
        self.devices = simulated(lambda: self.now)
        self.devices.__enter__()
        self.world = copy.deepcopy(template())
        self.controllers: list[Controller] = []
        self.wished: dict[Controller, tuple[t.Any, dict[str, t.Any]]] = {}
        self.wishes = WISHES
        self.again: list[tuple[t.Any, dict[str, t.Any]]] = []
        self.dead: set[int] = set()
        self.wrote: dict[str, int] = {}
        self.granted: dict[str, Granted] = {}
        self.ending: set[str] = set()
        self.rescued: set[tuple[str, str]] = set()
        for name in (SHOP, DB):
            self.write(name)

    def teardown(self) -> None:
        """In the end all must be well."""
        try:
            self.settle()
        finally:
            self.devices.__exit__(None, None, None)

    # What happens

    @initialize(about=st.sampled_from([None, *NAMES]), few=st.lists(st.integers(0, len(WISHES) - 1), min_size=3, max_size=10))
    def wish_for_few(self, about: str | None, few: list[int]) -> None:
        """A few things are wished for in a walk, again and again; so they come in each other's way."""
        pool = [wish for wish in WISHES if about is None or about in wish[1].get("instances", [wish[1].get("instance")]) or "service" in wish[1]]
        self.wishes = [pool[number % len(pool)] for number in few]

    @precondition(lambda self: len(self.controllers) < 3)
    @rule(wish=st.integers(0, 9))
    def wish(self, wish: int) -> None:
        """Somebody begins an operation, if it is not refused."""
        self.begin(*self.wishes[wish % len(self.wishes)])

    @precondition(lambda self: len(self.controllers) < 3)
    @rule(wish=st.integers(0, 9))
    def carry_out(self, wish: int) -> None:
        """Somebody carries out an operation, if it is not refused, and nothing befalls it."""
        self.finish(self.begin(*self.wishes[wish % len(self.wishes)]))

    @precondition(lambda self: self.controllers)
    @rule()
    def sleep(self) -> None:
        """All who are at work sleep until their leases have ended, and somebody takes up what is not done; they wake afterwards."""
        self.now += 700
        self.finish(self.begin(recover, {"instance": None}))

    @precondition(lambda self: self.controllers)
    @rule(which=st.integers(0, 2), times=st.integers(1, 12))
    def go_on(self, which: int, times: int) -> None:
        """A controller goes on for a while, and nothing befalls it."""
        for unused in range(times):
            self.turned(self.controllers[which % len(self.controllers)], [])
            if not self.controllers:
                return

    @precondition(lambda self: self.controllers)
    @rule(which=st.integers(0, 2), fault=st.sampled_from(FAULTS), step=st.integers(0, 3))
    def turn(self, which: int, fault: str | None, step: int) -> None:
        """A controller asks the next host, and something may befall a step of it."""
        controller = self.controllers[which % len(self.controllers)]
        steps = controller.next_steps()
        self.turned(controller, [Fault(steps[step % len(steps)], fault)] if fault and steps else [])

    @precondition(lambda self: self.controllers)
    @rule(which=st.integers(0, 2))
    def die(self, which: int) -> None:
        """A controller dies."""
        self.step()
        self.gone(self.controllers[which % len(self.controllers)])

    @rule(host=st.sampled_from(HOSTS))
    def fall_silent(self, host: str) -> None:
        """A host is not reached any more."""
        self.step()
        self.world.silent.add(host)

    @precondition(lambda self: self.world.silent or self.world.off)
    @rule()
    def answer(self) -> None:
        """All hosts are reached again."""
        self.step()
        self.world.silent.clear()
        self.world.off.clear()

    @rule(host=st.sampled_from(HOSTS))
    def cut(self, host: str) -> None:
        """The power of a host fails, and comes back."""
        self.step()
        self.world.cut(host)
        self.look()

    @precondition(lambda self: len(self.controllers) < 3)
    @rule(host=st.sampled_from(GROUPS["rms"]), whole=st.booleans())
    def lose(self, host: str, whole: bool) -> None:
        """The power of an RM fails, nobody reaches it any more, and somebody rescues what ran there; it may come back at any time."""
        self.cut(host)
        self.world.off.add(host)
        controller = self.begin(rescue, {**RESCUE, "rm": host})
        if controller:
            self.rescued |= {(host, name) for name in instances(controller.plan)}
        if whole:
            self.finish(controller)

    @precondition(lambda self: any(rm.powerless() for rm in self.world.rms.values() if rm.name not in self.world.off))
    @rule(which=st.integers(0, 4))
    def ask(self, which: int) -> None:
        """An RM that has started asks what it may start again."""
        self.step()
        powerless = sorted(name for name, rm in self.world.rms.items() if rm.powerless() and name not in self.world.off)
        host = powerless[which % len(powerless)]
        rm = self.world.rms[host]
        vma = next(vma for vma in self.world.vmas.values() if vma.hn == rm.hn)
        if vma.name not in self.world.silent:
            with contextlib.suppress(MeshError):
                told = vma.restart(host, rm.powerless())
                self.granted[host] = Granted(rm.boot, self.now, {name: (rm.known(name)[0], number) for name, number in told["granted"].items()}, told["run"])

    @precondition(lambda self: self.granted.keys() - self.world.off)
    @rule(which=st.integers(0, 4))
    def restart(self, which: int) -> None:
        """It starts what it may, if it has not lost its power once more or taken too long."""
        self.step()
        hosts = sorted(self.granted.keys() - self.world.off)
        host = hosts[which % len(hosts)]
        granted, rm = self.granted.pop(host), self.world.rms[host]
        if rm.boot != granted.boot or not granted.at <= self.now <= granted.at + restarts.SECONDS - SPARE:
            return
        for name, (epoch, number) in granted.instances.items():
            with contextlib.suppress(MeshError):
                rm.follow({"name": name}, {"lease": {"numbers": {name: number}}}, False)
                rm.awake({"name": name, "epoch": epoch}, False)
        vma = next(vma for vma in self.world.vmas.values() if vma.hn == rm.hn)
        if vma.name not in self.world.silent:
            vma.restarted(host, granted.run)
        self.look()

    @rule(seconds=st.sampled_from([1, 30, 700, -3600, 90000]))
    def pass_time(self, seconds: float) -> None:
        """Time passes, or clocks are set."""
        self.step()
        self.now += seconds

    @rule(name=st.sampled_from(NAMES))
    def write(self, name: str) -> None:
        """A guest writes something, and somebody is told that it did."""
        self.step()
        guests = [rm.guests[name] for rm in self.world.rms.values() if name in rm.guests and rm.guests[name].state == "running"]
        if guests and name not in self.ending:
            self.said += 1
            guests[0].wrote = self.wrote[name] = self.said

    # What holds

    def begin(self, verb: t.Any, wished: dict[str, t.Any]) -> Controller | None:
        """Begin an operation; return its controller, None if it is refused or there is nothing to do."""
        self.step()
        try:
            plan = self.world.plan(verb, wished, dead=self.dead)
        except MeshError:
            return None
        if verb in ENDS:
            for name in instances(plan):
                self.ending.add(name)
                self.wrote.pop(name, None)
        if not plan.stages:
            return None
        controller = self.world.sent(plan)
        self.controllers.append(controller)
        self.wished[controller] = (verb, wished)
        return controller

    def finish(self, controller: Controller | None) -> None:
        """Have a controller come to its end."""
        while controller in self.controllers:
            self.turned(controller, [])

    def step(self) -> None:
        type(self).steps += 1

    def turned(self, controller: Controller, faults: list[Fault]) -> None:
        """Let a controller take its turn."""
        self.step()
        self.world.faults = faults
        try:
            self.world.turn(controller)
        except Died:
            self.gone(controller)
        finally:
            self.world.faults = []
        if controller.ended:
            self.controllers.remove(controller)
            self.dead.add(controller.plan.claim["controller"]["number"])
            report = self.world.reported(controller.plan, controller.hostvars)
            if report.result["outcome"] not in ("done", "undone", "nothing") or AGAIN.search(report.message):
                self.again.append(self.wished[controller])
        self.look()

    def gone(self, controller: Controller) -> None:
        self.world.shut(controller)
        self.controllers.remove(controller)
        self.dead.add(controller.plan.claim["controller"]["number"])

    def look(self) -> None:
        """Be sure that what guests have written is there, and that none lives without it."""
        self.world.watch()
        for name, said in self.wrote.items():
            guests = [rm.guests[name] for rm in self.world.rms.values() if name in rm.guests]
            sent = [parcel for rm in self.world.rms.values() for (whose, unused), parcel in rm.parcels.items() if whose == name]
            assert any(each.wrote == said for each in [*guests, *sent]), f"what {name} has written is lost"
            assert all(each.wrote == said for each in guests if each.state == "running"), f"{name} lives without what it has written"

    def settle(self) -> None:
        """Have everything answer and every controller come to its end, recover, and look if all is well."""
        self.world.silent.clear()
        self.world.off.clear()
        while self.controllers:
            self.turned(self.controllers[0], [])
            self.world.silent.clear()
        self.now += 1e5
        for unused in range(4):
            # As often as operators may be told to do something more.
            ended = self.recovered()
            for wish in self.again:
                with contextlib.suppress(MeshError):
                    self.world.walk(self.world.plan(*wish, dead=self.dead))
                    self.look()
            self.rescue_to_the_end()
            self.awake()
            self.clear_rescued()
            wrong = self.world.problems() + [f"{each['instance']} is leased" for known in self.world.registries().values() for each in known["leases"]]
            if ended == "nothing" and not wrong:
                break
        assert not wrong, wrong
        assert ended == "nothing", f"there is always more to recover: {ended}"
        before = self.world.picture()
        self.world.walk(self.world.plan(recover, {"instance": None}, dead=self.dead))
        assert self.world.picture() == before, "a second recovery changes something"
        for name in self.wrote:
            self.live_again(name)
        self.empty()

    def recovered(self) -> str:
        """Recover until nothing is left to be, or the same is said again; return the outcome, or what is said."""
        said: set[str] = set()
        while True:
            report = self.world.walk(self.world.plan(recover, {"instance": None}, dead=self.dead))
            self.look()
            if report.result["outcome"] == "nothing":
                return "nothing"
            if report.message in said:
                return report.message
            said.add(report.message)

    def awake(self) -> None:
        """Place whatever an RM lost its power under."""
        for unused, record in self.records():
            guest = self.world.rms[record["rm"]].guests.get(record["instance"])
            if record["state"] in ("running", "suspended") and guest and guest.state == "stopped":
                with contextlib.suppress(Refused):
                    # Unless it is on its way, and that comes first.
                    self.done(*placed(record["instance"], capsule=record["capsule"], to_hn=self.hn(record)))

    def rescue_to_the_end(self) -> None:
        """Switch RMs off that have come back in the middle of a rescue, as that says when it is run again, and rescue to the end."""
        for host in sorted({host for host, unused in self.rescued}):
            operations = [each for known in self.world.registries().values() for each in known["operations"]]
            begun = {each["instance"] for each in operations if each["kind"] == "rescue" and each["closed"] is None}
            if any(record["rm"] == host and record["instance"] in begun for unused, record in self.records()):
                self.world.switch_off(host)
                with contextlib.suppress(MeshError):
                    plan = self.world.plan(rescue, {**RESCUE, "rm": host}, dead=self.dead)
                    self.rescued |= {(host, name) for name in instances(plan)}
                    for name in instances(plan):
                        self.wrote.pop(name, None)
                    self.world.walk(plan)
                self.world.off.discard(host)
                self.look()

    def clear_rescued(self) -> None:
        """Clear RMs that have come back of what lives elsewhere since it was rescued from them."""
        recorded = {(rm, record["instance"]) for unused, record in self.records() for rm in (record["rm"], record["moves_to"])}
        for host, name in sorted(self.rescued - recorded):
            if name in self.world.rms[host].guests:
                self.done(remove, {"instance": name, "rm": host})

    def live_again(self, name: str) -> None:
        """Bring an instance to life, if it does not live, by what an operator would do."""
        if name not in self.world.lives():
            found = [record for unused, record in self.records() if record["instance"] == name]
            assert found, f"nobody knows of {name} any more"
            if found[0]["state"] == "suspended":
                self.done(resume, {"instance": name, "answer_timeout": 60})
            else:
                self.done(*placed(name, capsule=found[0]["capsule"], to_hn=self.hn(found[0])))
        assert name in self.world.lives(), f"{name} does not come to life"
        self.look()

    def empty(self) -> None:
        """Remove all, and be sure that nothing is left."""
        for name in sorted({record["instance"] for unused, record in self.records()}):
            self.done(remove, {"instance": name})
        left = [*self.records(), *[(rm.name, name) for rm in self.world.rms.values() for name in rm.guests]]
        left += [(gateway.name, domain) for gateway in self.world.gateways.values() for domain in gateway.routers]
        left += [(name, where) for name, where in self.world.names.names.items() if where]
        left += [(hn, each) for hn, known in self.world.registries().items() for each in known["operations"] if each["closed"] is None]
        assert not left, left

    def records(self) -> list[tuple[str, dict[str, t.Any]]]:
        return [(hn, record) for hn, known in self.world.registries().items() for record in known["records"]]

    def hn(self, record: dict[str, t.Any]) -> str:
        return next(hn for hn, each in self.records() if each["instance"] == record["instance"] and each["rm"] == record["rm"])

    def done(self, verb: t.Any, wish: dict[str, t.Any]) -> None:
        """Carry out a wish, which must succeed."""
        report = self.world.walk(self.world.plan(verb, wish, dead=self.dead))
        assert not report.failed, f"{verb.__name__.rpartition('.')[2]} failed: {report.message}"


def walked(walks: int = WALKS, from_seed: int = SEED) -> None:
    """Make so many walks from a seed; raise what one of them finds."""
    how = settings(
        max_examples=walks,
        stateful_step_count=LENGTH,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        print_blob=False,
    )
    run_state_machine_as_test(seed(from_seed)(Operators), settings=how)
