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
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import plan as plans
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


def plan_move_cluster(
    view: View, instances: t.Sequence[str], to_hn: str | None = None, to_rm: str | None = None, strategy: str = "best"
) -> plans.Plan:
    """Plan to move several instances into another HN as one; a move that was cut off is taken up where it stands.

    Besides C(moves), what plan_move says of each that is not there yet, the plan has what the VMAs are asked and told, as the module C(vma_instances) takes
    it: at the target C(reserve), C(coming), C(gone) if it is taken back and C(close) at the end; at the source C(stays) if nothing was
    touched yet, and what move_orders() says. C(services) say for each service's name who leaves, what served it before, and whether it is served
    elsewhere, too.

    Args:
        view: the observed mesh.
        instances: their names.
        to_hn: the HN.
        to_rm: the RM, or None to let the VMA choose.
        strategy: C(suspend), or C(best), which is that. What was moved alive could not be had back if another one cannot be.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    domain = together(instances)[0].domain
    if strategy not in ("best", "suspend"):
        raise Refused(f"A cluster cannot move with strategy={strategy}, for all of it must be had back if one cannot be moved; use strategy=suspend.")
    if not to_hn:
        raise InvalidInput("Say in which HN the cluster shall live.")
    target = plans.site_of(view, to_hn)
    every = [plans.plan_move(view, instance, to_hn, to_rm) for instance in instances]
    moves = [move for move in every if not move["done"]]
    refuse_unreachable(target, [(move["instance"], move["record"]) for move in every])
    common = {"operation": "move", "way": "cluster", "domain": domain, "instances": list(instances), "done": not moves, "target": plans.site_plan(target)}
    if not moves:
        return common
    first = moves[0]
    for move in moves:
        one, other = first["instance"], move["instance"]
        if move["source"] != first["source"]:
            raise Refused(f"{one} is in {first['source']['hn']} and {other} in {move['source']['hn']}: a cluster moves from one HN to another.")
        if move["final_state"] != first["final_state"]:
            raise Refused(f"{one} is to be {first['final_state']} and {other} {move['final_state']}: a cluster moves running or suspended.")
    return {
        **common,
        "source": first["source"],
        "final_state": first["final_state"],
        "moves": moves,
        "reserve": [{"instance": move["instance"], "operation": "move", "reservation": _reservation(move)} for move in moves],
        "coming": [
            {
                "instance": move["instance"],
                "state": move["final_state"],
                "in_rotation": move["final_state"] == "running",
                "step": f"take over from {move['record']['rm']} in {move['source']['hn']}",
            }
            for move in moves
        ],
        "gone": [{"instance": move["instance"], "state": "absent"} for move in moves],
        "close": [{"instance": instance, "operation_done": True} for instance in instances],
        "stays": [
            {"instance": record["instance"], "state": record["state"], "in_rotation": record["in_rotation"], "operation_done": True}
            for record in (move["record"] for move in moves)
        ],
        "services": _services(moves),
        "tunnels": sorted({move["record"]["service"] for move in moves if move["record"].get("intranet_address")}),
        "capsules": [
            {"service": service, "version": version, "holders": holders}
            for (service, version), holders in {(move["record"]["service"], move["capsule"]): _nearest_first(move) for move in moves}.items()
        ],
        "peers": plans.peers_of(view),
    }


def move_orders(plan: t.Mapping[str, t.Any], coming: t.Sequence[Record], timeout: float) -> dict[str, t.Any]:
    """Return what follows from the reservations of a cluster's move.

    Args:
        plan: as plan_move_cluster() returned it.
        coming: the target's records, in the order of its C(moves).
        timeout: seconds for each side of the cut-over.

    Returns:
        C(cutovers), each RM's part of the wave; C(removals), what is to be removed from each RM of the source in the end, as the module C(instances) takes it;
        C(leaving), what the source's VMA is told before it; C(again), what it is told if all is to run there again, above the target's epochs.
    """
    cutovers: dict[str, dict[str, t.Any]] = {}
    removals: dict[str, list[dict[str, t.Any]]] = {}
    for move, record in zip(plan["moves"], coming):
        source, order = move["record"]["rm"], {"name": record["instance"], "epoch": record["epoch"]}
        for rm, side, more in (
            (source, "source", {"peer": plan["peers"][record["rm"]]}),
            (record["rm"], "target", {"state": plan["final_state"], "vlan": record["vlan"], "record": record}),
        ):
            cutovers.setdefault(rm, {"side": side, "timeout": timeout, "instances": []})["instances"].append({**order, **more})
        removals.setdefault(source, []).append({**order, "state": "absent"})
    runs = plan["final_state"] == "running"
    leaving = {"state": "leaving", "in_rotation": False, "operation": "move"}
    again = {"state": plan["final_state"], "in_rotation": runs, "operation_done": True}
    return {
        "cutovers": {rm: {"cutovers": part} for rm, part in cutovers.items()},
        "removals": removals,
        # Who counts on the source's address for a while yet is served nevertheless.
        "leaving": [
            {
                "instance": record["instance"],
                "forward_to": record["public_address"] if runs else None,
                "step": f"hand over to {record['rm']} in {plan['target']['hn']} at epoch {record['epoch']}",
                **leaving,
            }
            for record in coming
        ],
        "again": [{"instance": record["instance"], "epoch_above": record["epoch"], **again} for record in coming],
    }


def _reservation(move: plans.Plan) -> dict[str, t.Any]:
    record = move["record"]
    return {
        **{key: record[key] for key in ("capsule", "guest", "ports", "balance")},
        "requirements": move["requirements"],
        "intranet_address": record.get("intranet_address"),
        "own_address": True,
        "rm": move["to_rm"],
        "exclude_rms": move["exclude_rms"],
        "epoch_above": move["epoch_above"],
    }


def _services(moves: t.Sequence[plans.Plan]) -> list[dict[str, t.Any]]:
    services: dict[str, dict[str, t.Any]] = {}
    for move in moves:
        record, hn = move["record"], move["source"]["hn"]
        mine = services.setdefault(record["service"], {"service": record["service"], "leaves": [], "serves": [], "elsewhere": move["served_elsewhere"]})
        mine["leaves"].append({"hn": hn, "instance": record["instance"]})
        if record["in_rotation"] and not mine["serves"]:
            mine["serves"].append({"hn": hn, "public_address": record["public_address"], "ports": record["ports"]})
    return list(services.values())


def _nearest_first(move: plans.Plan) -> list[str]:
    """Return who holds the capsule, the RM where the instance runs first."""
    return sorted(move["holders"], key=lambda rm: (rm != move["record"]["rm"], rm))
