# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Keep suspended instances of a service ready in an HN."""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import concern, lookups, parts, scale, starting
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View

#: What waits is in no rotation, so nobody is connected to it.
AT_ONCE = {"timeout": 0, "at_deadline": "cut", "patience": 0}


def plan(view: View, names: parts.Naming, service: str, domain: str, to_hn: str, count: int, capsule: str | None) -> Plan:
    """Plan that *count* suspended instances of a service wait in an HN; C(scale.plan_standby) says who, and what is refused.

    Args:
        view: the observed mesh.
        names: how names follow.
        service: its name.
        domain: who owns it.
        to_hn: the HN.
        count: how many shall wait.
        capsule: the version that new ones are made from.
    """
    decided = scale.plan_standby(view, service, domain, to_hn, count, capsule)
    outlook = starting.Outlook(view, names, lookups.site_of(view, to_hn), waiting=AT_ONCE)
    waiting = decided["waiting"]
    sentence = f"In {to_hn} wait{'s' if len(waiting) == 1 else ''} {', '.join(waiting) or 'none'}."
    return starting.plan(outlook, decided, f"{service} of {domain}", done=sentence, result={"waiting": waiting})


def concerned(view: View, service: str, domain: str, to_hn: str, count: int, capsule: str | None) -> concern.Concern:
    """Return whom the plan depends on."""
    there = scale.records_of_service(lookups.site_of(view, to_hn), service, domain)
    new = min(count, scale.MOST) - sum(record["state"] == "suspended" for record in there)
    return scale.concerned(view, service, domain, to_hn, new, capsule)
