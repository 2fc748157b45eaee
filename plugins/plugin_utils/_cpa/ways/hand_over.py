# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The plan of a move between HNs by hand-over: one instance, suspended or alive, or several as one. Pure functions.

Until something is published at the target nobody has seen a state that the source does not hold, so all can be taken back: the target is cleared, and the
source goes on in an epoch above the target's. From then on the only way is forward.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import holders, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, FollowUp, Peer, Plan, Stage, Step, Unknown, Unless, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View

Move = t.Mapping[str, t.Any]


class Wanted(t.NamedTuple):
    """What is wished for, besides the moves.

    Attributes:
        live: whether the guest runs on while it is brought over.
        own_address: whether each must go by its guest address at the target.
        public_address: what its service shall have there, or None.
        timeout: seconds that the cut-over may take on either side.
    """

    live: bool
    own_address: bool
    public_address: str | None
    timeout: float


class HandOver:
    """Puts the plan of some moves together; each move is what C(lookups.plan_move) returned, and all have the same source, target and final state.

    An earlier run may have moved others of those that move C(together), but not have come to its end.
    """

    def __init__(self, view: View, names: parts.Naming, moves: t.Sequence[Move], wanted: Wanted, together: t.Sequence[str]) -> None:
        self._view, self._names, self._moves, self._wanted, self._together = view, names, moves, wanted, together
        self._source: Site = view.sites[moves[0]["source"]["hn"]]
        self._target: Site = view.sites[moves[0]["target"]["hn"]]
        self._final: str = moves[0]["final_state"]
        self._runs = self._final == "running"
        self._instances = [move["instance"] for move in moves]
        self._services = list(dict.fromkeys(move["record"]["service"] for move in moves))
        self._domain: str = moves[0]["record"]["domain"]
        self._title = " and ".join(self._instances)
        self._are = "are" if len(moves) > 1 else "is"

    def plan(self) -> Plan:
        """Return the plan."""
        first = self._moves[0]
        one, many = len(self._moves) == 1, len(self._moves) > 1
        arrived = tuple(f"cut_over.target.{instance}" for instance in self._instances)
        homes = " and ".join(f"{{rm{number}}} behind {{address{number}}}" for number in range(len(self._moves)))
        facts: dict[str, t.Any] = {}
        again = ""
        for number in range(len(self._moves)):
            facts[f"rm{number}"] = Answer("coming", ("records", number, "rm"))
            facts[f"address{number}"] = Answer("coming", ("records", number, "public_address"))
            live_again, answers_again = self._again(self._instances[number])
            words, revived = parts.revived(self._instances[number], live_again, answers_again if self._runs else None, str(number))
            facts.update(revived)
            again += words
        facts["epoch"] = Answer("coming", ("records", 0, "epoch"))
        said = f"{self._title} moved from {self._source.name} to {self._target.name}, to {homes}"
        if one:
            wired = f"cut_over.{'target' if self._wanted.live else 'source'}.{first['instance']}"
            facts["wire"] = Answer(wired, ("instances", 0, "bytes_wire"))
            said += " (epoch {epoch}, {wire} bytes on the wire)"
        made = Plan(
            operation="move",
            subject=self._title,
            prepare=in_order(*self._prepare()),
            cut_over=parts.stage("cut_over", "Cut over", *self._cut_over()),
            follow_ups=self._follow_ups(),
            settle=in_order(*self._settle()),
            take_back=in_order(*self._take_back()),
            forward=("cut_over.publish",) if self._runs else (*arrived, "cut_over.publish"),
            unknown=self._unknown(),
            was=f"{self._title} {self._are} {self._final} again in {self._source.name}.{again}",
            stopped=f"{self._title} {'serve' if many else 'serves'} in {self._target.name} already; run the move again when this is mended.",
            done=f"{said}.",
            facts=facts,
            result={
                "records": Answer("coming", ("records",)),
                **{f"{side}s": [Answer(f"cut_over.{side}.{instance}", ("instances", 0)) for instance in self._instances] for side in ("source", "target")},
            },
            peers=parts.peers(self._view),
        )
        chosen = ((move, Answer("coming", ("records", number, "rm"))) for number, unused, move in self._each())
        return holders.recorded(made, self._view, [holders.Holding(self._target, move["manifest"], (move["to_rm"] or rm,)) for move, rm in chosen])

    def _each(self) -> t.Iterator[tuple[int, str, Move]]:
        for number, move in enumerate(self._moves):
            yield number, move["instance"], move

    # Before anything is disturbed

    def _prepare(self) -> t.Iterator[Stage]:
        source, target = self._source, self._target
        tunnels = sorted({move["record"]["service"] for move in self._moves if move["record"].get("intranet_address")})
        if tunnels:
            yield from parts.wrapping(target, self._domain, [(service, source.gateway) for service in tunnels])
        asked = [{"instance": instance, "operation": "move", "reservation": self._reservation(move)} for unused, instance, move in self._each()]
        reserve = parts.tell("reserve", target, asked, f"reserve room, addresses and epochs for {self._title}", reserves=True)
        # The source has gone on in a newer epoch, or is about to, but whether it was cleared there before that nobody can say.
        stale = [move["stale"] for move in self._moves if move["stale"]]
        gone = [{"instance": each["instance"], "state": "absent"} for each in stale]
        there = [parts.as_recorded(move["record"], rehearses=True) for move in self._moves if move["stale"] and move["record"]["state"] != "leaving"]
        yield parts.stage("held", "Be sure that the source holds what was taken back to it", *there)
        yield parts.stage("stale", "Clear what an earlier run has left at the target", *(self._cleared(f"stale.{each['instance']}", each) for each in stale))
        left = [parts.tell("stale", target, gone, "give back what an earlier run has left")] if stale else []
        yield parts.stage("reserve", "Reserve room and addresses at the target", *left, reserve)
        if any(self._brings()):
            yield parts.stage("bring", "Bring the capsules' bases to the target", *self._brings())
        brought = [Answer(f"tunnel.{service}", ("tunnel",)) for service in tunnels]
        # With tunnels, their ends have to know each other before anything is disturbed.
        network = parts.route("network", target, "reserve", "prepare the network", brought, prepare=True)
        yield parts.stage("network", "Prepare the network at the target", network)
        spares = [parts.spare("spare", self._source, self._domain, self._instances)] if self._wanted.live else []
        yield parts.stage("rehearse", "Be sure that it can be done", *self._rehearsals(), *spares)
        yield parts.stage("tell", "Record what is coming and leaving", *self._told())
        yield parts.stage("elsewhere", "Send callers elsewhere first, where there is somebody to serve them", *self._elsewhere())

    def _reservation(self, move: Move) -> dict[str, t.Any]:
        record = move["record"]
        return {
            **{key: record[key] for key in ("guest", "ports", "balance")},
            "capsule": move["capsule"],
            "requirements": move["requirements"],
            "intranet_address": record.get("intranet_address"),
            "own_address": self._wanted.own_address,
            "rm": move["to_rm"],
            "exclude_rms": move["exclude_rms"],
            "public_address": self._wanted.public_address,
            "epoch_above": move["epoch_above"],
        }

    def _brings(self) -> t.Iterator[Step]:
        possible = {rm.name for rm in self._view.rms.values() if rm.hn == self._target.name}
        for number, instance, move in self._each():
            if not ({move["to_rm"]} if move["to_rm"] else possible) <= set(move["holders"]):
                # The RM where it runs is nearest to what it needs.
                holder = sorted(move["holders"], key=lambda rm: (rm != move["record"]["rm"], rm))[0]
                capsule = {key: move["manifest"][key] for key in ("domain", "name", "version")}
                yield parts.bring(f"bring.{instance}", holder, capsule, Answer("reserve", ("records", number, "rm")), move["holders"])

    def _rehearsals(self) -> t.Iterator[Step]:
        """Go all the way without touching anything: to the target's public address by name, and from RM to RM."""
        if self._runs:
            for service in self._services:
                what = "be sure that its name can follow"
                yield from parts.name(f"rehearse.{service}", self._names, service, self._domain, what, [self._arriving(service, "reserve")], rehearses=True)
        for record in (move["record"] for move in self._moves):
            yield parts.awake(record["instance"], record["rm"], record["epoch"]) if record["state"] == "leaving" else parts.as_recorded(record)
        for number, instance, move in self._each():
            record = Answer("reserve", ("records", number))
            yield self._side("rehearse", "source", instance, record, move["record"]["rm"], "be sure that it can hand over", rehearses=True)
        lives = [(instance, Answer("reserve", ("records", number, "epoch"))) for number, instance, unused in self._each()]
        yield from parts.agreed(self._view, [self._source, self._target], lives)

    def _elsewhere(self) -> t.Iterator[Step]:
        for service in self._services:
            if any(move["served_elsewhere"] for move in self._moves if move["record"]["service"] == service):
                what = f"send the callers of {service} elsewhere"
                leaves = [parts.leaving(self._source, service, "leaving")]
                yield from parts.name(f"elsewhere.{service}", self._names, service, self._domain, what, leaves=leaves)

    def _told(self) -> t.Iterator[Step]:
        coming = [
            {
                "instance": instance,
                "state": self._final,
                "in_rotation": self._runs,
                # What was leaving may have been given up there, and comes back in a newer epoch only.
                "epoch_above": move["given_up"],
                "step": f"take over from {move['record']['rm']} in {self._source.name}",
            }
            for unused, instance, move in self._each()
        ]
        leaving = [
            {
                "instance": instance,
                "state": "leaving",
                "in_rotation": False,
                # Who counts on the source's address for a while yet is served nevertheless.
                "forward_to": Answer("reserve", ("records", number, "public_address")) if self._runs else None,
                "operation": "move",
                "step": f"hand over to {self._target.name}",
            }
            for number, instance, move in self._each()
        ]
        yield parts.tell("coming", self._target, coming, f"record that {self._title} will be {self._final}")
        yield parts.tell("leaving", self._source, leaving, f"record that {self._title} leaves")

    # The cut-over

    def _side(self, prefix: str, side: str, instance: str, record: Answer, rm: str | Answer, what: str, **how: t.Any) -> Step:
        def of(key: str) -> Answer:
            return record._replace(path=(*record.path, key))

        order: dict[str, t.Any] = {"name": instance, "epoch": of("epoch"), "state": self._final}
        here = next(move["record"]["rm"] for move in self._moves if move["instance"] == instance)
        if side == "source":
            order["peer"] = Peer(of("rm"))
        else:
            order.update(vlan=of("vlan"), record=record, peer=Peer(here))
        arguments = {"side": side, "live": self._wanted.live, "timeout": self._wanted.timeout, "instances": [order]}
        return Step(f"{prefix}.{side}.{instance}", rm, "hand_over", arguments, what, **how)

    def _sides(self, side: str) -> list[Step]:
        steps = []
        for number, instance, move in self._each():
            record = Answer("coming", ("records", number))
            rm = move["record"]["rm"] if side == "source" else Answer("coming", ("records", number, "rm"))
            steps.append(self._side("cut_over", side, instance, record, rm, "hand it over" if side == "source" else "take it over"))
        return steps

    def _withdrawal(self, **how: t.Any) -> Step:
        options = {"close_connections": True} if self._wanted.live else {}
        return parts.route("cut_over.withdraw", self._source, "leaving", f"withdraw {self._title}", how=how, **options)

    def _cut_over(self) -> t.Iterator[Step]:
        # What moves live serves at the source until it is away.
        if not self._wanted.live:
            yield self._withdrawal()
        yield from self._sides("source")
        yield from self._sides("target")
        yield parts.route("cut_over.publish", self._target, "coming", f"publish {self._title}", answer_timeout=self._wanted.timeout)

    def _follow_ups(self) -> tuple[FollowUp, ...]:
        off = [parts.call_off(step, "cut_over.call_off", self._target, "coming") for side in ("source", "target") for step in self._sides(side)]
        # Its connections cannot go on without it; whoever tries again is forwarded.
        away = [FollowUp(step.id, True, self._withdrawal()) for step in self._sides("source")] if self._wanted.live else []
        # What moves suspended kept its connections for as long as it could come back.
        reset = parts.forget("cut_over.forget", self._source, [move["record"] for move in self._moves])
        resets = [] if self._wanted.live or not self._runs else [FollowUp("cut_over.publish", True, reset)]
        return (*off, *away, *self._stops(), *resets)

    def _stops(self) -> t.Iterator[FollowUp]:
        """End the wait of each RM at the target whose source has failed."""
        for (number, instance, unused), step in zip(self._each(), self._sides("source")):
            rm, epoch = (Answer("coming", ("records", number, key)) for key in ("rm", "epoch"))
            yield FollowUp(step.id, False, parts.stop_waiting(f"cut_over.stop_waiting.{instance}", rm, instance, epoch))

    # Afterwards

    def _settle(self) -> t.Iterator[Stage]:
        source = self._source
        if self._runs:
            named: list[Step] = []
            for service in self._services:
                # The source serves nobody any more, but its address must not become another's as long as somebody counts on it.
                what, leaves = f"have the name of {service} follow", [parts.leaving(source, service, "leaving")]
                named += parts.name(f"follow.{service}", self._names, service, self._domain, what, [self._arriving(service, "coming")], leaves)
            yield parts.stage("follow", "Have the names follow", *named)
        # The cut-over has withdrawn it, unless the gateway failed or did not answer.
        again = parts.route("withdraw", source, "leaving", f"withdraw {self._title}", how={"instead_of": "cut_over.withdraw"})
        at_once = {"stop_timeout": 0, "stop_force": True}
        clears = [
            # What is left at the source was handed over, and is given up in the target's epoch.
            parts.instance(
                f"retire.{instance}",
                move["record"]["rm"],
                [{"name": instance, "state": "absent", "epoch": Answer("coming", ("records", number, "epoch"))}],
                f"remove {instance}",
                **at_once,
            )
            for number, instance, move in self._each()
        ]
        yield parts.stage("retire", "Remove them from the source's RMs", again, *clears)
        gone = [{"instance": instance, "state": "absent"} for instance in self._instances]
        release = parts.tell("release", source, gone, "give room and addresses back")
        close = parts.tell("close", self._target, [{"instance": instance, "operation_done": True} for instance in self._together], "close the operation")
        router = parts.route("close_router", source, "release", "close the public addresses if nobody is left behind them")
        if source.vma == source.gateway:
            yield parts.stage("close", "Give room and addresses at the source back, and close the operation", release, router, close)
        else:
            yield parts.stage("close", "Give room and addresses at the source back, and close the operation", release, close)
            yield parts.stage("close_router", "Close the public addresses where nobody is left behind", router)

    # Taking it back

    def _take_back(self) -> t.Iterator[Stage]:
        acted = tuple(step.id for side in ("source", "target") for step in self._sides(side))
        last = self._instances[-1]
        yield parts.stage("stay", "Record that they stay", *self._stays(acted))
        yield parts.stage("clear", "Clear the target", *self._clears(acted))
        yield parts.stage("give_back", "Give the target's reservations back", *self._given_back(acted))
        # While there was a reservation another operation of the domain may have published its service's address.
        shown = ("reserve", "network")
        back = parts.route("network_back", self._target, f"give_back.{last}", "take the network back", how={"undoes": (*shown, *acted)})
        early = parts.route("network_back_early", self._target, "give_back_early", "take the network back", how={"undoes": shown})
        yield parts.stage("live_again", "Let them live again at the source, and take the network at the target back", *self._lives_again(), back, early)
        enters = [{"instance": instance, "in_rotation": self._runs, "operation_done": True} for instance in self._instances]
        lives = tuple(f"live_again.{instance}" for instance in self._instances)
        enter = parts.tell("enter", self._source, enters, f"record that {self._title} {self._are} as before", undoes=acted, needs=lives)
        how = {"undoes": ("cut_over.withdraw", *acted), "needs": ("enter",)}
        publish = parts.route("publish_again", self._source, "enter", f"publish {self._title} again", how=how)
        yield parts.stage("enter", "Record that they are as before", enter)
        yield parts.stage("publish_again", "Publish them again at the source", publish)
        yield parts.stage("name_again", "Have the names get the HN back", *self._named_again(acted))
        revived = [parts.answers_again(self._again(each)[1], self._source, move["record"], self._again(each)[0], acted) for unused, each, move in self._each()]
        yield parts.stage("answers_again", "Wait until they answer", *(revived if self._runs else ()))

    @staticmethod
    def _again(instance: str) -> tuple[str, str]:
        """Return the steps that let an instance live again at the source, and that wait until it answers there."""
        return f"live_again.{instance}", f"answers_again.{instance}"

    def _named_again(self, acted: tuple[str, ...]) -> t.Iterator[Step]:
        """Have names lead back to the source, and not to the target: somebody else who left meanwhile may have had the one retired, or counted on the other."""
        for service in self._services if self._runs else ():
            last = [move["instance"] for move in self._moves if move["record"]["service"] == service][-1]
            served = [move["record"] for move in self._moves if move["record"]["service"] == service and move["record"]["in_rotation"]]
            what = f"have the name of {service} get the HN back"
            for step, told, how in (
                ("name_again_early", "stay_early", {"undoes": ("leaving",), "until": acted[0]}),
                ("name_again", "enter", {"undoes": acted}),
            ):
                if served:
                    serving = [parts.serves(self._source, served[0], told)]
                    yield from parts.name(f"{step}.{service}", self._names, service, self._domain, what, serving, ask=False, needs=(told,), **how)
            early: dict[str, t.Any] = {"if_changed": "reserve", "until": acted[0], "needs": ("uncome",)}
            for step, told, undoes, how in (
                ("unname_early", "uncome", ("coming",), early),
                ("unname", f"give_back.{last}", acted, {"needs": (f"give_back.{last}",)}),
            ):
                yield from parts.unnamed(f"{step}.{service}", self._names, self._target, service, self._domain, told, undoes, **how)

    def _clears(self, acted: tuple[str, ...]) -> list[Step]:
        """Clear the target before the source may run again; when that cannot be done, the source stays as it is."""
        steps = []
        for number, instance, unused in self._each():
            there = {"instance": instance, **{key: Answer("coming", ("records", number, key)) for key in ("rm", "epoch")}}
            steps.append(self._cleared(f"clear.{instance}", there, how={"undoes": acted, "needs": ("stay",)}))
        return steps

    @staticmethod
    def _cleared(step: str, there: t.Mapping[str, t.Any], **how: t.Any) -> Step:
        order = {"name": there["instance"], "state": "absent", "epoch": there["epoch"]}
        return parts.instance(step, there["rm"], [order], f"remove {there['instance']} from the target", stop_timeout=0, stop_force=True, **how)

    def _stays(self, acted: tuple[str, ...]) -> list[Step]:
        """Record what stays at the source: before anything was touched all as it was, later in epochs above the target's.

        This comes before the target is cleared: where it does not, nothing is taken back, and a second run goes on from where this one has come to.
        """
        before = [
            {"instance": instance, "state": move["record"]["state"], "in_rotation": move["record"]["in_rotation"], "operation_done": True}
            for unused, instance, move in self._each()
        ]
        after = [
            {"instance": instance, "state": self._final, "in_rotation": False, "epoch_above": Answer("coming", ("records", number, "epoch"))}
            for number, instance, unused in self._each()
        ]
        return [
            parts.tell("stay_early", self._source, before, "record that all is as it was", undoes=("leaving",), until=acted[0]),
            parts.tell("stay", self._source, after, f"record that {self._title} stays, in an epoch above the target's", undoes=acted),
        ]

    def _given_back(self, acted: tuple[str, ...]) -> list[Step]:
        gone = [{"instance": instance, "state": "absent"} for instance in self._instances]
        # Only what this run has made of them is given up; whoever runs is left alone.
        merely = [{**each, "expected": ["reserved", "leaving"]} for each in gone]
        never = [{"instance": instance, "state": "leaving", "in_rotation": False} for instance in self._instances]
        # As long as the source's record says that it leaves, the target's remembers what it shall be.
        begun = {"if_changed": "reserve", "until": acted[0], "needs": ("stay_early",)}
        return [
            parts.tell("uncome", self._target, never, "record that nothing comes", undoes=("coming",), **begun),
            parts.tell("give_back_early", self._target, merely, "give room and addresses back", undoes=("reserve",), **begun),
            *(
                parts.tell(
                    f"give_back.{instance}", self._target, [each], f"give room and addresses of {instance} back", undoes=acted, needs=(f"clear.{instance}",)
                )
                for instance, each in zip(self._instances, gone)
            ),
        ]

    def _lives_again(self) -> list[Step]:
        return [
            parts.instance(
                f"live_again.{instance}",
                move["record"]["rm"],
                [parts.order(instance, self._final, Answer("stay", ("records", number)))],
                f"have {instance} {self._final} again",
                how={"undoes": (f"cut_over.source.{instance}", f"cut_over.target.{instance}"), "needs": ("stay", f"clear.{instance}")},
            )
            for number, instance, move in self._each()
        ]

    def _unknown(self) -> tuple[Unknown, ...]:
        unsaid = (
            f"Whether {self._title} {'were' if len(self._moves) > 1 else 'was'} published in {self._target.name} cannot be said; "
            f"run the move again when {self._target.gateway} answers."
        )
        # Only who has arrived is published, and what its source says of that is certain. A cluster arrives as a whole, or nobody is published.
        kept = Answer(f"cut_over.source.{self._instances[0]}", ("instances", 0, "handed_over"))
        found = [Unknown("cut_over.publish", unsaid, unless=Unless(kept, ("no",)))]
        for step, move in zip(self._sides("source"), self._moves):
            if self._wanted.live:
                why = f"{move['instance']} may be paused on {{rm0}} and is nowhere else then; run the move again."
                found.append(parts.paused(step.id, f"cut_over.target.{move['instance']}", why))
            elsewhere = f"{move['instance']} was handed over to another RM by another operation, so it does not run here again."
            found.append(Unknown(step.id, elsewhere, ("instances", 0, "handed_to"), (None,)))
        resumed = (move for move in self._moves if move["record"]["state"] == "leaving")
        found += [parts.retired(f"rehearse.source.{move['instance']}", move["record"]) for move in resumed]
        return tuple(found)

    def _arriving(self, service: str, told: str) -> dict[str, t.Any]:
        """Return what the name of a service is told of the target."""
        number, move = next((number, move) for number, unused, move in self._each() if move["record"]["service"] == service)
        return parts.served_by(self._target, service, Answer(told, ("records", number)), move["record"]["ports"])
