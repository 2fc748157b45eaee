# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Whether the VMAs know all that lives, before anything new comes to life. Pure functions.

A VMA whose host has started since has to hear what its RMs hold, see C(_vma.witness). The first operation that is about to grant a life asks those RMs, and
tells it.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan, Stage, Step
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View


def unheard(view: View) -> list[str]:
    """Return the RMs that have to be asked what they hold, as their VMAs tell."""
    return [rm for site in view.sites.values() for rm in _unheard(site)]


def heard(plan: Plan, view: View) -> Plan:
    """Return a plan by which the VMAs hear what their RMs hold before it gives life to anything new.

    Raises:
        Refused: an RM that may run something does not answer, or has not subscribed. What takes up a run tells what there is to tell: it may need no more.
    """
    told = [each for stage in plan.stages for step in stage.steps if step.call == "record" for each in step.arguments["instances"]]
    if not any(each.get("reservation") or each.get("rescue") for each in told):
        return plan
    sites = [site for site in view.sites.values() if not site.problem]
    if not plan.recovers:
        for site in sites:
            _refuse_unsubscribed(site, view)
            _refuse_silent(site, view)
    steps = tuple(step for step in (_hear(site, view) for site in sites) if step)
    return plan._replace(prepare=(Stage("hear", "Tell the VMAs what their RMs hold", steps), *plan.prepare)) if steps else plan


def _unheard(site: Site) -> list[str]:
    strays = {each["rm"] for each in site.strays}
    return [rm["name"] for rm in site.rms if not rm.get("heard", True) or rm["name"] in strays]


def _refuse_unsubscribed(site: Site, view: View) -> None:
    subscribed = {rm["name"] for rm in site.rms}
    for rm in (rm for rm in view.rms.values() if rm.hn == site.name and rm.name not in subscribed):
        raise Refused(
            f"{rm.name} stands in {site.name} by the inventory, but its VMA has never heard what it runs: run the playbook site, or take it out of the "
            "inventory."
        )


def _refuse_silent(site: Site, view: View) -> None:
    for name in (name for name in _unheard(site) if name not in view.rms or view.rms[name].instances is None):
        why = "does not answer" if name in view.rms else "is not in the inventory"
        raise Refused(
            f"{site.vma} has started since {name} told what it runs, and {name} {why}; take it out of service with rm_service if it is down, and run this "
            "again."
        )


def _hear(site: Site, view: View) -> Step | None:
    rms = [view.rms[name] for name in _unheard(site) if name in view.rms]
    held: dict[str, t.Any] = {rm.name: rm.instances for rm in rms if rm.instances is not None}
    return Step(f"hear.{site.name}", site.vma, "hear", {"held": held}, f"tell what {' and '.join(held)} runs") if held else None
