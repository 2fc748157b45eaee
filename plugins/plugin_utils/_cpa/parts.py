# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The steps that plans are made of, one function each; the planners of the verbs put them in order. Pure functions."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names as core_names
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import lookups, naming
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, FollowUp, Peer, Quoted, Stage, Step, Unknown, Unless, Words, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View

Record = t.Mapping[str, t.Any]

#: Seconds that an operation may let an instance stand still that is in rotation, before health checks take it for dead.
STANDSTILL = 120.0
#: Seconds that a guest has for booting that was started anew because its operation was taken back, before it is said that it does not answer.
REVIVAL = 60.0


class Naming(t.NamedTuple):
    """How names follow: the mesh as it was before, and the settings, as the variables of the role C(publish) give them; without a C(host) none does."""

    view: View
    settings: t.Mapping[str, t.Any]


def ready(record: Record) -> Step:
    """Be sure that the RM of an instance answers, before anything else depends on it."""
    return Step(f"ready.{record['rm']}", record["rm"], "ready", {}, "be sure that its libvirt answers")


def as_recorded(record: Record, rehearses: bool = False) -> Step:
    """Have an instance as its record says, where a take-back could not be brought to its end; as usual there is nothing to do.

    What is not there at all stays so: nothing is made anew from a capsule.
    """
    prefix = "held" if rehearses else "as_recorded"
    order = {"name": record["instance"], "state": record["state"], **{key: record[key] for key in ("epoch", "vlan")}, "record": dict(record)}
    what = f"be sure that {record['instance']} is {record['state']}"
    return instance(f"{prefix}.{record['instance']}", record["rm"], [order], what, how={"rehearses": rehearses})


def awake(instance: str, rm: str, epoch: int, **how: t.Any) -> Step:
    """Start an instance again that lost its power on its RM, which cannot hand it over, answer, or be suspended while it is stopped."""
    order = {"name": instance, "epoch": epoch}
    return Step(f"awake.{instance}.{rm}", rm, "awake", {"instances": [order]}, f"start {instance} again if {rm} lost its power", **how)


def retired(rehearsal: str, record: Record) -> Unknown:
    """Say that a move which an earlier run began is not taken back when the *rehearsal* of its source has not found the instance there.

    That run may have come as far as to remove it, so that the only copy is the one at the target.
    """
    why = f"{record['instance']} may not be on {record['rm']} any more, so nothing is taken back; run the move again."
    return Unknown(rehearsal, why, ("instances", 0, "instance", "state"), ("running", "suspended", "stopped"))


def paused(source: str, target: str, why: str) -> Unknown:
    """Say that a live move is not taken back when its *source* cannot say that it still has the instance, as long as its *target* does not say that it has not.

    What the target says is durable: it does not run the instance in that epoch any more.
    """
    return Unknown(source, why, ("instances", 0, "handed_over"), ("no",), Unless(Answer(target, ("instances", 0, "gone")), (True,)))


def tell(step: str, site: Site, instances: t.Sequence[t.Mapping[str, t.Any]], what: str, **how: t.Any) -> Step:
    """Have a VMA reserve for instances, and record what becomes of them, in one transaction."""
    return Step(step, site.vma, "record", {"instances": [dict(each) for each in instances]}, what, **how)


def agreed(view: View, sites: t.Iterable[Site], lives: t.Sequence[tuple[str, Answer]], prefix: str = "") -> list[Step]:
    """Have the VMAs of all HNs but *sites* agree to the lives of instances. This comes after the reservations, and before anything runs.

    Args:
        view: the observed mesh.
        sites: the HNs where they are known.
        lives: the name of each, and the answer that holds its epoch.
        prefix: what the ids of the steps begin with.
    """
    others = [site for name, site in sorted(view.sites.items()) if name not in {each.name for each in sites} and not site.lost]
    asked = [{"instance": instance, "epoch": epoch} for instance, epoch in lives]
    who = " and ".join(instance for instance, unused in lives)
    return [
        Step(f"{prefix}consent.{site.name}", site.vma, "consent", {"lives": asked}, f"be sure that nobody else gives life to {who}")
        for site in others
        if asked
    ]


