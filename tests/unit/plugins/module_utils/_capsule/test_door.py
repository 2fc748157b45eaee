# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Door and passage, end to end, with the receiver as it runs on a real RM."""

from __future__ import annotations

import os
import pathlib
import socket
import tempfile
import threading

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import door, passage
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, MeshError, Refused
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._capsule.conftest import Machine

PARCEL = "shop-1.example.com@2"
SENDER = "192.0.2.1"


@pytest.fixture
def short():
    """A directory with a path that leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory() as path:
        yield pathlib.Path(path)


@pytest.fixture
def there(short):
    return Machine(short / "there")


@pytest.fixture
def echo(short):
    """A server behind the door that says everything back, in capitals, and counts its callers."""
    callers = []

    def serve(connection):
        with connection:
            while data := connection.recv(1 << 16):
                connection.sendall(data.upper())

    def accept():
        while True:
            try:
                callers.append(listener.accept()[0])
            except OSError:
                return
            threading.Thread(target=serve, args=(callers[-1],), daemon=True).start()

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(short / "echo"))
        listener.listen()
        threading.Thread(target=accept, daemon=True).start()
        yield str(short / "echo"), callers
        listener.shutdown(socket.SHUT_RDWR)


def way_to(machine, sender=SENDER):
    def way(parcel, what):
        return ["env", f"SSH_ORIGINAL_COMMAND=way {parcel} {what}", f"SSH_CONNECTION={sender} 4000 192.0.2.7 22", *machine.argv[1:]]

    return way


def talk(path, words):
    """Say *words* to a socket and return as many bytes of the answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(5)
        caller.connect(path)
        caller.sendall(words)
        heard = b""
        while len(heard) < len(words) and (more := caller.recv(1 << 16)):
            heard += more
        return heard


def test_every_connection_gets_through_to_what_is_behind(there, echo, short):
    path, callers = echo
    with door.opened(PARCEL, SENDER, {"memory": path}, there.incoming), passage.laid(way_to(there), PARCEL, str(short / "ways"), ["memory"]):
        assert talk(str(short / "ways" / "memory"), b"all of it") == b"ALL OF IT"
        much = os.urandom(1 << 20).hex().encode()
        assert talk(str(short / "ways" / "memory"), much[: 1 << 16]) == much[: 1 << 16].upper()
        assert len(callers) == 2
    assert not (short / "ways").exists() and os.listdir(there.incoming) == []


def test_a_text_is_told(there):
    with door.opened(PARCEL, SENDER, {"guest": b"<domain/>" * 10000}, there.incoming):
        assert passage.ask(way_to(there), PARCEL, "guest", 5) == b"<domain/>" * 10000


def test_the_door_is_the_receivers_and_short_enough_for_a_socket(there):
    name = f"{'a' * 60}-1.{'b' * 60}.{'c' * 60}.example.com@999999"
    with door.opened(name, SENDER, {}, there.incoming):
        (entry,) = os.listdir(there.incoming)
        assert oct(os.stat(os.path.join(there.incoming, entry)).st_mode & 0o777) == "0o600"


@pytest.mark.parametrize(("sender", "what"), [("192.0.2.66", "guest"), (SENDER, "control")])
def test_nobody_else_and_nothing_else(there, monkeypatch, sender, what):
    monkeypatch.setattr(door, "PATIENCE", 0.2)
    reader, writer = os.pipe()
    with door.opened(PARCEL, SENDER, {"guest": b"<domain/>"}, there.incoming):
        with pytest.raises(Refused, match=f"no {what} behind the door"):
            door.go_through(PARCEL, what, sender, there.incoming, reader, writer)
    with pytest.raises(MeshError, match="opens"):
        door.go_through(PARCEL, what, sender, there.incoming, reader, writer)


@pytest.mark.parametrize("asked", ["sh", "way", "way ../../etc guest", f"way {PARCEL} ../guest", f"way {PARCEL} guest; sh", f"stay {PARCEL} guest"])
def test_nothing_else_can_be_asked_for(there, asked):
    with pytest.raises(Refused):
        door.request(asked)
    with pytest.raises(CommandFailed):
        passage.ask(lambda *_unused: ["env", f"SSH_ORIGINAL_COMMAND={asked}", *there.argv[1:]], PARCEL, "guest", 5)
