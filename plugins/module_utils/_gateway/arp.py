# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Asking who has an address, as a neighbour does (RFC 826)."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import time

from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.rules import INSIDE

#: Hardware and protocol type, the lengths of their addresses, the operation, then sender's and target's hardware and protocol addresses.
_PACKET = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET, _FRAMES, _IPV4, _REQUEST, _REPLY = 1, 0x0806, 0x0800, 1, 2
_BROADCAST = b"\xff" * 6


def answers(address: str, end: float, size: int = 0, interface: str = INSIDE) -> bool:
    """Ask from the calling thread's network namespace; say whether there was an answer before *end* (monotonic).

    Args:
        address: whom to ask.
        end: when to give up.
        size: bytes to which the question is drawn out; what comes after its end is nobody's (as in the padding of every short frame).
        interface: whose neighbours are asked; as usual a router's guests.
    """
    wanted = ipaddress.ip_address(address).packed
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_FRAMES)) as line, contextlib.suppress(socket.timeout):
        line.bind((interface, _FRAMES))
        own = line.getsockname()[4]
        request = _PACKET.pack(_ETHERNET, _IPV4, 6, 4, _REQUEST, own, ipaddress.ip_address(_source(address)).packed, bytes(6), wanted)
        line.sendto(request.ljust(size, b"\0"), (interface, _FRAMES, 0, 0, _BROADCAST))
        while (left := end - time.monotonic()) > 0:
            line.settimeout(left)
            heard = line.recv(_PACKET.size)
            if len(heard) == _PACKET.size and _PACKET.unpack(heard)[4] == _REPLY and _PACKET.unpack(heard)[6] == wanted:
                return True
    return False


def _source(address: str) -> str:
    """Return our own address that a neighbour is asked from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.connect((address, 9))
        return str(line.getsockname()[0])
