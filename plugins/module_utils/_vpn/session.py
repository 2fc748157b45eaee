# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Talking with an IKE daemon over vici: plain data in, plain data out."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import connection
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.libraries import vici

#: Seconds that the daemon may take for an answer that does not wait for a peer.
_PATIENCE = 10.0

#: What marks the line of its log that says best why a tunnel did not come up; what comes first says more.
_TELLING = (
    *("notify error", "notify,", "no trusted", "expired", "revoked", "constraint check failed", "giving up"),
    *("no private key", "no shared key", "MAC mismatched", "failed"),
)


class Session:
    """A conversation with one daemon."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._vici = vici.Session(sock)

    def connections(self) -> dict[str, t.Any]:
        """Return the loaded connections, as C(connection.seen) shows them."""
        return {name: connection.seen(one) for listed in self._vici.list_conns() for name, one in _plain(listed).items()}

    def keys(self) -> set[str]:
        """Return the identifiers of the loaded private and pre-shared keys."""
        return {identifier for listed in (self._vici.get_keys(), self._vici.get_shared()) for identifier in _plain(listed).get("keys", [])}

    def certificates(self) -> set[bytes]:
        """Return every loaded certificate and revocation list as DER."""
        return {entry["data"] for entry in self._vici.list_certs()}

    def tunnels(self) -> list[dict[str, t.Any]]:
        """Return the IKE_SAs as the daemon shows them, each with its connection's name as C(connection)."""
        return [{**one, "connection": name} for listed in self._vici.list_sas() for name, one in _plain(listed).items()]

    def load_key(self, pem: bytes) -> None:
        """Give the daemon a private key, which stays in its memory."""
        self._vici.load_key({"type": "any", "data": pem})

    def load_shared(self, identifier: str, secret: bytes, owners: list[str]) -> None:
        """Give the daemon a key that the two ends *owners* share, which stays in its memory."""
        self._vici.load_shared({"id": identifier, "type": "IKE", "data": secret, "owners": owners})

    def unload_key(self, identifier: str) -> None:
        """Take a private key away."""
        self._vici.unload_key({"id": identifier})

    def unload_shared(self, identifier: str) -> None:
        """Take a pre-shared key away."""
        self._vici.unload_shared({"id": identifier})

    def load_crl(self, pem: str) -> None:
        """Give the daemon a revocation list; it keeps the newest one of an authority."""
        self._vici.load_cert({"type": "x509_crl", "flag": "none", "data": pem})
        # Lists that were used once are cached besides, and a cached one is asked first.
        self._vici.flush_certs({"type": "X509_CRL"})

    def load(self, name: str, wanted: connection.Connection) -> None:
        """Load or replace a connection; one that is the same stays untouched, and so does each child of it that is."""
        try:
            self._vici.load_conn({name: wanted})
        except vici.exception.CommandException as exc:
            raise CommandFailed(f"strongSwan refused the connection {name}: {exc}") from exc

    def unload(self, name: str) -> None:
        """Forget a connection and close its tunnel."""
        self._vici.unload_conn({"name": name})
        self.terminate({"ike": name})

    def terminate(self, which: dict[str, str]) -> None:
        """Close IKE_SAs without waiting for their peers; C(ike) selects by connection, C(ike-id) one of them."""
        with contextlib.suppress(vici.exception.CommandException):
            for _line in self._vici.terminate({**which, "force": "yes", "timeout": "1000", "loglevel": "-1"}):
                pass

    def initiate(self, name: str, child: str | None, timeout: float) -> str | None:
        """Start a tunnel and wait up to *timeout* seconds (not at all with 0); return why it failed, None if it did not.

        Without a *child* its ends only get to know each other.
        """
        said = []
        self._socket.settimeout(timeout + _PATIENCE)
        try:
            wait = {"timeout": str(int(timeout * 1000)), "loglevel": "1"} if timeout > 0 else {"timeout": "-1", "loglevel": "-1"}
            for line in self._vici.initiate({"ike": name, **({"child": child} if child else {}), **wait}):
                said.append(_plain(line).get("msg", ""))
        except vici.exception.CommandException as exc:
            return ([line for word in _TELLING for line in said if word in line] or [str(exc)])[0]
        finally:
            self._socket.settimeout(_PATIENCE)
        return None


@contextlib.contextmanager
def opened(path: str, namespace: str | None) -> t.Iterator[Session | None]:
    """Give a session with the daemon at the socket *path*, or None when there is none or it lives in another network namespace."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(_PATIENCE)
        try:
            sock.connect(path)
            alive = _lives_in(sock, namespace)
        except OSError:
            alive = False
        yield Session(sock) if alive else None


def _lives_in(sock: socket.socket, namespace: str | None) -> bool:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    process = struct.unpack("3i", credentials)[0]
    here = os.path.join("/run/netns", namespace) if namespace else "/proc/1/ns/net"
    return os.path.samefile(f"/proc/{process}/ns/net", here)


def _plain(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value
