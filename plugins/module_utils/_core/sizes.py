# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Finding out how large a packet may be that passes a way, by asking somebody at its other end who answers each question with one of its size."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import typing as t

#: RFC 791: what every host has to take; it is the first thing that is asked with.
LEAST = 576
#: What Ethernet promises to carry (RFC 894), and everybody believes in.
USUAL = 1500
_COARSE, _FINE = 64, 4
#: What links carry that are known to carry less: PPPoE, tunnels by GRE, VXLAN, WireGuard and IPsec.
_KNOWN = (1496, 1492, 1480, 1476, 1468, 1450, 1440, 1420, 1400, 1300, 1280)
#: linux/sockios.h, and struct ifreq of linux/if.h with an int in its union.
_SIOCGIFMTU = 0x8921
_IFREQ = struct.Struct("16si20x")


class Asker(t.Protocol):
    """Asks with packets of several sizes (bytes) at once; returns those that were answered, without waiting for more when *until* was."""

    def heard(self, sizes: t.Collection[int], until: int | None = None) -> set[int]: ...


def largest(asker: Asker, limit: int) -> int | None:
    """Return the bytes of the largest packet up to *limit* that passes; None if nothing is answered."""
    heard = asker.heard({limit, LEAST}, until=limit)
    if limit in heard or not heard:
        return max(heard, default=None)
    # What was lost by chance, or came late from somebody who is busy, is asked for again and again.
    low = max(asker.heard({limit, *range(LEAST, limit, _COARSE)}, until=limit), default=LEAST)
    if low < limit and limit not in asker.heard({limit}, until=limit):
        return max(asker.heard({*range(low, min(low + _COARSE, limit), _FINE), *known(low, limit)}), default=low)
    return limit


def known(low: int, limit: int) -> list[int]:
    """Return the sizes from *low* to below *limit* that links are known to carry, the largest first."""
    return [size for size in _KNOWN if low <= size < limit]


def carried_by(interface: str) -> int:
    """Return the bytes of the largest packet that an interface of the calling thread's network namespace takes, but no more than is usual.

    Where there is no such interface, it is what is usual.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line, contextlib.suppress(OSError):
        return min(USUAL, _IFREQ.unpack(fcntl.ioctl(line, _SIOCGIFMTU, _IFREQ.pack(interface.encode(), 0)))[1])
    return USUAL
