# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What every kind of name server can do for steering: look at one name, change it from a document to another, and say when all servers follow."""

from __future__ import annotations

import abc
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.done import Done
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.policy import Document


#: What a name's document is to become, from what it is; None stands for a name that is not steered. A pure function.
Wish = t.Callable[[t.Optional[Document]], t.Optional[Document]]


class Found(t.NamedTuple):
    """What is in force under a name.

    Attributes:
        document: the steering document, None where there is none.
        drift: what is not as the document says; empty if all is.
    """

    document: Document | None
    drift: list[str]


class SteeringDriver(abc.ABC):
    """One steering zone."""

    #: The driver's name, as the module's option says it.
    kind: t.ClassVar[str]

    @abc.abstractmethod
    def look(self, name: str) -> Found:
        """Return what is in force under a name."""

    @abc.abstractmethod
    def put(self, name: str, wish: Wish, check: bool) -> Found:
        """Make a name what *wish* makes of it unless somebody else changes it meanwhile; return what was there before.

        Raises:
            InvalidInput: this kind of server cannot do it; nothing was changed.
            Overtaken: somebody else was faster; nothing was changed.
            Refused: the key may not do this; nothing was changed.
        """

    @abc.abstractmethod
    def confirm(self, name: str, wanted: Document | None, timeout: float, changed: bool) -> list[str]:
        """Wait until every authoritative server follows, and return who they are.

        Raises:
            DeadlineExceeded: some do not; the message says which, and what they say.
        """

    @abc.abstractmethod
    def names(self) -> list[str]:
        """Return all names of the zone that are steered."""

    @abc.abstractmethod
    def told(self, document: Document) -> dict[str, dict[str, list[str]]]:
        """Return which addresses each region of a document is answered with at this moment, by the type of records."""


def apply(driver: SteeringDriver, name: str, wanted: Document | None, confirm_timeout: float = 30.0, check: bool = False) -> Done:
    """Steer a name as a document says, or no more, and wait until every authoritative server follows; with a timeout of 0 none is asked."""
    before = driver.put(name, lambda unused: wanted, check)
    changed = before.document != wanted or bool(before.drift)
    confirmed = driver.confirm(name, wanted, confirm_timeout, changed) if confirm_timeout and not check else []
    shown = {"steering": before.document, **({"drift": before.drift} if before.drift else {})}
    return Done(changed, shown, {"steering": wanted}, {"steering": wanted, "confirmed_by": confirmed})
