# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Changing a zone on its primary so that no writer overwrites what another wrote in between.

Every update carries the zone's SOA as it was read before anything else, and the record sets that are about to change, as prerequisites
(RFC 2136 section 2.4). Each update raises the serial, so one that somebody recorded and sends again is not carried out either,
even if the records are by then as they were.
"""

from __future__ import annotations

import random
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import exchange
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.keys import Key
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.libraries import dns
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.shapes import Endpoint


class Overtaken(Refused):
    """Somebody else changed the same records meanwhile; nothing was changed."""


#: What one message over TCP can hold, less its header and signature.
LARGEST = 65535 - 512


class Zone(t.NamedTuple):
    """A zone on its primary.

    Attributes:
        name: the zone.
        server: its primary.
        key: what updates are signed with; questions, too, where *signed_questions*.
        timeout: seconds that a change may take.
        signed_questions: whether the key says which view of the server is meant.
    """

    name: str
    server: Endpoint
    key: Key | None = None
    timeout: float = 10.0
    signed_questions: bool = False

    def read(self, name: str, rdtype: str, server: Endpoint | None = None) -> t.Any:
        """Return the record set that *server* (the primary if None) has, or None; raises what exchange.rdataset raises."""
        return exchange.rdataset(server or self.server, name, rdtype, self.key if self.signed_questions else None, min(self.timeout, exchange.PATIENCE))


class Edit(t.NamedTuple):
    """One record set and what shall become of it (dns.rdataset.Rdataset or None for no such set).

    C(before) may be left unsaid with ANY, for what cannot be read.
    """

    name: str
    rdtype: str
    before: t.Any
    after: t.Any


ANY = object()


def rdataset(rdtype: str, ttl: int, values: t.Iterable[str]) -> t.Any:
    """Return a record set of values as text."""
    return dns.rdataset.from_text("IN", rdtype, ttl, *values)


def change(
    zone: Zone,
    work_out: t.Callable[[], tuple[list[Edit], t.Any]],
    check: bool = False,
    composes: bool = False,
    since: list[Edit] | None = None,
) -> t.Any:
    """Read, work out what to change, and change it if nobody was faster.

    Args:
        zone: the zone.
        work_out: reads what it needs from the zone's primary; returns the edits (none if all is well), and whatever the caller wants
            to know. It is called again when somebody else changed the zone meanwhile; the edits must still be the same then.
        check: whether only to work it out.

    Returns:
        what *work_out* returned besides the edits.

    Raises:
        Overtaken: somebody else changed the same records meanwhile; nothing was changed.
        Refused: the key may not do this; nothing was changed.
        InvalidInput: it does not fit into one message.
        NotFound, CommandFailed, DeadlineExceeded: see exchange.
    """
    end = time.monotonic() + zone.timeout
    first, pause = since, 0.01
    while True:
        serial = zone.read(zone.name, "SOA")
        if serial is None:
            raise NotFound(f"The name server {zone.server} has no zone {zone.name}.")
        edits, found = work_out()
        if first is not None and edits and not composes and not same(edits, first):
            names = ", ".join(sorted({edit.name for edit in edits}))
            raise Overtaken(f"Somebody else changed {names} in the zone {zone.name} at the same time; nothing was changed, look at it and try again.")
        if check or not edits:
            return found
        first = edits
        left = end - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"Others kept changing the zone {zone.name} for {zone.timeout:g} s; nothing was changed, try again.")
        if exchange.send(zone.server, _update(zone, serial, edits), zone.key, min(left, exchange.PATIENCE)) == dns.rcode.NOERROR:
            return found
        # Whoever was faster is still busy, or the server still gives old answers out of a cache; writers that wait alike meet again.
        time.sleep(min(left, pause * random.uniform(0.5, 1.5)))
        pause = min(2 * pause, 0.5)


def same(some: list[Edit], others: list[Edit]) -> bool:
    """Whether edits start from and lead to the same records."""

    def plain(edits: list[Edit]) -> list[tuple]:
        return [(edit.name, edit.rdtype, *(_plain(one) for one in (edit.before, edit.after))) for edit in edits]

    return plain(some) == plain(others)


def _plain(records: t.Any) -> t.Any:
    return records if records is None or records is ANY else (records.ttl, sorted(one.to_digestable() for one in records))


def holds(zone: Zone, name: str, rdtype: str, records: t.Any) -> bool:
    """Return whether the primary has exactly these records (None for none) under C(name rdtype), also of a type that it answers no questions about.

    It is asked by an update that has a prerequisite and changes nothing.
    """
    update = dns.update.UpdateMessage(f"{zone.name}.")
    if records is None:
        update.absent(f"{name}.", rdtype)
    else:
        update.present(f"{name}.", *records)
    return exchange.send(zone.server, update, zone.key, min(zone.timeout, exchange.PATIENCE)) == dns.rcode.NOERROR


def _update(zone: Zone, serial: t.Any, edits: list[Edit]) -> t.Any:
    update = dns.update.UpdateMessage(f"{zone.name}.")
    update.present(f"{zone.name}.", serial[0])
    for edit in edits:
        owner = f"{edit.name}."
        if edit.before is None:
            update.absent(owner, edit.rdtype)
        elif edit.before is not ANY:
            update.present(owner, *edit.before)
        if edit.after is None:
            update.delete(owner, edit.rdtype)
        else:
            update.replace(owner, edit.after)
    try:
        size = len(update.to_wire(max_size=65535))
    except dns.exception.TooBig:
        size = 65536
    if size > LARGEST:
        raise InvalidInput(f"What {edits[0].name} shall be does not fit into one DNS message of {LARGEST} bytes.")
    return update
