# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Where things lie that RMs know each other by, or that arrive from others and are not verified yet, and what may name them."""

from __future__ import annotations

import hashlib
import os
import re
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

CONFIG = "/etc/vmatrix/transfer"
#: How this RM reaches others, where it differs from what is usual: ports, addresses behind NAT, the key and the ciphers (ssh_config(5)).
WAYS = f"{CONFIG}/ssh_config"
INCOMING = "/var/lib/vmatrix/incoming"


def partial_blob(incoming: str, sha256: str) -> str:
    """Return the path of a blob that has arrived in part."""
    return os.path.join(incoming, f"{names.sha256(sha256)}.partial")


def parcels(incoming: str) -> str:
    """Return the directory of the parcels."""
    return os.path.join(incoming, "parcels")


def parcel(incoming: str, name: str) -> str:
    """Return the directory of the parcel *name*, which must be C(INSTANCE@EPOCH)."""
    split_parcel(name)
    return os.path.join(parcels(incoming), name)


def door(incoming: str, name: str) -> str:
    """Return the socket through which the parcel *name*, which must be C(INSTANCE@EPOCH), comes in alive; short, for the path of a socket must be."""
    split_parcel(name)
    return os.path.join(incoming, f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.door")


def split_parcel(name: str) -> tuple[str, int]:
    """Take the name of a parcel apart into instance and epoch; raise InvalidInput if it is not one."""
    instance, _at, epoch = name.partition("@") if isinstance(name, str) else ("", "", "")
    if not re.fullmatch("[1-9][0-9]{0,17}", epoch):
        raise InvalidInput(f"{name!r} is not a parcel: it must look like 'shop-1.example.com@3' (instance, epoch).")
    names.instance(instance)
    return instance, int(epoch)


def parcel_file(name: t.Any) -> str:
    """Return *name* if it can name a file of a parcel (C(memory), C(disk-root)); raise InvalidInput otherwise."""
    return names.label("file of a parcel", name)


def give_away(path: str, model: str) -> None:
    """Let *path* belong to whom *model* belongs to: root's modules and the unprivileged receiver share these files."""
    if os.geteuid() == 0:
        owner = os.stat(model)
        os.chown(path, owner.st_uid, owner.st_gid)
