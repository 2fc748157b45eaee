# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later


"""Putting frames on a wire and hearing them, on any host that has Python."""

from __future__ import annotations

import json
import subprocess

#: Sends each frame (a line of hex) from an interface.
MOUTH = """
import socket, sys, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((sys.argv[1], 0))
sent = [bytes.fromhex(line) for line in sys.stdin.read().split()]
for frame in sent * int(sys.argv[2]):
    wire.send(frame)
    # A switch in user space loses what comes too fast.
    time.sleep(0.001)
"""
#: Says "ready", listens on interfaces until its input ends, and prints [interface, hex of the frame] of each one that it heard.
EARS = """
import json, select, socket, struct, sys, time
wires = {}
for name in sys.argv[1:]:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.setsockopt(socket.SOL_SOCKET, 33, 1 << 25)
    # The kernel takes a tag off and tells of it beside the frame (PACKET_AUXDATA).
    wire.setsockopt(263, 8, 1)
    wire.bind((name, 0))
    wires[wire] = name
print("ready", flush=True)
heard, end = {}, None
while end is None or time.monotonic() < end:
    for one in select.select([sys.stdin] * (end is None) + list(wires), [], [], 0.2)[0]:
        if one is sys.stdin:
            end = time.monotonic() + 1
            continue
        frame, extra, unused, sender = one.recvmsg(2048, 256)
        for level, kind, data in extra:
            if (level, kind) == (263, 8) and int.from_bytes(data[:4], sys.byteorder) & 0x10:
                control, protocol = struct.unpack("=HH", data[16:20])
                frame = frame[:12] + struct.pack("!HH", protocol, control) + frame[12:]
        key = wires[one], sender[2], frame.hex()
        heard[key] = heard.get(key, 0) + 1
print(json.dumps([[*key, count] for key, count in heard.items()]))
"""


class Ear:
    """Hears all frames on some interfaces, from now until it is asked for them."""

    def __init__(self, prefix: list[str], *interfaces: str) -> None:
        self._process = subprocess.Popen([*prefix, *interfaces], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout.readline().strip() == "ready"

    def heard(self) -> list[tuple[str, int, bytes, int]]:
        """Return the interface, the direction (4: it went out there), the frame with its tag, and how often it was heard."""
        told = json.loads(self._process.communicate(timeout=60)[0])
        return [(interface, direction, bytes.fromhex(text), count) for interface, direction, text, count in told]
