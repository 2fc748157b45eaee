# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Making the registry equal to what really runs, such as after its file was lost."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import balance, names, ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import addresses, claims, leases, records, rms, surroundings, witness
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Change, transaction

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction

Instance = t.Dict[str, t.Any]


def rebuild(url: str, instances: list[Instance], routers: list[dict[str, t.Any]], dry_run: bool = False) -> Change:
    """Replace the records by those of what runs.

    Args:
        instances: what every RM of the HN holds: name, state, epoch, record, rm, whether the epoch was granted "here" (true if not said), and the highest
            number of a "lease" that the RM acted under (0).
        routers: the documents in force on the HN's gateway, each with the highest "lease" that it acted under (0); more keys do no harm.

    What is merely reserved stays, because nothing of it runs yet; so does what was handed over but not yet cleared, because a move that was cut short needs it.
    The generation rises above those of the documents, or the gateway would ignore the next one.

    Raises:
        InvalidInput: an instance is malformed.
        Refused: two RMs run one instance, what runs contradicts itself or the HN's pools and VLANs, or an operation has leased what would change.
    """
    _whole("An instance", instances, ("name", "state", "epoch", "rm"))
    _whole("A router", routers, ("domain", "vlan", "generation", "services"))
    with transaction(url, dry_run, mends=True) as tx:
        before = records.everything(tx)
        held = _held(instances)
        members = {member["instance"] for router in routers for service in router["services"] for member in service["members"]}
        after = [_record(tx, found, members, before) for found in held.values()]
        handed_over = {(found["name"], found["rm"]) for found in instances if _handed_over(found)}
        after += [
            record
            for record in before
            if record["instance"] not in held and (record["state"] == "reserved" or (record["instance"], record["rm"]) in handed_over)
        ]
        after.sort(key=lambda record: record["instance"])
        _check(tx, after, routers)
        with leases.without(tx, sorted({each["instance"] for part, other in ((before, after), (after, before)) for each in part if each not in other})):
            _store(tx, before, after)
        for found in instances:
            records.remember_epoch(tx, found["name"], found["epoch"])
        # Or devices would take the next operations for earlier ones.
        leases.know(tx, max((each.get("lease", 0) for each in (*instances, *routers)), default=0), {found["name"] for found in instances})
        witness.believe(tx)
        newest = max((router["generation"] for router in routers), default=0)
        if newest > tx.generation:
            tx.raise_generation(newest)
        documents = {domain: records.router(tx, domain) for domain in sorted({record["domain"] for record in after})}
        result = {"records": after, "routers": documents, "generation": tx.generation}
        return Change(tx.raised, {"records": before, "generation": tx.generation_before}, {"records": after, "generation": tx.generation}, result)


def _whole(what: str, items: list[dict[str, t.Any]], needed: tuple[str, ...]) -> None:
    for item in items:
        missing = [key for key in needed if key not in item]
        if missing:
            raise InvalidInput(f"{what} that the registry is rebuilt from lacks {', '.join(missing)}.")


def _handed_over(found: Instance) -> bool:
    """Say whether an RM holds no more than the remains of an instance that it gave to another RM."""
    return not found.get("here", True) and found["state"] != "running"


def _held(instances: list[Instance]) -> dict[str, Instance]:
    """Return the one copy of each instance that counts: the running one, else the one with the highest epoch."""
    held: dict[str, Instance] = {}
    for found in sorted(instances, key=lambda item: (item["name"], item["state"] == "running", item["epoch"])):
        names.instance(found["name"])
        if found["state"] == "absent" or _handed_over(found):
            continue
        if found["epoch"] < 1:
            raise InvalidInput(f"{found['name']} on {found['rm']} cannot have the epoch {found['epoch']}: epochs begin with 1.")
        other = held.get(found["name"])
        if other and other["state"] == found["state"] == "running":
            raise Refused(
                f"{found['name']} runs on {other['rm']} and on {found['rm']}: remove one of them first, by the playbook remove with "
                f"remove_instance={found['name']} and remove_rm."
            )
        if other and (other["state"] == "running", other["epoch"]) == (found["state"] == "running", found["epoch"]):
            raise Refused(
                f"{found['name']} lies on {other['rm']} and on {found['rm']} with the same epoch {found['epoch']}: one of them must be removed first."
            )
        held[found["name"]] = found
    return held


