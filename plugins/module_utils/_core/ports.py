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
#: How many there may be.
MOST = 64


def checked(whose: str, ports: t.Iterable[t.Any], protocols: t.Sequence[str] = PROTOCOLS, least: int = 1) -> list[Port]:
    """Return ports in canonical form: sorted by protocol and port.

    Args:
        whose: what declares them, such as "service shop".
        ports: C(protocol) and C(port) of each.
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
    for port in found:
        if found.count(port) > 1:
            raise InvalidInput(f"The {whose} declares {port['protocol']}/{port['port']} more than once.")
    return found


def _checked(whose: str, port: t.Any, protocols: t.Sequence[str]) -> Port:
    if not isinstance(port, dict) or set(port) - {"protocol", "port"} or "protocol" not in port:
        raise InvalidInput(f"A port of the {whose} consists of protocol and port; {port!r} does not.")
    protocol, number = port["protocol"], port.get("port")
    if protocol not in protocols:
        raise InvalidInput(f"{protocol!r} is not a protocol that the {whose} can declare: it must be {', '.join(protocols[:-1])} or {protocols[-1]}.")
    if protocol == "icmp" and number is not None:
        raise InvalidInput(f"The {whose} declares a port for icmp, which has none.")
    if protocol != "icmp" and (isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 65535):
        raise InvalidInput(f"{number!r} is not a port of the {whose}: it must be a whole number from 1 to 65535.")
    return {"protocol": protocol, "port": number}
