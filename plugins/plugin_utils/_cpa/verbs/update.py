# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Replace the instances of a service in an HN by those of another capsule, or restart them, one after the other and without a gap."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import concern, holders, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import update as deciding
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Count, Plan, Stage, Step, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs.remove import clear
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View


class Limits(t.NamedTuple):
    """Seconds for the first answer of each and for a shutdown, and how long connections are waited for, as C(parts.waited) takes it."""

    answer_timeout: float
    stop_timeout: float
    waiting: t.Mapping[str, t.Any]


def plan(
    view: View,
    names: parts.Naming,
    service: str,
    domain: str,
    to_hn: str,
    capsule: str | None,
    at_failure: str,
    answer_timeout: float,
    stop_timeout: float,
    **waiting: t.Any,
) -> Plan:
    """Plan an update, or without a capsule a restart; C(update.plan_update) and C(update.plan_restart) say of which instances, and what is refused.

    Args:
        view: the observed mesh.
        names: how names follow: what enters may be the first one in rotation, or the last one when others have left meanwhile.
        service: its name.
        domain: who owns it.
        to_hn: the HN.
        capsule: the version that all are to come from, or None.
        at_failure: what becomes of what was replaced already when one cannot be: C(stop) or C(roll_back).
        answer_timeout: seconds that each has for its first answer.
        stop_timeout: seconds that a guest has for shutting down in a restart.
        waiting: how long connections are waited for, as C(parts.waited) takes it.
    """
    limits = Limits(answer_timeout, stop_timeout, waiting)
    if capsule is None:
        return _restarted(view, names, deciding.plan_restart(view, service, domain, to_hn), service, limits)
    decided = deciding.plan_update(view, service, domain, to_hn, capsule)
    site = view.sites[to_hn]
    rounds = [_Round(view, names, site, decided, pair, limits) for pair in decided["pairs"]]
    ended = tuple(each.ended for each in rounds)
    left = _left_over(site, decided)
    if not rounds and not left:
        return Plan("update", service, nothing=f"All instances of {service} of {domain} in {to_hn} come from {capsule} already.")
    rolled = " and were rolled back" if at_failure == "roll_back" else ""
    rolling_back: list[Stage] = []
    if at_failure == "roll_back":
        for each in reversed(rounds):
            rolling_back += each.rolled_back()
    undone: list[Stage] = []
    for each in reversed(rounds):
        undone += each.taken_back()
    evidence, seen = parts.seen([f"{each.new}.clear" for each in rounds])
    again = "Run this again when this is mended."
    made = Plan(
        operation="update",
        subject=f"{service} of {domain}",
        prepare=in_order(*left, *(stage for each in rounds for stage in each.stages())),
        take_back=in_order(*undone, *rolling_back),
        candidates=deciding.possible_rms(view, site, decided["pairs"]),
        was=f"What is not replaced serves on as it was: of {len(rounds)} instances {{replaced}} had been replaced{rolled}.{evidence} {again}",
        done=f"{{replaced}} instances of {service} of {domain} in {to_hn} were replaced: by {', '.join(each.new for each in rounds)}.",
        facts={"replaced": Count(ended), **seen},
        result={"replaced": Count(ended), "instances": [each.new for each in rounds]},
        peers=parts.peers(view),
    )
    chosen = tuple(Answer(f"{each.new}.reserve", ("records", 0, "rm")) for each in rounds)
    return holders.recorded(made, view, [holders.Holding(site, decided["manifest"], chosen)])


def concerned(view: View, service: str, domain: str, to_hn: str, capsule: str | None, **_other: t.Any) -> concern.Concern:
    """Return whom the plan depends on."""
    return deciding.concerned(view, service, domain, to_hn, capsule)


def _left_over(site: Site, decided: t.Mapping[str, t.Any]) -> list[Stage]:
    """Return the stages that end what an earlier run had replaced, but not removed or closed."""
    stages: list[Stage] = []
    close = decided["close"]
    for record in decided["leftovers"]:
        stages += clear(site, record["instance"], record["rm"], record["epoch"], prefix=f"left_over.{record['instance']}.", with_it=close)
        close = []
    if close:
        stages.append(parts.stage("left_over", "Close what was replaced before", parts.tell("left_over", site, close, "close what was replaced before")))
    return stages