def route(step: str, site: Site, told: str, what: str, tunnels: t.Any = (), how: t.Mapping[str, t.Any] | None = None, **options: t.Any) -> Step:
    """Bring a domain's router to the document that the step *told* answered.

    What is taken back or withdrawn does not depend on an owner's gateway that is down: its tunnel comes up when that one returns. So the call waits for
    tunnels only where it brings some, or publishes.
    """
    waits = {} if tunnels or "answer_timeout" in options else {"tunnel_timeout": 0}
    arguments = {"document": Answer(told, ("router",)), "tunnels": list(tunnels), "wan_interface": site.wan_interface, **waits, **options}
    return Step(step, site.gateway, "router", arguments, what, **(how or {}))


def publish(site: Site, who: t.Sequence[str], what: str, answer_timeout: float, tunnels: t.Any = ()) -> Step:
    """Publish instances that were just started, by what the step C(tell) answered, when they answer.

    They are asked whether or not they are new to the router: where their RM lost its power, or an operation was cut off before it came to the router, that
    knows them still, and nobody has heard of them since. Their records may say otherwise, so those are not asked.
    """
    return route("cut_over.publish", site, "tell", what, tunnels, answer_timeout=answer_timeout, asks=list(who))


def call_off(after: Step, step: str, site: Site, told: str) -> FollowUp:
    """End a gateway's wait for an instance when it is known not to come; without this it would wait to its deadline."""
    off = Step(step, site.gateway, "call_off", {"document": Answer(told, ("router",))}, "stop waiting for its answer")
    return FollowUp(after.id, False, off)


def stop_waiting(step: str, rm: str | Answer, who: str, epoch: Answer) -> Step:
    """End an RM's wait for an instance that is known not to be handed over now; without this it would wait to its deadline."""
    return Step(step, rm, "stop_waiting", {"instances": [{"name": who, "epoch": epoch}]}, f"stop waiting for {who}")


def order(name: str, state: str, record: Answer) -> dict[str, t.Any]:
    """Return what an RM is told of an instance, from the record that a VMA answered."""
    parts = {key: Answer(record.step, (*record.path, key)) for key in ("epoch", "capsule", "vlan")}
    if state in ("running", "suspended"):
        return {"name": name, "state": state, **parts, "record": record}
    return {"name": name, "state": state, "epoch": parts["epoch"]}


def spare(step: str, site: Site, domain: str, instances: t.Sequence[str], seconds: float = STANDSTILL) -> Step:
    """Have the health checks spare instances that are about to stand still in the rotation, for STANDSTILL or so many *seconds*.

    At the same time will do, for the checks need some seconds to judge.
    """
    arguments = {"domain": domain, "instances": list(instances), "seconds": max(STANDSTILL, seconds)}
    who = " and ".join(instances)
    return Step(step, site.gateway, "spare", arguments, f"have the health checks spare {who}", optional=True)


def forget(step: str, site: Site, records: t.Sequence[Record]) -> Step:
    """Have callers of instances that live elsewhere by now notice that: their open connections are reset, instead of hanging."""
    arguments = {"domain": records[0]["domain"], "addresses": [record["fabric_address"] for record in records]}
    who = " and ".join(record["instance"] for record in records)
    return Step(step, site.gateway, "forget", arguments, f"reset the connections that {who} served", optional=True)


def answers_again(step: str, site: Site, record: Record, again: str, undoes: tuple[str, ...]) -> Step:
    """Wait until an instance answers that had to be started anew by the step *again*; one that merely went on answers as before."""
    who = record["instance"]
    arguments = {"domain": record["domain"], "instances": [who], "timeout": REVIVAL}
    went_on = Unless(Answer(again, ("instances", 0, "anew")), (False,))
    return Step(step, site.gateway, "answers", arguments, f"wait until {who} answers", went_on, undoes, optional=True, needs=(again,))


def revived(who: str, again: str, answers: str | None, number: str = "") -> tuple[str, dict[str, Words]]:
    """Return what is said, and the facts of that, about an instance that the step *again* lets live again where its guest had ended.

    Nothing else tells that it is not what it was before; and it may not have answered since, as the step *answers* has seen, if there is such a step. A
    *number* tells the facts of several apart.
    """
    said = f" {who} was started from its disk there: what was in its memory alone is lost."
    facts = {f"anew{number}": Words(Answer(again, ("instances", 0, "anew")), (True,), said)}
    if answers:
        facts[f"late{number}"] = Words(Answer(answers, ("late", 0)), (who,), f" {who} does not answer yet.")
    return "".join(f"{{{fact}}}" for fact in facts), facts


