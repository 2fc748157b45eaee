# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""A set of address records, as a module or a planner wants it."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import confirm, shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.done import Done
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.shapes import Endpoint
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.zone import Edit, Zone, change, rdataset

State = t.Optional[t.Dict[str, t.Any]]


class Wish(t.NamedTuple):
    """What shall become of a record set.

    Attributes:
        name: the absolute name.
        rdtype: C(A) or C(AAAA).
        ttl: seconds; None leaves what is there.
        values: addresses.
        there: whether *values* shall be there, or not be there.
        only: with *there*, whether no others shall be; without it, whether all others shall go, too.
    """

    name: str
    rdtype: str
    ttl: int | None
    values: tuple[str, ...]
    there: bool
    only: bool


def wish(zone: Zone, name: str, rdtype: str, values: t.Sequence[str], ttl: int | None = None, there: bool = True, only: bool = True) -> Wish:
    """Check what an operator asks for; raises InvalidInput."""
    family = {rdtype_: version for version, rdtype_ in shapes.FAMILIES.items()}.get(rdtype)
    if family is None:
        raise InvalidInput(f"{rdtype!r} is not a type of address records: it must be A or AAAA.")
    if there and not values:
        raise InvalidInput(f"No addresses were given for {name}; to remove it, ask for it to be absent.")
    checked = tuple(sorted({shapes.address(value, family) for value in values}))
    return Wish(shapes.record_name(name, zone.name), rdtype, None if ttl is None else shapes.ttl(ttl), checked, there, only)


def outcome(asked: Wish, before: State, default_ttl: int = 60) -> State:
    """Return the record set that *before* becomes; a pure function."""
    found = tuple(before["values"]) if before else ()
    if asked.there:
        values = asked.values if asked.only else tuple(sorted({*found, *asked.values}))
    else:
        values = () if asked.only else tuple(value for value in found if value not in asked.values)
    if not values:
        return None
    # What only takes addresses away leaves the others alone.
    ttl = asked.ttl if asked.ttl is not None and asked.there else before["ttl"] if before else default_ttl
    return {"name": asked.name, "type": asked.rdtype, "ttl": ttl, "values": list(values)}


def look(zone: Zone, name: str, rdtype: str, server: Endpoint | None = None) -> State:
    """Return the record set as {name, type, ttl, values} that a server itself has, or None when it has none."""
    found = zone.read(name, rdtype, server)
    return {"name": name, "type": rdtype, "ttl": found.ttl, "values": sorted(record.address for record in found)} if found else None


def apply(zone: Zone, asked: Wish, servers: t.Sequence[Endpoint] | None = None, confirm_timeout: float = 30.0, check: bool = False) -> Done:
    """Make a record set what is wished, and wait until every authoritative server says so.

    Args:
        zone: the zone with its primary and key.
        asked: what is wished.
        servers: the authoritative servers; None asks the zone itself who they are.
        confirm_timeout: seconds until all must serve it; with 0 none is asked.
        check: whether only to say what would be done.

    Raises:
        Refused: somebody else was faster, or the key may not do this; nothing was changed.
        DeadlineExceeded: the primary took the change, but not every server serves it yet.
    """

    def work_out() -> tuple[list[Edit], tuple[State, State]]:
        before = look(zone, asked.name, asked.rdtype)
        after = outcome(asked, before)
        records = [rdataset(asked.rdtype, state["ttl"], state["values"]) if state else None for state in (before, after)]
        return [Edit(asked.name, asked.rdtype, *records)] if before != after else [], (before, after)

    # Adding and taking away goes well with what others add and take away at the same time; saying what the whole set is does not.
    before, after = change(zone, work_out, check, composes=not asked.only)
    asked_servers = []
    if confirm_timeout and not check:
        asked_servers = list(servers) if servers else confirm.authorities(zone)
        what = f"{asked.name} {asked.rdtype}"
        confirm.everywhere(asked_servers, lambda server: _differs(zone, asked, after, server), what, confirm_timeout, before != after)
    result = {"record": after, "confirmed_by": [str(server) for server in asked_servers]}
    return Done(before != after, before, after, result)


def _differs(zone: Zone, asked: Wish, wanted: State, server: Endpoint) -> str | None:
    found = look(zone, asked.name, asked.rdtype, server)
    if found == wanted:
        return None
    return f"it has {', '.join(found['values'])} with a TTL of {found['ttl']} s" if found else "it has none"


def survey(zone: Zone, name: str, servers: t.Sequence[Endpoint] | None = None) -> dict[str, t.Any]:
    """Return what every authoritative server has under a name, as {answers: [{server, records, problem}], agree}."""
    answers = []
    for server in servers or confirm.authorities(zone):
        try:
            records = [found for found in (look(zone, name, rdtype, server) for rdtype in shapes.FAMILIES.values()) if found]
            answers.append({"server": str(server), "records": records, "problem": None})
        except MeshError as exc:
            answers.append({"server": str(server), "records": [], "problem": exc.message})
    agree = all(answer["problem"] is None and answer["records"] == answers[0]["records"] for answer in answers)
    return {"answers": answers, "agree": agree}
