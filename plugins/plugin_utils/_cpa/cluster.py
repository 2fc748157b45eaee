# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Clusters: several instances of a domain that belong together, and planning to move them into another HN as one. Pure functions.

Each goes by its guest address wherever they are, because that is where the others look for it.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import lookups as plans
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View

Record = t.Mapping[str, t.Any]


def together(instances: t.Sequence[str]) -> list[names.InstanceName]:
    """Return the names of *instances* in parts, if they can belong together; raise InvalidInput otherwise."""
    parts = [names.instance(instance) for instance in instances]
    if not parts or len(set(instances)) != len(instances):
        raise InvalidInput("Say which instances, each once, such as 'shop-1.example.com,db-1.example.com'.")
    for instance, part in zip(instances, parts):
        if part.domain != parts[0].domain:
            raise InvalidInput(f"{instances[0]} and {instance} cannot be a cluster: they are not of one domain.")
    return parts


def refuse_unreachable(site: Site, wanted: t.Sequence[tuple[str, Record]]) -> None:
    """Raise Refused when one of a cluster could not go by its guest address in an HN.

    The VMA sees to it once more when it reserves.

    Args:
        site: the HN.
        wanted: the name of each instance there, and a record that has its guest address.
    """
    addresses = [like["guest"]["address"].partition("/")[0] for unused, like in wanted]
    for (name, like), address in zip(wanted, addresses):
        if addresses.count(address) > 1:
            one, other = [each for (each, unused), same in zip(wanted, addresses) if same == address][:2]
            raise Refused(f"{one} and {other} cannot be a cluster: both have the address {address}, and only one could be found there.")
        for other in site.records:
            if other["domain"] != like["domain"]:
                continue
            if other["instance"] == name and other["fabric_address"] != address:
                raise Refused(f"{name} goes by {other['fabric_address']} in {site.name}, so the rest of its cluster would not find it at {address}.")
            if other["instance"] != name and other["fabric_address"] == address:
                raise Refused(f"The rest of its cluster would look for {name} at {address}, but in {site.name} {other['instance']} goes by that address.")


def plan_move_cluster(view: View, instances: t.Sequence[str], to_hn: str | None = None, to_rm: str | None = None, strategy: str = "best") -> plans.Plan:
    """Plan to move several instances into another HN as one; a move that was cut off is taken up where it stands.

    The plan has C(moves), what plan_move says of each that is not there yet; all have one source, and C(done) if there are none.

    Args:
        view: the observed mesh.
        instances: their names.
        to_hn: the HN.
        to_rm: the RM, or None to let the VMA choose.
        strategy: C(suspend), or C(best), which is that. What was moved alive could not be had back if another one cannot be.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    together(instances)
    if strategy not in ("best", "suspend"):
        raise Refused(f"A cluster cannot move with strategy={strategy}, for all of it must be had back if one cannot be moved; use strategy=suspend.")
    if not to_hn:
        raise InvalidInput("Say in which HN the cluster shall live.")
    target = plans.site_of(view, to_hn)
    every = [plans.plan_move(view, instance, to_hn, to_rm) for instance in instances]
    moves = [move for move in every if not move["done"]]
    refuse_unreachable(target, [(move["instance"], move["record"]) for move in every])
    common = {"operation": "move", "way": "cluster", "instances": list(instances), "done": not moves}
    if not moves:
        return common
    first = moves[0]
    for move in moves:
        one, other = first["instance"], move["instance"]
        if move["source"] != first["source"]:
            raise Refused(f"{one} is in {first['source']['hn']} and {other} in {move['source']['hn']}: a cluster moves from one HN to another.")
        if move["final_state"] != first["final_state"]:
            raise Refused(f"{one} is to be {first['final_state']} and {other} {move['final_state']}: a cluster moves running or suspended.")
    return {**common, "moves": moves}