def booted(who: str, step: str) -> Words:
    """Return what is said of an instance that the *step* had to start from its disk, since its guest had ended."""
    return Words(Answer(step, ("instances", 0, "anew")), (True,), f" {who} was started from its disk: what was in its memory alone is lost.")


def limit(timeout: float | None) -> dict[str, float]:
    """Return the option that limits what an RM may take, where somebody says how long; else it depends on the guest's memory."""
    return {} if timeout is None else {"timeout": timeout}


def memory_of(records: t.Iterable[Record]) -> int:
    """Return the memory (MiB) of the largest of the guests with these records."""
    return max((record["requirements"]["memory_mib"] for record in records), default=0)


def instance(step: str, rm: str | Answer, orders: t.Sequence[t.Mapping[str, t.Any]], what: str, **options: t.Any) -> Step:
    """Bring instances into their states on their RM; C(how) in the options are further fields of the step."""
    how = options.pop("how", {})
    return Step(step, rm, "instances", {"instances": [dict(each) for each in orders], **options}, what, **how)


def bring(step: str, holder: str, capsule: t.Mapping[str, str], rm: str | Answer, holders: t.Sequence[str]) -> Step:
    """Bring a capsule to the RM that was chosen, unless that holds it."""
    unless = Unless(rm, tuple(holders)) if isinstance(rm, Answer) else None
    title = f"{capsule['name']} {capsule['version']} of {capsule['domain']}"
    return Step(step, holder, "bring", {**capsule, "to": Peer(rm)}, f"send the capsule {title} to where it is missing", unless)


def name(
    step: str,
    names: Naming,
    service: str,
    domain: str,
    what: str,
    arrives: t.Sequence[Record] = (),
    leaves: t.Sequence[Record] = (),
    ask: bool = True,
    **how: t.Any,
) -> list[Step]:
    """Have the name of a service follow: one step, or none where no names are steered. Where nobody enters, it is left out if others serve on.

    Args:
        step: the step's id.
        names: how names follow.
        service: whose name.
        domain: who owns it.
        what: what it does, for a person.
        arrives: each HN that serves it then (C(serves), C(served_by)).
        leaves: each HN where instances leave the rotation (C(leaving)).
        ask: whether who enters has to answer a request from outside first.
        how: further fields of the step.
    """
    settings = names.settings
    if not settings.get("host"):
        return []
    plan = naming.plan_name(names.view, service, domain, settings, arrives, leaves)
    if not arrives:
        (left,) = leaves
        how["unless"] = Unless(left["serving"]._replace(path=(*left["serving"].path, "served")), (True,))
    reached = {**{key: settings[key] for key in ("server", "driver", "key_file", "ask_timeout")}, "views": settings.get("views") or None}
    if not ask:
        plan = {**plan, "ask": {"type": "none"}}
    return [Step(step, settings["host"], "name", {**reached, **plan}, what, **how)]


def waited(step: str, site: Site, domain: str, addresses: t.Any, waiting: t.Mapping[str, t.Any], **how: t.Any) -> Step:
    """Wait until the connections of a domain's members at *addresses* have ended.

    Args:
        step: the step's id.
        site: the HN.
        domain: whose router it is.
        addresses: the members' fabric addresses.
        waiting: C(timeout), seconds that they have; C(at_deadline), what becomes of those that are open then (C(give_up), C(cut), C(wait)); C(patience),
            how many seconds C(wait) waits on. An option of a verb that has timeouts of its own begins with C(drain_).
        how: further fields of the step.
    """
    limits = {key: waiting.get(f"drain_{key}", waiting.get(key)) for key in ("timeout", "at_deadline", "patience")}
    return Step(step, site.gateway, "drain", {"domain": domain, "addresses": addresses, **limits}, "wait until the connections have ended", **how)


def serves(site: Site, record: Record, told: str) -> dict[str, t.Any]:
    """Return what a name is told of the HN that serves with *record*, from what its VMA answers the step *told*."""
    number = Answer(told, ("serving", record["service"], "since"))
    return {"hn": site.name, "addresses": [record["public_address"]], "number": number, "ports": record["ports"]}


