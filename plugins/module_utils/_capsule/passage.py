# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The sending end of the ways that a guest takes to another RM while it runs: sockets here that lead to what receives it there, over SSH."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import door
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.transfer import Peer, ssh_argv
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded

#: Seconds that an answer may take.
_ANSWER = 2.0
#: Makes the command whose standard input and output lead to C(WHAT) at the peer, from the parcel and what is asked for.
Way = t.Callable[[str, str], t.List[str]]


def over_ssh(peer: Peer, timeout: float) -> Way:
    """Return the ways to *peer*."""
    return lambda parcel, what: [*ssh_argv(peer, timeout), "way", parcel, what]


def ask(way: Way, parcel: str, what: str, timeout: float) -> bytes:
    """Return the text that the peer has for whoever sends this parcel.

    Raises:
        DeadlineExceeded, CommandFailed: it did not tell.
    """
    try:
        done = subprocess.run(way(parcel, what), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as exc:
        raise DeadlineExceeded(f"The other RM did not tell its {what} for {parcel} within {timeout:g} s.") from exc
    if done.returncode or not done.stdout:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise CommandFailed(f"The other RM did not tell its {what} for {parcel}{': ' + words[-1][:300] if words else ''}.")
    return done.stdout


@contextlib.contextmanager
def laid(way: Way, parcel: str, directory: str, names: t.Iterable[str]) -> t.Iterator[None]:
    """Lay a socket in *directory* for each of *names* while the block runs; each connection to it is one to what has this name at the peer."""
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory, mode=0o711)
    processes: list[subprocess.Popen] = []
    with contextlib.ExitStack() as closing:
        closing.callback(shutil.rmtree, directory, ignore_errors=True)
        words = closing.enter_context(tempfile.TemporaryFile())
        closing.callback(_end, processes)
        for name in names:
            listener = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.bind(os.path.join(directory, name))
            listener.listen()
            follower = threading.Thread(target=_follow, args=(listener, way(parcel, name), words, processes), daemon=True)
            follower.start()
            closing.callback(_stop, listener, follower)
        yield


@contextlib.contextmanager
def asking(way: Way, parcel: str, what: str) -> t.Iterator[t.Callable[[], bool]]:
    """Hold a line to C(what) at the peer while the block runs, which gets a function that asks it; a peer that does not answer in time has said no."""
    with subprocess.Popen(way(parcel, what), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0) as process:

        def ask_it() -> bool:
            with contextlib.suppress(OSError):
                process.stdin.write(b"?")
                return bool(select.select([process.stdout], [], [], _ANSWER)[0]) and process.stdout.read(1) == door.YES
            return False

        try:
            yield ask_it
        finally:
            process.kill()


def _follow(listener: socket.socket, argv: list[str], words: t.IO[bytes], processes: list[subprocess.Popen]) -> None:
    while True:
        try:
            caller = listener.accept()[0]
        except OSError:
            return
        with caller:
            processes.append(subprocess.Popen(argv, stdin=caller, stdout=caller, stderr=words))  # pylint: disable=consider-using-with


def _stop(listener: socket.socket, follower: threading.Thread) -> None:
    # Wakes it up, which closing alone does not.
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    follower.join()


def _end(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        process.kill()
        process.wait()
