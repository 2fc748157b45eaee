# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The HN itself: its name, public pools, VLANs and how far vCPUs are overcommitted."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import addresses, records, schema
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Change, transaction


def declare(url: str, name: str, public_pools: list[str], vlan_first: int, vlan_last: int, vcpu_overcommit: int, dry_run: bool = False) -> Change:
    """Set the registry up for one HN, making it where there is none.

    Args:
        public_pools: CIDRs.
        vlan_first: the first VLAN that a domain may get, 1 to 4094.
        vlan_last: the last one.
        vcpu_overcommit: how many vCPUs of instances share one of an RM.

    Raises:
        InvalidInput: something is malformed.
        Refused: the registry belongs to another HN, or what is in use would fall outside.
    """
    names.label("hosting network", name)
    wanted = {"name": name, "public_pools": addresses.pools(public_pools), "vlan_first": vlan_first, "vlan_last": vlan_last, "vcpu_overcommit": vcpu_overcommit}
    if not 1 <= vlan_first <= vlan_last <= 4094:
        raise InvalidInput(f"{vlan_first} to {vlan_last} is not a range of VLANs: it must lie within 1 to 4094.")
    if vcpu_overcommit < 1:
        raise InvalidInput(f"vcpu_overcommit must be at least 1, not {vcpu_overcommit}.")
    with transaction(url, dry_run, create=True) as tx:
        if tx.hn["name"] not in (None, name):
            raise Refused(f"This registry belongs to {tx.hn['name']}, so it cannot be set up for {name}.")
        for record in records.everything(tx):
            if not addresses.in_pools(record["public_address"], wanted["public_pools"]):
                raise Refused(f"The public pools must keep {record['public_address']}: the service {record['service']} of {record['domain']} uses it.")
            if not vlan_first <= record["vlan"] <= vlan_last:
                raise Refused(f"The VLANs must keep {record['vlan']}: {record['domain']} uses it.")
        before = _shown(tx.hn)
        if wanted != tx.hn:
            tx.change(sa.update(schema.REGISTRY).values(**wanted))
        return Change(wanted != tx.hn, before, wanted, {"hn": {**wanted, "generation": tx.generation}})


def _shown(row: dict[str, t.Any]) -> dict[str, t.Any]:
    return dict(row) if row["name"] else {}
