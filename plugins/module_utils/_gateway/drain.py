# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Draining: waiting until the connections of members that left the rotation have ended, and saying what became of them."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.caller import Caller
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import connections, namespace, state

#: What to do with what is still open at the deadline.
CHOICES = ("give_up", "cut", "wait")


class Drained(t.NamedTuple):
    """What became of the connections that there were: how many ended by themselves, and how many were cut."""

    connections: int
    ended: int
    cut: int


def drain(
    domain: str, addresses: t.Collection[str], timeout: float, at_deadline: str, patience: float, dry_run: bool = False, directory: str = state.DIRECTORY
) -> Drained:
    """Wait until former members have no live connection left.

    Args:
        domain: the router's domain.
        addresses: the members' fabric addresses; they must have left the rotation, or the wait would never end.
        timeout: seconds until the deadline.
        at_deadline: what to do then, one of CHOICES; C(wait) waits for *patience* more seconds and gives up then.
        patience: see above.
        dry_run: only count them; with C(cut) all count as cut, because nobody knows how many would end by themselves.
        directory: where the states of the routers are kept.

    Raises:
        InvalidInput: there is no such choice.
        NotFound: the domain has no router here.
        Refused: one of them is in rotation, or whoever asked for this has gone.
        DeadlineExceeded: connections were still open; C(left) in the result says how many, none was cut.
    """
    if at_deadline not in CHOICES:
        raise InvalidInput(f"{at_deadline!r} is not what can be done at a drain's deadline: it must be one of {', '.join(CHOICES)}.")
    known = state.load(domain, directory)
    if known is None:
        raise NotFound(f"This gateway has no router of {domain}.")
    staying = {member["address"] for service in known.document["services"] for member in service["members"]} & set(addresses)
    if staying and not dry_run:
        raise Refused(f"{min(staying)} of {domain} is in rotation: it would get new connections all along.")
    called, whose = namespace.names(domain).namespace, ", ".join(addresses)
    first = connections.count(called, addresses)
    if dry_run or not first:
        return Drained(first, 0, first if at_deadline == "cut" else 0)
    seconds = timeout + (patience if at_deadline == "wait" else 0)
    caller = Caller()

    def over() -> str | None:
        if connections.count(called, addresses) == 0:
            return "ended"
        return "gone" if caller.gone() else None

    try:
        if wait_for(over, seconds, f"the {first} connections of {whose} end") == "gone":
            raise Refused(f"The wait for the connections of {whose} of {domain} has ended, for whoever asked for it has gone; none was cut.")
        return Drained(first, first, 0)
    except DeadlineExceeded as exc:
        left = connections.count(called, addresses)
        if at_deadline != "cut":
            raise DeadlineExceeded(
                f"{left} of {first} connections of {whose} of {domain} were still open after {seconds:g} s; none was cut.",
                {"connections": first, "ended": first - left, "left": left},
            ) from exc
    connections.close(called, addresses)
    return Drained(first, first - left, left)
