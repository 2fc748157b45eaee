# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""How the instances of a service share its callers: the policy, each one's weight, the check that shows that one is alive, and whether
their public address answers a ping.

A balance is kept without its defaults, so that capsules, records and router documents say nothing about it unless there is something to say.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

#: C(spread) gives each new connection to the next instance; C(sticky) gives all connections of one source address to the same one.
POLICIES = ("spread", "sticky")
#: C(tcp) is an accepted connection; C(http) and C(https) a response to a GET request for C(path) with the right status; C(udp) a port that is not refused;
#: C(arp) a guest that is there.
CHECKS = ("tcp", "http", "https", "udp", "arp")
HEAVIEST = 100
USUAL: dict[str, t.Any] = {
    "policy": "spread",
    "weight": 1,
    "check": "tcp",
    "path": "/",
    "ping": True,
    "check_port": None,
    "check_status": "100-499",
    "check_interval": 2,
    "check_timeout": 1,
    "check_failures": 2,
}
#: What concerns the service as a whole, not one instance.
SHARED = tuple(key for key in USUAL if key != "weight")
#: The least and the most that these may be: seconds, seconds, and a number.
LIMITS = {"check_interval": (0.2, 300), "check_timeout": (0.1, 30), "check_failures": (1, 20)}


class Check(t.NamedTuple):
    """What shows that a member is alive.

    Attributes:
        kind: one of CHECKS.
        port: what is asked; None for C(arp).
        path: what a page is asked for by.
        status: the lowest and the highest HTTP status that counts.
        interval: seconds from one attempt to the next.
        timeout: seconds that an attempt may take.
        failures: how many attempts in a row must fail before it is taken for dead.
    """

    kind: str = "tcp"
    port: int | None = None
    path: str = "/"
    status: tuple[int, int] = (100, 499)
    interval: float = USUAL["check_interval"]
    timeout: float = USUAL["check_timeout"]
    failures: int = USUAL["check_failures"]


def checked(value: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """Return a balance without its defaults.

    Args:
        value: any of what stands in USUAL; None is as usual.

    Raises:
        InvalidInput: it is invalid.
    """
    value = {key: item for key, item in (value or {}).items() if item is not None}
    unknown = sorted(set(value) - set(USUAL))
    if unknown:
        raise InvalidInput(f"A balance has no {unknown[0]!r}: it knows {', '.join(USUAL)}.")
    said = whole(value)
    if said["policy"] not in POLICIES:
        raise InvalidInput(f"{said['policy']!r} is not a policy of balancing: it must be spread or sticky.")
    if isinstance(said["weight"], bool) or not isinstance(said["weight"], int) or not 1 <= said["weight"] <= HEAVIEST:
        raise InvalidInput(f"{said['weight']!r} is not a weight: it must be a whole number from 1 to {HEAVIEST}.")
    if said["check"] not in CHECKS:
        raise InvalidInput(f"{said['check']!r} is not a check: it must be {', '.join(CHECKS[:-1])} or {CHECKS[-1]}.")
    path = said["path"]
    if not isinstance(path, str) or not path.startswith("/") or any(not 0x21 <= ord(character) < 0x7F for character in path):
        raise InvalidInput(f"The check's path {path!r} must begin with / and hold printable ASCII characters without spaces.")
    if not isinstance(said["ping"], bool):
        raise InvalidInput(f"{said['ping']!r} does not say whether the public address answers a ping: it must be true or false.")
    port = said["check_port"]
    if port is not None and (isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535):
        raise InvalidInput(f"{port!r} is not a port that a check could ask: it must be a whole number from 1 to 65535.")
    if _statuses(said["check_status"]) is None:
        raise InvalidInput(f"The check's status {said['check_status']!r} must be one such as 200, or a range of them such as 200-399.")
    for key, (least, most) in LIMITS.items():
        number = said[key]
        whole_number = key == "check_failures"
        if isinstance(number, bool) or not isinstance(number, int if whole_number else (int, float)) or not least <= number <= most:
            raise InvalidInput(f"{number!r} is not a {key}: it must be a {'whole ' if whole_number else ''}number from {least} to {most}.")
    return {key: said[key] for key in USUAL if said[key] != USUAL[key]}


def check_of(value: t.Mapping[str, t.Any] | None, declared: t.Iterable[ports.Port]) -> Check:
    """Return what shows that a member of a service is alive.

    Nobody named a port where there are several and none is said, so none of them is asked then: that the guest is there has to do.

    Args:
        value: its balance.
        declared: its ports.
    """
    said = whole(value)
    fitting = _fitting(said["check"], declared)
    port = said["check_port"] if said["check_port"] is not None else _only(fitting)
    rest = {key.partition("_")[2]: said[key] for key in LIMITS}
    if said["check"] == "arp" or port is None or not _among(fitting, port):
        return Check("arp", **rest)
    lowest, highest = t.cast("tuple[int, int]", _statuses(said["check_status"]))
    return Check(said["check"], port, said["path"], (lowest, highest), **rest)


def refuse_undeclared(value: t.Mapping[str, t.Any] | None, whose: str, declared: t.Iterable[ports.Port]) -> None:
    """Raise InvalidInput if a check asks a port that the service does not declare."""
    said = whole(value)
    if said["check_port"] is not None and not _among(_fitting(said["check"], declared), said["check_port"]):
        protocol = "UDP" if said["check"] == "udp" else "TCP"
        raise InvalidInput(f"The check of {whose} asks port {said['check_port']}, which is not among the {protocol} ports that it declares.")


def refuse_unclear(value: t.Mapping[str, t.Any] | None, whose: str, declared: t.Iterable[ports.Port]) -> None:
    """Raise InvalidInput if a check for pages, or of a UDP port, does not say which of several ports it asks."""
    said = whole(value)
    if said["check"] in ("http", "https", "udp") and said["check_port"] is None and _only(_fitting(said["check"], declared)) is None:
        raise InvalidInput(f"Say which port the {said['check']} check of {whose} asks (check_port).")


def _fitting(check: str, declared: t.Iterable[ports.Port]) -> list[ports.Port]:
    """Return the ports, and ranges of ports, that a check can ask."""
    return [port for port in declared if port["protocol"] == ("udp" if check == "udp" else "tcp")]


def _only(fitting: list[ports.Port]) -> int | None:
    """Return the only port that can be asked, or None where there is none, or a choice."""
    return fitting[0]["port"] if len(fitting) == 1 and ports.single(fitting[0]) else None


def _among(fitting: list[ports.Port], number: int) -> bool:
    return any(ports.covers(port, number) for port in fitting)


def _statuses(said: t.Any) -> tuple[int, int] | None:
    found = re.fullmatch("([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?", said) if isinstance(said, str) else None
    lowest, highest = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    return (lowest, highest) if lowest <= highest else None


def whole(value: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """Return a balance with its defaults filled in."""
    return {**USUAL, **(value or {})}
