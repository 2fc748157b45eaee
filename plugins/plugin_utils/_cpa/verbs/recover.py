# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Take up an operation that was cut off."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names as core_names
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import concern, lookups, lost, parts, recovery
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan, Stage, Step
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View


def plan(view: View, names: parts.Naming, instance: str | None) -> Plan:
    """Plan to take up the oldest operation that was cut off, or if there is none to bring an HN back that was given up and answers again.

    Args:
        view: the observed mesh.
        names: how names follow now; those of what is taken up follow as was planned.
        instance: only one on this instance, if there is one.

    Raises:
        InvalidInput, Refused: one sentence for the operator.
    """
    if instance:
        core_names.instance(instance)
    run = recovery.cut_off(view, instance)
    back = lost.come_back(view)
    if run is None and back and not instance:
        return lost.brought_back(view, names, back)
    left_alone = [] if run or instance else [site for unused, site in sorted(view.sites.items()) if site.records and not site.attended and not site.problem]
    if left_alone:
        return _vouched_for(left_alone)
    if run is None:
        # A VMA that does not answer may know of one.
        lookups.all_answered(view)
        about = f" of {instance}" if instance else ""
        return Plan("recover", instance or "", nothing=f"No operation{about} was cut off; there is nothing to recover.")
    return recovery.taken_up(run, view)


def _vouched_for(sites: t.Sequence[Site]) -> Plan:
    """Plan to tell VMAs whose hosts have started that nobody has given their HNs up: until they know that, no RM starts anything there again."""
    steps = tuple(Step(f"vouch.{site.name}", site.vma, "vouch", {}, f"tell that nobody has given {site.name} up") for site in sites)
    hns = " and ".join(site.name for site in sites)
    return Plan(
        operation="recover",
        subject=hns,
        prepare=(Stage("vouch", "Tell VMAs that nobody has given their HNs up", steps),),
        stopped="Run this again when this is mended.",
        done=f"No operation was cut off. The RMs of {hns} may start again what lost its power there; status shows what they do.",
    )


def concerned(_view: View, **_wish: t.Any) -> concern.Concern:
    """Return that nobody is asked but whom VMAs have to hear."""
    return concern.Concern()
