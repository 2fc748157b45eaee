# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What is in the way outside of a gateway's routers: firewalls of others, and a WAN that carries less than its interface says."""

from __future__ import annotations

import json

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import firewalls, neighbour


def in_the_way(wan: str) -> list[str]:
    """Return a sentence for each; *wan* is the interface that faces the world."""
    return [*_narrow(wan), *(each.sentence for each in firewalls.others())]


def _narrow(wan: str) -> list[str]:
    """Ask the next router, as far as there is one that answers."""
    routes = run(["ip", "-j", "route", "show", "default", "dev", wan], check=False)
    peers = [route["gateway"] for route in json.loads(routes.stdout or "[]") if "gateway" in route]
    try:
        found = neighbour.largest(peers[0], wan) if peers else None
    except OSError:
        # The interface is down; whoever needs it will be told.
        return []
    if found is None or found.reaches >= found.sent:
        return []
    return [
        f"Packets of more than {found.reaches} bytes do not reach the next router {peers[0]} by {wan}, which takes {found.sent}: "
        f"give {wan} an MTU of {found.reaches}."
    ]
