# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What names, addresses, ports and prefixes may look like here. Some of them end up in a server's Lua, so nothing else is let through."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

#: A label of a host's or a record's name: RFC 1123 section 2.1, and a leading underscore (RFC 8552).
LABEL = r"(?![a-z0-9_-]{64})_?[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
NAME = rf"{LABEL}(?:\.{LABEL})*"
#: Characters of a name, which leave room for a record's *. before it.
LONGEST = 250
PATH = r"/[A-Za-z0-9._~/-]{0,200}"
PORT = 53

#: The record type of each family of addresses.
FAMILIES = {4: "A", 6: "AAAA"}

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
_MAPPED = [ipaddress.ip_network("::/96"), ipaddress.ip_network("::ffff:0:0/96")]


class Endpoint(t.NamedTuple):
    """Where a name server listens."""

    address: str
    port: int = PORT

    def __str__(self) -> str:
        return self.address if self.port == PORT else f"{self.address}@{self.port}"


def name(value: str) -> str:
    """Return *value* as an absolute name without the last dot, in lower case; raise InvalidInput if it cannot be one."""
    lowered = value[:-1].lower() if isinstance(value, str) and value.endswith(".") else str(value).lower()
    if len(lowered) > LONGEST or not re.fullmatch(NAME, lowered):
        raise InvalidInput(f"{value!r} is not a name in the DNS: it must look like 'shop.example.com'.")
    return lowered


def within(value: str, zone: str) -> str:
    """Return *value* as an absolute name that belongs to *zone*; raise InvalidInput if it cannot."""
    found = name(value)
    if found != zone and not found.endswith(f".{zone}"):
        raise InvalidInput(f"{found} does not belong to the zone {zone}.")
    return found


def record_name(value: str, zone: str) -> str:
    """Return the absolute name of a record of *zone*, which may begin with C(*.); raise InvalidInput if it cannot be one."""
    if str(value).startswith("*."):
        return f"*.{within(value[2:], zone)}"
    return within(value, zone)


def endpoint(value: str) -> Endpoint:
    """Take C(192.0.2.53) or C(192.0.2.53@5353) apart; raise InvalidInput if it is neither."""
    text, at, number = str(value).partition("@")
    if at and not number.isdigit():
        raise InvalidInput(f"{value!r} is not a name server: it must look like '192.0.2.53' or '192.0.2.53@5353'.")
    try:
        return Endpoint(str(ipaddress.ip_address(text)), port(int(number)) if at else PORT)
    except ValueError as exc:
        raise InvalidInput(f"{value!r} is not a name server: it must look like '192.0.2.53' or '192.0.2.53@5353'.") from exc


def port(value: int) -> int:
    """Return *value* if it is a port; raise InvalidInput otherwise."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 65535:
        raise InvalidInput(f"{value!r} is not a port: it must be a number from 1 to 65535.")
    return value


def ttl(value: int) -> int:
    """Return *value* if it is a time to live in seconds (RFC 2181 section 8); raise InvalidInput otherwise."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 2147483647:
        raise InvalidInput(f"{value!r} is not a time to live: it must be a number of seconds from 1 to 2147483647.")
    return value


def path(value: str) -> str:
    """Return *value* if it can be the path of a health check; raise InvalidInput otherwise."""
    if not isinstance(value, str) or not re.fullmatch(PATH, value):
        raise InvalidInput(f"{value!r} is not a path of a health check: it must begin with / and have only letters, digits and . _ ~ / - in it.")
    return value


def address(value: str, family: int | None = None) -> str:
    """Return *value*, an address that can be reached, as it is usually written.

    Raises:
        InvalidInput: it is none, not of the *family* (4 or 6), or of a kind that no server can have.
    """
    try:
        found = ipaddress.ip_address(value)
    except ValueError as exc:
        raise InvalidInput(f"{value!r} is not an IP address.") from exc
    if family and found.version != family:
        raise InvalidInput(f"{value!r} is not an IPv{family} address.")
    # An IPv4 address in IPv6's clothes has more than one spelling; a scope means nothing to others.
    if found.is_multicast or found.is_unspecified or "%" in str(found) or (found.version == 6 and found != _LOOPBACK and any(found in net for net in _MAPPED)):
        raise InvalidInput(f"{value!r} cannot be the address of a server.")
    return str(found)


_LOOPBACK = ipaddress.ip_address("::1")


def prefix(value: str) -> Network:
    """Return *value* as a network; raise InvalidInput if it is none, or has bits set beyond its length."""
    try:
        found = ipaddress.ip_network(value)
    except ValueError as exc:
        raise InvalidInput(f"{value!r} is not a prefix of addresses: {exc}.") from exc
    if "%" in str(found):
        raise InvalidInput(f"{value!r} is not a prefix of addresses.")
    return found
