# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What this RM is known by when capsules go from one to the other, and what it has written down of others."""

from __future__ import annotations

import glob
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.paths import CONFIG

#: An sshd may have been told to show one of its keys only, so others are told all of them.
HOST_KEYS = "/etc/ssh/ssh_host_*_key.pub"
KEY = f"{CONFIG}/id_ed25519"
HOME = "/var/lib/vmatrix"


class Known(t.NamedTuple):
    """The content of files with public keys; None of one that is not there.

    Attributes:
        host_key: the keys of this host, a line for each.
        transfer_key: the key that this RM shows to others; None, too, where only its public half is left.
        known_hosts: the host keys of others.
        authorized_keys: the transfer keys of others.
        ssh_config: how this RM reaches others.
    """

    host_key: str | None
    transfer_key: str | None
    known_hosts: str | None
    authorized_keys: str | None
    ssh_config: str | None


def known(key: str = KEY, host_keys: str = HOST_KEYS, config: str = CONFIG, home: str = HOME) -> Known:
    """Return what lies in files below *config* and *home*, in those that *host_keys* matches, and beside the private *key*."""
    shown = [text for text in map(_read, sorted(glob.glob(host_keys))) if text]
    mine = _read(f"{key}.pub") if os.path.exists(key) else None
    written = map(_read, (f"{config}/known_hosts", f"{home}/.ssh/authorized_keys", f"{config}/ssh_config"))
    return Known("".join(shown) or None, mine, *written)


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return None
