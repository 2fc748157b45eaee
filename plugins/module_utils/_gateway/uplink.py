# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Public addresses come back by themselves: C(python3 -m ..._gateway.uplink) looks after the WAN interface.

When an interface goes down the kernel forgets for whom it answers ARP, and nothing brings that back when it is up again, or was made anew. The kernel says
when a link or a route changes; so that nothing is missed, it is looked every few seconds besides.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import archive
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import namespace, router, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.announce import announce
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.document import public_addresses
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import switch

#: Seconds after which it is looked though nothing was heard, and those in which what belongs together is waited for.
PERIOD = 5.0
_SETTLED = 0.2
#: linux/rtnetlink.h: links, and routes of IPv4.
_GROUPS = 0x1 | 0x40


class Watch:
    """Looks after the WAN interfaces of this gateway.

    Args:
        switch_of: finds the switch of a bridge's name.
        directory: where the states of the routers are kept.
    """

    def __init__(self, switch_of: t.Callable[[str], router.Switch] = switch.find, directory: str = state.DIRECTORY) -> None:
        self._switch_of, self._directory = switch_of, directory
        self._carried: dict[str, namespace.Link] = {}

    def look(self) -> list[str]:
        """Bring back what is lost of the ways to public addresses, and return in words what was done."""
        links = {link.name: link for link in namespace.links()}
        done = []
        routers = [known for known in state.load_all(self._directory) if self._there(known, links)]
        for wan in sorted({known.wan_interface for known in routers}):
            mine = [known for known in routers if known.wan_interface == wan]
            lost = namespace.lost([known.document for known in mine], wan)
            done += [self._brought_back(known) for known in mine if known.document["domain"] in lost]
            # Whoever has come back with another MAC, or behind another port of a switch, is looked for where he was.
            if links[wan].carries and self._carried.get(wan) != links[wan]:
                announce(wan, [address for known in mine for address in public_addresses(known.document)])
            self._carried[wan] = links[wan]
        return done

    def _there(self, known: state.State, links: t.Mapping[str, namespace.Link]) -> bool:
        """Whether a router is there and its WAN interface is up: nothing else is ours to mend."""
        wan = links.get(known.wan_interface)
        return wan is not None and wan.up and namespace.names(known.document["domain"]).link in links

    def _brought_back(self, known: state.State) -> str:
        what = f"The public addresses of {known.document['domain']}"
        try:
            router.restore(known, self._switch_of(known.bridge), self._directory)
        except (MeshError, OSError) as exc:
            # It is tried again; those of other domains are not to wait for that.
            return f"{what} are not back on {known.wan_interface}: {exc}"
        return f"{what} are back on {known.wan_interface}"


def listen() -> socket.socket:
    """Return the socket on which the kernel says that a link or a route has changed (rtnetlink(7))."""
    line = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    line.bind((0, _GROUPS))
    return line


def hear(line: socket.socket, period: float = PERIOD) -> None:
    """Return when something has changed and what belongs to it has come, or after *period* seconds."""
    if select.select([line], [], [], period)[0]:
        time.sleep(_SETTLED)
        # What is said does not matter, nor that something was lost because there was too much of it (ENOBUFS).
        with contextlib.suppress(OSError):
            while True:
                line.recv(65536)


def main() -> None:
    """Go on until there are newer engines; the unit starts them."""
    watch, line, engines = Watch(), listen(), archive.version()
    while archive.version() == engines:
        try:
            for words in watch.look():
                logging.info("%s.", words)
        except (MeshError, OSError) as exc:
            logging.error("%s", exc)
        hear(line)


if __name__ == "__main__":
    # The journal adds time and unit to each line.
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main()
