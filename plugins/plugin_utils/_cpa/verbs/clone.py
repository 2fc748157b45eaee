# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Start clones of instances, memory and all."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names as core_names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.patience import patience
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import clone as deciding
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import concern, holders, lookups, parts, starting
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Plan, Stage, Step
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View


def plan(
    view: View,
    names: parts.Naming,
    instances: t.Sequence[str],
    clones: t.Sequence[str],
    capsule: str,
    to_hn: str | None,
    answer_timeout: float | None,
    timeout: float | None = None,
) -> Plan:
    """Plan that clones run; C(clone.plan_clone) says which, and what is refused.

    Args:
        view: the observed mesh.
        names: how names follow.
        instances: what they are clones of.
        clones: their names.
        capsule: the version of the capsules in between.
        to_hn: the HN, or None for that of the first of *instances*.
        answer_timeout: seconds that they have for answering; None for as long as their memory calls for.
        timeout: seconds for copying the memory of one of *instances*; None as well.
    """
    decided = deciding.plan_clone(view, instances, clones, capsule, to_hn)
    for asked in decided["reserve"]:
        if asked["reservation"]["requirements"] is None:
            made = f"publish.{decided['origins'][asked['instance']]}"
            asked["reservation"]["requirements"] = Answer(made, ("capsules", 0, "requirements"))
    made = _made(view, decided)
    site = view.sites[decided["site"]["hn"]]
    memory = parts.memory_of([lookups.one_of(view, name)[0] for name in instances])
    outlook = starting.Outlook(view, names, site, patience(memory, answer_timeout, starting.ANSWER))
    running = list(decided["states"])
    subject = ", ".join(running)
    sentence = f"In {site.name} run {subject}, clones of {', '.join(instances)}."
    first, last = _published(view, decided, timeout, patience(memory, timeout)), _unmade(view, decided)
    return starting.plan(outlook, decided, subject, first, last, made, done=sentence, result={"running": running})


def concerned(view: View, answer_timeout: float | None, timeout: float | None = None, **wish: t.Any) -> concern.Concern:
    """Return whom the plan depends on."""
    return deciding.concerned(view, **wish)


def _published(view: View, decided: starting.Decided, timeout: float | None, still: float) -> tuple[Stage, ...]:
    """Return the stage that makes capsules of what the origins are now; those of one RM stand still at the same time, for *still* seconds at most."""
    steps = [
        Step(
            f"publish.{each['instance']}",
            each["rm"],
            "publish",
            {"instances": [{"instance": each["instance"], "version": each["version"]}], **parts.limit(timeout)},
            f"make a capsule of what {each['instance']} is now",
            reserves=True,
        )
        for each in decided["publish"]
    ]
    spared: dict[str, list[str]] = {}
    for each in decided["publish"]:
        spared.setdefault(view.rms[each["rm"]].hn, []).append(each["instance"])
    spares = [parts.spare(f"spare.{hn}", view.sites[hn], decided["domain"], stands, still) for hn, stands in spared.items()]
    return (parts.stage("publish", "Make capsules of what they are now", *steps, *spares),) if steps else ()


def _made(view: View, decided: starting.Decided) -> list[holders.Holding]:
    """Return who holds the capsules that are made; what is in them is known when they are."""
    found = []
    for each in decided["publish"]:
        manifest = Answer(f"publish.{each['instance']}", ("capsules", 0, "capsule"))
        for capsule in decided["capsules"]:
            if (capsule["service"], capsule["version"]) == (each["service"], each["version"]):
                capsule["manifest"] = manifest
        found.append(holders.Holding(view.sites[view.rms[each["rm"]].hn], manifest, (each["rm"],)))
    return found


def _unmade(view: View, decided: starting.Decided) -> tuple[Stage, ...]:
    """Return the stages that remove the capsules that were made and brought for the clones, unless something else has begun to use them."""
    steps: list[Step] = []
    gone: dict[str, list[tuple[concern.Capsule, tuple[str | Answer, ...]]]] = {}
    for number, each in enumerate(decided["publish"]):
        capsule = concern.Capsule(decided["domain"], each["service"], each["version"])
        identity = capsule._asdict()
        gone.setdefault(view.rms[each["rm"]].hn, []).append((capsule, (each["rm"],)))
        made = f"publish.{each['instance']}"
        what = f"remove the capsule {each['service']} {each['version']} that was made for it"
        # As long as a clone is still reserved for, a second run makes it from this.
        how = {"if_changed": made, "needs": ("undo",), "optional": True}
        steps.append(Step(f"unmake.{number}", each["rm"], "remove_capsule", identity, what, undoes=(made,), **how))
        for place, wanted in enumerate(decided["reserve"]):
            if wanted["reservation"]["capsule"] == each["version"]:
                rm = Answer("reserve", ("records", place, "rm"))
                steps.append(Step(f"unmake.{number}.{place}", rm, "remove_capsule", identity, what, undoes=("reserve",), **how))
                if core_names.instance(wanted["instance"]).service == each["service"]:
                    gone.setdefault(decided["site"]["hn"], []).append((capsule, (rm,)))
    steps += [holders.forgotten(view.sites[hn], capsules, ("undo",)) for hn, capsules in gone.items()]
    return (parts.stage("unmake", "Remove the capsules that were made for it", *steps),) if steps else ()
