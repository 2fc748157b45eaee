# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""A guest that comes from another RM while it runs: what must be here before it comes, and what is done when it is here."""

from __future__ import annotations

import contextlib
import os

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import accelerator, capabilities, disks, domain_xml, durable, epochs, home, state


class Arrival:
    """One arrival; the caller holds the instance's lock.

    Attributes:
        xml: what it is to be here, for who sends it.
        document: the instance's document.
    """

    def __init__(self, host: state.Host, found: state.Found, capsule: str, orders: home.Orders) -> None:
        """Check all that can be checked without touching anything.

        Raises:
            NotFound, Refused: this RM cannot or must not run it.
        """
        self._host, self._name, self._orders = host, found.name, orders
        self._guarded = False
        manifest = host.capsules.manifest(found.name, capsule)
        if epochs.check_grant(host.places, found.name, orders.epoch) == epochs.Epoch(orders.epoch, True):
            # What comes now would be taken for what was handed over then.
            raise Refused(f"{found.name} was handed over to this RM in epoch {orders.epoch} before, and is gone.")
        working = accelerator.usable(host.places)
        capabilities.require(host.places, host.hypervisor, manifest, working, None)
        disks.require_room(host.places, found.name, manifest)
        self.document = {**home.document(found, manifest, working, orders), "coming": orders.epoch}
        self.xml, self._blobs = home.render(host, found.name, self.document)

    @property
    def here(self) -> bool:
        """Whether it is here whole."""
        return self._host.hypervisor.state(self._name) in ("paused", "running")

    def prepare(self, ways: str) -> None:
        """Make its directory, and one (*ways*) in which QEMU can listen for it."""
        if self._host.hypervisor.state(self._name) is None:
            home.furnish(self._host.places, self._name, self.document, self._blobs, coming=True)
            durable.flush(self._host.places, self._name)
        os.makedirs(os.path.dirname(ways), mode=0o711, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(ways)
        disks.give_to_qemu(ways, mode=0o700)

    def guard(self) -> None:
        """Guard its port as soon as it has one, which is long before it runs."""
        if not self._guarded and self._host.hypervisor.state(self._name) in ("moving", "paused"):
            guest, record = self.document["manifest"]["guest"], self.document["record"] or {}
            self._host.ports.guard(domain_xml.tap_name(self._name), self.document["vlan"], guest["mac"], [guest["address"]], record.get("fabric_address"))
            self._guarded = True

    def run(self) -> None:
        """Let it run: it is here, and was handed over. It is for the caller to flush it then.

        Raises:
            CommandFailed: libvirt could not; it is paused here, and goes on with whatever is ordered next.
        """
        self.guard()
        epochs.grant(self._host.places, self._name, self._orders.epoch)
        if self._host.hypervisor.state(self._name) == "paused":
            self._host.hypervisor.unpause(self._name)
        os.unlink(self._host.places.coming(self._name))

    def give_up(self) -> None:
        """Take back what was prepared: it stays where it was."""
        self._host.hypervisor.destroy(self._name)
        with contextlib.suppress(MeshError):
            self._host.ports.release(domain_xml.tap_name(self._name))
        home.discard(self._host.places, self._name)


def expected(host: state.Host, name: str) -> bool:
    """Whether *name* was coming when this RM was last asked."""
    return state.coming(host.places, name)


def as_running(xml: str, host: state.Host, name: str) -> str:
    """Return the domain XML of the other RM for the guest *name* that runs here: what is drawn with each start is what it has."""
    return domain_xml.as_saved(xml, host.hypervisor.genid(name))
