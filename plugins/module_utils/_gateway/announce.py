# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Telling the neighbours on a segment that an address is ours now (gratuitous ARP, RFC 5227 section 3)."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import typing as t

_ARP = 0x0806
_BROADCAST = b"\xff" * 6
_REQUEST, _REPLY = 1, 2


def frame(mac: bytes, address: str, operation: int) -> bytes:
    """Return the Ethernet frame that announces *address* at *mac* (6 bytes); *operation* is 1 (request) or 2 (reply)."""
    own = ipaddress.IPv4Address(address).packed
    target = mac if operation == _REPLY else bytes(6)
    return _BROADCAST + mac + struct.pack("!HHHBBH", _ARP, 1, 0x0800, 6, 4, operation) + mac + own + target + own


def announce(interface: str, addresses: t.Iterable[str]) -> None:
    """Broadcast on *interface* that it has *addresses*, in both forms: some neighbours heed requests only, some replies only.

    On an interface that is down nobody hears it, and nobody needs to: neighbours ask anew when it comes up.
    """
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP)) as sender:
        sender.bind((interface, 0))
        mac = sender.getsockname()[4]
        for address in addresses:
            for operation in (_REQUEST, _REPLY):
                try:
                    sender.send(frame(mac, address, operation))
                except OSError as exc:
                    if exc.errno != errno.ENETDOWN:
                        raise
