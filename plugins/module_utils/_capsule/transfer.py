# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The sending end of a transfer: a session with the receiver of another RM, over SSH."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import manifest as manifests
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import paths, stream, wire
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.progress import TRANSFERS, Progress
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, InvalidInput, Refused

#: Where connections to peers wait for the next session, and for how many seconds.
CONNECTIONS = "/run/vmatrix/connections"
LINGER = 60
#: Seconds for reaching a peer's sshd, however long all of it may take.
_REACHED = 20.0
#: Where nobody has said which ciphers (see paths.WAYS): the fastest first on machines with AES instructions; what is sent is compressed already.
_CIPHERS = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr"
#: Bytes per second that the other end hashes and flushes at least: how long a reply may take.
_SLOWEST = 50_000_000


class Peer(t.NamedTuple):
    """Another RM: its name in the inventory, and the address where RMs reach it."""

    name: str
    address: str


class Sent(t.NamedTuple):
    """What sending took: bytes in all, bytes of these that were there before, bytes on the wire (compressed, with framing), seconds."""

    bytes_total: int
    bytes_skipped: int
    bytes_wire: int
    seconds: float


def ssh_argv(peer: Peer, timeout: float, ways: str = paths.WAYS) -> list[str]:
    """Return the command that reaches the receiver of *peer*, giving up after *timeout* seconds, as the file *ways* says."""
    said = os.path.exists(ways)
    options = [
        f"UserKnownHostsFile={paths.CONFIG}/known_hosts",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        *([] if said else [f"IdentityFile={paths.CONFIG}/id_ed25519", f"Ciphers={_CIPHERS}"]),
        "Compression=no",
        f"ConnectTimeout={max(1, int(min(timeout, _REACHED)))}",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        # Whoever asks first whether the peer is ready spares the next one, who may have stopped a guest, the handshake.
        "ControlMaster=auto",
        f"ControlPath={CONNECTIONS}/%C",
        f"ControlPersist={LINGER}",
    ]
    words = [word for option in options for word in ("-o", option)]
    return ["ssh", "-T", "-a", "-x", "-F", ways if said else "/dev/null", *words, f"vmatrix@{peer.address}"]


