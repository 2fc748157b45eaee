# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The plan of every operation that starts several instances of a domain in an HN and lets others rest. Pure functions.

C(starts) says what is decided before.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import holders, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, FollowUp, Plan, Stage, Step, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View

#: Seconds that new members have for answering, as usual; those that come to life from memory have more for that.
ANSWER = 120.0

Decided = t.Mapping[str, t.Any]


class Outlook(t.NamedTuple):
    """What the plan is made from besides what was decided.

    Attributes:
        view: the observed mesh.
        names: how names follow.
        site: the HN.
        answer_timeout: seconds that new members have for answering.
        waiting: how long the connections of what is to rest are waited for, as C(parts.waited) takes it.
    """

    view: View
    names: parts.Naming
    site: Site
    answer_timeout: float = ANSWER
    waiting: t.Mapping[str, t.Any] = {}


def plan(
    outlook: Outlook,
    decided: Decided,
    subject: str,
    first: t.Sequence[Stage] = (),
    last: t.Sequence[Stage] = (),
    made: t.Sequence[holders.Holding] = (),
    **said: t.Any,
) -> Plan:
    """Return the plan of what was decided.

    Args:
        outlook: what else is known.
        decided: as C(starts) describes it.
        subject: what it is done to, for a sentence.
        first: stages that come before all others.
        last: stages that come after all others when it is taken back.
        made: who holds what these stages have made.
        said: further fields of the plan.
    """
    site, starts = outlook.site, bool(decided["starts"])
    asked = [each["instance"] for each in decided["tell"]]
    orders = _orders(decided, asked)
    acts = parts.stage("cut_over", "Start and publish" if starts else "Bring them into their states", *orders)
    if starts:
        router = parts.publish(site, decided["starts"], "publish those that answer", outlook.answer_timeout, _tunnels(decided))
        acts = acts._replace(steps=(*acts.steps, router))
    acts, settle = _ended(site, decided, acts, _followed(outlook, decided, asked))
    settle = (*settle, *parts.swept(outlook.view, decided["swept"], [site]))
    evidence, seen = parts.seen([f"clear.{each['instance']}" for each in decided["untell"]])
    facts = {**seen, **said.pop("facts", {})}
    whole = Plan(
        operation=decided["operation"],
        subject=subject,
        prepare=in_order(
            *first,
            *_tunnel_stages(site, decided),
            *_reserved(outlook, decided),
            *_told(outlook, decided, starts, asked),
        ),
        # Also where nobody waits for anybody: only by then it is known which RMs act.
        cut_over=acts if acts.steps else None,
        follow_ups=tuple(FollowUp(each.id, False, _off(site)) for each in orders) if starts else (),
        settle=settle,
        take_back=in_order(*_taken_back(outlook, decided, starts, asked), *last),
        facts=facts,
        **{**_points(outlook, decided, asked, acts), "was": f"All is as it was.{evidence}", "peers": parts.peers(outlook.view), **said},
    )
    return holders.recorded(whole, outlook.view, [*made, *_holdings(outlook, decided)])


def _points(outlook: Outlook, decided: Decided, asked: t.Sequence[str], acts: Stage) -> dict[str, t.Any]:
    """Return from where on the only way is forward, and what is said then."""
    published = parts.once_published(acts, _followed(outlook, decided, asked))
    if decided["starts"]:
        return {**published, "stopped": "What was to run runs already; run this again when this is mended."}
    # What only rests is withdrawn and drained by then.
    rests = "What is to rest is withdrawn; run this again to take it up."
    return {**published, "forward": ("drain",) if decided["rest"] else (), "stopped": rests if decided["rest"] else "Run this again when this is mended."}


def _off(site: Site) -> Step:
    return Step("cut_over.call_off", site.gateway, "call_off", {"document": Answer("tell", ("router",))}, "stop waiting for their answers")


def _reserved(outlook: Outlook, decided: Decided) -> tuple[Stage, ...]:
    """Return the stages that reserve for new instances and bring what they are made from."""
    names = [each["instance"] for each in decided["reserve"]]
    reserve = [parts.tell("reserve", outlook.site, decided["reserve"], f"reserve room and addresses for {', '.join(names)}", reserves=True)] if names else []
    steps: list[Step] = []
    for capsule in decided["capsules"]:
        identity = {"domain": decided["domain"], "name": capsule["service"], "version": capsule["version"]}
        mine = _made_from(decided, capsule)
        for stage in parts.bringing(outlook.view, outlook.site, identity, capsule["holders"], mine, prefix=f"{capsule['service']}."):
            steps += stage.steps
        for instance, rm in decided["late"].items():
            if instance.startswith(f"{capsule['service']}-") and rm not in capsule["holders"]:
                steps.append(parts.bring(f"bring.{instance}", capsule["holders"][0], identity, rm, capsule["holders"]))
    brought = (parts.stage("bring", "Bring the capsules to where they are missing", *steps),) if steps else ()
    return (parts.stage("reserve", "Reserve room and addresses", *reserve), *brought)


