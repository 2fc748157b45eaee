# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The receiving end of a transfer, which another RM starts over SSH as this RM's user C(vmatrix).

The sender is authenticated, but is trusted with nothing else: names are checked before they become paths, lengths are bounded, and content becomes visible
only after its digest was verified. One connection is one session: a request, its reply, and so on until the sender hangs up.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import sys
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import manifest as manifests
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import parcel as parcels
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import blobs, door, paths, store, stream, wire
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import footprint, names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, Refused

#: Seconds that a sender may think between two requests.
IDLE = 900.0
#: Seconds that a sender waits for a file that another session is still receiving: longer than a cut session needs to notice.
BUSY = wire.STALL + 10.0
#: Seconds after which nobody will continue what has arrived of a blob.
ABANDONED = 7 * 86400.0


class Receiver:
    """Answers the requests of one sender on *channel*; everything lies under the directory *root*."""

    def __init__(self, channel: wire.Channel, root: str) -> None:
        self._channel = channel
        self._incoming = os.path.join(root, "incoming")
        self._store = store.Store(os.path.join(root, "store"), os.path.join(root, "instances"))
        self._streaming = False
        self._operations: dict[str, t.Callable[[dict[str, t.Any]], dict[str, t.Any]]] = {
            "hello": self._hello,
            "missing": self._missing,
            "offer": self._offer,
            "put_blob": self._put_blob,
            "put_manifest": self._put_manifest,
            "put_file": self._put_file,
            "commit": self._commit,
            "abort": self._abort,
        }

    def serve(self) -> None:
        """Answer requests until the sender hangs up, or an error leaves its data in the way of its next request."""
        with contextlib.suppress(wire.Cut):
            while not self._streaming:
                try:
                    self._channel.send(self._answer(self._channel.receive(IDLE)))
                except wire.Cut:
                    raise
                except MeshError as exc:
                    self._channel.send({"error": exc.message, "kind": type(exc).__name__})
                except OSError as exc:
                    self._channel.send({"error": f"The receiving RM cannot store it: {exc.strerror}.", "kind": "Refused"})

    def _answer(self, request: dict[str, t.Any]) -> dict[str, t.Any]:
        operation = self._operations.get(_text(request, "op"))
        if operation is None:
            raise InvalidInput("The other end asked for something that this RM does not know; bring both to the same release.")
        return operation(request)

    def _hello(self, request: dict[str, t.Any]) -> dict[str, t.Any]:
        if request.get("protocol") != wire.PROTOCOL:
            raise InvalidInput(f"The receiving RM speaks version {wire.PROTOCOL} of the transfer protocol, the sender {request.get('protocol')!r}.")
        for entry in os.scandir(self._incoming):
            if entry.name.endswith(".partial") and entry.stat(follow_symlinks=False).st_mtime < time.time() - ABANDONED:
                blobs.remove(entry.path)
        return {"protocol": wire.PROTOCOL, "free_bytes": self._free_bytes(), "disk_overcommit": footprint.overcommit()}

    def _missing(self, request: dict[str, t.Any]) -> dict[str, t.Any]:
        named = request.get("blobs")
        if not isinstance(named, list):
            raise InvalidInput("The other end asked for missing blobs without a list of blobs.")
        return {"absent": self._absent([_blob(blob) for blob in named])}

    def _offer(self, request: dict[str, t.Any]) -> dict[str, t.Any]:
        manifest = manifests.check(request.get("manifest"))
        self._store.refuse_other_content(manifest)
        absent = self._absent(manifests.blobs(manifest))
        self._refuse_unfit(sum(blob["size"] - blob["offset"] for blob in absent))
        present = self._store.find(manifest["domain"], manifest["name"], manifest["version"]) is not None
        return {"absent": absent, "present": present}

    def _put_blob(self, request: dict[str, t.Any]) -> dict[str, t.Any]:
        blob = _blob(request)
        with self._partial(paths.partial_blob(self._incoming, blob["sha256"])) as (path, descriptor):
            if self._store.has_blob(blob):
                blobs.remove(path)
                return {"done": True}
            digest = self._receive(descriptor, blob["size"])
            if digest != blob["sha256"]:
                blobs.remove(path)
                raise Refused(f"Blob {blob['sha256']} arrived with other content; it was dropped.")
            self._store.take_file(path, digest, blob["size"])
        return {"done": True}

    def _put_manifest(self, request: dict[str, t.Any]) -> dict[str, t.Any]:
        return {"changed": self._store.put_manifest(manifests.check(request.get("manifest")))}

    def _put_file(self, request: dict[str, t.Any]) -> dict[str, t.Any]:
        parcel, name, token = _text(request, "parcel"), _text(request, "name"), _text(request, "token")
        size = _size(request)
        path, done = parcels.prepare_file(parcel, name, size, token, self._incoming)
        if done:
            return {"done": True}
        with self._partial(path) as (_path, descriptor):
            digest = self._receive(descriptor, size)
            if digest != names.sha256(_text(self._channel.receive(), "sha256")):
                blobs.remove(path)
                raise Refused(f"File {name} of parcel {parcel} arrived with other content; it was dropped.")
            # Not flushed to the disk here: the instance stands still meanwhile, and its source keeps all until it answers again.
            parcels.finish_file(parcel, name, digest, self._incoming)
        return {"done": True}

    def _commit(self, request: dict[str, t.Any]) -> dict[str, t.Any]:
        note, digests = request.get("note"), request.get("files")
        if not isinstance(note, dict) or not isinstance(digests, dict):
            raise InvalidInput("The other end committed a parcel without a note or without digests.")
        checked = {paths.parcel_file(name): names.sha256(digest) for name, digest in digests.items()}
        parcels.commit_parcel(_text(request, "parcel"), note, checked, self._incoming)
        return {}

    def _abort(self, request: dict[str, t.Any]) -> dict[str, t.Any]:
        parcels.abort_parcel(_text(request, "parcel"), _text(request, "reason"), self._incoming)
        return {}

    def _absent(self, wanted: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
        absent = []
        for blob in wanted:
            if not self._store.has_blob(blob):
                path = paths.partial_blob(self._incoming, blob["sha256"])
                arrived = os.path.getsize(path) if os.path.exists(path) else 0
                absent.append({**blob, "offset": min(arrived, blob["size"])})
        return absent

    def _receive(self, descriptor: int, size: int) -> str:
        offset = os.fstat(descriptor).st_size
        if offset > size:
            os.ftruncate(descriptor, 0)
            offset = 0
        self._refuse_unfit(size - offset)
        self._channel.send({"offset": offset})
        self._streaming = True
        digest = stream.receive_content(self._channel, descriptor, offset, size)
        self._streaming = False
        os.ftruncate(descriptor, size)
        return digest

    def _refuse_unfit(self, needed: int) -> None:
        free = self._free_bytes()
        if needed > free:
            raise Refused(f"There is not enough disk on the receiving RM: {needed} bytes are to arrive, {free} bytes are free for them.")

    def _free_bytes(self) -> int:
        return min(self._store.free_bytes(), blobs.free_bytes(self._incoming))

    @contextlib.contextmanager
    def _partial(self, path: str) -> t.Iterator[tuple[str, int]]:
        end = time.monotonic() + BUSY
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever held it may have moved it into the store meanwhile.
                if os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(descriptor)):
                    yield path, descriptor
                    return
            except BlockingIOError as exc:
                if time.monotonic() >= end:
                    raise Refused("Another transfer is bringing the same content to the receiving RM; try again when it has ended.") from exc
                time.sleep(0.1)
            finally:
                if os.fstat(descriptor).st_size == 0:
                    blobs.remove(path)
                os.close(descriptor)


