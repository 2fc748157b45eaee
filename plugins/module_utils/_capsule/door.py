# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The door of an RM for a guest that comes alive: for as long as it is awaited, the RM that sends it, and nobody else, gets through to what receives it.

The module that awaits the guest runs as root and opens the door; the receiver that the sender reaches over SSH (C(receive)) is not root and goes through it:
it says who asks for what, and is given a connection that is open already.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import paths
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for

#: Seconds that a sender waits for the door: the other side may begin later.
PATIENCE = 30.0
#: What is behind the door.
Behind = t.Union[str, bytes, t.Callable[[], bool]]
YES, NO = b"y", b"n"
_CHUNK = 1 << 18
_LONGEST = 300


@contextlib.contextmanager
def opened(parcel: str, sender: str, behind: t.Mapping[str, Behind], incoming: str = paths.INCOMING) -> t.Iterator[None]:
    """Hold the door for the parcel C(INSTANCE@EPOCH) open while the block runs.

    Args:
        parcel: what is awaited.
        sender: the address of the RM that may come in.
        behind: what it may ask for: the path of a Unix socket that it is connected with, a text that it is given, or something that is asked as often as it
            likes, with one byte each time, and answers yes or no (YES, NO).
        incoming: where things arrive.
    """
    path = paths.door(incoming, parcel)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    # A path of its own until it belongs to the receiver: nobody finds a door that cannot be opened.
    fresh = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(fresh)
        os.chmod(fresh, 0o600)
        paths.give_away(fresh, incoming)
        listener.listen()
        os.rename(fresh, path)
        keeper = threading.Thread(target=_keep, args=(listener, sender, behind), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            os.unlink(path)
            # Wakes the keeper up, which closing alone does not.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            keeper.join()


def _keep(listener: socket.socket, sender: str, behind: t.Mapping[str, Behind]) -> None:
    known = {info[4][0] for info in socket.getaddrinfo(sender, None)}
    while True:
        try:
            caller = listener.accept()[0]
        except OSError:
            return
        with caller, contextlib.suppress(OSError, ValueError):
            caller.settimeout(5.0)
            address, _blank, what = caller.recv(_LONGEST).decode("ascii").partition(" ")
            found = behind.get(what) if address in known else None
            if isinstance(found, bytes):
                caller.sendall(found)
            elif callable(found):
                ours, theirs = socket.socketpair()
                with theirs:
                    threading.Thread(target=_answer, args=(ours, found), daemon=True).start()
                    socket.send_fds(caller, [b"!"], [theirs.fileno()])
            elif found is not None:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                    connection.connect(found)
                    socket.send_fds(caller, [b"!"], [connection.fileno()])


def _answer(asker: socket.socket, question: t.Callable[[], bool]) -> None:
    with asker, contextlib.suppress(OSError, MeshError):
        while asker.recv(1):
            asker.sendall(YES if question() else NO)


def go_through(parcel: str, what: str, sender: str, incoming: str, reader: int, writer: int) -> None:
    """Lead *reader* and *writer* (file descriptors) through the door for a parcel to what is behind it, until either side hangs up.

    Raises:
        InvalidInput: this is no parcel.
        Refused: the door did not open in time, or nothing is behind it for this sender.
    """
    path = paths.door(incoming, parcel)
    # What is asked for may come into being only while the guest arrives.
    end = time.monotonic() + PATIENCE
    wait_for(lambda: os.path.exists(path), PATIENCE, f"the door for {parcel} opens")
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            try:
                caller.connect(path)
                caller.sendall(f"{sender} {what}".encode())
                said, descriptors, _flags, _address = socket.recv_fds(caller, _CHUNK, 1)
                if descriptors:
                    with socket.socket(fileno=descriptors[0]) as connection:
                        _pump(connection, reader, writer)
                    return
                while said:
                    _write(writer, said)
                    said = caller.recv(_CHUNK)
                    if not said:
                        return
            except OSError as exc:
                raise Refused(f"The door for {parcel} closed.") from exc
        if time.monotonic() > end:
            raise Refused(f"There is no {what} behind the door for {parcel}.")
        time.sleep(0.05)


def _pump(connection: socket.socket, reader: int, writer: int) -> None:
    # One buffer for all: a new one for each piece takes three times as long.
    buffer = bytearray(_CHUNK)
    with selectors.DefaultSelector() as selector, memoryview(buffer) as view:
        selector.register(connection.fileno(), selectors.EVENT_READ, writer)
        selector.register(reader, selectors.EVENT_READ, connection.fileno())
        while True:
            for key, _events in selector.select():
                length = os.readv(key.fd, [buffer])
                if not length:
                    return
                _write(key.data, view[:length])


def _write(descriptor: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def request(words: str) -> tuple[str, str]:
    """Take apart what a sender asked for over SSH, C(way INSTANCE@EPOCH WHAT); raise Refused if it is anything else."""
    parts = words.split()
    if len(parts) != 3 or parts[0] != "way" or not parts[2].isalpha():
        raise Refused("This RM does not know what the other end asked for; bring both to the same release.")
    with contextlib.suppress(MeshError):
        paths.split_parcel(parts[1])
        return parts[1], parts[2]
    raise Refused("The other end asked for the way to something that is no parcel.")
