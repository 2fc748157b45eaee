# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Whether large frames pass the trunk between the hosts of an HN: a gateway sends back what it is asked with, RMs ask.

The hosts have no addresses on the trunk, so it is frames of a kind of their own (the EtherType that IEEE 802 leaves to experiments), which no host's stack
hears, and which guests may not send. They are addressed to the router that all domains have. C(python3 -m ..._switch.trunk) answers on a gateway.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import logging
import socket
import struct
import threading
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import archive, sizes
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import switch

#: IEEE 802, local experimental EtherType 1.
_KIND = 0x88B5
_TAG = 0x8100
#: linux/if_ether.h, linux/if_packet.h, asm-generic/socket.h.
_ALL = 3
_SOL_PACKET, _AUXDATA, _IGNORE_OUTGOING = 263, 8, 23
_ATTACH_FILTER = 26
_HAS_TAG = 1 << 4
#: struct tpacket_auxdata: status, lengths, offsets, then the VLAN tag that the kernel has taken out of the frame.
_AUXILIARY = struct.Struct("=IIIHHHH")
#: What begins each frame, after which it is filled up: question or answer, whose question it is, and the size.
_CONTENT = struct.Struct("!12sB8sH")
_OURS, _QUESTION, _ANSWER = b"vmatrixtrunk", 1, 2
_ETHERNET, _MAC = 14, 6
#: Seconds after which it is looked again which uplinks there are.
_PERIOD = 5.0
#: Seconds in which a gateway answers that does.
_PATIENCE = 0.3


class Heard(t.NamedTuple):
    """A frame of ours: who sent it, in which VLAN (None without a tag), and its content."""

    sender: bytes
    vlan: int | None
    kind: int
    question: bytes
    size: int


def largest(uplink: str, vlans: t.Iterable[int | None], gateway: bytes, limit: int = sizes.USUAL) -> int | None:
    """Return the bytes of the largest packet that goes to the gateway and back over the trunk; None where no gateway answers.

    Args:
        uplink: the interface of this host that is its end of the trunk.
        vlans: those that are tried, None for frames without a tag; the first in which somebody answers counts.
        gateway: the MAC address of its routers.
        limit: the largest that is asked for.
    """
    with _opened(uplink) as line:
        for vlan in vlans:
            found = sizes.largest(_Asker(line, gateway, vlan), limit)
            if found is not None:
                return found
    return None


def answer(uplink: str) -> t.NoReturn:
    """Send back each question that arrives at an interface as large as it came, as long as that is there."""
    with _opened(uplink) as line:
        while True:
            heard = _heard(line)
            if heard and heard.kind == _QUESTION:
                # What does not fit is not answered.
                with contextlib.suppress(OSError):
                    line.send(_frame(heard.sender, _mac(line), heard.vlan, _ANSWER, heard.question, heard.size))


class _Asker:
    """Asks the gateway in one VLAN."""

    def __init__(self, line: socket.socket, gateway: bytes, vlan: int | None) -> None:
        self._line, self._gateway, self._vlan, self._question = line, gateway, vlan, os.urandom(8)

    def heard(self, asked: t.Collection[int], until: int | None = None) -> set[int]:
        """Return those of the sizes (bytes) that came back."""
        for size in sorted(asked, reverse=True):
            # What does not fit into our own link does not pass, either.
            with contextlib.suppress(OSError):
                self._line.send(_frame(self._gateway, _mac(self._line), self._vlan, _QUESTION, self._question, size))
        found: set[int] = set()
        end = time.monotonic() + _PATIENCE
        while found != set(asked) and until not in found and (left := end - time.monotonic()) > 0:
            self._line.settimeout(left)
            with contextlib.suppress(socket.timeout):
                heard = _heard(self._line)
                if heard and (heard.kind, heard.question) == (_ANSWER, self._question):
                    found |= {heard.size} & set(asked)
        return found


def _opened(uplink: str) -> socket.socket:
    """Return a socket that hears our frames on an interface, and nothing else of what the trunk carries."""
    line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    # Load the EtherType; if it is ours take all of the frame, else nothing (linux/filter.h).
    program = struct.pack("=HBBI", 0x28, 0, 0, 12) + struct.pack("=HBBI", 0x15, 0, 1, _KIND) + struct.pack("=HBBI", 0x06, 0, 0, 1 << 18)
    kept = ctypes.create_string_buffer(program + struct.pack("=HBBI", 0x06, 0, 0, 0))
    line.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", 4, ctypes.addressof(kept)))
    line.setsockopt(_SOL_PACKET, _AUXDATA, 1)
    line.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    line.bind((uplink, _ALL))
    return line


def _mac(line: socket.socket) -> bytes:
    return bytes(line.getsockname()[4])


def _frame(to: bytes, sender: bytes, vlan: int | None, kind: int, question: bytes, size: int) -> bytes:
    """Return an Ethernet frame whose payload has *size* bytes."""
    tag = struct.pack("!HH", _TAG, vlan) if vlan is not None else b""
    return to + sender + tag + struct.pack("!H", _KIND) + _CONTENT.pack(_OURS, kind, question, size).ljust(size, b"\0")


def _heard(line: socket.socket) -> Heard | None:
    """Return the next frame, or None if it is none of ours; one that was cut on its way is none."""
    frame, auxiliary, unused, unused_too = line.recvmsg(65536, socket.CMSG_SPACE(_AUXILIARY.size))
    if len(frame) < _ETHERNET + _CONTENT.size:
        return None
    mark, kind, question, size = _CONTENT.unpack_from(frame, _ETHERNET)
    if mark != _OURS or len(frame) < _ETHERNET + size:
        return None
    return Heard(frame[_MAC : 2 * _MAC], _vlan(auxiliary), kind, question, size)


def _vlan(auxiliary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, content in auxiliary:
        if (level, kind) == (_SOL_PACKET, _AUXDATA):
            status, *unused, tag, unused_too = _AUXILIARY.unpack(content[: _AUXILIARY.size])
            return tag & 0xFFF if status & _HAS_TAG else None
    return None


def _uplinks() -> set[str]:
    """Return the trunk interfaces of this host that are there."""
    known = {uplink for bridge in switch.bridges() for uplink in switch.find(bridge).trunks()}
    return known & {name for unused, name in socket.if_nameindex()}


def follow(answering: dict[str, threading.Thread], uplinks: t.Collection[str]) -> None:
    """Have a thread that answers on each of *uplinks*; one whose interface was down, or went, has ended."""
    for uplink in uplinks:
        if uplink not in answering or not answering[uplink].is_alive():
            answering[uplink] = threading.Thread(target=_answer, args=(uplink,), name=uplink, daemon=True)
            answering[uplink].start()


def _answer(uplink: str) -> None:
    # It is down, or gone; it is tried again.
    with contextlib.suppress(OSError):
        answer(uplink)


def main() -> None:
    """Go on until there are newer engines; the unit starts them."""
    answering: dict[str, threading.Thread] = {}
    engines = archive.version()
    while archive.version() == engines:
        try:
            follow(answering, _uplinks())
        except (MeshError, OSError) as exc:
            logging.error("%s", exc)
        time.sleep(_PERIOD)


if __name__ == "__main__":
    # The journal adds time and unit to each line.
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main()
