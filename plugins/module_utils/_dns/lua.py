# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""A steering document as the Lua of PowerDNS (LUA records).

The Lua is put together from addresses, prefixes, ports, names and paths that have been checked character by character, and from nothing else:
no such value can have a quote, a backslash, a comma or a space in it.
"""

from __future__ import annotations

import re
import struct
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import policy, shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.libraries import dns
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.policy import Document, Row

#: The number of PowerDNS's own record type.
LUA = 65402
#: The longest character-string (RFC 1035 section 3.3).
STRING = 255
_SAFE = re.compile(r"[A-Za-z0-9.:/_~-]+")

# The server knows nobody as alive before its first round of checks, and when all are dead; in both cases it gives all addresses
# back, so that the nearest HN is answered.
_SCRIPT = """;local alive={{}} for _, one in ipairs({alive}) do alive[one]=true end \
local row=tonumber(view({{{prefixes}}})) local orders={{{orders}}} local sites={{{sites}}} local chosen={{}} local count=0 \
for _, site in ipairs(orders[row]) do local living=false \
for _, one in ipairs(sites[site]) do if alive[one] then table.insert(chosen, one) living=true end end \
if living then count=count+1 end if count=={answers} then break end end return chosen"""


def script(wanted: Document, family: int) -> str | None:
    """Return the Lua that answers for a document, or None when no HN has an address of the *family* (4 or 6)."""
    table = policy.rows(wanted, family)
    if not table:
        return None
    addresses = dict(sorted(table[-1].sites))
    number = {hn: index for index, hn in enumerate(addresses, 1)}
    orders, prefixes = _orders(table, number)
    everyone = [address for found in addresses.values() for address in found]
    return _SCRIPT.format(
        alive=_alive(wanted["check"], everyone),
        prefixes=", ".join(prefixes),
        orders=", ".join(f"{{{', '.join(map(str, order))}}}" for order in orders),
        sites=", ".join(_strings(found) for found in addresses.values()),
        answers=wanted["answers"],
    )


def rdata(wanted: Document, family: int) -> t.Any:
    """Return the record (a dns.rdata.Rdata of the type LUA) that answers for a document, or None."""
    text = script(wanted, family)
    if text is None:
        return None
    rdtype = dns.rdatatype.from_text(shapes.FAMILIES[family])
    wire = struct.pack("!H", rdtype) + b"".join(bytes([len(part)]) + part for part in (one.encode("ascii") for one in parts(text)))
    if len(wire) > 65535:
        raise InvalidInput(f"The table of prefixes of {wanted['name']} is too long for one record.")
    return dns.rdata.GenericRdata(dns.rdataclass.IN, LUA, wire)


def parts(text: str, longest: int = STRING) -> list[str]:
    """Split Lua where a space does no harm: the server puts spaces between the strings of a record."""
    found = [""]
    for piece in re.findall(r"[^, ]*[, ]?", text):
        if len(found[-1]) + len(piece) > longest:
            found.append("")
        found[-1] += piece
    return found


def _orders(table: list[Row], number: t.Mapping[str, int]) -> tuple[list[tuple[int, ...]], list[str]]:
    """Return the different orders of HNs, and the prefixes with the number of the order that counts for them, the longest first.

    Prefixes of one length have no client in common, so those with one order can stand together, whatever their regions.
    """
    orders: dict[tuple[int, ...], int] = {}
    groups: dict[tuple[int, int], list[str]] = {}
    *regions, rest = [(orders.setdefault(tuple(number[hn] for hn, unused in row.sites), len(orders) + 1), row.prefixes) for row in table]
    for order, prefixes in regions:
        for prefix in prefixes:
            groups.setdefault((-prefix.prefixlen, order), []).append(str(prefix))
    rows = [(order, found) for (unused, order), found in sorted(groups.items())] + [(rest[0], map(str, rest[1]))]
    return list(orders), [f"{{{_strings(found)}, {{'{order}'}}}}" for order, found in rows]


def _alive(check: t.Mapping[str, t.Any], addresses: list[str]) -> str:
    both = "{selector='all', backupSelector='all'}"
    if check["type"] == "http":
        url = _string(f"http://{check['host']}:{check['port']}{check['path']}")
        return f"ifurlup({url}, {_strings(addresses)}, {both})"
    if check["type"] == "tcp":
        return f"ifportup({int(check['port'])}, {_strings(addresses)}, {both})"
    return _strings(addresses)


def _strings(values: t.Iterable[str]) -> str:
    return f"{{{', '.join(_string(value) for value in values)}}}"


def _string(value: str) -> str:
    if not _SAFE.fullmatch(value):
        raise InvalidInput(f"{value!r} cannot stand in a steering record.")
    return f"'{value}'"
