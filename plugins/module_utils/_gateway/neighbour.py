# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""How large a packet may be that reaches a neighbour and comes back.

Where a link on the way carries less than everybody believes, small pages come and large ones do not. A guest that answers pings says what passes both ways. One
that does not still answers for its address however long the question is, and so says what reaches it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import sizes
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import arp
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.rules import INSIDE

#: Seconds in which a neighbour answers that does.
_PATIENCE = 0.3
#: linux/in.h: do not fragment, whatever was learned of the way; and the size that the kernel takes the way to carry.
_IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE, _IP_MTU = 10, 3, 14
#: RFC 792: type, code, checksum, identifier and sequence number of an echo. Before it lies an IP header of 20 bytes.
_ECHO = struct.Struct("!BBHHH")
_IP_HEADER = 20
_REQUEST, _REPLY = 8, 0


class Size(t.NamedTuple):
    """The largest packet that reaches a neighbour, and the largest that is sent there; in bytes."""

    reaches: int
    sent: int


def largest(address: str, interface: str = INSIDE) -> Size | None:
    """Return what size of packet reaches the neighbour at *address*, from the calling thread's network namespace; None if it answers nothing."""
    with _Echo(address) as echo:
        reaches = sizes.largest(echo, echo.limit) or _asked_for_its_address(address, echo.limit, interface)
        return Size(reaches, echo.limit) if reaches else None


def _asked_for_its_address(address: str, limit: int, interface: str) -> int | None:
    def passes(size: int) -> bool:
        return arp.answers(address, time.monotonic() + _PATIENCE, size, interface)

    if passes(limit):
        return limit
    # What was lost by chance is not lost twice.
    return next(filter(passes, (limit, *sizes.known(sizes.LEAST, limit), sizes.LEAST)), None) if passes(sizes.LEAST) else None


class _Echo:
    """Asks a host with echo requests of several sizes at once, none of which may be cut on its way."""

    def __init__(self, address: str) -> None:
        self._identifier = int.from_bytes(os.urandom(2), "big")
        self._line = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._line.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE)
        self._line.connect((address, 0))
        #: Bytes of the largest packet that is sent there.
        self.limit = self._line.getsockopt(socket.IPPROTO_IP, _IP_MTU)

    def __enter__(self) -> _Echo:
        return self

    def __exit__(self, *unused: t.Any) -> None:
        self._line.close()

    def heard(self, sizes: t.Collection[int], until: int | None = None) -> set[int]:
        """Return those of *sizes* (bytes) that came back; nothing more is waited for when *until* has."""
        for size in sorted(sizes, reverse=True):
            # A link of ours may carry less than it did; that is no more than another size that does not pass.
            with contextlib.suppress(OSError):
                self._line.send(self._request(size))
        found: set[int] = set()
        end = time.monotonic() + _PATIENCE
        while found != set(sizes) and until not in found and (left := end - time.monotonic()) > 0:
            self._line.settimeout(left)
            with contextlib.suppress(OSError):
                size = self._reply(self._line.recv(65535))
                found |= {size} & set(sizes)
        return found

    def _request(self, size: int) -> bytes:
        content = bytes(size - _IP_HEADER - _ECHO.size)
        # The rest is zero, so it adds nothing to the sum (RFC 1071).
        words = (_REQUEST << 8) + self._identifier + size
        return _ECHO.pack(_REQUEST, 0, 0xFFFF - (words - 1) % 0xFFFF - 1, self._identifier, size) + content

    def _reply(self, packet: bytes) -> int:
        """Return the size that a packet answers with its own, or 0."""
        if len(packet) < _IP_HEADER + _ECHO.size:
            return 0
        kind, unused, unused_too, identifier, size = _ECHO.unpack_from(packet, _IP_HEADER)
        return size if (kind, identifier, size) == (_REPLY, self._identifier, len(packet)) else 0
