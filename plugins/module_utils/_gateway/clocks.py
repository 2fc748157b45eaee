# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""An NTP server in each domain router of this gateway, at the addresses that guests believe to be their router's; no other one can be reached by them.

It is chrony (https://chrony-project.org/doc/4.3/chrony.conf.html), where that is installed. It has no sources and touches no clock: it says what the clock of
this host says, which is for the host to keep right.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import archive
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import health, namespace

PROGRAM = "/usr/sbin/chronyd"
#: As whom it runs when it has its port.
USER = "_chrony"
#: Where each has the file with its process, which it wants to have.
DIRECTORY = "/run/vmatrix/clocks"
#: Seconds after which it is looked again which routers there are, and after which one that ended is tried again.
PERIOD = 2.0
AGAIN = 30.0
#: As a server is that has nobody to ask: guests take another one if they find any.
_STRATUM = 10


class Server:
    """The server of one router."""

    def __init__(self, domain: str) -> None:
        os.makedirs(DIRECTORY, mode=0o755, exist_ok=True)
        orders = ["port 123", "allow", f"local stratum {_STRATUM}", "cmdport 0", "bindcmdaddress /", f"pidfile {os.path.join(DIRECTORY, domain)}.pid"]
        argv = ["ip", "netns", "exec", namespace.names(domain).namespace, PROGRAM, "-n", "-x", "-u", USER, *orders]
        self._began = time.monotonic()
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)  # pylint: disable=consider-using-with

    def over(self) -> bool:
        """Whether it has ended, and it is time for another one."""
        return self._process.poll() is not None and time.monotonic() - self._began >= AGAIN

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def follow(servers: dict[health.Router, Server], there: set[health.Router]) -> None:
    """Have a server in each router that is *there*, and in no other one; none where chrony is not installed."""
    for router in [each for each, server in servers.items() if each not in there or server.over()]:
        servers.pop(router).stop()
    if os.path.exists(PROGRAM):
        for router in there - set(servers):
            servers[router] = Server(router[0])


def main() -> None:
    """Go on until there are newer engines; the unit starts them, and ends the servers of these."""
    servers: dict[health.Router, Server] = {}
    engines = archive.version()
    while archive.version() == engines:
        try:
            follow(servers, health.routers())
        except (MeshError, OSError) as exc:
            logging.error("%s", exc)
        time.sleep(PERIOD)


if __name__ == "__main__":
    # The journal adds time and unit to each line.
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main()
