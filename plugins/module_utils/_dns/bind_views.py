# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Steering by BIND 9 views (or any server with views that are chosen by TSIG key): in each region's view a name has that region's addresses.

Which clients a view is for stands in the server's own configuration. There are no health checks, and BIND does not look at EDNS client subnet.
"""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import confirm, exchange, ledger, policy, shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.policy import REST, Document
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.shapes import Endpoint
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.steering import Found, SteeringDriver, Wish
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.zone import Edit, Zone, change, rdataset, same


class BindViews(SteeringDriver):
    """A steering zone in several views.

    Args:
        views: the zone in the view of each region, with the view's own key; C(rest) is for all other clients.
        servers: its authoritative servers; None asks the zone itself who they are.
    """

    kind = "bind"

    def __init__(self, views: t.Mapping[str, Zone], servers: t.Sequence[Endpoint] | None = None) -> None:
        if REST not in views:
            raise InvalidInput(f"There is no view for the region {REST}, which all clients belong to that no other region names.")
        # All writers go through the views in one order, so whoever is late is so in the first, and has changed nothing.
        self.views = {region: views[region]._replace(signed_questions=True) for region in sorted(views)}
        self.servers = servers

    def look(self, name: str) -> Found:
        """Return the document of the view C(rest), and the regions whose views are not as it says."""
        document = ledger.document(name, self.views[REST].read(ledger.name(name), "TXT"))
        return Found(document, [region for region in self.views if self._edits(name, region, document)])

    def put(self, name: str, wish: Wish, check: bool) -> Found:
        """Change one view after the other; if one cannot be changed those before it are changed back."""
        found = self.look(name)
        wanted = wish(found.document)
        self._possible(wanted)
        edits = {region: self._edits(name, region, wanted) for region in self.views}
        if check or not any(edits.values()):
            return found
        done: list[str] = []
        try:
            for region, zone in self.views.items():
                # A view that needs no change must not get one of somebody else meanwhile, either; reading it again tells.
                change(zone, lambda region=region: (self._edits(name, region, wanted), None), since=edits[region])
                done.append(region)
        except MeshError:
            for region in reversed(done):
                self._undo(region, edits[region])
            raise
        return found

    def confirm(self, name: str, wanted: Document | None, timeout: float, changed: bool) -> list[str]:
        """Wait until all servers have the right addresses in all views."""
        servers = list(self.servers) if self.servers else confirm.authorities(self.views[REST])

        def says(server: Endpoint) -> str | None:
            wrong = [region for region in self.views if self._edits(name, region, wanted, server)]
            return f"it has something else for the region {', '.join(wrong)}" if wrong else None

        confirm.everywhere(servers, says, f"the steering of {name}", timeout, changed)
        return [str(server) for server in servers]

    def names(self) -> list[str]:
        """Return them from a copy of the view C(rest)."""
        zone = self.views[REST]
        return ledger.steered(exchange.names(zone.server, zone.name, zone.key, zone.timeout))

    def told(self, document: Document) -> dict[str, dict[str, list[str]]]:
        """Read each region's view."""
        read = {region: {rdtype: zone.read(document["name"], rdtype) for rdtype in shapes.FAMILIES.values()} for region, zone in self.views.items()}
        return {region: {rdtype: [one.address for one in found or ()] for rdtype, found in answers.items()} for region, answers in read.items()}

    def _edits(self, name: str, region: str, wanted: Document | None, server: Endpoint | None = None) -> list[Edit]:
        """Return what is to change in a region's view for it to be as a document says."""
        zone = self.views[region]
        edits = [Edit(ledger.name(name), "TXT", zone.read(ledger.name(name), "TXT", server), ledger.records(wanted) if wanted else None)]
        for family, rdtype in shapes.FAMILIES.items():
            edits.append(Edit(name, rdtype, zone.read(name, rdtype, server), _addresses(wanted, region, family)))
        return [edit for edit in edits if not same([edit], [edit._replace(after=edit.before)])]

    def _possible(self, wanted: Document | None) -> None:
        if wanted is None:
            return
        if wanted["check"]["type"] != "none":
            raise InvalidInput("Views have no health checks; say so with the check type none, and take a dead HN out of the document.")
        without = sorted({region["name"] for region in wanted["regions"]} - set(self.views))
        if without:
            raise InvalidInput(f"The region {without[0]} has no view; known are: {', '.join(self.views)}.")

    def _undo(self, region: str, edits: list[Edit]) -> None:
        back = [Edit(edit.name, edit.rdtype, edit.after, edit.before) for edit in edits]
        if back:
            # What somebody else has changed since is theirs.
            with contextlib.suppress(MeshError):
                change(self.views[region], lambda: (self._still(region, back), None))

    def _still(self, region: str, back: list[Edit]) -> list[Edit]:
        zone = self.views[region]
        return [edit for edit in back if same([edit], [edit._replace(before=zone.read(edit.name, edit.rdtype))])]


def _addresses(wanted: Document | None, region: str, family: int) -> t.Any:
    """Return the addresses of one family that a region's view shall have, as a record set; None for none."""
    table = policy.rows(wanted, family) if wanted else []
    if not table:
        return None
    row = next((row for row in table if row.region == region), table[-1])
    return rdataset(shapes.FAMILIES[family], wanted["ttl"], policy.choose(row, wanted["answers"]))
