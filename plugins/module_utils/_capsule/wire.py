# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What two RMs say to each other over a pair of pipes: frames of bounded length, each read and written with a deadline.

A frame is one byte of kind (C(J): a JSON message, C(D): data), four bytes of length (big endian) and as many bytes. Data ends with a data frame of length 0.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import struct
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import errors

PROTOCOL = 1
MESSAGE_LIMIT = 1 << 20
DATA_LIMIT = 1 << 20
#: Seconds without a single byte after which the other end counts as gone while data flows.
STALL = 20.0

_HEADER = struct.Struct("!cI")
_PIPE_SIZE = 1 << 20
#: Errors of the other end that are raised here as what they are; anything else becomes a Refused.
_KINDS = {kind.__name__: kind for kind in (errors.InvalidInput, errors.NotFound, errors.Refused, errors.DeadlineExceeded)}


class Cut(errors.MeshError):
    """The other end went away in the middle; what arrived is kept, so it is worth another try."""


class Channel:
    """Frames over *reader* and *writer* (file descriptors that this object does not close).

    Attributes:
        deadline: time.monotonic() after which every read and write raises DeadlineExceeded; None for no such limit.
        written: bytes written so far, framing included.
    """

    def __init__(self, reader: int, writer: int, deadline: float | None = None) -> None:
        self._reader = reader
        self._writer = writer
        self.deadline = deadline
        self.written = 0
        for descriptor in (reader, writer):
            os.set_blocking(descriptor, False)
            try:
                # Fewer changes between processes; a socket has no such size.
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
            except OSError:
                pass

    def send(self, message: dict[str, t.Any]) -> None:
        """Send a JSON message."""
        self._write(b"J", json.dumps(message, separators=(",", ":")).encode())

    def send_data(self, data: bytes) -> None:
        """Send a piece of data of at most C(DATA_LIMIT) bytes; an empty one ends the data."""
        self._write(b"D", data)

    def receive(self, timeout: float = STALL) -> dict[str, t.Any]:
        """Return the next message, which must begin within *timeout* seconds; raise what the other end reports as an error."""
        message = self._message(self._read(b"J", MESSAGE_LIMIT, timeout))
        if "error" in message:
            kind = _KINDS.get(message.get("kind"), errors.Refused)
            raise kind("".join(character if character.isprintable() else " " for character in str(message["error"])[:1000]))
        return message

    def receive_data(self) -> bytes:
        """Return the next piece of data, an empty one at its end."""
        return self._read(b"D", DATA_LIMIT, STALL)

    @staticmethod
    def _message(payload: bytes) -> dict[str, t.Any]:
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError) as exc:
            raise errors.InvalidInput("The other end sent a message that is not JSON.") from exc
        if not isinstance(message, dict):
            raise errors.InvalidInput("The other end sent a message that is not a JSON object.")
        return message

    def _read(self, kind: bytes, limit: int, timeout: float) -> bytes:
        got, length = _HEADER.unpack(self._fill(_HEADER.size, timeout))
        if got != kind:
            raise errors.InvalidInput(f"The other end sent a frame of kind {got!r} where {kind!r} was due.")
        if length > limit:
            raise errors.InvalidInput(f"The other end announced a frame of {length} bytes; at most {limit} are allowed.")
        return self._fill(length, STALL)

    def _fill(self, size: int, timeout: float) -> bytes:
        whole = bytearray(size)
        view = memoryview(whole)
        while view:
            self._await(self._reader, select.POLLIN, timeout)
            try:
                count = os.readv(self._reader, [view])
            except BlockingIOError:
                continue
            except OSError as exc:
                raise Cut("The connection was cut.") from exc
            if not count:
                raise Cut("The connection was cut.")
            view = view[count:]
            timeout = STALL
        return bytes(whole)

    def _write(self, kind: bytes, payload: bytes) -> None:
        pieces = [memoryview(_HEADER.pack(kind, len(payload))), memoryview(payload)]
        self.written += _HEADER.size + len(payload)
        while pieces:
            try:
                count = os.writev(self._writer, pieces)
            except BlockingIOError:
                self._await(self._writer, select.POLLOUT, STALL)
                continue
            except OSError as exc:
                raise Cut("The connection was cut.") from exc
            while pieces and count >= len(pieces[0]):
                count -= len(pieces.pop(0))
            if pieces:
                pieces[0] = pieces[0][count:]

    def _await(self, descriptor: int, event: int, timeout: float) -> None:
        left = timeout if self.deadline is None else min(timeout, self.deadline - time.monotonic())
        poll = select.poll()
        poll.register(descriptor, event)
        if poll.poll(max(0.0, left) * 1000):
            return
        if left < timeout:
            raise errors.DeadlineExceeded("The transfer did not end before its deadline.")
        raise Cut(f"The other end was silent for {timeout:g} s.")