def served_by(site: Site, service: str, told: Answer, ports: t.Any) -> dict[str, t.Any]:
    """Return what a name is told of an HN that serves by the record that a VMA will have answered; *ports* are known before."""
    number = Answer(told.step, ("serving", service, "since"))
    return {"hn": site.name, "addresses": [Answer(told.step, (*told.path, "public_address"))], "number": number, "ports": ports}


def leaving(site: Site, service: str, told: str) -> dict[str, t.Any]:
    """Return what a name is told of an HN where an instance of a service leaves the rotation, from what its VMA answers the step *told*."""
    return {"hn": site.name, "serving": Answer(told, ("serving", service))}


def stage(identity: str, what: str, *steps: Step, secret: bool = False) -> Stage:
    """Return a stage of these steps."""
    return Stage(identity, what, steps, secret)


def first(record: Record, tell: Step, leave: t.Sequence[Step]) -> tuple[Stage, ...]:
    """Return the first stages of an operation that takes an instance out of rotation: its VMA knows, and its name leaves if nobody else serves there then.

    Who calls by a name that leaves is waited for, so before that it has to be known that the instance's RM answers.
    """
    told = stage("tell", "Record what is about to happen", tell)
    if not leave:
        return (told,)
    return (stage("ready", "Be sure that its RM answers", ready(record)), told, stage("leave", "Have its name lose the HN", *leave))


def ended(site: Site, acts: Stage, follow: t.Sequence[Step], close: Step) -> tuple[Stage, tuple[Stage, ...]]:
    """Return the cut-over of an operation that publishes, and what settles it: the names follow, and its entry in the journal is closed.

    Neither waits for the other. Where no name follows, a gateway that is the VMA as well closes the entry as soon as it has published.
    """
    if not follow and site.vma == site.gateway:
        return acts._replace(steps=(*acts.steps, close)), ()
    return acts, (stage("follow", "Have the names follow, and close the operation" if follow else "Close the operation", *follow, close),)


def once_published(acts: Stage, follow: t.Sequence[Step]) -> dict[str, t.Any]:
    """Return the fields of a plan that publishes: from where on the only way is forward, and what has to be known before anything is taken back.

    Args:
        acts: the cut-over.
        follow: how the names follow; nobody must be sent to where nobody serves any more.
    """
    unsaid = "Whether the name of {} follows cannot be said, so all is left as it is; run this again when {} answers."
    return {
        "forward": tuple(step.id for step in follow or acts.steps if step.call != "record"),
        "unknown": tuple(Unknown(step.id, unsaid.format(step.arguments["name"].partition(f".{step.arguments['zone']}")[0], step.device)) for step in follow),
    }


def unnamed(step: str, names: Naming, site: Site, service: str, domain: str, told: str, undoes: tuple[str, ...], **how: t.Any) -> list[Step]:
    """Have a name lose an HN where an instance does not enter after all: whoever left meanwhile may have counted on it.

    Args:
        step: the step's id.
        names: how names follow.
        site: the HN.
        service: whose name.
        domain: who owns it.
        told: the step that recorded that it does not.
        undoes: the steps that recorded that it would.
        how: further fields of the step.
    """
    what = "have its name lose the HN if nobody serves there"
    return name(step, names, service, domain, what, leaves=[leaving(site, service, told)], undoes=undoes, **how)


def back_to_service(names: Naming, record: Record, site: Site, undoes: t.Mapping[str, str]) -> tuple[Stage, ...]:
    """Return the stages that bring an instance back to what its record said before: run, be published, be named.

    Args:
        names: how names follow.
        record: the record.
        site: its HN.
        undoes: by C(rest), C(withdraw) and C(tell) the ids of the steps that are undone, as far as there are any.
    """
    who, state = record["instance"], record["state"]
    staying = {"instance": who, "state": state, "in_rotation": record["in_rotation"], "operation_done": True}
    needs = ("run_again",) if "rest" in undoes else ()
    stages = [stage("stay", "Record that it stays", tell("stay", site, [staying], f"record that {who} is as it was", undoes=(undoes["tell"],)))]
    if "rest" in undoes:
        again = {"name": who, "state": state, "epoch": record["epoch"]}
        run = instance("run_again", record["rm"], [again], f"have {who} {state} again", how={"undoes": (undoes["rest"],)})
        stages.append(stage("run_again", "Let it run again", run))
    publish = route("publish_again", site, "stay", f"publish {who} again", how={"undoes": (undoes["withdraw"],), "needs": needs})
    stages.append(stage("publish_again", "Publish it again", publish))
    if record["in_rotation"]:
        # Somebody else who left meanwhile may have had it lose the HN. Nobody is led to what is recorded as resting.
        how = {"ask": False, "undoes": (undoes["tell"],), "needs": ("stay", *needs)}
        named = name("name_again", names, record["service"], record["domain"], "have its name get the HN back", [serves(site, record, "stay")], **how)
        stages.append(stage("name_again", "Have its name get the HN back", *named))
        if "rest" in undoes:
            answers = answers_again("answers_again", site, record, "run_again", (undoes["rest"],))
            stages.append(stage("answers_again", "Wait until it answers", answers))
    return in_order(*stages)


