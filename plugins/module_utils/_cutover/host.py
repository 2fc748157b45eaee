# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""An RM put together: the life cycle of instances over the capsule store and the switch. The one place, besides the cut-over, that knows these engines."""

from __future__ import annotations

import functools
import os

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import boot
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import manifest as manifests
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.client import Hypervisor
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import BRIDGE
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.state import Capsules, Host
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import switch
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.driver import SwitchDriver


class SwitchPorts:
    """The ports of guests on the switch *bridge*, which is looked for when it is needed."""

    def __init__(self, bridge: str) -> None:
        self._bridge = bridge

    @functools.cached_property
    def _switch(self) -> SwitchDriver:
        return switch.find(self._bridge)

    @property
    def virtualport(self) -> str | None:
        """How libvirt is to plug a guest in."""
        return self._switch.virtualport

    def guard(self, port: str, vlan: int, mac: str, addresses: list[str], fabric_address: str | None) -> None:
        """Let *port* speak in *vlan*, with this MAC and these addresses only, as everybody else knows it by its fabric address."""
        self._switch.guard_port(port, vlan, mac, addresses, fabric_address=fabric_address)

    def release(self, port: str) -> None:
        """Forget what *port* was allowed."""
        self._switch.release_port(port)


def this_host() -> Host:
    """Return this RM.

    Raises:
        CommandFailed: its libvirt cannot be reached.
    """
    places = Places()
    return Host(places, Hypervisor.connect(), capsules(Store(os.path.join(places.root, "store"))), SwitchPorts(BRIDGE))


def capsules(store: Store) -> Capsules:
    """Return what the life cycle asks of a capsule store, answered by *store*."""

    def manifest(instance: str, version: str) -> dict:
        name = names.instance(instance)
        return store.get(name.domain, name.service, version)

    def blobs(wanted: dict) -> dict[str, str]:
        store.ensure_intact(wanted)
        return {blob["sha256"]: store.blob_path(blob["sha256"]) for blob in manifests.blobs(wanted)}

    return Capsules(manifest, blobs, functools.partial(boot.obstacle, store))
