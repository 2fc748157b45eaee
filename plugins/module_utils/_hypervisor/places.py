# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Where an instance's files lie on an RM."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import footprint, names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused

ROOT = "/var/lib/vmatrix"


class Places(t.NamedTuple):
    """Paths below *root*; every name is checked before it becomes a part of a path."""

    root: str = ROOT

    def ready(self) -> Places:
        """Return self if this host has the directories of an RM.

        Raises:
            Refused: it has not.
        """
        if not (os.path.isdir(self.instances()) and os.path.isdir(self.epochs())):
            raise Refused(f"This host is not set up as an RM: {self.instances()} is missing.")
        return self

    def instances(self) -> str:
        """Return the directory that holds one directory per instance."""
        return os.path.join(self.root, "instances")

    def epochs(self) -> str:
        """Return the directory that holds the epoch records."""
        return os.path.join(self.root, "epochs")

    def leases(self) -> str:
        """Return the directory of the numbers of leases."""
        return os.path.join(self.root, "leases")

    def directory(self, name: str) -> str:
        """Return the directory of instance *name*."""
        names.instance(name)
        return os.path.join(self.instances(), name)

    def document(self, name: str) -> str:
        """Return the path of the instance's document, C(instance.json)."""
        return os.path.join(self.directory(name), footprint.DOCUMENT)

    def memory(self, name: str) -> str:
        """Return the path of the memory image of a suspended instance."""
        return os.path.join(self.directory(name), footprint.MEMORY)

    def pipe(self, name: str) -> str:
        """Return the path of the pipe that another instance's memory image comes out of while it is restored as this one."""
        return os.path.join(self.directory(name), "memory.pipe")

    def starting(self, name: str) -> str:
        """Return the path of the file that is there from before a guest is made until its CPUs run."""
        return os.path.join(self.directory(name), "starting")

    def still(self, name: str) -> str:
        """Return the path of the file that is there while a guest stands still and is to go on."""
        return os.path.join(self.directory(name), "still")

    def coming(self, name: str) -> str:
        """Return the path of the file that is there while a guest arrives alive, until it was handed over: so long nothing of it is this RM's."""
        return os.path.join(self.directory(name), footprint.COMING)

    def overlay(self, name: str, disk: str) -> str:
        """Return the path of the overlay of disk *disk*."""
        return os.path.join(self.directory(name), footprint.overlay(disk))

    def console(self, name: str) -> str:
        """Return the path of the log of the serial console."""
        return os.path.join(self.directory(name), "console.log")

    def evidence(self) -> str:
        """Return the directory of what is left of guests that did not come up."""
        return os.path.join(self.root, "evidence")

    def epoch(self, name: str) -> str:
        """Return the path of the epoch record, which outlives the instance."""
        names.instance(name)
        return os.path.join(self.epochs(), f"{name}.json")

    def lock(self, name: str) -> str:
        """Return the path of the instance's lock; it outlives the instance too."""
        names.instance(name)
        return os.path.join(self.epochs(), f"{name}.lock")

    def cache(self, what: str) -> str:
        """Return the path of a cached finding about this host."""
        return os.path.join(self.root, f"{what}.json")