def bringing(
    view: View, site: Site, capsule: t.Mapping[str, str], holders: t.Sequence[str], rms: t.Sequence[Answer], pinned: str | None = None, prefix: str = ""
) -> tuple[Stage, ...]:
    """Return the stage that brings a capsule to the RMs that were chosen and lack it; none where every RM that can be chosen holds it."""
    possible = [pinned] if pinned else [rm.name for rm in view.rms.values() if rm.hn == site.name]
    if set(possible) <= set(holders):
        return ()
    steps = [bring(f"{prefix}bring.{number}" if len(rms) > 1 else f"{prefix}bring", holders[0], capsule, rm, holders) for number, rm in enumerate(rms)]
    return (stage(f"{prefix}bring", "Bring the capsule to where it is missing", *steps),)


def wrapping(site: Site, domain: str, tunnels: t.Sequence[tuple[str, str]]) -> tuple[Stage, ...]:
    """Return the stages that bring what tunnels need at the HN's gateway; the step C(tunnel.SERVICE) answers it.

    Args:
        site: the HN.
        domain: who owns the services.
        tunnels: each service that has one, and the gateway that has its key.
    """
    key = Step("wrapping_key", site.gateway, "wrapping_key", {}, "tell the key that it opens envelopes with")
    recipient = Answer("wrapping_key", ("public_key",))
    wraps = [
        Step(f"tunnel.{service}", gateway, "wrap_tunnel", {"domain": domain, "service": service, "recipient": recipient}, f"wrap the key of {service} for it")
        for service, gateway in tunnels
    ]
    return (
        stage("wrapping_key", "Ask for the key that envelopes are opened with", key),
        stage("tunnel", "Wrap the services' keys for it", *wraps, secret=True),
    )


def seen(steps: t.Sequence[str]) -> tuple[str, dict[str, t.Any]]:
    """Return what is said, and the facts of that, of guests that did not come up: what the *steps* have kept of them when they removed them."""
    facts = {f"seen{number}": Quoted(Answer(step, ("instances", 0, "evidence"))) for number, step in enumerate(steps)}
    return "".join(f"{{{fact}}}" for fact in facts), facts


