# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What is doubtful about members that have just been published: the world does not reach them, or their large answers will be lost.

Nothing of that is a reason to refuse: they answer their router. So it is told, with what is likely the reason.
"""

from __future__ import annotations

import concurrent.futures
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import answers, firewalls, neighbour, visitor
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.document import Document
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import enter

#: Seconds that attempts to call a public address may take, behind which members have just answered.
_ATTEMPTS = (0.1, 0.2, 0.4, 0.8, 1.0)
_PAUSE = 0.03
_MOST_THREADS = 16


class Entrance(t.NamedTuple):
    """Where the world comes in to a service: its public address and one of its TCP ports."""

    service: str
    address: str
    port: int


def of_published(document: Document, instances: t.Collection[str], namespace: str) -> list[str]:
    """Return a sentence for each doubt about members that are in the rotation and have answered.

    Args:
        document: the router document in force.
        instances: the names of those members.
        namespace: the router's network namespace.
    """
    services = [service for service in document["services"] if any(member["instance"] in instances for member in service["members"])]
    members = [member for service in services for member in service["members"] if member["instance"] in instances]
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        outside = pool.submit(_unreached, [each for service in services for each in _entrance(service)])
        narrow = _narrow(members, namespace)
        return [*outside.result(), *narrow]


def _entrance(service: t.Mapping[str, t.Any]) -> list[Entrance]:
    single = [port["port"] for port in service["ports"] if port["protocol"] == "tcp" and ports.single(port)]
    return [Entrance(service["name"], service["public_address"], single[0])] if single else []


def _narrow(members: t.Sequence[t.Mapping[str, t.Any]], namespace: str) -> list[str]:
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(_MOST_THREADS, len(members) or 1), initializer=enter, initargs=(namespace,)) as pool:
        found = list(pool.map(lambda member: neighbour.largest(member["address"]), members))
    return [
        f"Packets of more than {size.reaches} bytes do not reach {member['instance']} at {member['address']}, though its router sends up to "
        f"{size.sent}: a link on the way carries less, and large answers will be lost. Give the trunk interfaces of "
        "gateway and RMs the MTU that the way between them carries."
        for member, size in zip(members, found)
        if size is not None and size.reaches < size.sent
    ]


def _unreached(entrances: t.Sequence[Entrance]) -> list[str]:
    if not entrances:
        return []
    try:
        problems = visitor.visit(lambda: [_problem(each) for each in entrances])
    except MeshError as exc:
        return [f"Whether the world reaches what was published could not be found out: {exc.message}"]
    return [
        f"{each.service} answers its router, but its public address {each.address} does not answer a caller from outside at port {each.port} "
        f"({problem}). {_reason()}"
        for each, problem in zip(entrances, problems)
        if problem is not None
    ]


def _problem(entrance: Entrance) -> str | None:
    # The kernel may take up to a second until a link that has just been made carries anything.
    problem = None
    for seconds in _ATTEMPTS:
        problem = answers.knock(entrance.address, entrance.port, time.monotonic() + seconds)
        if problem is None:
            break
        time.sleep(_PAUSE)
    return problem


def _reason() -> str:
    if not firewalls.forwards():
        return "The gateway does not forward: its net.ipv4.ip_forward is 0."
    closed = [each for each in firewalls.others() if each.hook == "forward"]
    return closed[0].sentence if closed else "Look what of the gateway's rules and routes is in the way (nft list ruleset, ip rule)."
