# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Which leases an operation needs, where it takes them and where it gives them back. Pure functions.

The VMA that keeps an instance's record leases it. Whom none keeps is leased by the VMA of the first HN in the order of their names, which whoever plans to
give life to that name agrees on: such a plan is only made when all VMAs have answered. When the name has a record, and all other VMAs have agreed to
that, the record is where others find it.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import sentences
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import hearing
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan, Stage, Step, decode, encode
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.progress import Answers, outcome, settled, verdict
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View

#: Calls that say for which operation they are made.
LEASED = ("awake", "consent", "hand_over", "instances", "journal", "lease", "name", "record", "release", "router")
#: Calls that may be made before anything is leased: what they do harms nobody, whoever else is at work.
HARMLESS = ("bring", "consent", "evidence", "hear", "hold", "lease", "ready", "subscribe", "unpack_tunnel", "wrap_tunnel", "wrapping_key")


def leased(plan: Plan, view: View, take_over: bool, gone: t.Callable[[t.Mapping[str, t.Any]], bool], **holder: t.Any) -> Plan:
    """Return a plan that leases its instances before it does anything that could be in the way of another operation, and gives them back at its end.

    What the VMA is told anyway leases them in passing, so that this costs no round trip where the plan begins with that.

    Args:
        plan: the plan.
        view: the observed mesh.
        take_over: whether the operator says that whoever has leased its instances is dead.
        gone: whether a controller is known to be gone.
        holder: C(run), C(who), C(controller) and C(seconds) of the lease.

    Raises:
        Refused: another operation is under way on one of its instances, or was cut off on one of them.
    """
    over = _over(plan, view, take_over, gone)
    _refuse_cut_off(plan, view)
    plan = hearing.heard(plan, view)
    lost = {"lost": given_up} if (given_up := [site.name for site in view.sites.values() if site.lost]) else {}
    claim = {"operation": plan.operation, **lost, "above": max((site.lease for site in view.sites.values()), default=0), "over": over, **holder}
    if plan.recovers:
        # Whoever was cut off is not believed when he comes back.
        resumed = {"run": f"{plan.recovers}.{holder['run']}", "resumes": plan.recovers, "looked": plan.claim["above"]}
        return _taken_over(plan, view)._replace(claim={**claim, **resumed})
    made = _opened(_given_back(_taken(plan, _needed(plan, view))))
    return made._replace(claim={**claim, "plan": json.dumps(encode(plan._replace(claim={"above": claim["above"]})))})


def signed(call: str, arguments: dict[str, t.Any], plan: Plan, answers: Answers) -> dict[str, t.Any]:
    """Return the arguments of a call with the lease that it is made under, if it is one that has to say so."""
    if not plan.claim or call not in LEASED:
        return arguments
    numbers: dict[str, int] = {}
    for answer in answers.values():
        for instance, number in (answer.get("result") or {}).get("leased", {}).items():
            numbers[instance] = max(number, numbers.get(instance, 0))
    said: dict[str, t.Any] = {key: value for key, value in plan.claim.items() if key != "plan"}
    if arguments.get("opens"):
        kept = {"subject": plan.subject, "instances": instances(plan), **{key: plan.claim[key] for key in ("operation", "who", "plan")}}
        said["opening"] = kept
    if arguments.get("last"):
        way = verdict(plan, answers).way
        # Whoever says in the end what is to be done has ended, however that was. But what was cut off stays so until all is done, or was taken back.
        if way == "on" or not plan.recovers or settled(plan, answers):
            said["closing"] = {"outcome": outcome(plan, answers, way), "steps": _made(answers)}
    plain = {key: value for key, value in arguments.items() if key != "opens"}
    return {**plain, "lease": {**said, "numbers": numbers}}


def journaled(plan: Plan) -> str:
    """Return the run in whose journals it is written down what is done; what takes up another one goes on in that one's."""
    return str(plan.claim["run"]).partition(".")[0]


def holders(plan: Plan, answers: Answers) -> list[str]:
    """Return the VMAs where an operation that came to its end may still have leases, or, if it took up a run, where that may not have ended."""
    held: dict[str, set[str]] = {}
    open_at: set[str] = set()
    # In their order: what was leased again after the end of all leases has to be given back again.
    for step in (step for stage in (*plan.stages, *plan.take_back) for step in stage.steps if step.id in answers):
        answer = answers[step.id]
        mine = held.setdefault(answer["device"], set())
        if answer["unreachable"]:
            # One that does not answer is not asked again: its leases end by themselves.
            continue
        if answer["failed"]:
            if answer["changed"] is None and step.call in ("lease", "record"):
                # It ended without an answer, but may have leased all that.
                mine |= set(step.arguments["instances"]) if step.call == "lease" else set(_of(step))
            continue
        mine |= set(answer["result"].get("leased", ()))
        if plan.recovers and step.call == "lease":
            open_at.add(answer["device"])
        if step.call == "consent":
            mine -= {life["instance"] for life in step.arguments["lives"]}
        if step.call == "release" or step.arguments.get("last"):
            mine.clear()
            open_at.discard(answer["device"])
    silent = {answer["device"] for answer in answers.values() if answer["unreachable"]}
    return [vma for vma, names in held.items() if (names or vma in open_at) and vma not in silent]


