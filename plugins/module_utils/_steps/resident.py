# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Keep the engines imported from one stage of an operation to the next: importing them takes several times as long as what they do.

C(python3 resident.py NAME) hands its standard input, output and error to a process that has imported the engines, starts that process if there is none,
and ends as C(_steps.main) ends in a fork of it. The process leaves when nobody has come for five minutes. As every call has a fork of its own, none finds
anything of another one; the process itself does nothing but import what its forks had to import.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import signal
import site
import socket
import sys
import traceback
import zlib

DIRECTORY = "/run/vmatrix/engines"
#: Seconds that the process waits for a further call: as long as the connection of the one before is usually kept.
IDLE = 300.0
#: The exit status when the fork ended without telling its own.
LOST = 70
MAIN = "ansible_collections.vmatrix.mesh.plugins.module_utils._steps.main"


def path_of(name: str) -> str:
    """Return the path of the socket for the engines *name* and the libraries that are installed at this moment."""
    moments = [os.stat(directory).st_mtime_ns for directory in site.getsitepackages() if os.path.isdir(directory)]
    return f"{DIRECTORY}/{name}-{zlib.crc32(repr(moments).encode()):08x}"


def call(path: str) -> int:
    """Have the process behind the socket *path* do what C(_steps.main) does, and return its exit status."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        start(path)
        connection.connect(path)
    with connection:
        socket.send_fds(connection, [json.dumps(dict(os.environ)).encode()], [0, 1, 2])
        status = connection.recv(1)
    return status[0] if status else LOST


def start(path: str, idle: float = IDLE) -> None:
    """Start the process. Of two that are started at once the later one gets the calls, and the other leaves after five minutes without any."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fresh = f"{path}.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(fresh)
    listener.listen(64)
    inode = os.stat(fresh).st_ino
    os.rename(fresh, path)
    child = os.fork()
    if child:
        listener.close()
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if not os.fork():
            nothing = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nothing, descriptor)
            os.chdir("/")
            _serve(listener, path, inode, idle)
    finally:
        os._exit(0)


def _serve(listener: socket.socket, path: str, inode: int, idle: float) -> None:
    """Fork for every call, until none comes any more."""
    # Nobody waits for the forks.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    heard, told = os.pipe()
    for end in (heard, told):
        os.set_blocking(end, False)
    listener.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(heard, selectors.EVENT_READ)
        while ready := selector.select(idle):
            if any(key.fileobj == heard for key, unused in ready):
                _learn(os.read(heard, 1 << 16).decode().split())
            _accept(listener, told)
    with contextlib.suppress(FileNotFoundError):
        if os.stat(path).st_ino == inode:
            os.unlink(path)
    # Whoever connected before the name was gone is heard.
    while _accept(listener, told):
        pass


def _accept(listener: socket.socket, told: int) -> bool:
    """Have a fork serve a call, if there is one; return whether there was."""
    try:
        connection, unused = listener.accept()
    except BlockingIOError:
        return False
    with connection:
        if not os.fork():
            try:
                listener.close()
                connection.setblocking(True)
                known = set(sys.modules)
                _carry_out(connection)
                # What does not go through at once, or comes in parts, is not learned; that is all.
                with contextlib.suppress(BlockingIOError):
                    os.write(told, " ".join(sorted(set(sys.modules) - known)).encode() + b" ")
            finally:
                os._exit(LOST)
    return True


def _learn(names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _carry_out(connection: socket.socket) -> None:
    """Do in this fork what the caller would do, with its environment and its standard input, output and error."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    environment, descriptors, unused, unused_too = socket.recv_fds(connection, 1 << 18, 3)
    os.environ.clear()
    os.environ.update(json.loads(environment))
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    status = 0
    try:
        importlib.import_module(MAIN).main()
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stderr.flush()
    connection.send(bytes([status]))


if __name__ == "__main__":
    # Nothing is left to be done in here, and this is no module.
    os._exit(call(path_of(sys.argv[1])))
