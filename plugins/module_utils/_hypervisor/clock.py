# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The clock of a guest that comes from memory: it goes on from where it was, while the hardware clock of its machine is the host's.

What a guest does about that is its own affair, as on a machine that slept. Where its capsule says that a guest agent is in it, that is told the time
(https://www.qemu.org/docs/master/interop/qemu-ga.html).
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.client import Hypervisor

#: Seconds that an agent has for appearing and for setting the clock.
AGENT = 5.0
#: Seconds that are not worth a word.
_NOTHING = 1.0


def stopped() -> dict[str, t.Any]:
    """Return what the document of an instance says from the moment when its clock stops, by the host's clock (seconds since 1970)."""
    return {"asleep": time.time()}


def going_on(hypervisor: Hypervisor, name: str, document: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Set the clock of a guest that goes on, if its capsule says that this can be done, and return what its document says of that.

    Args:
        hypervisor: this host's libvirt.
        name: the instance, whose guest runs.
        document: of the instance, as it was while it was suspended.

    C(clock) in the result has C(behind), the seconds for which it stood still (None: nobody knows), whether it was C(set), and C(why) it was not (None:
    nobody tried).
    """
    asleep = document.get("asleep")
    behind = None if asleep is None else max(0.0, round(time.time() - asleep, 1))
    done: dict[str, t.Any] = {"behind": behind, "set": False, "why": None}
    if document["manifest"].get("clock", {}).get("agent"):
        try:
            hypervisor.set_time(name, AGENT)
            done["set"] = True
        except MeshError as exc:
            done["why"] = exc.message
    return {"asleep": None, "clock": done}


def told(name: str, document: t.Mapping[str, t.Any]) -> str:
    """Return what is to be said of the clock of an instance that has just gone on: a sentence with a space before it, or nothing."""
    known = document.get("clock") or {"behind": None, "set": False, "why": None}
    late = f"{known['behind']:g} s behind" if known["behind"] is not None and known["behind"] >= _NOTHING else None
    if known["set"]:
        return f" The clock of {name} was {late}, and was set." if late else ""
    if known["why"]:
        return f" The clock of {name} is {late or 'behind'}; its guest agent did not set it: {known['why']}"
    return f" The clock of {name} is {late}." if late else ""