def instances(plan: Plan) -> list[str]:
    """Return the instances that a plan is about."""
    return list(dict.fromkeys(name for stage in plan.stages for step in stage.steps for name in _of(step)))


def _over(plan: Plan, view: View, take_over: bool, gone: t.Callable[[t.Mapping[str, t.Any]], bool]) -> dict[str, list[int]]:
    """Return the numbers of the leases that may be replaced, by instance."""
    over: dict[str, list[int]] = {}
    wanted = set(instances(plan))
    for site, lease in ((site, lease) for site in view.sites.values() for lease in site.leases if lease["instance"] in wanted):
        if not take_over and not gone(lease["controller"]):
            raise Refused(sentences.busy(lease["instance"], site.name, lease, lease["left"]))
        over.setdefault(lease["instance"], []).append(lease["number"])
    return over


def _refuse_cut_off(plan: Plan, view: View) -> None:
    """Refuse what would follow an operation that was cut off, the same one too: what that did would not be taken back any more if this one is."""
    mine = set() if plan.recovers else set(instances(plan))
    for run in (run for site in view.sites.values() for run in site.runs if mine & set(run["instances"]) and not _lost(plan, run)):
        which = f"the {run['operation']} of {run['subject']} that {run['who']} began at {run['began'].partition('.')[0]}Z and that was cut off"
        raise Refused(f"{min(mine & set(run['instances']))} is a part of {which}. The playbook recover takes that up; run this again then.")


def _lost(plan: Plan, run: t.Mapping[str, t.Any]) -> bool:
    """Whether a run that was cut off is given up: nobody ever takes it up if it needs what the RM did that is to be rescued."""
    if plan.operation != "rescue":
        return False
    cut_off: Plan = decode(json.loads(run["plan"]))
    return any(step.device == plan.subject for stage in (*cut_off.stages, *cut_off.take_back) for step in stage.steps)


def _made(answers: Answers) -> list[dict[str, t.Any]]:
    """Return what is kept of each step, in their order."""
    return [
        {"id": step, "device": answer["device"], "failed": bool(answer["failed"] or answer["unreachable"]), "seconds": answer.get("seconds")}
        for step, answer in answers.items()
    ]


def _of(step: Step) -> list[str]:
    """Return the instances that a step changes."""
    if step.call not in ("record", "instances", "hand_over", "publish"):
        return []
    return [each["instance"] if "instance" in each else each["name"] for each in step.arguments["instances"]]


def _needed(plan: Plan, view: View) -> dict[str, list[str]]:
    """Return the instances that each VMA is to lease before anything is done."""
    homes: dict[str, list[Site]] = {}
    for site in view.sites.values():
        for record in site.records:
            homes.setdefault(record["instance"], []).append(site)
    needed: dict[str, list[str]] = {}
    for instance in instances(plan):
        for site in homes.get(instance) or _arbiter(view):
            needed.setdefault(site.vma, []).append(instance)
    return needed


def _arbiter(view: View) -> list[Site]:
    """Return the HN whose VMA leases what has no record anywhere."""
    return [site for unused, site in sorted(view.sites.items()) if not site.problem][:1]


def _taken(plan: Plan, needed: t.Mapping[str, list[str]]) -> Plan:
    """Put the steps that lease instances in front of all that could be in the way of another operation."""
    stages = list(plan.stages)
    first = next((number for number, stage in enumerate(stages) if any(_acts(step) for step in stage.steps)), None)
    if first is None:
        return plan
    opening: dict[t.Any, Step] = {}
    for step in filter(_acts, stages[first].steps):
        opening.setdefault(step.device, step)
    # What a device does after it was told comes after the lease. But no other VMA grants anything to who may be refused by the one that counts.
    together = all(step.call == "record" and set(_of(step)) <= set(needed.get(str(device), ())) for device, step in opening.items())
    told = {(device, name) for device, step in opening.items() for name in _of(step)} if together else set()
    steps = [
        _lease(str(vma), [name for name in names if (vma, name) not in told]) for vma, names in needed.items() if any((vma, name) not in told for name in names)
    ]
    if not steps:
        return plan
    if first > 0 or together:
        stages[0] = stages[0]._replace(steps=(*steps, *stages[0].steps))
        return _with(plan, stages)
    return plan._replace(prepare=(Stage("lease", "Be sure that nobody else is at work", tuple(steps)), *plan.prepare))


def _acts(step: Step) -> bool:
    return step.call not in HARMLESS and not step.rehearses


