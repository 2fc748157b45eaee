# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Publishing several instances of this RM at the same moment."""

from __future__ import annotations

import threading
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.fan_out import WORKERS, Told, fan_out
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.patience import LEAST, patience
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.publish import Published, publish
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import state


class Meeting:
    """Several who wait for each other; nobody waits for one who has left."""

    def __init__(self, names: t.Iterable[str], timeout: float) -> None:
        self._missing, self._timeout, self._changed = set(names), timeout, threading.Condition()

    def leave(self, name: str) -> None:
        """Let nobody wait for this one (any more)."""
        with self._changed:
            self._missing.discard(name)
            self._changed.notify_all()

    def meet(self, name: str) -> None:
        """Wait until all are here or have left, or the time (seconds) is up."""
        self.leave(name)
        with self._changed:
            self._changed.wait_for(lambda: not self._missing, self._timeout)


def publish_all(host: state.Host, store: Store, wanted: t.Sequence[tuple[str, str]], timeout: float | None, check: bool = False) -> list[Told]:
    """Make capsules of several instances, as publish() does, all at the same time; one that fails does not stop the others.

    None goes on before the memory of all is safe. So there is a moment at which all stood still, and what they were telling each other then is in no image
    or on its way, as if the network had lost it. Those beyond WORKERS are published after the first ones, not at the same moment.

    Args:
        wanted: the name of each, and the version of its capsule.

    Raises:
        InvalidInput: an instance is there twice.
    """
    together = [name for name, unused in wanted[:WORKERS]]
    meeting = Meeting(together, max((_patience(host, name, timeout) for name in together), default=LEAST))

    def one(name: str, version: str) -> Published:
        try:
            return publish(host, store, name, version, timeout, check, lambda: meeting.meet(name))
        finally:
            meeting.leave(name)

    return fan_out([(name, lambda name=name, version=version: one(name, version)) for name, version in wanted])


def _patience(host: state.Host, name: str, timeout: float | None) -> float:
    """Return how long the others wait for an instance; whoever is not here has left by then."""
    document = read_json(host.places.document(name)) or {}
    return patience(document["manifest"]["machine"]["memory_mib"] if document else 0, timeout)
