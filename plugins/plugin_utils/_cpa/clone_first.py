# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Planning a move of a service that may run twice for a moment: a copy serves at the target before the source goes. Pure functions.

The copy is the same instance in a higher epoch, so each epoch has one live copy at most. It comes from a capsule that is made of the source for this
move alone.
"""

from __future__ import annotations

import re

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import lookups as plans
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View

#: What the version of a capsule that was made for a move has behind that of the one it comes from: the epoch of the copy.
_MARK = r"-moved-[0-9]+"
_LONGEST = 64


def plan_clone_first(view: View, instance: str, to_hn: str, to_rm: str | None = None) -> plans.Plan:
    """Plan to start a copy of an instance in another HN, and to remove the instance when the copy has taken over.

    Besides what plan_move returns the plan has C(version) of the capsule for the copy, C(copied), its manifest, C(publish) (whether it is still to be made),
    C(holders) of it, and C(passing), the C(rm) and C(version) of capsules that nobody needs after the move. A move that was cut off is taken up where it
    stands.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    there = next((record for record, site in plans.records_of(view, instance) if site.name == to_hn), None)
    begun = there is not None and any(site.name != to_hn for unused, site in plans.records_of(view, instance))
    plan = plans.plan_move(view, instance, to_hn, to_rm, copies=True)
    if plan["done"]:
        return plan
    record = plan["record"]
    if begun and there["capsule"] == record["capsule"]:
        raise Refused(f"{instance} is on its way to {to_hn} already; finish the move as it was begun, with strategy=suspend.")
    if not begun and not (record["state"] == "running" and record["in_rotation"]):
        raise Refused(f"{instance} does not serve, so there is nothing that a copy could take over; move it with strategy=suspend.")
    if record.get("intranet_address"):
        raise Refused(f"{instance} has a tunnel, and its intranet address can be in one HN only; move it with strategy=suspend.")
    epoch = max((site.epochs.get(instance, 0) for site in view.sites.values()), default=0) + 1
    version = there["capsule"] if begun else moved_version(record["capsule"], epoch)
    try:
        copied, holders = plans.holders_of(view, names.instance(instance), version)
    except NotFound:
        copied, holders = None, []
    made = [{"rm": rm.name, "version": held["version"]} for rm in view.rms.values() for held in rm.capsules if _passes(view, record, held)]
    gone = [one for one in made if one["version"] != version] + [{"rm": record["rm"], "version": version}]
    return {
        **plan,
        "final_state": "running",
        "version": version,
        "copied": copied,
        "publish": not holders,
        "holders": holders or [record["rm"]],
        "passing": gone,
    }


def passing(view: View, record: plans.Plan) -> list[str]:
    """Return the RMs that hold capsules which nobody needs after a move of the instance with this record, as their VMAs were told."""
    return [rm for site in view.sites.values() for each in site.held if _passes(view, record, each["manifest"]) for rm in each["rms"]]


def _passes(view: View, record: plans.Plan, manifest: plans.Plan) -> bool:
    """Whether a capsule was made for a move of the service, and no other instance comes from it."""
    used = {one["capsule"] for site in view.sites.values() for one in site.records if one["instance"] != record["instance"]}
    of_service = (manifest["name"], manifest["domain"]) == (record["service"], record["domain"])
    return of_service and manifest["version"] not in used and re.search(rf"{_MARK}$", manifest["version"]) is not None


def moved_version(version: str, epoch: int) -> str:
    """Return the version of the capsule that is made for a move of what came from *version*."""
    mark = f"-moved-{epoch}"
    return re.sub(rf"{_MARK}$", "", version)[: _LONGEST - len(mark)].rstrip("._+-") + mark