def _lease(vma: str, names: list[str]) -> Step:
    return Step(f"lease.{vma}", vma, "lease", {"instances": names}, f"be sure that nobody else is at work on {' and '.join(names)}")


def _taken_over(plan: Plan, view: View) -> Plan:
    """Put the steps first that take over what was leased, whatever was done before; and give it back in the end, when all is said.

    What was cut off may have leased more than it has recorded: names that had no record, or an origin of clones. That is given back, too.
    """
    held: dict[str, list[str]] = {}
    for step in (step for stage in plan.stages for step in stage.steps if isinstance(step.device, str)):
        if step.call == "record":
            held.setdefault(step.device, []).extend(_of(step))
    if not held:
        return plan
    takes = tuple(_lease(vma, list(dict.fromkeys(names))) for vma, names in held.items())
    sites = view.sites.values()
    leasing = [site.vma for site in sites if any(each["run"].partition(".")[0] == plan.recovers for each in site.leases)]
    keeping = {site.vma for site in sites if any(each["run"] == plan.recovers for each in site.runs)}
    # Those that keep the run come last: once it has ended nobody takes it up any more.
    early, last = ([_release(vma) for vma in dict.fromkeys((*held, *leasing)) if (vma in keeping) == kept] for kept in (False, True))
    stages = [Stage(f"release{which}", "Let others be at work again", tuple(steps)) for which, steps in ((".leased", early), ("", last)) if steps]
    taken = Stage("lease", "Be sure that nobody else is at work", takes)
    return plan._replace(prepare=(taken, *plan.prepare), settle=(*plan.settle, *stages))


def _release(vma: str) -> Step:
    return Step(f"release.{vma}", vma, "release", {"last": True}, "let others be at work again", optional=True)


def _opened(plan: Plan) -> Plan:
    """Have each VMA that records something keep the plan from its first call on."""
    records = {step.device for stage in plan.stages for step in stage.steps if step.call == "record"}
    seen: set[t.Any] = set()
    stages = []
    for stage in plan.stages:
        steps = []
        for step in stage.steps:
            if step.call in ("lease", "record") and step.device in records - seen:
                seen.add(step.device)
                step = step._replace(arguments={**step.arguments, "opens": True})
            steps.append(step)
        stages.append(stage._replace(steps=tuple(steps)))
    return _with(plan, stages)


def _given_back(plan: Plan) -> Plan:
    """End the leases at each VMA, and with them the run there, when all is done that would have to be taken up if the controller died.

    That is in the last stage, if all of it is done by the VMAs themselves, or by devices that another one waits for in it; else in one more.
    """
    vmas = {step.device: None for stage in plan.stages for step in stage.steps if step.call in ("lease", "record") and isinstance(step.device, str)}
    vmas = dict.fromkeys(vma for vma in vmas if not _agreed(plan, vma))
    stages = list(plan.stages)
    final = max((number for number, stage in enumerate(stages) if any(_acts(step) for step in stage.steps)), default=None)
    if not vmas or final is None:
        return plan
    acting = [step for step in stages[final].steps if _acts(step)]
    # Whoever publishes in a cut-over has waited for all that others do in it.
    waited_for = stages[final] is plan.cut_over and all(step.call != "name" for step in acting) and any(step.device in vmas for step in acting)
    by_others = {step.device for step in acting} - set(vmas)
    if (by_others and not waited_for) or (waited_for and set(vmas) - {step.device for step in acting}):
        return plan._replace(settle=(*plan.settle, Stage("release", "Let others be at work again", tuple(map(_release, vmas)))))
    steps = list(stages[final].steps)
    for vma in vmas:
        last = next((step for step in reversed(acting) if step.device == vma), None)
        if last is not None and last.call == "record":
            steps[steps.index(last)] = last._replace(arguments={**last.arguments, "last": True})
        else:
            steps.append(_release(vma))
    stages[final] = stages[final]._replace(steps=tuple(steps))
    return _with(plan, stages)


def _agreed(plan: Plan, vma: t.Any) -> bool:
    """Whether all that a VMA leases are names that it agrees to be somebody else's, which ends its leases."""
    steps = [step for stage in plan.stages for step in stage.steps if step.device == vma]
    agreed = {life["instance"] for step in steps if step.call == "consent" for life in step.arguments["lives"]}
    return {name for step in steps if step.call == "lease" for name in step.arguments["instances"]} <= agreed and not any(
        step.call == "record" for step in steps
    )


def _with(plan: Plan, stages: t.Sequence[Stage]) -> Plan:
    """Return a plan with other steps in its stages."""
    before, between = len(plan.prepare), len(plan.part("cut_over"))
    cut_over = stages[before] if between else None
    return plan._replace(prepare=tuple(stages[:before]), cut_over=cut_over, settle=tuple(stages[before + between :]))