def never_placed(
    names: Naming,
    site: Site,
    who: str,
    rm: str | Answer,
    epoch: Answer,
    prefix: str = "",
    new: bool = True,
    shown: t.Sequence[str] = (),
    started: bool = True,
) -> tuple[Stage, ...]:
    """Return the stages that undo the placement of an instance, by the steps C(reserve), C(tell), C(cut_over.rm) and C(cut_over.publish).

    Whatever it runs by is withdrawn before it ends, and its record goes last. While it is merely reserved nobody else may have begun to use it.

    Args:
        names: how names follow.
        site: its HN.
        who: its name.
        rm: where it was to run.
        epoch: in which epoch.
        prefix: what the ids of these stages and steps begin with.
        new: whether only what was not there before is undone.
        shown: further steps after which the router knows of it.
        started: whether that is undone as well if C(cut_over.rm) has started it; else C(kept) says what becomes of it.
    """
    only: dict[str, t.Any] = {**({"if_changed": "reserve"} if new else {}), **({} if started else {"instead_of": "cut_over.rm"})}
    # While it was reserved another operation of the domain may have published its service's address.
    known = {"undoes": ("reserve", "cut_over.publish", *shown), **only}
    gone_by = {"instance": who, "state": "leaving", "in_rotation": False, "step": "undo the placement"}
    order = {"name": who, "state": "absent", "epoch": epoch}
    gone = {"instance": who, "state": "absent", "expected": ["reserved", "leaving"]}
    at_once = {"stop_timeout": 0, "stop_force": True, "may_be_outdated": True, "evidence": True}
    # What an RM has given up it lets in again in a newer epoch only, so its VMA has to know of that first.
    undo_run = {"undoes": ("cut_over.rm",), "needs": (f"{prefix}untell",), **only}
    of = core_names.instance(who)
    # Where the name server does not answer the name did not follow either.
    unname = unnamed(f"{prefix}unname", names, site, of.service, of.domain, f"{prefix}untell", ("tell",), optional=True, **only)
    return in_order(
        stage(f"{prefix}untell", "Record that it leaves", tell(f"{prefix}untell", site, [gone_by], f"record that {who} leaves", undoes=("tell",), **only)),
        stage(f"{prefix}unname", "Have its name lose the HN", *unname),
        stage(
            f"{prefix}withdraw",
            "Withdraw it from its domain router",
            route(f"{prefix}withdraw", site, f"{prefix}untell", f"withdraw {who}", how={"undoes": ("cut_over.publish",), **only}),
        ),
        stage(f"{prefix}clear", "Remove it from its RM", instance(f"{prefix}clear", rm, [order], f"remove {who}", how=undo_run, **at_once)),
        stage(
            f"{prefix}give_back",
            "Give its room and addresses back",
            tell(
                f"{prefix}give_back",
                site,
                [gone],
                f"give the room and the addresses of {who} back",
                undoes=("reserve",),
                needs=(f"{prefix}clear",),
                **only,
            ),
        ),
        stage(
            f"{prefix}close_router",
            "Close its public address when nobody is left behind it",
            route(f"{prefix}close_router", site, f"{prefix}give_back", "close the public address if nobody is left behind it", how=known),
        ),
    )


def kept(names: Naming, site: Site, who: str, rm: str | Answer, epoch: Answer) -> tuple[Stage, ...]:
    """Return the stages that keep an instance as it is which C(cut_over.rm) has started, and which did not get any further: out of rotation, for looking.

    It is recorded as running then, so C(remove) ends it, and C(resume) publishes it.

    Args:
        names: how names follow.
        site: its HN.
        who: its name.
        rm: where it runs.
        epoch: in which epoch.
    """
    of = core_names.instance(who)
    begun: dict[str, t.Any] = {"if_done": "cut_over.rm"}
    aside = {"instance": who, "state": "running", "in_rotation": False, "operation_done": True}
    looked = Step(
        "keep_evidence", rm, "evidence", {"instances": [{"name": who, "epoch": epoch}]}, f"look at {who}", undoes=("cut_over.rm",), optional=True, **begun
    )
    # Where the name server does not answer the name did not follow either.
    unname = unnamed("keep_unname", names, site, of.service, of.domain, "keep", ("tell",), optional=True, **begun)
    return in_order(
        stage("keep", "Record that it is kept", tell("keep", site, [aside], f"record that {who} is kept out of rotation", undoes=("tell",), **begun)),
        stage("keep_unname", "Have its name lose the HN", *unname),
        stage(
            "keep_withdraw",
            "Withdraw it from its domain router",
            route("keep_withdraw", site, "keep", f"withdraw {who}", how={"undoes": ("cut_over.publish",), **begun}),
        ),
        stage("keep_evidence", "Look at it", looked),
    )


def swept(view: View, instances: t.Sequence[str], sites: t.Iterable[Site]) -> tuple[Stage, ...]:
    """Return the stages that bring the routers up to date where instances lived that are gone: whoever released them may not have come so far.

    Args:
        view: the observed mesh.
        instances: their names; all are of one domain.
        sites: the HNs where they may have lived.
    """
    tells, routes = [], []
    for site in sites:
        recorded = {record["instance"] for record in site.records}
        gone = [name for name in instances if name in site.epochs and name not in recorded]
        if gone:
            told = f"gone.{site.name}"
            tells.append(tell(told, site, [{"instance": name, "state": "absent"} for name in gone], f"be sure that {' and '.join(gone)} left nothing behind"))
            routes.append(route(f"sweep.{site.name}", site, told, "close public addresses that nobody is left behind", prepare=True))
    return in_order(stage("gone", "Be sure that nothing was left behind", *tells), stage("sweep", "Close public addresses that nobody is left behind", *routes))


def peers(view: View) -> dict[str, dict[str, str]]:
    """Return where RMs reach each other, by name."""
    return lookups.peers_of(view)
