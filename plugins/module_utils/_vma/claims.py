# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What the domains and services of this HN hold: a VLAN per domain, a public address per service."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import addresses, schema
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction


def vlans(tx: Transaction, *where: t.Any) -> list[dict[str, t.Any]]:
    """Return the VLANs in use and, after them, those that rest, least recently released first; only those to which *where* applies."""
    return _in_order(tx.rows(sa.select(schema.VLANS).where(*where)), "vlan")


def public_addresses(tx: Transaction, *where: t.Any) -> list[dict[str, t.Any]]:
    """Return the public addresses in use and, after them, those that rest, least recently released first; only those to which *where* applies."""
    return _in_order(tx.rows(sa.select(schema.PUBLIC_ADDRESSES).where(*where)), "address")


def latest_vlan(tx: Transaction, domain: str) -> int | None:
    """Return the VLAN that a domain has, or had last."""
    mine = vlans(tx, schema.VLANS.c.domain == domain)
    return next((row["vlan"] for row in mine if row["released"] is None), mine[-1]["vlan"] if mine else None)


def claim_vlan(tx: Transaction, domain: str) -> int:
    """Return the domain's VLAN; if it holds none, give it the one that it had last or, failing that, a free one."""
    held = vlans(tx, schema.VLANS.c.domain == domain, schema.VLANS.c.released.is_(None))
    if held:
        return held[0]["vlan"]
    mine = latest_vlan(tx, domain)
    if mine is None or not tx.hn["vlan_first"] <= mine <= tx.hn["vlan_last"]:
        rows = vlans(tx)
        rested = [row["vlan"] for row in rows if row["released"] is not None]
        mine = addresses.choose_vlan(tx.hn["name"], tx.hn["vlan_first"], tx.hn["vlan_last"], {row["vlan"] for row in rows}.difference(rested), rested)
    hold_vlan(tx, domain, mine)
    return mine


def claim_public(tx: Transaction, domain: str, service: str, wanted: str | None) -> str:
    """Return the service's public address; if it holds none, give it *wanted*, else the one that it had last, else a free one.

    Raises:
        InvalidInput: *wanted* is no address.
        Refused: *wanted* is taken, outside the pools, or not the one that the service holds; or none is free.
    """
    hn, table = tx.hn, schema.PUBLIC_ADDRESSES.c
    own = public_addresses(tx, table.domain == domain, table.service == service)
    mine = [row["address"] for row in own if row["released"] is None]
    if mine and wanted not in (None, mine[0]):
        raise Refused(f"The service {service} of {domain} has the public address {mine[0]} in {hn['name']} already, so it cannot have {wanted} too.")
    if mine:
        return mine[0]
    before = [row["address"] for row in own if addresses.in_pools(row["address"], hn["public_pools"])]
    if wanted is not None:
        rows = public_addresses(tx, table.address == wanted, table.released.is_(None))
        owners = {row["address"]: f"the service {row['service']} of {row['domain']}" for row in rows}
        address = addresses.checked_public(hn["name"], wanted, hn["public_pools"], owners)
    elif before:
        address = before[-1]
    else:
        rows = public_addresses(tx)
        held, rested = ([row["address"] for row in rows if (row["released"] is None) is in_use] for in_use in (True, False))
        address = addresses.choose_public(hn["name"], hn["public_pools"], held, rested)
    hold_public(tx, domain, service, address)
    return address


def hold_vlan(tx: Transaction, domain: str, vlan: int) -> None:
    """Write down that a domain has a VLAN that is free."""
    tx.change(sa.delete(schema.VLANS).where(schema.VLANS.c.vlan == vlan))
    tx.change(sa.insert(schema.VLANS).values(vlan=vlan, domain=domain, released=None))


def hold_public(tx: Transaction, domain: str, service: str, address: str) -> None:
    """Write down that a service has a public address that is free."""
    tx.change(sa.delete(schema.PUBLIC_ADDRESSES).where(schema.PUBLIC_ADDRESSES.c.address == address))
    tx.change(sa.insert(schema.PUBLIC_ADDRESSES).values(address=address, domain=domain, service=service, released=None))


def release(tx: Transaction, gone: dict[str, t.Any]) -> None:
    """Let rest what a record that was removed used, and nobody uses any more."""
    records, vlan, public = schema.RECORDS.c, schema.VLANS.c, schema.PUBLIC_ADDRESSES.c
    of_domain, of_service = records.domain == gone["domain"], records.service == gone["service"]
    if _nobody(tx, of_domain, records.vlan == gone["vlan"]):
        _rest(tx, schema.VLANS, vlan.vlan == gone["vlan"], vlan.domain == gone["domain"])
    if _nobody(tx, of_domain, of_service, records.public_address == gone["public_address"]):
        _rest(tx, schema.PUBLIC_ADDRESSES, public.address == gone["public_address"], public.domain == gone["domain"], public.service == gone["service"])


def release_all_but(tx: Transaction, records: t.Iterable[dict[str, t.Any]]) -> None:
    """Let rest what nobody among *records* (all that there are) uses any more."""
    records = list(records)
    domains = {(record["domain"], record["vlan"]) for record in records}
    services = {(record["domain"], record["service"], record["public_address"]) for record in records}
    for row in vlans(tx, schema.VLANS.c.released.is_(None)):
        if (row["domain"], row["vlan"]) not in domains:
            _rest(tx, schema.VLANS, schema.VLANS.c.vlan == row["vlan"])
    for row in public_addresses(tx, schema.PUBLIC_ADDRESSES.c.released.is_(None)):
        if (row["domain"], row["service"], row["address"]) not in services:
            _rest(tx, schema.PUBLIC_ADDRESSES, schema.PUBLIC_ADDRESSES.c.address == row["address"])


def _nobody(tx: Transaction, *where: t.Any) -> bool:
    return not tx.rows(sa.select(schema.RECORDS.c.instance).where(*where).limit(1))


def _rest(tx: Transaction, table: t.Any, *where: t.Any) -> None:
    tx.change(sa.update(table).where(*where, table.c.released.is_(None)).values(released=tx.generation))


def _in_order(rows: list[dict[str, t.Any]], key: str) -> list[dict[str, t.Any]]:
    return sorted(rows, key=lambda row: (row["released"] is not None, row["released"] or 0, row[key]))
