# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The registry as a person or a planner sees it."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import (
    capsules,
    claims,
    journal,
    leases,
    lost,
    placement,
    records,
    reservations,
    rms,
    runs,
    schema,
    surroundings,
    witness,
)
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import reading

if t.TYPE_CHECKING:
    from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import Transaction


def overview(url: str, instance: str | None = None, domain: str | None = None, last: int = 20) -> dict[str, t.Any]:
    """Return what the registry knows.

    That is hn, rms (with what is left, and whether what they hold is known), the strays that RMs hold without a record, capsules (each with the rms that
    hold it), records, routers by domain, epochs by instance, operations (the open ones and the *last* closed ones), the leases that have not ended, with the
    highest number of all in hn, whether that is older than what was granted, and whether an operation has come here since the VMA's host started (C(attended));
    the runs that have not ended, with their plans; and the HNs that were given up as lost.

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
    with reading(url) as tx:
        used, holdings, machines = records.used(tx), records.holdings(tx), rms.everything(tx)
        shown = records.everything(tx) if domain is None else records.of_domain(tx, domain)
        # Nobody comes for these any more; the next reservation gives them back.
        given_back = reservations.expired(tx)
        shown = [record for record in shown if record["instance"] not in given_back]
        vlans = _vlans(tx, domain)
        held, listed = capsules.everything(tx, domain), capsules.listed(tx)
        cut_off, gave_up = runs.unfinished(tx, instance, domain), lost.listing(tx)
        leased, highest = leases.listing(tx, instance, domain), leases.highest(tx)
        attended = witness.attended(tx)
        older, unheard, strays = witness.older(tx), witness.unheard(tx), witness.strays(tx)
        epochs, operations = records.epochs(tx, instance, domain), journal.listing(tx, last, instance, domain)
    # A commit waits for those who read, so what else there is to do is done afterwards.
    return {
        "hn": {**tx.hn, "generation": tx.generation, "lease": highest, "older": older, "attended": attended},
        "rms": [
            {
                **rm,
                **{f"{key}_left": room for key, room in placement.left(rm, used, tx.hn["vcpu_overcommit"]).items()},
                "instances": holdings.get(rm["name"], []),
                "listed": rm["name"] in listed,
                "heard": rm["name"] not in unheard,
            }
            for rm in machines
        ],
        "strays": strays,
        "capsules": held,
        "records": [record for record in shown if instance in (None, record["instance"])],
        "routers": _routers(vlans, shown, tx.generation),
        "epochs": epochs,
        "operations": operations,
        "leases": leased,
        "runs": cut_off,
        "lost": gave_up,
    }


def wait(url: str, numbers: t.Mapping[str, int], seconds: float) -> None:
    """Wait until leases have ended, at most so many seconds. Nobody is kept from anything meanwhile.

    Args:
        url: the registry.
        numbers: of the leases, by instance.
        seconds: how long.
    """

    def ended() -> bool:
        with reading(url) as tx:
            return not {(each["instance"], each["number"]) for each in leases.listing(tx)} & set(numbers.items())

    with contextlib.suppress(DeadlineExceeded):
        wait_for(ended, seconds, "others to end", first=0.1)


def _vlans(tx: Transaction, domain: str | None) -> dict[str, int]:
    """Return the VLAN of each domain that has one, or of *domain* the one that it has or had last."""
    if domain is None:
        return {row["domain"]: row["vlan"] for row in claims.vlans(tx, schema.VLANS.c.released.is_(None))}
    vlan = claims.latest_vlan(tx, domain)
    return {} if vlan is None else {domain: vlan}


def _routers(vlans: dict[str, int], shown: list[dict[str, t.Any]], generation: int) -> dict[str, dict[str, t.Any]]:
    """Return the document of each domain in *vlans*, whose records are *shown*."""
    of_domain: dict[str, list[dict[str, t.Any]]] = {domain: [] for domain in sorted(vlans)}
    for record in shown:
        of_domain[record["domain"]].append(record)
    return {domain: surroundings.router_document(mine, domain, generation, vlans[domain]) for domain, mine in of_domain.items()}
