# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Fencing: the highest epoch that this RM knows of an instance, and whether the right to run it was granted here.

An RM with an older or equal epoch that was granted elsewhere never runs the instance, whatever else lies on its disk.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json, sync, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places

#: What an operator does where it is not the order that is outdated.
_REBUILD = "Unless it lives elsewhere by now, the registry of its HN has forgotten what it granted: rebuild it by the playbook rebuild, and run this again."


class Epoch(t.NamedTuple):
    """What this RM knows: the highest epoch (0: none yet), and whether it was granted here."""

    number: int
    here: bool


def known(places: Places, name: str) -> Epoch:
    """Return what this RM knows of the epochs of *name*."""
    found = read_json(places.epoch(name))
    return Epoch(found["epoch"], found["here"]) if found else Epoch(0, False)


def remembered(places: Places, name: str | None = None) -> dict[str, int]:
    """Return the highest epoch that this RM knows of, of every instance that it ever held, or of *name* only."""
    found = sorted(os.path.splitext(entry) for entry in os.listdir(places.epochs()))
    return {each: known(places, each).number for each, suffix in found if suffix == ".json" and name in (None, each)}


def check_grant(places: Places, name: str, epoch: int) -> Epoch:
    """Return what is known if *name* may run here with *epoch*.

    Raises:
        Refused: the epoch is older than the known one, or was given up here.
    """
    found = known(places, name)
    if epoch < found.number:
        raise Refused(f"{name} may not run here with epoch {epoch}: this RM knows of epoch {found.number}. {_REBUILD}")
    if epoch == found.number and not found.here:
        raise Refused(f"{name} may not run here with epoch {epoch}: the right to run it in that epoch was given up here. {_REBUILD}")
    return found


def grant(places: Places, name: str, epoch: int) -> None:
    """Note durably that *name* may run here with *epoch*; raises Refused as check_grant does."""
    if check_grant(places, name, epoch) != Epoch(epoch, True):
        _write(places.epoch(name), Epoch(epoch, True))


def check_fence(places: Places, name: str, epoch: int) -> Epoch:
    """Return what is known if an order of *epoch* to give *name* up is not outdated.

    Raises:
        Refused: this RM knows of a newer epoch; it holds nothing of this one. C(known_epoch) in the result is the newer one.
    """
    found = known(places, name)
    if epoch < found.number:
        raise Refused(f"The order to give {name} up in epoch {epoch} is outdated: this RM knows of epoch {found.number}.", {"known_epoch": found.number})
    return found


def fence(places: Places, name: str, epoch: int) -> None:
    """Give up durably the right to run *name* here, up to and including *epoch*; the instance must not be live.

    Raises:
        Refused: this RM knows of a newer epoch.
    """
    if check_fence(places, name, epoch) != Epoch(epoch, False):
        _write(places.epoch(name), Epoch(epoch, False))


def _write(path: str, epoch: Epoch) -> None:
    write_json(path, {"epoch": epoch.number, "here": epoch.here})
    # The other RM runs the instance on the strength of this record: it must outlast a power cut from now on.
    sync(os.path.dirname(path))