def _made_from(decided: Decided, capsule: t.Mapping[str, t.Any]) -> list[Answer]:
    """Return the RMs of what is reserved for and made from a capsule."""
    return [
        Answer("reserve", ("records", number, "rm"))
        for number, each in enumerate(decided["reserve"])
        if (each["instance"].startswith(f"{capsule['service']}-"), each["reservation"]["capsule"]) == (True, capsule["version"])
    ]


def _holdings(outlook: Outlook, decided: Decided) -> t.Iterator[holders.Holding]:
    """Return who holds what in the end."""
    for capsule in decided["capsules"]:
        late = [rm for instance, rm in decided["late"].items() if instance.startswith(f"{capsule['service']}-")]
        yield holders.Holding(outlook.site, capsule["manifest"], (*_made_from(decided, capsule), *late))


def _told(outlook: Outlook, decided: Decided, starts: bool, asked: t.Sequence[str]) -> tuple[Stage, ...]:
    """Return the stages that record what is about to be; what only rests is withdrawn, and its connections are waited for."""
    if not decided["tell"]:
        return ()
    site = outlook.site
    tell = parts.tell("tell", site, decided["tell"], "record what is to run and to rest")
    lives = [(each["instance"], Answer("reserve", ("records", number, "epoch"))) for number, each in enumerate(decided["reserve"])]
    told = parts.stage("tell", "Record what is about to run and to rest", tell, *parts.agreed(outlook.view, [site], lives))
    leave = parts.stage("leave", "Have the names lose the HN with the last one in rotation", *_left(outlook, decided))
    if starts:
        return (told, leave)
    # What begins to run is published in the cut-over, when it answers; nothing that is in rotation is to rest then.
    withdraw = parts.stage("withdraw", "Withdraw what is to rest", parts.route("withdraw", site, "tell", "withdraw what is to rest"))
    if not decided["rest"]:
        return (told, leave, withdraw)
    addresses = [Answer("tell", ("records", asked.index(instance), "fabric_address")) for instance in decided["rest"]]
    wait = parts.waited("drain", site, decided["domain"], addresses, outlook.waiting)
    return (told, leave, withdraw, parts.stage("drain", "Wait until the connections of what is to rest have ended", wait))


def _orders(decided: Decided, asked: t.Sequence[str]) -> list[Step]:
    """Return each RM's part: one step for each instance, which become one call for each RM."""
    steps = []
    for number, instance in enumerate(asked):
        if instance in decided["states"]:
            state = decided["states"][instance]
            order = parts.order(instance, state, Answer("tell", ("records", number)))
            rm = Answer("tell", ("records", number, "rm"))
            forced = {"stop_timeout": 0, "stop_force": True} if state == "absent" else {}
            steps.append(parts.instance(f"cut_over.rm.{instance}", rm, [order], f"have {instance} {state}", **forced))
    return steps


def _left(outlook: Outlook, decided: Decided) -> list[Step]:
    steps: list[Step] = []
    for named in decided["services"]:
        if named["leaves"]:
            what = f"have the name of {named['service']} lose the HN with the last one in rotation"
            leaves = [parts.leaving(outlook.site, named["service"], "tell")]
            steps += parts.name(f"leave.{named['service']}", outlook.names, named["service"], decided["domain"], what, leaves=leaves)
    return steps


def _followed(outlook: Outlook, decided: Decided, asked: t.Sequence[str]) -> list[Step]:
    steps: list[Step] = []
    for named in decided["services"]:
        running = [instance for instance in asked if decided["states"].get(instance) == "running" and instance.startswith(f"{named['service']}-")]
        if running:
            told = Answer("tell", ("records", asked.index(running[0])))
            what = f"have the name of {named['service']} follow"
            arrives = [parts.served_by(outlook.site, named["service"], told, named["ports"])]
            steps += parts.name(f"follow.{named['service']}", outlook.names, named["service"], decided["domain"], what, arrives)
    return steps


