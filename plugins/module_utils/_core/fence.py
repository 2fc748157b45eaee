# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The latest lease that this device acted under, for each instance: nothing is done any more for an operation that another one has followed.

The controller of such an operation may have slept since a VMA granted it the lease.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json, sync, write_json

DIRECTORY = "/var/lib/vmatrix/leases"


def follow(numbers: t.Mapping[str, int], check: bool = False, directory: str | None = None) -> None:
    """Act under leases, and under no earlier ones of the same instances from now on; that is on the disk when this returns.

    Args:
        numbers: of the leases, by instance.
        check: only find out whether it may be done.
        directory: where the numbers are kept.

    Raises:
        InvalidInput: there is no such instance.
        Refused: this device has acted under a later lease of one of them.
    """
    directory = directory or DIRECTORY
    known = {instance: latest(instance, directory) for instance in numbers}
    for instance, number in numbers.items():
        if number < known[instance]:
            both = f"its lease is {known[instance]}, this one's {number}"
            raise Refused(f"Another operation has come to {instance} since this one began ({both}); nothing was done.")
    newer = [instance for instance, number in numbers.items() if number > known[instance]]
    if newer and not check:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        for instance in newer:
            write_json(_path(directory, instance), {"lease": numbers[instance]})
        sync(directory)


def highest(directory: str | None = None) -> int:
    """Return the highest number of a lease that this device acted under, of all instances; 0 if there is none."""
    directory = directory or DIRECTORY
    names_of = [os.path.splitext(entry)[0] for entry in os.listdir(directory) if entry.endswith(".json")] if os.path.isdir(directory) else []
    return max((latest(instance, directory) for instance in names_of), default=0)


def latest(instance: str, directory: str | None = None) -> int:
    """Return the number of the latest lease that this device acted under for an instance; 0 if there is none."""
    found: int = (read_json(_path(directory or DIRECTORY, instance)) or {"lease": 0})["lease"]
    return found


def _path(directory: str, instance: str) -> str:
    names.instance(instance)
    return os.path.join(directory, f"{instance}.json")
