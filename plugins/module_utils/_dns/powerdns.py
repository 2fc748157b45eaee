# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Steering by PowerDNS: LUA records, which pick by the client's prefix (its own, or the one that EDNS client subnet tells) and leave dead HNs out.

Whoever can write LUA records can run programs on the name server. They belong into a zone that only the platform's key can change.
"""

from __future__ import annotations

import secrets
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import confirm, exchange, ledger, lua, policy, shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.libraries import dns
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.policy import Document
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.shapes import Endpoint
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.steering import Found, SteeringDriver, Wish
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.zone import ANY, Edit, Zone, change, holds

_TYPE = f"TYPE{lua.LUA}"


class PowerDns(SteeringDriver):
    """A steering zone on PowerDNS.

    Args:
        zone: the zone with the key that alone may change it.
        servers: its authoritative servers; None asks the zone itself who they are.
    """

    kind = "powerdns"

    def __init__(self, zone: Zone, servers: t.Sequence[Endpoint] | None = None) -> None:
        self.zone, self.servers = zone, servers

    def look(self, name: str) -> Found:
        """Return what is in force; whether the Lua is the document's own is asked by its prerequisite."""
        document = ledger.document(name, self.zone.read(ledger.name(name), "TXT"))
        intact = holds(self.zone, name, _TYPE, _records(document))
        return Found(document, [] if intact else ["records"])

    def put(self, name: str, wish: Wish, check: bool) -> Found:
        """Write document and Lua in one update, after a scratch name has shown that the server can answer from them."""

        def work_out() -> tuple[list[Edit], Found]:
            found = self.look(name)
            wanted = wish(found.document)
            if found == Found(wanted, []):
                return [], found
            before, after = (ledger.records(one) if one else None for one in (found.document, wanted))
            # The Lua that is there would take half of the room in the message, and who changes it changes the document as well.
            return [Edit(ledger.name(name), "TXT", before, after), Edit(name, _TYPE, ANY, _records(wanted))], found

        edits, found = work_out()
        wanted = wish(found.document)
        if edits and wanted and not check:
            self._try_out(wanted)
        return change(self.zone, work_out, check, since=edits) if edits else found

    def confirm(self, name: str, wanted: Document | None, timeout: float, changed: bool) -> list[str]:
        """Wait until all servers have the document, and answer from it."""
        servers = list(self.servers) if self.servers else confirm.authorities(self.zone)
        confirm.everywhere(servers, lambda server: self._says(name, wanted, server), f"the steering of {name}", timeout, changed)
        return [str(server) for server in servers]

    def names(self) -> list[str]:
        """Return them from a copy of the zone."""
        return ledger.steered(exchange.names(self.zone.server, self.zone.name, self.zone.key, self.zone.timeout))

    def told(self, document: Document) -> dict[str, dict[str, list[str]]]:
        """Ask the server on behalf of one client of each region."""
        found: dict[str, dict[str, list[str]]] = {}
        for region, client in policy.samples(document).items():
            for rdtype in shapes.FAMILIES.values():
                answer = exchange.ask(self.zone.server, document["name"], rdtype, timeout=min(self.zone.timeout, exchange.PATIENCE), subnet=client)
                wanted = dns.rdatatype.from_text(rdtype)
                found.setdefault(region, {})[rdtype] = [one.address for rrset in answer.answer if rrset.rdtype == wanted for one in rrset]
        return found

    def _says(self, name: str, wanted: Document | None, server: Endpoint) -> str | None:
        if ledger.document(name, self.zone.read(ledger.name(name), "TXT", server)) != wanted:
            return "it has another steering document, or none" if wanted else "it still has the steering document"
        for family in shapes.FAMILIES:
            problem = self._answers(name, wanted, family, server)
            if problem:
                return problem
        return None

    def _answers(self, name: str, wanted: Document | None, family: int, server: Endpoint) -> str | None:
        """Return None if a server's answer is one that the document can lead to, or what it says instead."""
        rdtype = shapes.FAMILIES[family]
        given = [record.address for record in self.zone.read(name, rdtype, server) or ()]
        table = policy.rows(wanted, family) if wanted else []
        possible = {address for row in table for unused, addresses in row.sites for address in addresses}
        if set(given) <= possible and bool(given) == bool(possible):
            return None
        return f"it answers {', '.join(given) or 'nothing'} when asked for {name} {rdtype}"

    def _try_out(self, wanted: Document) -> None:
        """Have the server run the Lua under a name that nobody asks for: with bad Lua it would take the update, and fail each question.

        The checks of the HNs' health begin here, too.
        """
        scratch = f"_scratch-{secrets.token_hex(6)}.{self.zone.name}"
        records = _records(wanted)
        change(self.zone, lambda: ([Edit(scratch, _TYPE, None, records)], None))
        try:
            for family in shapes.FAMILIES:
                problem = self._answers(scratch, wanted, family, self.zone.server)
                if problem:
                    raise CommandFailed(f"The name server {self.zone.server} cannot steer {wanted['name']}: tried out, {problem}; nothing was changed.")
        except CommandFailed as exc:
            raise CommandFailed(f"{exc.message} Does the zone {self.zone.name} have LUA records switched on?") from exc
        finally:
            change(self.zone, lambda: ([Edit(scratch, _TYPE, ANY, None)], None))


def _records(document: Document | None) -> t.Any:
    """Return the LUA records of a document, one for each family of addresses, as one record set; None for no document."""
    if document is None:
        return None
    found = dns.rdataset.Rdataset(dns.rdataclass.IN, lua.LUA, ttl=document["ttl"])
    for family in shapes.FAMILIES:
        record = lua.rdata(document, family)
        if record is not None:
            found.add(record)
    return found