class _Round:
    """One instance takes the place of another: it serves before the old one leaves."""

    def __init__(
        self, view: View, names: parts.Naming, site: Site, decided: t.Mapping[str, t.Any], pair: t.Mapping[str, t.Any], limits: Limits
    ) -> None:
        self._view, self._names, self._site, self._limits = view, names, site, limits
        self._domain, self._service = decided["domain"], decided["service"]
        self._pair, self._old = pair, pair["old"]
        self.new: str = pair["new"]["instance"]
        self.ended = f"{self.new}.old.release"

    def stages(self) -> list[Stage]:
        """Return the stages that put the new one into the place of the old one."""
        old, order = self._old, self._pair["new"]
        made = {"name": old["instance"], "state": "running", **{key: old[key] for key in ("epoch", "capsule", "vlan")}, "record": dict(old)}
        sure = [parts.instance(f"{self.new}.sure", old["rm"], [made], f"be sure that {old['instance']} runs")] if self._pair["unsure"] else []
        first = parts.stage(f"{self.new}.sure", f"Be sure that {old['instance']} runs", *sure)
        agreed = parts.agreed(self._view, [self._site], [(self.new, Answer(f"{self.new}.reserve", ("records", 0, "epoch")))], f"{self.new}.")
        stages = self._replaced(self.new, order, old["instance"], old["rm"], old["epoch"], old["fabric_address"])
        return [first, *(stage._replace(steps=(*stage.steps, *agreed)) if stage.id == f"{self.new}.tell" else stage for stage in stages)]

    def _replaced(
        self, new: str, order: t.Mapping[str, t.Any], old: str, old_rm: str | Answer, old_epoch: int | Answer, old_address: str | Answer
    ) -> list[Stage]:
        site, p, told = self._site, f"{new}.", Answer(f"{new}.tell", ("records", 0))
        reservation = order["reservation"]
        identity = {"domain": self._domain, "name": self._service, "version": reservation["capsule"]}
        reserve = parts.tell(f"{p}reserve", site, [{"instance": new, "operation": "update", "reservation": reservation}], f"reserve for {new}", reserves=True)
        given_up = order.get("given_up", 0)
        running = {"instance": new, "state": "running", "in_rotation": True, "epoch_above": given_up, "step": f"start in the place of {old}"}
        leaving = {"instance": old, "in_rotation": False, "operation": "update", "step": "withdraw and wait for the connections to end"}
        gone = {"instance": old, "state": "leaving", "in_rotation": False, "step": f"remove it: {new} serves"}
        rm = told._replace(path=("records", 0, "rm"))
        options = {"answer_timeout": self._limits.answer_timeout}
        # With it, for what serves without an open operation takes nobody's place any more.
        closed = [{"instance": new, "operation_done": True}]
        serving = [parts.served_by(site, self._service, told, self._old["ports"])]
        follow = parts.name(f"{p}follow", self._names, self._service, self._domain, "have its name follow", serving)
        return [
            parts.stage(f"{p}reserve", f"Reserve room and addresses for {new}", reserve),
            *parts.bringing(self._view, site, identity, order["holders"], [Answer(f"{p}reserve", ("records", 0, "rm"))], reservation.get("rm"), p),
            parts.stage(f"{p}tell", f"Record that {new} is to run", parts.tell(f"{p}tell", site, [running], f"record that {new} is to run")),
            parts.stage(f"{p}start", f"Start {new}", parts.instance(f"{p}cut_over.rm", rm, [parts.order(new, "running", told)], f"start {new}")),
            parts.stage(f"{p}publish", f"Publish {new} when it answers", parts.route(f"{p}cut_over.publish", site, f"{p}tell", f"publish {new}", **options)),
            parts.stage(f"{p}follow", "Have its name follow", *follow),
            parts.stage(f"{p}leave", f"Record that {old} leaves", parts.tell(f"{p}leave", site, [leaving], f"record that {old} leaves the rotation")),
            parts.stage(f"{p}withdraw", f"Withdraw {old}", parts.route(f"{p}withdraw", site, f"{p}leave", f"withdraw {old}")),
            parts.stage(
                f"{p}drain",
                f"Wait until the connections of {old} have ended",
                parts.waited(f"{p}drain", site, self._domain, [old_address], self._limits.waiting),
            ),
            parts.stage(f"{p}retire", f"Record that {old} goes", parts.tell(f"{p}retire", site, [gone], f"record that {old} goes")),
            *clear(site, old, old_rm, old_epoch, prefix=f"{p}old.", with_it=closed),
        ]

    def taken_back(self) -> list[Stage]:
        """Return the stages that keep the old one, as long as it is there: there is always somebody in rotation, and nobody who did not answer."""
        site, p, old, new = self._site, f"{self.new}.", self._old, self.new
        staying = {"instance": old["instance"], "state": "running", "in_rotation": old["in_rotation"], "operation_done": True}
        going = {"instance": new, "state": "leaving", "in_rotation": False}
        gone = {"instance": new, "state": "absent", "expected": ["reserved", "leaving"]}
        order = {"name": new, "state": "absent", "epoch": Answer(f"{p}tell", ("records", 0, "epoch"))}
        until = {"until": f"{p}old.clear"}
        shown = (f"{p}cut_over.publish", f"{p}withdraw")
        at_once = {"stop_timeout": 0, "stop_force": True, "may_be_outdated": True, "evidence": True}
        # What an RM has given up it lets in again in a newer epoch only, so its VMA has to know of that first.
        cleared = {"undoes": (f"{p}cut_over.rm",), "needs": (f"{p}stay",), **until}
        stay = parts.tell(f"{p}stay", site, [staying, going], f"record that {old['instance']} stays, and {new} goes", undoes=(f"{p}tell",), **until)
        keep = parts.route(f"{p}keep", site, f"{p}stay", f"keep {old['instance']} in rotation", how={"undoes": shown, **until})
        unname = parts.unnamed(f"{p}unname", self._names, site, self._service, self._domain, f"{p}stay", (f"{p}tell",), **until)
        rm = Answer(f"{p}tell", ("records", 0, "rm"))
        remove = parts.instance(f"{p}clear", rm, [order], f"remove {new}", how=cleared, **at_once)
        give_back = parts.tell(
            f"{p}give_back", site, [gone], f"give the room and the addresses of {new} back", undoes=(f"{p}reserve",), needs=(f"{p}clear",), **until
        )
        # While it was reserved another operation of the domain may have published its service's address.
        known = (f"{p}reserve", *shown)
        close = parts.route(f"{p}close_router", site, f"{p}give_back", "bring the router to what is left", how={"undoes": known, **until})
        return [
            parts.stage(f"{p}stay", f"Record that {old['instance']} stays", stay),
            parts.stage(f"{p}keep", f"Keep {old['instance']} in rotation", keep),
            parts.stage(f"{p}unname", "Have its name lose the HN", *unname),
            parts.stage(f"{p}clear", f"Remove {new}", remove),
            parts.stage(f"{p}give_back", f"Give the room and the addresses of {new} back", give_back),
            parts.stage(f"{p}close_router", "Bring the router to what is left", close),
        ]

    def rolled_back(self) -> list[Stage]:
        """Return the stages that bring what was replaced back, in the same way: each step needs the one before it.

        Where it does not come to life its VMA knows at least that it does not run; a second run removes what is left of it.
        """
        p, back = f"{self.new}.", self._old["instance"]
        there = Answer(f"{p}tell", ("records", 0))
        parts_of = [there._replace(path=("records", 0, key)) for key in ("rm", "epoch", "fabric_address")]
        stages, last = [], ""
        for stage in self._replaced(back, self._pair["back"], self.new, *parts_of):
            steps: list[Step] = []
            for step in stage.steps:
                steps.append(step._replace(undoes=(self.ended,), needs=(last,) if last else ()))
                # A name server that does not answer keeps nobody from being brought back: what is replaced again serves on until then.
                last = last if step.call == "name" else step.id
            stages.append(stage._replace(steps=tuple(steps)))
        how = {"undoes": (self.ended,), "instead_of": f"{back}.cut_over.publish", "needs": (f"{back}.tell",)}
        gone = [{"instance": back, "state": "leaving", "in_rotation": False}]
        untell = parts.tell(f"{back}.untell", self._site, gone, f"record that {back} does not run", **how)
        return [*stages, parts.stage(f"{back}.untell", f"Record that {back} does not run", untell)]


