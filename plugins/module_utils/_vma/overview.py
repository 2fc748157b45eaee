# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The registry as a person or a planner sees it."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import claims, journal, placement, records, rms
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import transaction


def overview(url: str, instance: str | None = None, domain: str | None = None, last: int = 20) -> dict[str, t.Any]:
    """Return hn, rms (with what is left), records, routers by domain, epochs by instance, and operations (the open ones and the *last* closed ones).

    Args:
        instance: look at this one only.
        domain: look at this one only.

    Raises:
        InvalidInput: a filter is malformed.
        NotFound: the registry has not been set up.
    """
    if instance is not None:
        domain = names.instance(instance).domain
    elif domain is not None:
        names.domain(domain)
    if last < 0:
        raise InvalidInput(f"The number of operations must not be negative, as {last} is.")
    with transaction(url, dry_run=True) as tx:
        everything = records.everything(tx)
        of_domain = [record for record in everything if domain in (None, record["domain"])]
        shown = [record for record in of_domain if instance in (None, record["instance"])]
        owners = sorted({row["domain"] for row in claims.vlans(tx) if row["domain"] == domain or (domain is None and row["released"] is None)})
        return {
            "hn": {**tx.hn, "generation": tx.generation},
            "rms": [
                {
                    **rm,
                    **{f"{key}_left": room for key, room in placement.left(rm, everything, tx.hn["vcpu_overcommit"]).items()},
                    "instances": [record["instance"] for record in everything if record["rm"] == rm["name"]],
                }
                for rm in rms.everything(tx)
            ],
            "records": shown,
            "routers": {owner: records.router(tx, owner) for owner in owners},
            "epochs": {name: epoch for name, epoch in records.epochs(tx).items() if instance in (None, name) and domain in (None, names.instance(name).domain)},
            "operations": journal.listing(tx, last, instance, domain),
        }
