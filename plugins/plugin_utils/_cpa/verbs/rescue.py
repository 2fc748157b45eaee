# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Bring back what ran on an RM that does not come back: on other RMs of its HN, from the capsules that are left.

The RM is dead by then: a command has switched it off, or the operator knows it. Each instance gets an epoch above all that the RM can know of, before anything
of it runs elsewhere, so that the RM runs none of them again should it return after all. One that cannot be started is given back, as what does not run, when
the RM that could not start it has given the epoch up; the others go on. So there is nothing to take back of the whole.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names as core_names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import choice, concern, holders, lookups, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Plan, Step, Words, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import SILENT, Site, View

#: Seconds in which it is found out whether an instance answers, when all had their time for it.
LAST_LOOK = 1.0


class Life(t.NamedTuple):
    """An instance that is brought back.

    Attributes:
        record: its record.
        rm: where it is to be.
        manifest: of the capsule that it comes from.
        holders: the RMs that hold that.
        resumed: whether an earlier rescue has brought it there, and it may live there.
        told: where the answer holds its record.
    """

    record: parts.Record
    rm: str
    manifest: t.Mapping[str, t.Any]
    holders: t.Sequence[str]
    resumed: bool
    told: Answer

    @property
    def name(self) -> str:
        """Return the instance's name."""
        return str(self.record["instance"])

    @property
    def state(self) -> str:
        """Return what it is to be."""
        return "suspended" if self.record["state"] == "suspended" else "running"

    @property
    def serves(self) -> bool:
        """Return whether it is to be in rotation."""
        return bool(self.record["in_rotation"] or self.record["state"] == "stopped")

    @property
    def enters(self) -> bool:
        """Return whether it may not be in the rotation of its router."""
        return self.serves and (self.resumed or not self.record["in_rotation"])

    def of(self, key: str) -> Answer:
        """Return what its record will say by then."""
        return self.told._replace(path=(*self.told.path, key))