def _record(tx: Transaction, found: Instance, members: set[str], before: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    known = found.get("record") or next((record for record in before if record["instance"] == found["name"]), None)
    missing = [key for key in ("capsule", "guest", "fabric_address", "vlan", "public_address", "ports", "requirements") if not (known or {}).get(key)]
    if missing:
        raise Refused(f"{found['name']} on {found['rm']} cannot be recorded: nobody knows its {', '.join(missing)}.")
    name = names.instance(found["name"])
    state = found["state"] if found["state"] in surroundings.STATES else "stopped"
    return {
        "instance": found["name"],
        "service": name.service,
        "domain": name.domain,
        "capsule": names.version(known["capsule"]),
        "rm": found["rm"],
        "moves_to": None,
        "epoch": found["epoch"],
        "state": state,
        "in_rotation": state == "running" and found["name"] in members,
        "guest": addresses.guest(known["guest"]),
        "fabric_address": addresses.ipv4("The fabric address", known["fabric_address"]),
        "intranet_address": addresses.intranet(known.get("intranet_address")),
        "vlan": known["vlan"],
        "public_address": addresses.ipv4("The public address", known["public_address"]),
        "forward_to": None,
        "ports": ports.checked(f"service {name.service}", known["ports"]),
        "balance": balance.checked(known.get("balance")),
        "requirements": surroundings.requirements(known["requirements"]),
    }


def _check(tx: Transaction, after: list[dict[str, t.Any]], routers: list[dict[str, t.Any]]) -> None:
    """Refuse records that contradict each other, the routers in force or the HN."""
    subscribed = {rm["name"] for rm in rms.everything(tx)}
    # Of each thing that only one may have: who has it, and of each owner: what it has.
    owners: dict[tuple[str, t.Any], str] = {}
    holdings: dict[tuple[str, str], t.Any] = {}
    for router in routers:
        owners["VLAN", router["vlan"]] = router["domain"]
        holdings["VLAN", router["domain"]] = router["vlan"]
    for record in after:
        if record["rm"] not in subscribed:
            raise Refused(f"{record['instance']} is on {record['rm']}, which has not subscribed to {tx.hn['name']} (vma_rm does that).")
        if not addresses.in_pools(record["public_address"], tx.hn["public_pools"]):
            raise Refused(f"{record['instance']} has the public address {record['public_address']}, which is outside the pools of {tx.hn['name']}.")
        if not tx.hn["vlan_first"] <= record["vlan"] <= tx.hn["vlan_last"]:
            raise Refused(f"{record['instance']} has the VLAN {record['vlan']}, which is outside {tx.hn['vlan_first']} to {tx.hn['vlan_last']}.")
        for kind, key, owner, exclusive in (
            ("VLAN", record["vlan"], record["domain"], False),
            ("public address", record["public_address"], f"{record['service']} of {record['domain']}", False),
            ("fabric address", (record["domain"], record["fabric_address"]), record["instance"], True),
        ):
            if owners.setdefault((kind, key), owner) != owner:
                raise Refused(f"{owners[kind, key]} and {owner} both have the {kind} {key[1] if exclusive else key}.")
            if holdings.setdefault((kind, owner), key) != key:
                raise Refused(f"{owner} has two of what it can have only one of: the {kind} {holdings[kind, owner]} and {key}.")


def _store(tx: Transaction, before: list[dict[str, t.Any]], after: list[dict[str, t.Any]]) -> None:
    """Replace *before* by *after*, with the VLANs and public addresses that go with it."""
    changed = [record for record in before if record not in after]
    for record in changed:
        # All that changes goes first: two records may have swapped what only one may have.
        records.drop(tx, record)
    for record in after:
        if record not in before:
            records.write(tx, record)
    claims.release_all_but(tx, after)
    vlans = {row["vlan"] for row in claims.vlans(tx) if row["released"] is None}
    public = {row["address"] for row in claims.public_addresses(tx) if row["released"] is None}
    for record in after:
        if record["vlan"] not in vlans:
            claims.hold_vlan(tx, record["domain"], record["vlan"])
            vlans.add(record["vlan"])
        if record["public_address"] not in public:
            claims.hold_public(tx, record["domain"], record["service"], record["public_address"])
            public.add(record["public_address"])
