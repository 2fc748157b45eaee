# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What the ends of a tunnel call themselves (RFC 7296 section 3.5): a name, an e-mail address, an IPv4 address, a distinguished name or a key id.

They are written as in swanctl.conf. Nothing that strongSwan would take for "anybody", or for a pattern, is an identity here.
"""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

KEY_ID = "keyid:"
LONGEST = 253
#: The parts of a distinguished name that strongSwan writes as it reads them.
PARTS = ("C", "CN", "DC", "E", "L", "O", "OU", "SN", "ST", "UID")

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*"
#: What has a meaning of its own in a distinguished name as text, or in a pattern, is left out.
_VALUE = r"[A-Za-z0-9._:@()'&!?-](?:[A-Za-z0-9 ._:@()'&!?-]*[A-Za-z0-9._:@()'&!?-])?"
_PART = rf"({'|'.join(PARTS)}) *= *({_VALUE})"


def checked(whose: str, value: object) -> str:
    """Return an identity in its canonical form, which is how strongSwan writes it, but for C(keyid:).

    Args:
        whose: whose it is, such as "peer of the tunnel of shop.example.com".
        value: C(vpn.example.com), C(vpn@example.com), C(203.0.113.9), C(C=DE, O=Example, CN=vpn), C(keyid:store-17) or, in hexadecimal, C(keyid:#0a0b).

    Raises:
        InvalidInput: it is no identity.
    """
    if isinstance(value, str) and 0 < len(value) <= LONGEST:
        if value.startswith(KEY_ID):
            if re.fullmatch(r"#(?:[0-9A-Fa-f]{2})+|[!-\"$-~][!-~]*", value[len(KEY_ID) :]):
                return value.lower() if value.startswith(f"{KEY_ID}#") else value
        elif "=" in value:
            parts = [re.fullmatch(_PART, part.strip()) for part in value.split(",")]
            if all(parts):
                return ", ".join(f"{part[1]}={part[2]}" for part in parts if part)
        elif re.fullmatch(r"[0-9.]+", value):
            return _address(whose, value)
        elif re.fullmatch(rf"(?:[A-Za-z0-9._+-]{{1,64}}@)?{_NAME}", value):
            return value
    raise InvalidInput(
        f"The identity of the {whose} is {value!r}, which is none: it must be a name such as vpn.example.com, an e-mail address, an IPv4 address, "
        "a distinguished name such as 'C=DE, O=Example, CN=vpn', or a key id such as keyid:store-17."
    )


def shown(identity: str) -> str:
    """Return how strongSwan writes a checked *identity*: of a key id what it holds, as text where that can be read."""
    if not identity.startswith(KEY_ID):
        return identity
    held = identity[len(KEY_ID) :]
    if not held.startswith("#"):
        return held
    raw = bytes.fromhex(held[1:])
    return raw.decode() if all(0x20 <= byte <= 0x7E for byte in raw) else raw.hex(":")


def _address(whose: str, value: str) -> str:
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError as exc:
        raise InvalidInput(f"The identity of the {whose} is {value!r}, which is neither a name nor an IPv4 address such as 203.0.113.9.") from exc
    if address.is_unspecified or address.is_multicast:
        raise InvalidInput(f"The identity of the {whose} is {value}, which no single host can have.")
    return str(address)
