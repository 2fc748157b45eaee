# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The blobs of an RM: files whose names are the digests of their content."""

from __future__ import annotations

import contextlib
import os
import tempfile
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.paths import give_away
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.sparse import copy_hashed
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import files, names

#: Bytes of the file system that are never given to a capsule, so that running instances can still write.
MARGIN = 256 << 20


class Blobs:
    """The blobs under the directory *root*, each with a stamp that tells whether its file was touched since it was verified."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._blobs = os.path.join(root, "blobs", "sha256")
        self._stamps = os.path.join(root, "stamps")

    def blob_path(self, sha256: str) -> str:
        """Return where the blob with digest *sha256* lies, or would lie."""
        return os.path.join(self._blobs, names.sha256(sha256))

    def free_bytes(self) -> int:
        """Return how many bytes a capsule may still take."""
        return free_bytes(self.root)

    def has_blob(self, blob: dict[str, t.Any]) -> bool:
        """Say whether the blob is there with the content that its digest promises."""
        return self.problem(blob) is None

    def problem(self, blob: dict[str, t.Any], full: bool = False) -> str | None:
        """Return in a few words what is wrong with a blob, or None; *full* re-hashes it also if it looks untouched."""
        path = self.blob_path(blob["sha256"])
        look = _look(path)
        if look is None:
            return f"blob {blob['sha256']} is missing"
        if look["size"] != blob["size"]:
            return f"blob {blob['sha256']} has {look['size']} bytes instead of {blob['size']}"
        stamped = files.read_json(self._stamp_path(blob["sha256"])) == look
        if stamped and not full:
            return None
        if files.sha256_file(path) != blob["sha256"]:
            remove(self._stamp_path(blob["sha256"]))
            return f"blob {blob['sha256']} was altered"
        if not stamped:
            self._stamp(blob["sha256"])
        return None

    def temporary(self) -> str:
        """Return the path of a new empty file inside the store, for content that is to become a blob."""
        self.prepare()
        descriptor, path = tempfile.mkstemp(dir=self._blobs, prefix=".new-")
        os.close(descriptor)
        return path

    def add_file(self, path: str) -> dict[str, t.Any]:
        """Copy the file *path* into the store and return its blob, C({sha256, size})."""
        temporary = self.temporary()
        try:
            return self.take_file(temporary, **self.copy_into(path, temporary))
        finally:
            remove(temporary)

    @staticmethod
    def copy_into(path: str, temporary: str) -> dict[str, t.Any]:
        """Copy the file *path* to the empty file *temporary* and return what blob that makes."""
        with open(path, "rb") as source, open(temporary, "r+b") as target:
            sha256, size = copy_hashed(source.fileno(), target.fileno())
        return {"sha256": sha256, "size": size}

    def take_file(self, path: str, sha256: str, size: int) -> dict[str, t.Any]:
        """Move the file *path*, which lies on the store's file system and was verified to have this digest, into the store; return its blob."""
        blob = {"sha256": sha256, "size": size}
        self.prepare()
        if self.has_blob(blob):
            remove(path)
            return blob
        with open(path, "rb") as handle:
            # Readable by nobody else until a manifest tells that it is not a memory image.
            os.fchmod(handle.fileno(), 0o400)
            os.fsync(handle.fileno())
        give_away(path, self.root)
        os.replace(path, self.blob_path(sha256))
        sync_directory(self._blobs)
        self._stamp(sha256)
        return blob

    def drop_blob(self, name: str) -> None:
        """Remove a blob, or a temporary file among them."""
        remove(os.path.join(self._blobs, name))
        remove(self._stamp_path(name))

    def prepare(self) -> None:
        """Make the directories; they belong to whom the root belongs to."""
        # Blobs can be opened by QEMU, which knows their digests, but not listed; the rest is for the store's owner.
        self._make_directory(self._blobs, 0o711)
        self._make_directory(self._stamps, 0o750)

    # Inside

    def _make_directory(self, path: str, mode: int) -> None:
        if os.path.isdir(path):
            return
        self._make_directory(os.path.dirname(path), 0o711)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
            os.chmod(path, mode)
            give_away(path, self.root)

    def _stamp_path(self, sha256: str) -> str:
        return os.path.join(self._stamps, f"{sha256}.json")

    def _stamp(self, sha256: str) -> None:
        files.write_json(self._stamp_path(sha256), _look(self.blob_path(sha256)))
        give_away(self._stamp_path(sha256), self.root)


def free_bytes(path: str) -> int:
    """Return how many bytes the file system of *path*, or of its nearest ancestor that exists, has free beyond the margin."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    state = os.statvfs(path)
    return max(0, state.f_bavail * state.f_frsize - MARGIN)


def sync_directory(path: str) -> None:
    """Flush the names in a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: str) -> None:
    """Remove a file if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _look(path: str) -> dict[str, int] | None:
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return None
    return {"size": state.st_size, "mtime_ns": state.st_mtime_ns, "inode": state.st_ino}