def _restarted(view: View, names: parts.Naming, decided: t.Mapping[str, t.Any], service: str, limits: Limits) -> Plan:
    site = view.sites[decided["site"]["hn"]]
    stages: list[Stage] = []
    undone: list[Stage] = []
    for record in decided["restarts"]:
        stages += _restart(names, site, record, limits)
        undone = [*_enters_again(names, site, record, limits), *undone]
    back = tuple(f"{record['instance']}.back" for record in decided["restarts"])
    return Plan(
        operation="update",
        subject=service,
        prepare=in_order(*stages),
        take_back=in_order(*undone),
        was=f"Of {len(back)} instances {{restarted}} had been restarted; the others serve on. Run this again when this is mended.",
        done=f"All {len(back)} instances of {service} in {site.name} were restarted.",
        facts={"restarted": Count(back)},
        result={"restarted": Count(back)},
    )


def _restart(names: parts.Naming, site: Site, record: parts.Record, limits: Limits) -> list[Stage]:
    who, rm, p = record["instance"], record["rm"], f"{record['instance']}."
    leaving = {"instance": who, "in_rotation": False, "operation": "update", "step": "withdraw and restart"}
    entering = {"instance": who, "in_rotation": record["in_rotation"], "operation_done": True}
    stopped = {"name": who, "state": "stopped", "epoch": record["epoch"]}
    started = {"name": who, "state": "running", "epoch": record["epoch"], "record": record}
    of, leaves = (record["service"], record["domain"]), [parts.leaving(site, record["service"], f"{p}leave")]
    lose = parts.name(f"{p}lose", names, *of, "have its name lose the HN if nobody else serves there", leaves=leaves)
    serving = [parts.serves(site, record, f"{p}back")]
    follow = parts.name(f"{p}follow", names, *of, "have its name follow", serving) if record["in_rotation"] else []
    stop = parts.instance(f"{p}stop", rm, [stopped], f"stop {who}", stop_timeout=limits.stop_timeout, stop_force=True)
    return [
        parts.stage(f"{p}leave", f"Record that {who} leaves the rotation", parts.tell(f"{p}leave", site, [leaving], f"record that {who} leaves the rotation")),
        parts.stage(f"{p}lose", "Have its name lose the HN", *lose),
        parts.stage(f"{p}withdraw", f"Withdraw {who}", parts.route(f"{p}withdraw", site, f"{p}leave", f"withdraw {who}")),
        parts.stage(
            f"{p}drain",
            f"Wait until the connections of {who} have ended",
            parts.waited(f"{p}drain", site, record["domain"], [record["fabric_address"]], limits.waiting),
        ),
        parts.stage(f"{p}stop", f"Stop {who}", stop),
        parts.stage(f"{p}start", f"Start {who}", parts.instance(f"{p}start", rm, [started], f"start {who}")),
        parts.stage(f"{p}back", f"Record that {who} enters the rotation", parts.tell(f"{p}back", site, [entering], f"record that {who} enters the rotation")),
        parts.stage(
            f"{p}publish",
            f"Publish {who} when it answers",
            parts.route(f"{p}publish", site, f"{p}back", f"publish {who} when it answers", answer_timeout=limits.answer_timeout),
        ),
        parts.stage(f"{p}follow", "Have its name follow", *follow),
    ]


