# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Modules of the kernel that services' helpers need, loaded where a service declares one and nowhere else."""

from __future__ import annotations

import shutil
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.document import Document

#: nftables has the kernel load what follows a protocol, but not what translates the addresses in it.
_MODULES = {"ftp": "nf_nat_ftp"}


def load(document: Document) -> None:
    """Have the kernel load what the helpers of a router document need; one that has it built in has nothing to load."""
    wanted = {port["helper"] for service in document["services"] for port in service["ports"] if "helper" in port}
    modprobe = shutil.which("modprobe")
    for helper in sorted(wanted) if modprobe else ():
        run([t.cast(str, modprobe), "-q", _MODULES[helper]], check=False)