def _text(request: dict[str, t.Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str) or len(value) > 1000:
        raise InvalidInput(f"The other end sent a request whose {key!r} is not a text of at most 1000 characters.")
    return value


def _size(request: dict[str, t.Any]) -> int:
    size = request.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= manifests.LARGEST:
        raise InvalidInput(f"The other end announced {str(size)[:40]!r} bytes; it must be a whole number from 0 to {manifests.LARGEST}.")
    return size


def _blob(value: t.Any) -> dict[str, t.Any]:
    if not isinstance(value, dict):
        raise InvalidInput("The other end named a blob without digest and size.")
    return {"sha256": names.sha256(_text(value, "sha256")), "size": _size(value)}


def main() -> None:
    """Serve one sender on standard input and output."""
    parser = argparse.ArgumentParser(description="The receiving end of a transfer between RMs.")
    parser.add_argument("--root", default="/var/lib/vmatrix", help="directory of the store and of what arrives")
    root = parser.parse_args().root
    # What the sender asked for instead of this command, which is the only one that it can have.
    asked = os.environ.get("SSH_ORIGINAL_COMMAND")
    if not asked:
        Receiver(wire.Channel(sys.stdin.fileno(), sys.stdout.fileno()), root).serve()
        return
    try:
        sender = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
        door.go_through(*door.request(asked), sender, os.path.join(root, "incoming"), sys.stdin.fileno(), sys.stdout.fileno())
    except MeshError as exc:
        raise SystemExit(exc.message) from exc


if __name__ == "__main__":
    main()