def plan(view: View, names: parts.Naming, rm: str, fence: t.Sequence[str] | None, dead: bool, answer_timeout: float, **_other: t.Any) -> Plan:
    """Plan to bring back what ran on an RM.

    Args:
        view: the observed mesh.
        names: how names follow.
        rm: the RM.
        fence: the command that switches it off before any of this is done, if there is one.
        dead: whether the operator knows that it is off.
        answer_timeout: seconds that instances have for answering.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    if not fence and not dead:
        how = "by rescue_fence, a command that switches it off, or by rescue_dead=true if it is off"
        raise InvalidInput(f"Say how {rm} is kept from coming back meanwhile: {how}.")
    site = _home(view, rm)
    lookups.all_answered(view)
    there = _on(site, rm)
    if not there:
        return Plan("rescue", rm, nothing=f"By the registry of {site.name} nothing lives on {rm}; there is nothing to rescue.")
    if not fence:
        _refuse_alive(view, rm)
    lives, left = _decided(view, site, rm, there)
    if not lives:
        raise Refused(" ".join(left))
    return _Rescue(view, names, site, rm, lives, left, answer_timeout).plan()


def concerned(view: View, rm: str, fence: t.Sequence[str] | None, **_other: t.Any) -> concern.Concern:
    """Return whom the plan depends on: other holders of the capsules, the RMs that may be chosen, and the lost RM itself, if nothing switches it off."""
    site = _home(view, rm)
    rest = _without(view, rm)
    there = _on(site, rm)
    orders = [choice.Order(record["requirements"]) for record in there]
    targets = [*choice.candidates(rest.sites[site.name], orders), *(record["moves_to"] for record in there if record["moves_to"] != rm)]
    return concern.asking(rest, site, [_capsule(record) for record in there], [None if fence else rm, *targets])


def _home(view: View, rm: str) -> Site:
    """Return the HN that an RM has subscribed to, if there are several the one where it is to run something."""
    sites = [site for unused, site in sorted(view.sites.items()) if any(each["name"] == rm for each in site.rms)]
    if not sites and rm in view.rms:
        site = lookups.site_of(view, view.rms[rm].hn)
        raise NotFound(f"{rm} has not subscribed to {site.name}, so nothing of its registry is there.")
    if not sites:
        lookups.all_answered(view)
        known = sorted({each["name"] for site in view.sites.values() for each in site.rms})
        raise NotFound(f"There is no RM {rm}; known are: {', '.join(known) or 'none'}.")
    return next((site for site in sites if _on(site, rm)), sites[0])


def _on(site: Site, rm: str) -> list[parts.Record]:
    """Return the records of what an RM holds, or is to hold, by name."""
    return sorted((record for record in site.records if rm in (record["rm"], record["moves_to"])), key=lambda record: record["instance"])


def _without(view: View, rm: str) -> View:
    """Return the mesh without an RM: nothing that it holds can be had."""
    sites = {
        name: site._replace(
            rms=[each for each in site.rms if each["name"] != rm],
            held=[{**each, "rms": [holder for holder in each["rms"] if holder != rm]} for each in site.held],
        )
        for name, site in view.sites.items()
    }
    return View(sites, {name: machine for name, machine in view.rms.items() if name != rm})


def _refuse_alive(view: View, rm: str) -> None:
    machine = view.rms.get(rm)
    if machine is None or machine.problem == SILENT:
        return
    how = f" ({machine.problem})" if machine.problem else ""
    raise Refused(
        f"{rm} answers{how}, so it need not be rescued: what lost its power there starts again by itself, or by place, and move brings it elsewhere. If it is "
        "to be given up all the same, say by rescue_fence how it is switched off."
    )


def _capsule(record: parts.Record) -> concern.Capsule:
    return concern.Capsule(record["domain"], record["service"], record["capsule"])


def _decided(view: View, site: Site, rm: str, there: t.Sequence[parts.Record]) -> tuple[list[Life], list[str]]:
    """Return what is brought back, and a sentence for each instance that is not."""
    rest, left = _without(view, rm), []
    answering = [machine.name for machine in rest.rms.values() if machine.hn == site.name and machine.asked and not machine.problem]
    found: dict[str, tuple[parts.Record, t.Mapping[str, t.Any], list[str]]] = {}
    for record in there:
        try:
            _refuse(rest, site, rm, record, answering)
            manifest, held_by = lookups.holders_of(rest, core_names.instance(record["instance"]), record["capsule"])
            if record["state"] == "suspended" and manifest["memory"] is None:
                raise Refused(f"{record['instance']} is suspended, and its memory is on {rm} alone; it stays so.")
            found[record["instance"]] = (record, manifest, held_by)
        except MeshError as exc:
            of = record["instance"]
            left.append(exc.message if exc.message.startswith(of) else f"{of} stays on {rm}, where it does not run: {exc.message}")
    begun = {name: record["moves_to"] for name, (record, unused, unused_too) in found.items() if record["moves_to"] not in (None, rm)}
    orders = {name: choice.Order(record["requirements"]) for name, (record, unused, unused_too) in found.items() if name not in begun}
    excluded = [each["name"] for each in rest.sites[site.name].rms if each["name"] not in answering]
    chosen = choice.fitting(rest.sites[site.name], orders, excluded)
    lives: list[Life] = []
    numbers: dict[str, int] = {}
    for name, (record, manifest, held_by) in found.items():
        target = begun.get(name) or chosen[name]
        if isinstance(target, Refused):
            left.append(f"{name} stays on {rm}, where it does not run: {target.message}")
            continue
        domain = record["domain"]
        told = Answer(f"reserve.{domain}", ("records", numbers.setdefault(domain, 0)))
        numbers[domain] += 1
        lives.append(Life(record, target, manifest, held_by, name in begun, told))
    return lives, left


def _refuse(view: View, site: Site, rm: str, record: parts.Record, answering: t.Collection[str]) -> None:
    """Raise Refused if an instance has no life that could be brought back."""
    name, begun = record["instance"], site.unfinished.get(record["instance"]) == "rescue"
    lookups.one_of(view, name)
    if record["moves_to"] and not begun:
        raise Refused(f"{name} is on its way from {record['rm']} to {record['moves_to']}; finish that move first by running it again, or recover it.")
    if record["moves_to"] not in (None, rm, *answering):
        raise Refused(f"{name} was about to be rescued on {record['moves_to']}, which does not answer; bring that one back, or rescue it, too.")
    if record["state"] in ("reserved", "leaving"):
        half = "only reserved for" if record["state"] == "reserved" else "being removed"
        raise Refused(f"{name} is {half} on {rm}, so there is no life to rescue.")
    if record["state"] == "stopped" and not begun:
        raise Refused(f"{name} is stopped, so it is not started.")


class _Rescue:
    """The plan, by what was decided."""

    def __init__(self, view: View, names: parts.Naming, site: Site, rm: str, lives: t.Sequence[Life], left: t.Sequence[str], answer_timeout: float) -> None:
        self._view, self._names, self._site, self._rm = view, names, site, rm
        self._lives, self._left, self._answer_timeout = lives, left, answer_timeout
        self._domains: dict[str, list[Life]] = {}
        for life in lives:
            self._domains.setdefault(life.record["domain"], []).append(life)

    def plan(self) -> Plan:
        """Return it."""
        rm, lives, site = self._rm, self._lives, self._site
        new = [life for life in lives if not life.resumed]
        evidence, seen = parts.seen([f"clear.{life.name}" for life in new])
        said = self._said()
        late = "".join(f"{{{fact}}}" for fact in said if fact.startswith("late"))
        started = "".join(f"{{{fact}}}" for fact in said if fact.startswith("is"))
        left = "".join(f" {each}" for each in self._left)
        returns = f" {rm} is out of service. Should it come back it starts none of these; remove with remove_rm={rm} clears what is left of them there."
        made = Plan(
            operation="rescue",
            subject=rm,
            prepare=in_order(
                parts.stage("reserve", "Take the RM out of service, and room and epochs on others", self._out_of_service(), *self._reserved()),
                parts.stage("bring", "Bring the capsules to where they are missing", *self._brought(), *self._agreed()),
                parts.stage("start", "Start them", *map(self._start, lives)),
                parts.stage("publish", "Publish those that answer", *self._published()),
                parts.stage("follow", "Have the names follow", *self._followed()),
                parts.stage("clear", "Remove what could not be started", *map(self._clear, new)),
                parts.stage("back", "Record what does not run", *map(self._back, new)),
                parts.stage("withdraw", "Withdraw it from its domain router", *(self._withdrawn(life) for life in new if life.serves)),
                parts.stage("lose", "Have names lose the HN where nobody is left", *(step for life in new if life.serves for step in self._lost(life))),
                parts.stage("close", "Leave them to the other RMs alone", *map(self._end, lives)),
            ),
            short=tuple(f"back.{life.name}" for life in new),
            stopped=f"Run this again when this is mended: what is not said to run does not, or nobody can say.{started}{late}{evidence}{left}",
            done=f"{' '.join(map(self._became, lives))}{late}{left}{returns}",
            facts={**said, **seen},
            result={
                "rescued": [{"instance": life.name, "rm": life.rm, "capsule": life.record["capsule"], "state": life.state} for life in lives],
                "left": list(self._left),
            },
            peers=parts.peers(self._view),
        )
        return holders.recorded(made, self._view, [holders.Holding(site, life.manifest, (life.rm,)) for life in lives])

    def _became(self, life: Life) -> str:
        version, rm = life.record["capsule"], self._rm
        if life.state == "suspended":
            return f"{life.name} is suspended on {life.rm} with the memory of its capsule {version}; its own, and what it had written since, is on {rm}."
        return f"{life.name} runs on {life.rm} from its capsule {version}; what it had written since is on {rm}."

    def _out_of_service(self) -> Step:
        rm = self._rm
        return Step("out_of_service", self._site.vma, "subscribe", {"name": rm, "in_service": False}, f"record that {rm} is out of service")

    def _reserved(self) -> list[Step]:
        return [
            parts.tell(f"reserve.{domain}", self._site, [self._wanted(life) for life in mine], f"take room and epochs for {_names(mine)}", reserves=True)
            for domain, mine in self._domains.items()
        ]

    def _wanted(self, life: Life) -> dict[str, t.Any]:
        above = max(lookups.highest_epoch(self._view, life.name, self._site), life.record["epoch"])
        return {
            "instance": life.name,
            "state": life.state,
            "in_rotation": life.serves,
            "operation": "rescue",
            "step": f"rescue from {self._rm} to {life.rm}",
            "rescue": {"lost": self._rm, "rm": life.rm, "epoch_above": above},
        }

    def _brought(self) -> list[Step]:
        """Return the steps that bring capsules; what is not brought is not started."""
        steps: dict[str, Step] = {}
        for life in self._lives:
            if life.rm not in life.holders:
                identity = {key: life.manifest[key] for key in ("domain", "name", "version")}
                near = sorted(life.holders, key=lambda holder: (self._view.rms[holder].hn != self._site.name, holder))[0]
                step = parts.bring(f"bring.{'.'.join(identity.values())}.{life.rm}", near, identity, life.rm, life.holders)
                steps[step.id] = step._replace(optional=True)
        return list(steps.values())

    def _agreed(self) -> list[Step]:
        return parts.agreed(self._view, [self._site], [(life.name, life.of("epoch")) for life in self._lives])

    def _start(self, life: Life) -> Step:
        record = {**{key: life.of(key) for key in life.record}, "rm": life.rm, "moves_to": None}
        order = {"name": life.name, "state": life.state, **{key: life.of(key) for key in ("epoch", "capsule", "vlan")}, "record": record}
        return parts.instance(f"start.{life.name}", life.rm, [order], f"have {life.name} {life.state}", how={"optional": True})

    def _published(self) -> list[Step]:
        """Return each router's part: it waits for all that serve. Who is late enters by its health checks, if it was in rotation before."""
        steps = []
        for domain, mine in self._domains.items():
            serving = [life.name for life in mine if life.serves]
            if serving:
                how: dict[str, t.Any] = {"how": {"optional": True}, "answer_timeout": self._answer_timeout, "asks": serving}
                steps.append(parts.route(f"publish.{domain}", self._site, f"reserve.{domain}", "publish those that answer", **how))
                looks = [(name, {"domain": domain, "instances": [name], "timeout": LAST_LOOK}) for name in serving]
                what = "find out whether it answers"
                steps += [Step(f"answers.{name}", self._site.gateway, "answers", look, what, optional=True) for name, look in looks]
        return steps

    def _said(self) -> dict[str, Words]:
        """Return the facts of what became of each, by a name for each: that it was started, and that it does not answer yet."""
        facts = {}
        for number, life in enumerate(self._lives):
            facts[f"is{number}"] = Words(Answer(f"start.{life.name}", ("instances", 0, "error")), (None,), f" {self._became(life)}")
            if life.serves:
                facts[f"late{number}"] = Words(Answer(f"answers.{life.name}", ("late", 0)), (life.name,), f" {life.name} does not answer yet.")
        return facts

    def _followed(self) -> list[Step]:
        """Return the steps by which names follow where something enters that was out of rotation."""
        steps: dict[str, list[Step]] = {}
        for life in (life for life in self._lives if life.enters):
            service, domain = life.record["service"], life.record["domain"]
            arrives = [parts.served_by(self._site, service, life.told, life.record["ports"])]
            how = {"optional": True, "needs": (f"publish.{domain}",)}
            steps[_follow(life)] = parts.name(_follow(life), self._names, service, domain, f"have the name of {service} follow", arrives, **how)
        return [step for each in steps.values() for step in each]

    def _clear(self, life: Life) -> Step:
        order = {"name": life.name, "state": "absent", "epoch": life.of("epoch")}
        at_once = {"stop_timeout": 0, "stop_force": True, "may_be_outdated": True, "evidence": True}
        return parts.instance(f"clear.{life.name}", life.rm, [order], f"remove {life.name}", how=_instead(life), **at_once)

    def _back(self, life: Life) -> Step:
        """Return the step that gives an instance back.

        The lost RM can have its life again from then on, in a newer epoch, if it returns and somebody places it; so nothing may be left of it on the other one.
        """
        # Its entry in the journal stays open: it was not to stop.
        state = {"state": "suspended"} if life.state == "suspended" else {"state": "stopped", "in_rotation": False}
        back = {"instance": life.name, **state, "move": "give_up", "epoch_above": life.of("epoch"), "step": f"it could not be started on {life.rm}"}
        return parts.tell(f"back.{life.name}", self._site, [back], f"record that {life.name} does not run", **_instead(life, f"clear.{life.name}"))

    def _withdrawn(self, life: Life) -> Step:
        how = _instead(life, f"back.{life.name}")
        return parts.route(f"withdraw.{life.name}", self._site, f"back.{life.name}", f"withdraw {life.name}", how=how)

    def _lost(self, life: Life) -> list[Step]:
        service, back = life.record["service"], f"back.{life.name}"
        what, leaves = "have its name lose the HN if nobody serves there", [parts.leaving(self._site, service, back)]
        return parts.name(f"lose.{life.name}", self._names, service, life.record["domain"], what, leaves=leaves, **_instead(life, back))

    def _end(self, life: Life) -> Step:
        needs = [f"start.{life.name}"]
        if life.enters:
            needs += [f"publish.{life.record['domain']}", *([_follow(life)] if self._names.settings.get("host") else [])]
        how = {"needs": tuple(needs), **({} if life.resumed else {"instead_of": f"back.{life.name}"})}
        ended = {"instance": life.name, "move": "end", "operation_done": True}
        return parts.tell(f"end.{life.name}", self._site, [ended], f"leave {life.name} to {life.rm} alone", **how)


def _names(lives: t.Sequence[Life]) -> str:
    return ", ".join(life.name for life in lives)


def _follow(life: Life) -> str:
    return f"follow.{life.record['service']}.{life.record['domain']}"


def _instead(life: Life, *needs: str) -> dict[str, t.Any]:
    """Return the further fields of a step that is made where an instance could not be started."""
    return {"instead_of": f"start.{life.name}", "needs": needs, "optional": True}