def _enters_again(names: parts.Naming, site: Site, record: parts.Record, limits: Limits) -> list[Stage]:
    """Return what brings an instance back into rotation.

    A drain that gave up has stopped nothing, and one that does not come back is kept out by its silence.
    """
    who, rm, p = record["instance"], record["rm"], f"{record['instance']}."
    entering = {"instance": who, "in_rotation": record["in_rotation"], "operation_done": True}
    started = {"name": who, "state": "running", "epoch": record["epoch"], "record": record}
    until = {"instead_of": f"{p}back"}
    run = parts.instance(f"{p}run_again", rm, [started], f"have {who} running again", how={"undoes": (f"{p}stop",), **until})
    enter = parts.tell(f"{p}enter", site, [entering], f"record that {who} enters the rotation again", undoes=(f"{p}leave",), **until)
    how = {"undoes": (f"{p}withdraw",), "needs": (f"{p}run_again",), **until}
    publish = parts.route(f"{p}publish_again", site, f"{p}enter", f"publish {who} again", how=how, answer_timeout=limits.answer_timeout)
    named: list[Step] = []
    if record["in_rotation"]:
        serving = [parts.serves(site, record, f"{p}enter")]
        how = {"undoes": (f"{p}leave",), "needs": (f"{p}enter", f"{p}publish_again"), **until}
        named = parts.name(f"{p}name_again", names, record["service"], record["domain"], "have its name get the HN back", serving, ask=False, **how)
    return [
        parts.stage(f"{p}run_again", f"Let {who} run again", run),
        parts.stage(f"{p}enter", f"Record that {who} enters the rotation again", enter),
        parts.stage(f"{p}publish_again", f"Publish {who} again", publish),
        parts.stage(f"{p}name_again", "Have its name get the HN back", *named),
    ]
