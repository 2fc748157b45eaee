# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The name of a service follows where it is served: an address enters after it answered a request from here, and leaves before its place is given up.

What enters and what leaves is merged into the document that is found, so that operations on other HNs of the same service lose nothing.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import policy, request, shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.done import Done
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.policy import Document
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.steering import Found, SteeringDriver
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.zone import Edit, Overtaken, Zone, change, rdataset

#: Seconds that an alias may be kept; it never changes.
ALIAS_TTL = 300


class Change(t.NamedTuple):
    """What becomes of a service's name.

    Attributes:
        name: the absolute name, in the steering zone.
        zone: the steering zone.
        publish: the HNs that begin to serve, {hn, addresses} each, and the C(number) of when that was said, if it has one.
        retire: the HNs that are about to serve no more.
        numbers: of when that was said, by HN, as far as it has one: who began to serve after that stays.
        only: whether nobody else serves; what else the document has is dropped then.
        shape: C(order), C(regions), C(ttl), C(answers) and C(check) of the document.
        ask: how to make the request that an address has to answer before it is published, as a check of a document; of the type none: not at all.
        ask_timeout: seconds for that.
        hold: seconds, besides the time for which answers may be kept, after which nobody counts on what was retired any more; None does not wait.
    """

    name: str
    zone: str
    publish: list[dict[str, t.Any]]
    retire: list[str]
    only: bool
    shape: dict[str, t.Any]
    ask: dict[str, t.Any]
    ask_timeout: float = 30.0
    hold: float | None = None
    numbers: t.Mapping[str, int] = {}

    def document(self, found: Document | None) -> Document | None:
        """Return the document that *found* becomes; None when nobody serves the name."""
        before = {site["hn"]: site for site in found["sites"]} if found else {}
        number = {hn: site.get("number", 0) for hn, site in before.items()}
        entering = {site["hn"]: {**site, "number": max(site.get("number", 0), number.get(site["hn"], 0))} for site in self.publish}
        sites = {**({} if self.only else before), **entering}
        if found and not entering and not self.only and not set(before) & set(self.retire):
            # Who loses nothing stays as it is, also where the settings have changed since.
            return found
        left = [site for hn, site in sites.items() if hn not in self.retire or site.get("number", 0) > self.numbers.get(hn, site.get("number", 0))]
        return policy.document(self.name, self.zone, left, **self.shape) if left else None

    def arriving(self, found: Document | None) -> list[str]:
        """Return the addresses that are not in *found* and will be."""
        there = {address for site in (found["sites"] if found else ()) for address in site["addresses"]}
        wanted = self.document(found)
        return [address for site in (wanted["sites"] if wanted else ()) for address in site["addresses"] if address not in there]


class Alias(t.NamedTuple):
    """The name in its owner's own zone by which people know a service.

    Attributes:
        name: the absolute name.
        zone: its zone.
    """

    name: str
    zone: Zone


def follow(driver: SteeringDriver, wanted: Change, alias: Alias | None = None, confirm_timeout: float = 30.0, check: bool = False) -> Done:
    """Let a name follow.

    In check mode an address that is to be published need not answer yet: to be refused is proof of the way to it.

    Raises:
        InvalidInput: something is invalid.
        DeadlineExceeded: an address does not answer (nothing was changed), or not every authoritative server follows in time (it was changed back).
        Refused, NotFound, CommandFailed: the name server does not do it; nothing was changed.
    """
    if wanted.hold is not None and wanted.hold < 0:
        raise InvalidInput(f"{wanted.hold:g} is not a number of seconds that anything can take.")
    arriving = wanted.arriving(driver.look(wanted.name).document)
    for address in arriving:
        request.answered(wanted.ask, address, wanted.ask_timeout, refusal_will_do=check)
    before = _put(driver, wanted, confirm_timeout, check)
    after = wanted.document(before.document)
    aliased = _aliased(alias, wanted.name, bool(after), check)
    changed = before.document != after or bool(before.drift) or aliased == "made"
    confirmed: list[str] = []
    if confirm_timeout and not check:
        try:
            confirmed = _confirm(driver, wanted, after, confirm_timeout)
        except DeadlineExceeded as exc:
            # What somebody else has changed since is theirs.
            driver.put(wanted.name, lambda found: before.document if found == after else found, check)
            raise DeadlineExceeded(f"{exc.message} What was changed at the primary was changed back.", {**exc.result, "changed": False}) from exc
    kept = max([document["ttl"] for document in (before.document, after) if document], default=wanted.shape["ttl"])
    held = None if wanted.hold is None or not wanted.retire else kept + wanted.hold
    if held and not check:
        time.sleep(held)
    result = {"steering": after, "asked": arriving, "alias": aliased, "held": held, "confirmed_by": confirmed}
    shown = {"steering": before.document, **({"drift": before.drift} if before.drift else {})}
    return Done(changed, shown, {"steering": after}, result)


def _put(driver: SteeringDriver, wanted: Change, timeout: float, check: bool) -> Found:
    """Merge it in; who was overtaken merges again."""
    end = time.monotonic() + timeout
    while True:
        try:
            return driver.put(wanted.name, wanted.document, check)
        except Overtaken:
            if time.monotonic() > end:
                raise


def _confirm(driver: SteeringDriver, wanted: Change, document: Document | None, timeout: float) -> list[str]:
    """Wait until all servers follow, also when somebody else changes other parts of the same document meanwhile."""
    end = time.monotonic() + timeout
    while True:
        try:
            return driver.confirm(wanted.name, document, min(timeout / 4, max(0.1, end - time.monotonic())), True)
        except DeadlineExceeded:
            if time.monotonic() >= end:
                raise
            found = driver.look(wanted.name).document
            document = found if found == wanted.document(found) else document


def _aliased(alias: Alias | None, target: str, serves: bool, check: bool) -> str | None:
    """Make the alias unless there are records of that name; returns C(made), C(there), C(foreign) for what its owner has made of it, or None for no alias."""
    if alias is None or not serves:
        return None
    name = shapes.within(alias.name, alias.zone.name)
    wanted = rdataset("CNAME", ALIAS_TTL, [f"{target}."])

    def work_out() -> tuple[list[Edit], str]:
        found = alias.zone.read(name, "CNAME")
        if found:
            return [], "there" if found[0].target == wanted[0].target else "foreign"
        if any(alias.zone.read(name, rdtype) for rdtype in shapes.FAMILIES.values()):
            return [], "foreign"
        return [Edit(name, "CNAME", None, wanted)], "made"

    return change(alias.zone, work_out, check)
