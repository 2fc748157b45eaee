# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""An HN that does not answer and that its operator gives up, and how it comes back. Pure functions.

What it knew need not be heard then. Whatever comes to life elsewhere has an epoch above all that it can have granted. Should it answer again, its VMA is not
believed until what lives elsewhere by now was cleared there.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan, Stage, Step, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View


def given_up(view: View, hns: t.Iterable[str]) -> View:
    """Return the mesh without what HNs know that are lost.

    Raises:
        InvalidInput: there is no such HN.
        Refused: one of them answers.
    """
    sites = dict(view.sites)
    for hn in hns:
        if hn not in sites:
            raise InvalidInput(f"There is no HN {hn} that could be lost; known are: {', '.join(sorted(sites))}.")
        if sites[hn].problem is None:
            raise Refused(f"The VMA of {hn} answers, so {hn} is not lost.")
        sites[hn] = sites[hn]._replace(lost=True)
    return view._replace(sites=sites)


def come_back(view: View) -> Site | None:
    """Return an HN that was given up and answers again, if there is one."""
    return next((site for unused, site in sorted(view.sites.items()) if site.former is not None), None)


def brought_back(view: View, names: parts.Naming, site: Site) -> Plan:
    """Plan to bring an HN back that was given up: what lives elsewhere by now goes there, all else stays.

    Args:
        view: the observed mesh.
        names: how names follow.
        site: the HN.

    Raises:
        Refused: another VMA does not answer, which may know of more.
    """
    for other in view.sites.values():
        if other.problem and other.former is None:
            raise Refused(f"{site.name} cannot be brought back while the VMA of {other.name} on {other.vma} does not answer: what lives there is not known.")
    back = site._replace(records=list(site.former or ()), problem=None)
    seen = view._replace(sites={**view.sites, site.name: back})
    epochs = {record["instance"]: record["epoch"] for other in view.sites.values() for record in other.records}
    doubled = [record for record in back.records if record["epoch"] < epochs.get(record["instance"], 0)]
    told = [each.vma for each in view.sites.values() if any(lost["hn"] == site.name for lost in each.gave_up)]
    readmits = [Step(f"readmit.{vma}", vma, "readmit", {"hn": site.name}, f"believe the VMA of {site.name} again") for vma in told]
    gone = ", ".join(record["instance"] for record in doubled) or "nothing"
    return Plan(
        operation="recover",
        subject=site.name,
        prepare=in_order(*_cleared(seen, names, back, doubled), Stage("readmit", f"Believe the VMA of {site.name} again", tuple(readmits))),
        stopped=f"{site.name} is not back yet; run this again when this is mended.",
        done=f"{site.name} is back. Cleared there, since it lives elsewhere by now: {gone}.",
    )


def _cleared(seen: View, names: parts.Naming, site: Site, doubled: t.Sequence[parts.Record]) -> tuple[Stage, ...]:
    """Return the stages that withdraw and remove instances in an HN, domain by domain."""
    tell, leave, withdraw, clear, release, close = ([] for unused in range(6))
    for domain in dict.fromkeys(record["domain"] for record in doubled):
        mine = [record for record in doubled if record["domain"] == domain]
        who = " and ".join(record["instance"] for record in mine)
        leaving = {"state": "leaving", "in_rotation": False, "operation": "recover", "step": "it lives elsewhere"}
        going = [{"instance": record["instance"], **leaving} for record in mine]
        tell.append(parts.tell(f"tell.{domain}", site, going, f"record that {who} leaves"))
        withdraw.append(parts.route(f"withdraw.{domain}", site, f"tell.{domain}", f"withdraw {who}"))
        for service in dict.fromkeys(record["service"] for record in mine):
            leaves = [parts.leaving(site, service, f"tell.{domain}")]
            leave += parts.name(f"leave.{service}.{domain}", names._replace(view=seen), service, domain, "have its name lose the HN", leaves=leaves)
        for record in mine:
            order = {"name": record["instance"], "state": "absent", "epoch": record["epoch"]}
            at_once = {"stop_timeout": 0, "stop_force": True, "may_be_outdated": True}
            clear.append(parts.instance(f"clear.{record['instance']}", record["rm"], [order], f"remove {record['instance']}", **at_once))
        removed = [{"instance": record["instance"], "state": "absent"} for record in mine]
        release.append(parts.tell(f"release.{domain}", site, removed, f"give the room and the addresses of {who} back"))
        close.append(parts.route(f"close_router.{domain}", site, f"release.{domain}", "close public addresses that nobody is left behind"))
    return (
        parts.stage("tell", "Record what leaves", *tell),
        parts.stage("leave", "Have names lose the HN", *leave),
        parts.stage("withdraw", "Withdraw it from its domain router", *withdraw),
        parts.stage("clear", "Remove it from its RM", *clear),
        parts.stage("release", "Give its room and addresses back", *release),
        parts.stage("close_router", "Close public addresses that nobody is left behind", *close),
    )
