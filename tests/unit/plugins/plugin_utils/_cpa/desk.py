# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An operator who types playbooks, and reads the sentence that each of them ends with, in simulated meshes whose VMAs bear witness as real ones do."""

from __future__ import annotations

import os
import shutil
import tempfile
import typing as t
from unittest import mock

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import vma as calls
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import rebuild, witness
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import leases, lost, obstacles, progress, report
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import recover
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.devices import EMPTY, Vma
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_one_life import CAPSULES
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import SUBSCRIPTION, Controller, Died, Fault, World

Wish = t.Tuple[t.Any, t.Dict[str, t.Any]]
#: Takes up whatever was cut off.
RECOVER: Wish = (recover, {"instance": None})


class Once(dict):
    """Remembers the last only: what a VMA answers depends on its witness, too."""

    def __contains__(self, key: object) -> bool:
        return False


class Witnessed(Vma):
    """A VMA with a witness of its own.

    Attributes:
        witness: where that lies.
    """

    def __init__(self, name: str, hn: str, _memory: t.Any) -> None:
        super().__init__(name, hn, Once())
        os.makedirs(witness.DIRECTORY, exist_ok=True)
        self.witness = tempfile.mkdtemp(dir=witness.DIRECTORY)

    def _remembered(self, question: tuple[t.Any, ...], ask: t.Callable[[str], t.Any]) -> tuple[bytes, t.Any, MeshError | None]:
        with mock.patch.object(witness, "DIRECTORY", self.witness):
            return super()._remembered(question, ask)


