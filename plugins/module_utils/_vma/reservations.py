# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Is there room? One call that reserves it, or says why not."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import balance, names, ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import (
    addresses,
    claims,
    journal,
    leases,
    placement,
    records,
    rms,
    runs,
    schema,
    surroundings,
    witness,
)
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Change, transaction

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction


#: Seconds that a reservation keeps room and addresses when nobody comes for them.
LIFE = 3600


def reserve(url: str, wanted: dict[str, t.Any], dry_run: bool = False) -> Change:
    """Reserve room, addresses, VLAN and an epoch for an instance; what is there already and fits is returned as it is.

    Args:
        wanted: instance, capsule, guest, ports, requirements; balance, intranet_address, own_address, rm, exclude_rms, public_address, epoch_above
            and operation may be None.

    Raises:
        InvalidInput: something is malformed.
        NotFound: the registry has not been set up.
        Refused: there is no room or address, the instance is here already and other than asked, an operation has leased it, or an RM may run what is not
            known.
    """
    name = names.instance(wanted["instance"])
    with transaction(url, dry_run) as tx:
        before = records.view(tx, wanted["instance"])
        with leases.without(tx, [wanted["instance"]]):
            ensure(tx, wanted)
        return records.outcome(tx, wanted["instance"], name.domain, before)


def ensure(tx: Transaction, wanted: dict[str, t.Any]) -> None:
    """Do the work of reserve(), with its arguments and errors, as a part of a transaction."""
    name = names.instance(wanted["instance"])
    asked = {
        "capsule": names.version(wanted["capsule"]),
        "guest": addresses.guest(wanted["guest"]),
        "ports": ports.checked(f"service {name.service}", wanted["ports"]),
        "balance": balance.checked(wanted.get("balance")),
        "requirements": surroundings.requirements(wanted["requirements"]),
        "intranet_address": addresses.intranet(wanted.get("intranet_address")),
    }
    if (wanted.get("epoch_above") or 0) < 0:
        raise InvalidInput(f"epoch_above must not be negative, as {wanted['epoch_above']} is.")
    record = records.one(tx, wanted["instance"])
    differs = _differs(record, asked, wanted) if record else []
    if record and differs == ["epoch"] and record["state"] != "reserved":
        # Somebody else has reserved for it, and given that back. It goes on here, above whatever was granted elsewhere.
        records.write(tx, {**record, "epoch": wanted["epoch_above"] + 1})
        return
    if record and differs and record["state"] != "reserved":
        raise Refused(f"{wanted['instance']} is {record['state']} in {tx.hn['name']} already, but not as asked: its {' and '.join(differs)} would be other.")
    if differs:
        records.remove(tx, wanted["instance"])
    if differs or not record:
        _grant(tx, name, asked, wanted)


def undo(url: str, instance: str, dry_run: bool = False) -> Change:
    """Give back what was reserved for an instance that has not begun to run; its operation ends.

    Raises:
        Refused: it is more than reserved, or an operation has leased it.
    """
    name = names.instance(instance)
    with transaction(url, dry_run) as tx, leases.without(tx, [instance]):
        before = records.view(tx, instance)
        if before["record"]:
            if before["record"]["state"] != "reserved":
                raise Refused(f"{instance} is {before['record']['state']} in {tx.hn['name']}, not merely reserved: vma_instance removes its record.")
            records.remove(tx, instance)
            journal.append(tx, instance, "reservation undone")
            journal.close(tx, instance)
        return records.outcome(tx, instance, name.domain, before)


def expired(tx: Transaction) -> set[str]:
    """Return what is merely reserved for, and nobody will come for any more: it is old, no operation is at work on it, and none was cut off."""
    records_of, operations = schema.RECORDS.c, schema.OPERATIONS.c
    young = sa.select(operations.instance).where(operations.closed.is_(None), operations.opened > journal.before(LIFE))
    old = tx.rows(sa.select(records_of.instance).where(records_of.state == "reserved", records_of.instance.not_in(young)))
    return {each["instance"] for each in old if not leases.listing(tx, each["instance"]) and not runs.unfinished(tx, each["instance"])}


def _give_back_expired(tx: Transaction) -> None:
    for instance in sorted(expired(tx)):
        records.remove(tx, instance)
        journal.append(tx, instance, "reservation ended by itself")
        journal.close(tx, instance)


def _differs(record: dict[str, t.Any], asked: dict[str, t.Any], wanted: dict[str, t.Any]) -> list[str]:
    """Name what of an existing record is other than asked."""
    differs = [key.replace("_", " ") for key, value in asked.items() if record[key] != value]
    if wanted.get("rm") not in (None, record["rm"]) or record["rm"] in (wanted.get("exclude_rms") or ()):
        differs.append("RM")
    if wanted.get("public_address") not in (None, record["public_address"]):
        differs.append("public address")
    if record["epoch"] <= (wanted.get("epoch_above") or 0):
        differs.append("epoch")
    if wanted.get("own_address") and record["fabric_address"] != asked["guest"]["address"].partition("/")[0]:
        differs.append("fabric address")
    return differs


def _grant(tx: Transaction, name: names.InstanceName, asked: dict[str, t.Any], wanted: dict[str, t.Any]) -> None:
    witness.refuse_incomplete(tx)
    _give_back_expired(tx)
    instance, neighbours = wanted["instance"], records.of_domain(tx, name.domain)
    addresses.refuse_taken_intranet(instance, asked["intranet_address"], neighbours)
    fabric_address = addresses.fabric_address(instance, asked["guest"], neighbours, own=bool(wanted.get("own_address")))
    rm = placement.choose(
        tx.hn["name"],
        instance,
        asked["requirements"],
        rms.everything(tx),
        records.used(tx),
        tx.hn["vcpu_overcommit"],
        pin=wanted.get("rm"),
        exclude=wanted.get("exclude_rms") or (),
    )
    record = {
        "instance": instance,
        "service": name.service,
        "domain": name.domain,
        "rm": rm,
        "moves_to": None,
        "epoch": max(records.highest_epoch(tx, instance), wanted.get("epoch_above") or 0) + 1,
        "state": "reserved",
        "in_rotation": False,
        "fabric_address": fabric_address,
        "vlan": claims.claim_vlan(tx, name.domain),
        "public_address": addresses.outside_guests(claims.claim_public(tx, name.domain, name.service, wanted.get("public_address")), asked["guest"]),
        "forward_to": None,
        **asked,
    }
    records.write(tx, record)
    journal.begin(tx, instance, wanted.get("operation") or "place")
    journal.append(tx, instance, f"reserved on {rm} with epoch {record['epoch']}")