class Session:
    """A conversation with the receiver of *peer*; use connect() to get one, and C(with) to end it.

    Attributes:
        peer: the other RM.
        free_bytes: what the other RM could take when the session began.
        disk_overcommit: how many times it promises its room on disk.
        deadline: time.monotonic() after which all raises DeadlineExceeded; None for no such limit. May be set at any time.
        bytes_wire: bytes sent so far.
        resumed: whether anything was continued that had arrived in part before.
    """

    def __init__(self, peer: Peer, process: subprocess.Popen, words: t.IO[bytes], timeout: float, progress: str = TRANSFERS) -> None:
        self.peer = peer
        self.resumed = False
        self._process = process
        self._words = words
        self._progress = progress
        self._digests: dict[str, dict[str, str]] = {}
        self._channel = wire.Channel(process.stdout.fileno(), process.stdin.fileno(), time.monotonic() + timeout)
        hello = self._ask({"op": "hello", "protocol": wire.PROTOCOL}, timeout=timeout)
        self.free_bytes: int = hello["free_bytes"]
        self.disk_overcommit: float = hello.get("disk_overcommit", 1.0)
        self.deadline = None

    @property
    def deadline(self) -> float | None:
        """See the class."""
        return self._channel.deadline

    @deadline.setter
    def deadline(self, value: float | None) -> None:
        self._channel.deadline = value

    @property
    def bytes_wire(self) -> int:
        """See the class."""
        return self._channel.written

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_error: object) -> None:
        _end(self._process, self._words)

    def missing(self, blobs: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
        """Return those of *blobs* that the other RM lacks, each with C(offset), the bytes of it that arrived before."""
        return self._ask({"op": "missing", "blobs": blobs}, size=_sum(blobs))["absent"]

    def offer(self, manifest: dict[str, t.Any]) -> dict[str, t.Any]:
        """Ask whether the other RM takes this capsule; return C({absent: as of missing(), present: whether it has the manifest}).

        Raises:
            Refused: it has this version with other content, or no room for what it lacks.
        """
        return self._ask({"op": "offer", "manifest": manifest}, size=manifests.total_bytes(manifest))

    def send_capsule(self, store: Store, manifest: dict[str, t.Any]) -> Sent:
        """Send the blobs of a capsule that the other RM lacks, then its manifest, whereupon it is visible there.

        Raises:
            Refused: a blob is missing or altered here, or what offer() raises.
            wire.Cut: the connection was cut; what arrived is kept there.
        """
        start, before = time.monotonic(), self.bytes_wire
        store.ensure_intact(manifest)
        absent = self.offer(manifest)["absent"]
        total = manifests.total_bytes(manifest)
        name = f"{manifest['name']}-{manifest['version']}.{manifest['domain']}.{self.peer.name}"
        with Progress(name, f"capsule {manifests.title(manifest)} to {self.peer.name}", total, self._progress) as progress:
            progress.skip(total - _sum(absent))
            skipped = total - _sum(absent)
            for blob in absent:
                with open(store.blob_path(blob["sha256"]), "rb") as handle:
                    offset, _digest = self._send_file({"op": "put_blob", "sha256": blob["sha256"], "size": blob["size"]}, handle.fileno(), progress)
                    skipped += offset
            self._ask({"op": "put_manifest", "manifest": manifest}, size=total)
        return Sent(total, skipped, self.bytes_wire - before, time.monotonic() - start)

    def send_parcel_file(self, parcel: str, name: str, path: str) -> Sent:
        """Send the file *path* as *name* of the parcel C(INSTANCE@EPOCH); it must not change until the parcel is committed.

        Raises:
            Refused: it changed, it does not fit there, or the parcel was decided already (the other RM gave up waiting).
            wire.Cut: the connection was cut; what arrived is kept there for the same file.
        """
        start, before = time.monotonic(), self.bytes_wire
        paths.split_parcel(parcel)
        with open(path, "rb") as handle:
            token = _token(handle.fileno())
            size = os.fstat(handle.fileno()).st_size
            request = {"op": "put_file", "parcel": parcel, "name": paths.parcel_file(name), "size": size, "token": token}
            with Progress(f"{parcel}.{name}", f"{name} of {parcel} to {self.peer.name}", size, self._progress) as progress:
                offset, digest = self._send_file(request, handle.fileno(), progress)
            if _token(handle.fileno()) != token:
                raise Refused(f"{path} changed while it was sent to {self.peer.name}.")
        self._digests.setdefault(parcel, {})[name] = digest
        return Sent(size, offset, self.bytes_wire - before, time.monotonic() - start)

    def commit_parcel(self, parcel: str, note: dict[str, t.Any]) -> None:
        """Hand the parcel over with all files that this session sent; the other RM may act on it from now on.

        Raises:
            Refused: it was decided otherwise (the other RM gave up waiting).
            wire.Cut: the reply did not come; whether it was committed must be found out by committing or aborting in a new session.
        """
        self._ask({"op": "commit", "parcel": parcel, "note": note, "files": self._digests.get(parcel, {})})

    def abort_parcel(self, parcel: str, reason: str) -> None:
        """Tell the other RM, which may be waiting, that the parcel will not come; raise Refused if it was committed."""
        self._ask({"op": "abort", "parcel": parcel, "reason": reason[:1000]})

    def _send_file(self, request: dict[str, t.Any], descriptor: int, progress: Progress) -> tuple[int, str]:
        size = request["size"]
        reply = self._ask(request, size=size)
        if reply.get("done"):
            progress.skip(size)
            return size, request.get("sha256") or stream.digest_of(descriptor, size).hexdigest()
        offset = reply.get("offset")
        if not isinstance(offset, int) or not 0 <= offset <= size:
            raise InvalidInput(f"RM {self.peer.name} wants to go on at {offset!r:.40} of {size} bytes.")
        self.resumed = self.resumed or offset > 0
        progress.skip(offset)
        with self._cut_explained():
            digest = stream.send_content(self._channel, descriptor, offset, size, progress.advance)
            if request["op"] == "put_file":
                self._channel.send({"sha256": digest})
            self._channel.receive(_patience(size))
        return offset, digest

    def _ask(self, request: dict[str, t.Any], size: int = 0, timeout: float | None = None) -> dict[str, t.Any]:
        with self._cut_explained():
            self._channel.send(request)
            return self._channel.receive(timeout or _patience(size))

    @contextlib.contextmanager
    def _cut_explained(self) -> t.Iterator[None]:
        try:
            yield
        except wire.Cut as exc:
            # The other end may have said why before it hung up.
            try:
                for _unread in range(4):
                    self._channel.receive(1.0)
            except wire.Cut:
                pass
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
            self._words.seek(0)
            words = self._words.read()[-500:].decode(errors="replace").strip().splitlines()
            why = f" ({words[-1]})" if words else ""
            raise wire.Cut(f"The connection to RM {self.peer.name} at {self.peer.address} was cut{why}.") from exc


def connect(peer: Peer, timeout: float, argv: list[str] | None = None, progress: str = TRANSFERS) -> Session:
    """Reach the receiver of *peer* and greet it.

    Args:
        peer: the other RM.
        timeout: seconds until giving up.
        argv: the command whose standard input and output lead to the receiver; SSH when None.
        progress: directory for the files of Progress.

    Raises:
        wire.Cut: it cannot be reached, or does not let this RM in; another try may help.
        DeadlineExceeded: it did not answer in time.
    """
    names.machine(peer.name)
    if not re.fullmatch("[0-9A-Za-z][0-9A-Za-z.:-]{0,252}", peer.address):
        raise InvalidInput(f"{peer.address!r} is not an address of RM {peer.name}: it must look like '192.0.2.7'.")
    words = tempfile.TemporaryFile()  # pylint: disable=consider-using-with
    command = argv or ssh_argv(peer, timeout)
    if argv is None:
        os.makedirs(CONNECTIONS, mode=0o700, exist_ok=True)
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, bufsize=0)  # pylint: disable=consider-using-with
    except FileNotFoundError as exc:
        words.close()
        raise CommandFailed(f"The program {command[0]} is not installed on this host.") from exc
    try:
        return Session(peer, process, words, timeout, progress)
    except BaseException as exc:
        process.kill()
        _end(process, words)
        if isinstance(exc, DeadlineExceeded):
            raise DeadlineExceeded(f"RM {peer.name} at {peer.address} did not answer within {timeout:g} s.") from exc
        raise


def _sum(blobs: list[dict[str, t.Any]]) -> int:
    return sum(blob["size"] for blob in blobs)


def _patience(size: int) -> float:
    return 60.0 + size / _SLOWEST


def _token(descriptor: int) -> str:
    state = os.fstat(descriptor)
    return f"{state.st_dev}:{state.st_ino}:{state.st_size}:{state.st_mtime_ns}"


def _end(process: subprocess.Popen, words: t.IO[bytes]) -> None:
    process.stdin.close()
    try:
        process.wait(2.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
    words.close()
