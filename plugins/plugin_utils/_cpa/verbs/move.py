# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Move an instance into another HN or to another RM, or a cluster into another HN."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.patience import patience
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import concern, lookups
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import move as deciding
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.cluster import plan_move_cluster
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.ways import clone_first, hand_over, within


#: Seconds that a cut-over may take besides what the memory takes.
CUT_OVER = 300.0


def plan(
    view: View,
    names: parts.Naming,
    instances: t.Sequence[str],
    strategy: str,
    to_hn: str | None,
    to_rm: str | None,
    public_address: str | None,
    timeout: float | None,
    **waiting: t.Any,
) -> Plan:
    """Plan a move; C(move.plan_move) and C(cluster.plan_move_cluster) say which way it goes, and what is refused.

    Args:
        view: the observed mesh.
        names: how names follow.
        instances: what moves; several are a cluster.
        strategy: C(best), C(suspend), C(live) or C(clone_first).
        to_hn: the HN, or None for its own.
        to_rm: the RM, or None to let the VMA choose.
        public_address: its service's there, or None.
        timeout: seconds that the cut-over may take on either side; None for as long as the memory that moves calls for.
        waiting: how long the source is drained with C(clone_first), as C(parts.waited) takes it.
    """
    moving = [record for name in instances for record, unused in lookups.records_of(view, name)]
    # It is written, sent, flushed and read.
    timeout = patience(parts.memory_of(moving), timeout, CUT_OVER, passes=4)
    if len(instances) > 1:
        if public_address:
            raise Refused("The services of a cluster get their public addresses by themselves; leave move_public_address out.")
        cluster = plan_move_cluster(view, instances, to_hn, to_rm, strategy)
        if cluster["done"]:
            return _ended(view, instances, view.sites[str(to_hn)], f"{' and '.join(instances)} live in {to_hn} already.")
        return hand_over.HandOver(view, names, cluster["moves"], hand_over.Wanted(False, True, None, timeout), instances).plan()
    decided = deciding.plan_move(view, instances[0], to_hn, to_rm, strategy)
    if decided["done"]:
        home = next(site for record, site in lookups.records_of(view, instances[0]))
        return _ended(view, instances, home, f"{instances[0]} lives on {decided['record']['rm']} already.")
    if decided["way"] == "within":
        return within.plan(view, decided, timeout)
    if decided["way"] == "clone_first":
        return clone_first.plan(view, names, decided, clone_first.Wanted(public_address, timeout, waiting))
    return hand_over.HandOver(view, names, [decided], hand_over.Wanted(decided["live"], False, public_address, timeout), instances).plan()


def concerned(view: View, instances: t.Sequence[str], strategy: str, to_hn: str | None, to_rm: str | None, **_other: t.Any) -> concern.Concern:
    """Return whom the plan depends on."""
    return deciding.concerned(view, instances, to_hn, to_rm, strategy)


def _ended(view: View, instances: t.Sequence[str], home: Site, said: str) -> Plan:
    """Return the plan of a move to where all live already: an earlier run may not have come to its very end."""
    unfinished = [{"instance": name, "operation_done": True} for name in instances if home.unfinished.get(name) == "move"]
    close = [parts.tell("close", home, unfinished, "close the operation")] if unfinished else []
    swept = parts.swept(view, instances, [site for site in view.sites.values() if site is not home])
    if not close and not swept:
        return Plan("move", " and ".join(instances), nothing=said)
    settle = (parts.stage("close", "Close the operation", *close),) if close else ()
    return Plan("move", " and ".join(instances), settle=(*swept, *settle), stopped="Run this again when this is mended.", done=said)
