# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The steps by which VMAs learn which RMs hold what, when an operation has brought, made or removed a capsule. Pure functions.

They come last, with what their VMA does anyway: nothing waits for them, and nothing depends on them. What is not recorded is brought once more; what is
recorded and gone is found out when it is to be used.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import concern
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Plan, Stage, Step, Unless
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View


class Holding(t.NamedTuple):
    """What RMs of an HN hold when a plan was carried out: the capsule's C(manifest) and the C(rms); answers stand for what is not known before."""

    site: Site
    manifest: t.Mapping[str, t.Any] | Answer
    rms: tuple[str | Answer, ...]


class Gone(t.NamedTuple):
    """What an RM does not hold any more then."""

    capsule: concern.Capsule
    rm: str


def step_of(site: Site) -> str:
    """Return the id of the step that tells the VMA of an HN who holds what."""
    return f"holders.{site.name}"


def recorded(plan: Plan, view: View, held: t.Iterable[Holding], gone: t.Iterable[Gone] = ()) -> Plan:
    """Return a plan with the steps by which VMAs learn what they do not know yet, or know wrong: what an RM says counts more than what is recorded.

    Args:
        plan: the plan.
        view: the observed mesh.
        held: who holds what in the end.
        gone: who does not.
    """
    held = list(held)
    gone = [*gone, *dict.fromkeys(stale for each in held for stale in _stale(view, each))]
    for site in view.sites.values():
        new = [each._replace(rms=rms) for each in held if each.site.name == site.name for rms in [_unknown(view, each)] if rms]
        old = [each for each in gone if each.rm in concern.holders(view, each.capsule)[site.name]]
        if new or old:
            plan = _with(plan, _step(view, site, new, old))
    return plan


def forgotten(site: Site, capsules: t.Sequence[tuple[concern.Capsule, tuple[str | Answer, ...]]], needs: tuple[str, ...]) -> Step:
    """Return the step that takes back what recorded() has told the VMA of an HN, as far as capsules are removed again."""
    told, what = step_of(site), "record that they are gone"
    arguments = {"gone": [{**capsule._asdict(), "rms": list(rms)} for capsule, rms in capsules]}
    return Step(f"forget.{site.name}", site.vma, "hold", arguments, what, undoes=(told,), if_changed=told, needs=needs, optional=True)


def _stale(view: View, held: Holding) -> t.Iterator[Gone]:
    """Yield the RMs that are recorded to hold the capsule, and were asked for it and do not."""
    if isinstance(held.manifest, Answer):
        return
    capsule = _identity(held)
    for rm in (view.rms.get(name) for names in concern.holders(view, capsule).values() for name in names):
        if rm and rm.asked and not rm.problem and not rm.broken and capsule not in [(each["domain"], each["name"], each["version"]) for each in rm.capsules]:
            yield Gone(capsule, rm.name)


def _identity(held: Holding) -> concern.Capsule:
    manifest = t.cast(t.Mapping[str, t.Any], held.manifest)
    return concern.Capsule(manifest["domain"], manifest["name"], manifest["version"])


def _unknown(view: View, held: Holding) -> tuple[str | Answer, ...]:
    """Return those of its RMs of which the VMA does not know yet that they hold it; what is not known here may be known there."""
    if isinstance(held.manifest, Answer):
        return held.rms
    known = _known(view, held)
    return tuple(rm for rm in dict.fromkeys(held.rms) if rm not in known)


def _known(view: View, held: Holding) -> list[str]:
    stale = {each.rm for each in _stale(view, held)}
    return [rm for rm in concern.holders(view, _identity(held))[held.site.name] if rm not in stale]


def _step(view: View, site: Site, held: list[Holding], gone: list[Gone]) -> Step:
    arguments: dict[str, t.Any] = {"held": [{"manifest": each.manifest, "rms": list(each.rms)} for each in held]}
    if gone:
        arguments["gone"] = [{**each.capsule._asdict(), "rms": [each.rm]} for each in gone]
    unless = None
    if len(held) == 1 and len(held[0].rms) == 1 and not gone and not isinstance(held[0].manifest, Answer) and isinstance(held[0].rms[0], Answer):
        unless = Unless(held[0].rms[0], tuple(_known(view, held[0])))
    return Step(step_of(site), site.vma, "hold", arguments, "record who holds the capsules now", unless, optional=True)


def _with(plan: Plan, step: Step) -> Plan:
    """Return a plan that has a step at the end of the last of its stages in which the step's device does something; else it is done beside the last one."""
    stages = plan.stages
    index = max((number for number, stage in enumerate(stages) if step.device in [each.device for each in stage.steps]), default=len(stages) - 1)
    done = stages[index]._replace(steps=(*stages[index].steps, step))

    def put(part: tuple[Stage, ...]) -> tuple[Stage, ...]:
        return tuple(done if stage is stages[index] else stage for stage in part)

    return plan._replace(prepare=put(plan.prepare), cut_over=done if plan.cut_over is stages[index] else plan.cut_over, settle=put(plan.settle))
