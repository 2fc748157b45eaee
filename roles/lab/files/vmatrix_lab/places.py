# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the lab keeps its things on the machine."""

from __future__ import annotations

import os

#: The lab's name: of its network namespace, its control group and its directories. Labs of different names may stand side by side.
NAME = os.environ.get("VMATRIX_LAB_NAME", "vmatrix-lab")
STATE = f"/var/lib/{NAME}"
#: What was built once; labs that stand side by side may share it.
CACHE = os.environ.get("VMATRIX_LAB_CACHE", f"/var/cache/{NAME}")
IMAGES = os.path.join(CACHE, "images")
#: A link to the root file system that was built last; what runs in a copy of it has all that the roles install.
ROOT = os.path.join(CACHE, "root")
HOSTS = os.path.join(STATE, "hosts")
#: Those that are virtual machines.
VMS = os.path.join(STATE, "vms")
SSH = os.path.join(STATE, "ssh")
KEY = os.path.join(SSH, "id_ed25519")
#: ControlMaster sockets; short, because a socket's path may have 108 bytes only.
SOCKETS = f"/run/{NAME}"
#: Where systemd-nspawn keeps what belongs to a machine of a name.
NSPAWN = "/run/systemd/nspawn"
#: Held while the lab is built, changed or removed.
LOCK = f"/run/lock/{NAME}"


def of_host(name: str, *parts: str) -> str:
    """Return the directory of the host *name*, or a path in it."""
    return os.path.join(HOSTS, name, *parts)
