# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Asking every authoritative server of a zone until all of them serve what they should."""

from __future__ import annotations

import concurrent.futures
import socket
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.shapes import PORT, Endpoint
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.zone import Zone


def authorities(zone: Zone, port: int = PORT) -> list[Endpoint]:
    """Return where the authoritative servers of a zone listen: its primary, and every address of each name in its NS records.

    Raises:
        CommandFailed: one of the names has no address.
    """
    found = [zone.server]
    for record in zone.read(zone.name, "NS") or ():
        target = str(record.target).rstrip(".").lower()
        addresses = _in_zone(zone, target) or _looked_up(zone, target)
        found += [Endpoint(address, port) for address in addresses]
    return list(dict.fromkeys(found))


def _in_zone(zone: Zone, target: str) -> list[str]:
    if target != zone.name and not target.endswith(f".{zone.name}"):
        return []
    return [record.address for rdtype in ("A", "AAAA") for record in zone.read(target, rdtype) or ()]


def _looked_up(zone: Zone, target: str) -> list[str]:
    try:
        return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(target, None, type=socket.SOCK_DGRAM)})
    except OSError as exc:
        raise CommandFailed(f"{target} is a name server of {zone.name}, but has no address: {exc.strerror or exc}.") from exc


def everywhere(servers: t.Sequence[Endpoint], look: t.Callable[[Endpoint], str | None], what: str, timeout: float, changed: bool) -> None:
    """Ask all *servers* at the same time, and again those that are not there yet, until *look* finds nothing to say of any.

    Args:
        servers: the servers.
        look: returns None if the server serves what it should, or what it says instead; may raise a MeshError.
        what: what they should serve, for the message.
        timeout: seconds until giving up.
        changed: whether the primary was changed before, which is true even if others do not follow.

    Raises:
        DeadlineExceeded: the message names each server that does not serve it, and what it says.
    """
    problems = dict.fromkeys(servers, "was not asked")

    def said(server: Endpoint) -> str | None:
        try:
            return look(server)
        except MeshError as exc:
            return exc.message.rstrip(".")

    def all_serve(pool: concurrent.futures.Executor) -> bool:
        waiting = list(problems)
        for server, problem in zip(waiting, pool.map(said, waiting)):
            problems[server] = problem
            if problem is None:
                del problems[server]
        return not problems

    with concurrent.futures.ThreadPoolExecutor(max(1, len(servers))) as pool:
        try:
            wait_for(lambda: all_serve(pool), timeout, what)
        except DeadlineExceeded as exc:
            said_all = "; ".join(f"{server}: {problem}" for server, problem in problems.items())
            result = {"changed": changed, "unconfirmed": [str(server) for server in problems]}
            raise DeadlineExceeded(f"Not every authoritative server serves {what} after {timeout:g} s ({said_all}).", result) from exc
