# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""Fetching an image from a URL: what it is to be is known before by its SHA-256 digest, and nothing is believed of it until that was found."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import threading
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.progress import Progress
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, InvalidInput, Refused

_BLOCK = 1 << 20
#: Seconds without a byte.
SILENCE = 30.0
#: Seconds for the whole: an hour, and ten minutes for each GiB (that is 1.7 MiB/s).
_PATIENCE, _PER_GIB = 3600.0, 600.0
_SHA256 = "sha256:"


def digest(checksum: str | None, named: str) -> str:
    """Return the digest of a *checksum* such as C(sha256:9f86...); raise InvalidInput if it is none, *named* names what it is of."""
    if not checksum or not checksum.lower().startswith(_SHA256):
        raise InvalidInput(f"{named} needs a checksum of its bytes, such as sha256:9f86d081884c7d65... with 64 hexadecimal digits, not {checksum!r}.")
    return names.sha256(checksum[len(_SHA256) :].lower())


def checked(url: str) -> str:
    """Return *url* if it is one of a file on a web server; raise InvalidInput otherwise."""
    try:
        parts = urllib.parse.urlsplit(url)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None
    except ValueError:
        wrong = True
    if wrong or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInput(f"{url!r} is not a URL of an image: it must look like https://images.example.com/shop.qcow2, without a user's name.")
    return url


def fetch(url: str, sha256: str, target: t.BinaryIO, most: int, progress: Progress, silence: float = SILENCE) -> int:
    """Write what is at *url* to the file *target*, and return its size in bytes.

    Args:
        url: of the image, by HTTP or HTTPS.
        sha256: its digest in hexadecimal.
        target: an empty file.
        most: bytes that there is room for.
        progress: is told of the bytes that are to come, and that came.
        silence: seconds after which a server that says nothing is given up.

    Raises:
        CommandFailed: the server cannot be reached, or does not give it.
        DeadlineExceeded: it said nothing for too long, or is too slow.
        Refused: it is larger than there is room for, ended early, or has another digest.
    """
    watch = _Watch()
    opener = urllib.request.build_opener(_Plain(watch), _Secure(watch))
    found, size = hashlib.sha256(), 0
    begin = time.monotonic()
    try:
        watch.until(_PATIENCE)
        with opener.open(urllib.request.Request(checked(url)), timeout=silence) as answer:
            told = answer.headers.get("Content-Length", "")
            expected = int(told) if told.isascii() and told.isdigit() else None
            if expected is not None and expected > most:
                raise Refused(f"{url} has {expected} bytes; there is room for {most} on this RM.")
            progress.expect(expected or 0)
            watch.until(_PATIENCE + _PER_GIB * ((expected or most) / (1 << 30)) - (time.monotonic() - begin))
            while block := answer.read1(_BLOCK):
                size += len(block)
                if size > most:
                    raise Refused(f"{url} has more than {most} bytes, for which there is room on this RM.")
                found.update(block)
                target.write(block)
                progress.advance(len(block))
        if watch.late:
            raise TimeoutError
        if expected is not None and size < expected:
            raise Refused(f"{url} ended after {size} of {expected} bytes; try again.")
    except TimeoutError as exc:
        raise _late(url, watch, begin, silence) from exc
    except urllib.error.HTTPError as exc:
        raise CommandFailed(f"{url} cannot be fetched: the server answers {exc.code} {exc.reason}.") from exc
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, ssl.SSLError) as exc:
        reason = getattr(exc, "reason", exc)
        if watch.late or isinstance(reason, TimeoutError):
            raise _late(url, watch, begin, silence) from exc
        raise CommandFailed(f"{url} cannot be fetched: {' '.join(str(reason).split()).rstrip('.') or type(exc).__name__}.") from exc
    finally:
        watch.end()
    if found.hexdigest() != sha256:
        raise Refused(f"{url} is not what was to be there: its SHA-256 is {found.hexdigest()}, not {sha256}; nothing of it was used.")
    return size


def _late(url: str, watch: _Watch, begin: float, silence: float) -> DeadlineExceeded:
    what = f"took longer than {time.monotonic() - begin:.0f} s" if watch.late else f"said nothing for {silence:g} s"
    return DeadlineExceeded(f"{url} cannot be fetched: the server {what}.")


class _Watch:
    """Ends the connections of a fetch when its time is over, whatever it waits for: a time-out of a socket begins anew with each byte."""

    def __init__(self) -> None:
        self.late = False
        self._sockets: list[socket.socket] = []
        self._timer: threading.Timer | None = None

    def add(self, found: socket.socket) -> None:
        """Watch over another connection, as after a redirection."""
        self._sockets.append(found)

    def until(self, seconds: float) -> None:
        """End all in so many *seconds* from now, and not when was said before."""
        self.end()
        self._timer = threading.Timer(seconds, self._stop)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def _stop(self) -> None:
        self.late = True
        for found in self._sockets:
            try:
                found.shutdown(socket.SHUT_RDWR)
            except OSError:
                # It has ended by itself.
                continue


class _Plain(urllib.request.HTTPHandler):
    """Opens connections under a watch."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: urllib.request.Request) -> t.Any:
        """Open one by HTTP."""
        return self.do_open(_watched(http.client.HTTPConnection, self._watch), req)


class _Secure(urllib.request.HTTPSHandler):
    """Opens connections under a watch, with TLS, which the host's authorities vouch for."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def https_open(self, req: urllib.request.Request) -> t.Any:
        """Open one by HTTPS."""
        return self.do_open(_watched(http.client.HTTPSConnection, self._watch), req)


def _watched(kind: type[http.client.HTTPConnection], watch: _Watch) -> t.Any:
    class Watched(kind):  # type: ignore[misc,valid-type]
        """A connection that the watch knows of."""

        def connect(self) -> None:
            """Connect, and tell the watch."""
            super().connect()
            watch.add(self.sock)

    return Watched
