# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What every kind of switch can do for us: one bridge, its uplinks, and guarded access ports.

Frames of a VLAN reach the access ports with its tag and, tagged, the uplinks. An access port of which nothing is known is mute.
A guarded one speaks IPv4 and ARP only, untagged, with its own MAC and its own addresses; it hears what is meant for it. One with a fabric address
does so as ever on its own side, while everybody else sees it speak with its fabric address and the MAC that goes with that, and speaks to these.
"""

from __future__ import annotations

import abc
import threading
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import boot, ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.ports import Guarded


class Seen(t.NamedTuple):
    """What a driver sees of its bridge.

    Attributes:
        settings: what else makes the bridge ours (how it forwards, which protocols it speaks), by name.
        uplinks: the trunk ports of the bridge, in order.
        present: the guarded ports whose interface is there, by name.
        drift: what is not as the present ports ask for: some of C(access ports), C(trunks), C(flooding) and C(guard).
    """

    settings: dict[str, t.Any]
    uplinks: list[str]
    present: dict[str, Guarded]
    drift: list[str]


class SwitchDriver(abc.ABC):
    """One bridge of this host."""

    #: The driver's name, as the module's option says it.
    kind: t.ClassVar[str]
    #: What libvirt is to call a guest's port on such a bridge; None for one that libvirt knows as a plain bridge.
    virtualport: t.ClassVar[str | None]
    #: Whether the bridge itself outlives a reboot; its ports never do.
    persistent: t.ClassVar[bool]

    def __init__(self, bridge: str) -> None:
        self.bridge = bridge
        self._turn = threading.Lock()
        self._waiting: dict[str, Guarded] = {}

    @abc.abstractmethod
    def wanted(self) -> dict[str, t.Any]:
        """Return the settings that the bridge should have on this host."""

    @abc.abstractmethod
    def observe(self) -> Seen | None:
        """Return what is there, or None when there is no such bridge."""

    @abc.abstractmethod
    def ensure(self, uplinks: list[str]) -> None:
        """Make the bridge, its settings and exactly these trunk ports; access ports stay."""

    @abc.abstractmethod
    def remove(self) -> None:
        """Remove the bridge with all its ports."""

    @abc.abstractmethod
    def _enforce(self, guarded: t.Mapping[str, Guarded], fresh: t.Collection[str]) -> set[str]:
        """Make access ports, trunks and guard as these ports ask for, and return which of them are there; *fresh* ones are set up in full."""

    @abc.abstractmethod
    def _attach(self, guarded: Guarded) -> None:
        """Put an interface on the bridge as an access port, if it is not on it."""

    @abc.abstractmethod
    def _detach(self, port: str) -> None:
        """Take interface *port* off the bridge, if it is on it."""

    @abc.abstractmethod
    def _vlan(self, port: str) -> int | None:
        """Return the VLAN that the bridge itself has for access port *port*, or None."""

    def access_vlan(self, port: str) -> int | None:
        """Return the VLAN of the guarded access port on interface *port*, or None when it is none."""
        return self._vlan(port) if port in ports.load(self.bridge) else None

    def guard_port(
        self, port: str, vlan: int, mac: str, addresses: t.Iterable[str], forwards: bool = False, fabric_address: str | None = None
    ) -> None:
        """Make interface *port* a guarded access port of *vlan*; ports.Guarded says what the rest means.

        Threads that come while another is at work wait for their turn, and the first of them does it for all.

        Raises:
            InvalidInput: something that was asked for is invalid.
            CommandFailed: the switch did not do it; the port is mute.
        """
        self._waiting[port] = ports.checked(port, vlan, mac, addresses, forwards, fabric_address)
        with self._turn:
            if port not in self._waiting:
                return
            try:
                with ports.locked(self.bridge):
                    done = self._guard(port, dict(self._waiting))
            finally:
                del self._waiting[port]
            for other in done - {port}:
                del self._waiting[other]

    def _guard(self, port: str, waiting: t.Mapping[str, Guarded]) -> set[str]:
        """Guard *port* and whichever others of the *waiting* ones are there, and return which; raises CommandFailed if *port* is not."""
        known = ports.load(self.bridge)
        book = {**known, **waiting}
        # Whoever made a guest's port has put it on the bridge already.
        present = self._enforce(book, list(waiting))
        if port not in present:
            self._attach(waiting[port])
            present = self._enforce(book, list(waiting))
            if port not in present:
                self._detach(port)
                raise CommandFailed(f"The switch {self.bridge} cannot use the interface {port}; is it there?")
        done = present & set(waiting)
        # What was known of one that is not there stays so until its own turn.
        ports.save(self.bridge, {**known, **{each: waiting[each] for each in done}})
        return done

    def trunks(self) -> list[str]:
        """Return the interfaces that the bridge was set up to reach the other hosts of its HN by."""
        known = read_json(boot.paths(self.bridge).state)
        return known["uplinks"] if known else []

    def release_port(self, port: str) -> None:
        """Forget what *port* was allowed, whether or not it is still there; its VLAN leaves the trunks with its last port."""
        with ports.locked(self.bridge):
            book = ports.load(self.bridge)
            if book.pop(port, None):
                self._enforce(book, [])
                ports.save(self.bridge, book)

    def remove_port(self, port: str) -> None:
        """Take interface *port* off the bridge and forget it."""
        self._detach(port)
        self.release_port(port)

    def restore(self) -> None:
        """Make all as the port book asks for, whatever is there of it: a switch that was started anew has forgotten."""
        with ports.locked(self.bridge):
            book = ports.load(self.bridge)
            self._enforce(book, list(book))
