# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The ports of services and tunnels: the same in capsules, records and documents."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

Port = t.Dict[str, t.Any]

#: What a service can declare.
PROTOCOLS = ("tcp", "udp")
#: What a tunnel lets through besides; ICMP (an echo request) has no port.
TUNNELED = (*PROTOCOLS, "icmp")
#: What follows a protocol that agrees on further connections, and lets them pass: the kernel's connection tracking helpers, each for single TCP ports.
HELPERS = ("ftp",)
#: How many there may be; a range is one.
MOST = 64


def checked(whose: str, ports: t.Iterable[t.Any], protocols: t.Sequence[str] = PROTOCOLS, least: int = 1) -> list[Port]:
    """Return ports in canonical form: sorted by protocol and port, without what is None.

    Args:
        whose: what declares them, such as "service shop".
        ports: C(protocol) and C(port) of each; of a service's also C(last_port), where it is a range, and C(helper).
        protocols: which protocols may be declared.
        least: how many there must be.

    Raises:
        InvalidInput: there are too few or too many, one is no port of these protocols, or one is there twice.
    """
    found = sorted((_checked(whose, each, protocols) for each in ports), key=lambda port: (port["protocol"], port["port"] or 0))
    if len(found) < least:
        raise InvalidInput(f"The {whose} declares no port, so nobody could reach it.")
    if len(found) > MOST:
        raise InvalidInput(f"The {whose} declares {len(found)} ports; it can declare at most {MOST}.")
    for one, following in zip(found, found[1:]):
        if one["protocol"] == following["protocol"] and (one["port"] is None or following["port"] <= last(one)):
            raise InvalidInput(f"The {whose} declares {following['protocol']}/{following['port']} more than once.")
    return found


def last(port: t.Mapping[str, t.Any]) -> int:
    """Return the last port of a range; of a single port, that one."""
    return port.get("last_port") or port["port"]


def text(port: t.Mapping[str, t.Any]) -> str:
    """Return a port as people and nftables read it: C(80), or C(8000-8010)."""
    return str(port["port"]) if single(port) else f"{port['port']}-{last(port)}"


def single(port: t.Mapping[str, t.Any]) -> bool:
    """Whether it is one port, not a range."""
    return last(port) == port["port"]


def covers(port: t.Mapping[str, t.Any], number: int) -> bool:
    """Whether *number* is that port, or one of the range."""
    return bool(port["port"] <= number <= last(port))


def joined(ports: t.Iterable[Port]) -> list[Port]:
    """Return what any of *ports* opens, as what one service declares: its instances may be of capsules whose ranges differ."""
    found: list[Port] = []
    for port in sorted(ports, key=lambda port: (port["protocol"], port["port"])):
        if found and found[-1]["protocol"] == port["protocol"] and port["port"] <= last(found[-1]):
            one = found.pop()
            end = max(last(one), last(port))
            helper = {} if end > one["port"] else {key: each["helper"] for each in (one, port) for key in ("helper",) if key in each}
            port = {"protocol": one["protocol"], "port": one["port"], **({"last_port": end} if end > one["port"] else {}), **helper}
        found.append(port)
    return found


def _checked(whose: str, port: t.Any, protocols: t.Sequence[str]) -> Port:
    more = ("last_port", "helper") if protocols is PROTOCOLS else ()
    if not isinstance(port, dict) or set(port) - {"protocol", "port", *more} or "protocol" not in port:
        raise InvalidInput(f"A port of the {whose} consists of protocol and port; {port!r} does not.")
    protocol, number = port["protocol"], port.get("port")
    if protocol not in protocols:
        raise InvalidInput(f"{protocol!r} is not a protocol that the {whose} can declare: it must be {', '.join(protocols[:-1])} or {protocols[-1]}.")
    if protocol == "icmp" and number is not None:
        raise InvalidInput(f"The {whose} declares a port for icmp, which has none.")
    if protocol != "icmp":
        _refuse_no_port(whose, number)
    plain = {"protocol": protocol, "port": number}
    return {**plain, **_range(whose, port), **_helper(whose, port)}


def _range(whose: str, port: Port) -> Port:
    end = port.get("last_port")
    if end is None:
        return {}
    _refuse_no_port(whose, end)
    if end <= port["port"]:
        raise InvalidInput(f"The {whose} declares the ports {port['port']} to {end}: the last one of a range must be greater than the first one.")
    return {"last_port": end}


def _helper(whose: str, port: Port) -> Port:
    helper = port.get("helper")
    if helper is None:
        return {}
    if helper not in HELPERS:
        raise InvalidInput(f"{helper!r} is not a helper that the {whose} can declare: it must be {' or '.join(HELPERS)}.")
    if port["protocol"] != "tcp" or not single(port):
        raise InvalidInput(f"The {whose} declares the helper {helper} for {port['protocol']}/{text(port)}: it is for single TCP ports.")
    return {"helper": helper}


def _refuse_no_port(whose: str, number: t.Any) -> None:
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 65535:
        raise InvalidInput(f"{number!r} is not a port of the {whose}: it must be a whole number from 1 to 65535.")
