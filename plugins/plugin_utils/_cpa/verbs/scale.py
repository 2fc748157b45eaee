# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Set how many instances of a service run in an HN."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.patience import patience
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import concern, lookups, parts, starting
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Plan
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import scale as deciding
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View


def plan(
    view: View,
    names: parts.Naming,
    service: str,
    domain: str,
    to_hn: str,
    count: int,
    capsule: str | None,
    surplus: str,
    answer_timeout: float | None,
    **waiting: t.Any,
) -> Plan:
    """Plan that *count* instances of a service run in an HN; C(scale.plan_scale) says who, and what is refused.

    Args:
        view: the observed mesh.
        names: how names follow.
        service: its name.
        domain: who owns it.
        to_hn: the HN.
        count: how many shall run.
        capsule: the version that new ones are made from.
        surplus: what becomes of those beyond the number.
        answer_timeout: seconds that new members have for answering; None for as long as the memory calls for that they may come from.
        waiting: how long the connections of those beyond it are waited for, as C(parts.waited) takes it.
    """
    decided = deciding.plan_scale(view, service, domain, to_hn, count, capsule, surplus)
    site = lookups.site_of(view, to_hn)
    mine = [record for record in site.records if (record["service"], record["domain"]) == (service, domain)]
    memory = parts.memory_of([*mine, *(each["reservation"] for each in decided["reserve"])])
    outlook = starting.Outlook(view, names, site, patience(memory, answer_timeout, starting.ANSWER), waiting)
    running = [instance for instance, state in decided["states"].items() if state == "running"]
    sentence = f"In {to_hn} run{' ' + ', '.join(running) if running else ' none'}"
    facts = {}
    if decided["rest"]:
        rest = [each for each in decided["rest"] if each not in decided["gone"]]
        became = ((rest, "suspended"), (decided["gone"], "gone"))
        sentence += "".join(f"; {', '.join(each)} {'are' if len(each) > 1 else 'is'} {state}" for each, state in became if each)
        if not decided["starts"]:
            sentence += ". Of their {connections} connections {ended} ended by themselves, {cut} were cut"
            facts = {key: Answer("drain", (key,)) for key in ("connections", "ended", "cut")}
    result = {"running": running, "rest": decided["rest"], **facts}
    return starting.plan(outlook, decided, f"{service} of {domain}", done=f"{sentence}.", facts=facts, result=result)


def concerned(view: View, service: str, domain: str, to_hn: str, count: int, capsule: str | None, **_other: t.Any) -> concern.Concern:
    """Return whom the plan depends on."""
    there = deciding.records_of_service(lookups.site_of(view, to_hn), service, domain)
    new = min(count, deciding.MOST) - sum(record["state"] != "leaving" for record in there)
    return deciding.concerned(view, service, domain, to_hn, new, capsule)
