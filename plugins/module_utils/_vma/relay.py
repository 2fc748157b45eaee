# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What sshd runs on a VMA's host for an RM that asks: C(python3 -m ..._vma.relay RM).

It has no rights but to hand standard input on to the socket behind which C(asked) answers, under the name of the RM whose key was shown.
"""

from __future__ import annotations

import socket
import sys
import typing as t

SOCKET = "/run/vmatrix-vma/asked"
#: Bytes of a question: an RM asks once, for all of its instances.
LONGEST = 1 << 20
#: Seconds that an answer may take.
TIMEOUT = 60.0


def relay(rm: str, question: bytes, said: t.BinaryIO, path: str = SOCKET) -> None:
    """Write to *said* what the VMA answers to the *question* of an RM."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(path)
        connection.sendall(f"{rm}\n".encode() + question)
        connection.shutdown(socket.SHUT_WR)
        while True:
            part = connection.recv(1 << 16)
            if not part:
                return
            said.write(part)


if __name__ == "__main__":
    relay(sys.argv[1], sys.stdin.buffer.read(LONGEST - 300), sys.stdout.buffer)
