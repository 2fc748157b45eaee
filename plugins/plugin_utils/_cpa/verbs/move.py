# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Move an instance into another HN or to another RM, or a cluster into another HN."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.cluster import plan_move_cluster
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.move import plan_move
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.ways import clone_first, hand_over, within


def plan(
    view: View,
    names: parts.Naming,
    instances: t.Sequence[str],
    strategy: str,
    to_hn: str | None,
    to_rm: str | None,
    public_address: str | None,
    timeout: float,
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
        timeout: seconds that the cut-over may take on either side.
        waiting: how long the source is drained with C(clone_first), as C(parts.waited) takes it.
    """
    if len(instances) > 1:
        if public_address:
            raise Refused("The services of a cluster get their public addresses by themselves; leave move_public_address out.")
        cluster = plan_move_cluster(view, instances, to_hn, to_rm, strategy)
        if cluster["done"]:
            return Plan("move", " and ".join(instances), nothing=f"{' and '.join(instances)} live in {to_hn} already.")
        return hand_over.HandOver(view, names, cluster["moves"], hand_over.Wanted(False, True, None, timeout)).plan()
    decided = plan_move(view, instances[0], to_hn, to_rm, strategy)
    if decided["done"]:
        where = decided["record"]["rm"]
        return Plan("move", instances[0], nothing=f"{instances[0]} lives on {where} already.")
    if decided["way"] == "within":
        return within.plan(view, decided, timeout)
    if decided["way"] == "clone_first":
        return clone_first.plan(view, names, decided, clone_first.Wanted(public_address, timeout, waiting))
    return hand_over.HandOver(view, names, [decided], hand_over.Wanted(decided["live"], False, public_address, timeout)).plan()