def _ended(site: Site, decided: Decided, acts: Stage, follow: t.Sequence[Step]) -> tuple[Stage, tuple[Stage, ...]]:
    """Return the cut-over, and what settles it."""
    if not decided["close"]:
        return acts, in_order(parts.stage("follow", "Have the names follow", *follow))
    close = parts.tell("close", site, decided["close"], "close the operation")
    if decided["rest"]:
        # Nothing is released before all of it rests.
        settle = [parts.stage("follow", "Have the names follow, and close the operation", *follow, close)]
        if decided["gone"]:
            what = "close the public address if nobody is left behind it"
            router = parts.route("close_router", site, "close", what)
            settle.append(parts.stage("close_router", "Close the public address when nobody is left behind it", router))
        return acts, in_order(*settle)
    return parts.ended(site, acts, follow, close) if decided["starts"] else (acts, (parts.stage("close", "Close the operation", *follow, close),))


def _taken_back(outlook: Outlook, decided: Decided, starts: bool, asked: t.Sequence[str]) -> tuple[Stage, ...]:
    """Return what undoes it: nothing of it runs or is published any more, and then room and addresses are given back."""
    site, stages = outlook.site, []
    if decided["untell"]:
        untold = parts.tell("untell", site, decided["untell"], "record what does not run", undoes=("tell",))
        withdraw = [parts.route("withdraw_again", site, "untell", "withdraw what does not run", how={"undoes": ("cut_over.publish",)})] if starts else []
        orders = []
        for each in decided["untell"]:
            instance = each["instance"]
            number, state = asked.index(instance), decided["unstates"][instance]
            record = Answer("tell", ("records", number))
            order = {"name": instance, "state": state, "epoch": Answer("tell", ("records", number, "epoch"))}
            # What an RM has given up it lets in again in a newer epoch only, so its VMA has to know of that first.
            how = {"undoes": (f"cut_over.rm.{instance}",), "needs": ("untell",)}
            at_once = {"stop_timeout": 0, "stop_force": True, "may_be_outdated": True, "evidence": True}
            orders.append(
                parts.instance(f"clear.{instance}", record._replace(path=(*record.path, "rm")), [order], f"have {instance} {state}", how=how, **at_once)
            )
        stages += [
            parts.stage("untell", "Record what does not run", untold),
            parts.stage("withdraw_again", "Withdraw it from the domain router", *withdraw),
            parts.stage("clear", "Suspend again what was suspended, and remove what is new", *orders),
        ]
    if decided["undo"]:
        needs = tuple(f"clear.{each['instance']}" for each in decided["untell"])
        began = tuple(step for step, is_there in (("reserve", decided["reserve"]), ("tell", decided["tell"])) if is_there)
        undo = parts.tell("undo", site, decided["undo"], "record that all is as it was", undoes=began, needs=needs)
        stages.append(parts.stage("undo", "Give room and addresses back", undo))
        what = "publish what was published before, and nothing else"
        # Another operation of the domain may have published the address of what was reserved meanwhile.
        begun = (*began, *(("cut_over.publish",) if starts else ("withdraw",) if decided["tell"] else ()))
        stages.append(
            parts.stage("publish_again", "Publish what was published before", parts.route("publish_again", site, "undo", what, how={"undoes": begun}))
        )
    names_again: list[Step] = []
    for named in decided["services"] if decided["undo"] and decided["tell"] else ():
        again, service = f"name_again.{named['service']}", named["service"]
        if named["serves"]:
            # Somebody else who left meanwhile may have had it lose the HN.
            what, how = f"have the name of {service} get the HN back", {"ask": False, "undoes": ("tell",), "needs": ("undo",)}
            names_again += parts.name(again, outlook.names, service, decided["domain"], what, [parts.serves(site, named["serves"][0], "undo")], **how)
        else:
            names_again += parts.unnamed(again, outlook.names, site, service, decided["domain"], "undo", ("tell",))
    if names_again:
        stages.append(parts.stage("name_again", "Have the names say what they said before", *names_again))
    return tuple(stages)


def _tunnel_stages(site: Site, decided: Decided) -> tuple[Stage, ...]:
    """Return the stages that have the services' keys wrapped for the HN's gateway by those where they run."""
    if not decided["tunnels"]:
        return ()
    return parts.wrapping(site, decided["domain"], [(each["service"], each["gateway"]) for each in decided["tunnels"]])


def _tunnels(decided: Decided) -> list[Answer]:
    return [Answer(f"tunnel.{each['service']}", ("tunnel",)) for each in decided["tunnels"]]