class Mesh(World):
    """A mesh whose registries can be lost.

    Attributes:
        dead: the numbers of the controllers that are known to be dead.
        recorded: the records that the documents of instances hold.
    """

    vma = Witnessed

    def __init__(self, groups: t.Mapping[str, list[str]]) -> None:
        super().__init__(groups, CAPSULES)
        self.dead: set[int] = set()
        self.recorded: dict[str, dict[str, t.Any]] = {}

    def lose_power(self, vma: str) -> None:
        """Have the host of a VMA start again: its witness is gone."""
        shutil.rmtree(self.vmas[vma].witness)

    def lose_registry(self, vma: str) -> None:
        """Lose the file of a registry, and set an empty one up."""
        self.vmas[vma].registry = EMPTY
        self._declare(self.vmas[vma])

    def planned(self, wish: Wish, take_over: bool = False, given_up: t.Sequence[str] = ()) -> Plan:
        """Look, and plan, as the action plugin C(plan) does."""
        verb, wished = wish
        seen = lost.given_up(self.look(verb, wished), given_up)
        self.runs += 1
        holder = {"run": f"run{self.runs}", "who": "op@ctl", "controller": {"number": self.runs}, "seconds": 600}
        return leases.leased(verb.plan(seen, mesh.naming(seen), **wished), seen, take_over, self._gone, **holder)

    def _gone(self, controller: t.Mapping[str, t.Any]) -> bool:
        return controller["number"] in self.dead

    def operate(self, wish: Wish, *faults: Fault, take_over: bool = False, given_up: t.Sequence[str] = ()) -> progress.Report:
        """Do what a playbook does: take up first what was cut off and is met, then plan and carry out; return what it ends with."""
        verb, wished = wish
        silent = set(self.silent)
        try:
            cut_off = obstacles.met(lost.given_up(self.look(verb, wished), given_up), wished, self._gone, take_over).cut_off
            if cut_off and verb is not recover:
                self.walk(self.planned((recover, {"instance": cut_off}), take_over))
                self.silent = set(silent)
            plan = self.planned(wish, take_over, given_up)
        except MeshError as exc:
            self.silent = set()
            return progress.Report(True, exc.message, {"outcome": "refused"})
        return self.carried_out(plan, *faults)

    def carried_out(self, plan: Plan, *faults: Fault) -> progress.Report:
        """Carry out a plan; with a fault of that kind its controller dies."""
        try:
            ended = self.walk(plan, *faults)
        except Died:
            self.forsaken()
            ended = progress.Report(True, "", {"outcome": "cut off"})
        self.dead.add(plan.claim["controller"]["number"] if plan.claim else 0)
        self.recorded.update({each["instance"]: each for known in self.registries().values() for each in known["records"]})
        return ended

    def begun(self, wish: Wish, before: str) -> Controller:
        """Have a controller carry out a wish until it comes to a stage; it is alive then, and does nothing."""
        controller = self.sent(self.planned(wish))
        while before not in controller.next_steps():
            assert not controller.ended, f"it never came to {before}"
            self.turn(controller)
        return controller

    def goes_on(self, controller: Controller) -> str:
        """Have a controller come to its end; return the sentence."""
        while not controller.ended:
            self.turn(controller)
        return self.reported(controller.plan, controller.hostvars).message

    # Playbooks that are no operations

    def site(self, hn: str) -> None:
        """Set the VMA of an HN up, and have its RMs subscribe with what they hold, as the playbook C(site) does."""
        (vma,) = (each for each in self.vmas.values() if each.hn == hn)
        self._declare(vma)
        for number, rm in enumerate(self.rms.values(), start=11):
            if rm.hn == hn and rm.name not in self.silent | self.off:
                held = {"capsules": list(rm.capsules.values()), "instances": self.holdings(rm.name)}
                vma._asked(calls.subscribe, {"name": rm.name, "address": f"10.0.0.{number}", **SUBSCRIPTION, **held}, False)

    def _declare(self, vma: Vma) -> None:
        number = list(self.vmas).index(vma.name) + 1
        numbers = {"vlan_first": 100 * number, "vlan_last": 100 * number + 50, "vcpu_overcommit": 8}
        vma._asked(calls.declare, {"name": vma.hn, "public_pools": [f"198.18.{number}.0/28"], **numbers}, False)

    def status(self) -> dict[str, dict[str, t.Any]]:
        """Return the variables of all hosts after they were asked for the status."""
        found: dict[str, dict[str, t.Any]] = {}
        for host, vma in self.vmas.items():
            found[host] = {"hn": vma.hn, "status_told": {"answers": {"look": self._said(host, vma.known()), "routers": self._said(host, self.routers(host))}}}
        for host, rm in self.rms.items():
            running = {"instances": [self._document(rm.name, each) for each in self.holdings(host)], "epochs": {}, "lease": max(rm.leases.values(), default=0)}
            running["epochs"] = {name: number for name, (number, unused) in rm.epochs.items()}
            found[host] = {"hn": rm.hn, "status_told": {"answers": {"running": self._said(host, running)}}}
        return found

    def _said(self, host: str, result: dict[str, t.Any]) -> dict[str, t.Any]:
        return {"failed": False, "unreachable": host in self.silent | self.off, "result": result}

    def _document(self, rm: str, held: dict[str, t.Any]) -> dict[str, t.Any]:
        return {**held, "here": self.rms[rm].known(held["name"])[1], "record": {**self.recorded[held["name"]], "rm": rm}}

    def routers(self, gateway: str) -> dict[str, t.Any]:
        """Return what a gateway tells of its domain routers."""
        there = self.gateways[gateway]
        found = []
        for router in there.routers.values():
            services = [{**each, "members": [{**member, "connections": 0} for member in each["members"]]} for each in router["services"]]
            found.append({**router, "services": services, "lease": max(there.leases.values(), default=0)})
        return {"routers": found}

    def rebuild(self, hn: str) -> str:
        """Rebuild the registry of an HN as the playbook C(rebuild) does; return what it ends with."""
        (vma,) = (each for each in self.vmas.values() if each.hn == hn)
        try:
            found = report.mesh_found(self.status(), self.groups, hn)
            vma.registry, unused, error = vma._remembered(("rebuild",), lambda url: rebuild.rebuild(url, found["instances"], found["routers"]))
            if error:
                raise error
        except MeshError as exc:
            return exc.message
        return f"The registry of {hn} was rebuilt."

    def problems_seen(self) -> list[str]:
        """Return the sentences by which the playbook C(status) fails."""
        return report.mesh_problems(self.status(), self.groups)

    def history(self, instance: str) -> str:
        """Return what the playbook C(history) shows of an instance."""
        found = {}
        for host, vma in self.vmas.items():
            told = vma._asked(calls.history, {"instance": instance}, False).result
            found[host] = {"hn": vma.hn, "history_told": {"answers": {"history": self._said(host, told)}}}
        return report.mesh_history(found, self.groups, instance)
