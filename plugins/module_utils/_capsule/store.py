# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The content-addressed store of an RM: blobs by digest, and manifests that appear once all their blobs are there."""

from __future__ import annotations

import glob
import os
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import manifest as manifests
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.blobs import Blobs, remove, sync_directory
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.paths import give_away
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import files, footprint, names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound, Refused

ROOT = "/var/lib/vmatrix/store"
INSTANCES = "/var/lib/vmatrix/instances"
#: Seconds for which a blob that no manifest names yet is left alone: it may belong to a transfer under way.
GRACE = 86400


class Store(Blobs):
    """Capsules under the directory *root*, with the instances that use them under *instances*."""

    def __init__(self, root: str = ROOT, instances: str = INSTANCES) -> None:
        super().__init__(root)
        self.instances = instances
        self._capsules = os.path.join(root, "capsules")
        self._sources = os.path.join(root, "sources")
        #: For images on their way in: on the same file system, so that they become blobs by their name alone.
        self.work = os.path.join(root, "work")

    # Looking

    def free_bytes(self) -> int:
        """Return how many bytes a capsule may still take: what the instances here were promised is not free."""
        return max(0, super().free_bytes() - footprint.promised(self.instances))

    def find(self, domain: str, name: str, version: str) -> dict[str, t.Any] | None:
        """Return the manifest of a capsule, or None when it is not in the store."""
        return files.read_json(self._path(self._capsules, domain, name, version))

    def get(self, domain: str, name: str, version: str) -> dict[str, t.Any]:
        """Return the manifest of a capsule; raise NotFound when it is not in the store."""
        found = self.find(domain, name, version)
        if found is None:
            raise NotFound(f"There is no capsule {name} {version} of {domain} in the store of this RM.")
        return found

    def list(self, domain: str | None = None, name: str | None = None, version: str | None = None) -> list[dict[str, t.Any]]:
        """Return the manifests in the store, those that match what is given, in the order of their names."""
        parts = (
            names.domain(domain) if domain is not None else "*",
            names.label("service", name) if name is not None else "*",
            f"{names.version(version)}.json" if version is not None else "*.json",
        )
        found = (files.read_json(path) for path in sorted(glob.glob(os.path.join(glob.escape(self._capsules), *parts))))
        return [manifest for manifest in found if manifest is not None]

    def sources(self, domain: str, name: str, version: str) -> dict[str, t.Any] | None:
        """Return what an imported capsule was made of, as given to put_manifest; None when it came from another RM."""
        return files.read_json(self._path(self._sources, domain, name, version))

    def problems(self, manifest: dict[str, t.Any], full: bool = False) -> list[str]:
        """Return a sentence for each blob of *manifest* that is missing or altered.

        Args:
            manifest: a checked manifest.
            full: re-hash every blob, also one that looks untouched since it was last verified.
        """
        found = (self.problem(blob, full) for blob in manifests.blobs(manifest))
        return [f"Capsule {manifests.title(manifest)} cannot be used: {problem}." for problem in found if problem]

    def ensure_intact(self, manifest: dict[str, t.Any]) -> None:
        """Raise Refused if a blob of *manifest* is missing or altered; cheap for blobs untouched since they were last verified."""
        for problem in self.problems(manifest):
            raise Refused(problem)

    def users(self, manifest: dict[str, t.Any]) -> list[str]:
        """Return the names of the instances on this RM that are made from the capsule of *manifest*."""
        return [os.path.basename(path) for path, used in footprint.manifests(self.instances) if _identity(used) == _identity(manifest)]

    # Changing

    def prepare(self) -> None:
        """Make the store's directories; they belong to whom the store's root belongs to."""
        super().prepare()
        self._make_directory(self._capsules, 0o750)
        self._make_directory(self._sources, 0o750)
        with open(self._lock_path(), "a", encoding="utf-8"):
            give_away(self._lock_path(), self.root)

    def put_manifest(self, manifest: dict[str, t.Any], sources: dict[str, t.Any] | None = None) -> bool:
        """Publish a capsule whose blobs are all there; return False if the very same one was there already.

        Raises:
            InvalidInput: it is not a manifest.
            Refused: a blob is missing or altered, or this version exists with other content.
        """
        manifests.check(manifest)
        self.prepare()
        with self._lock():
            self.refuse_other_content(manifest)
            self.ensure_intact(manifest)
            self._open_blobs(manifest)
            path = self._path(self._capsules, *_identity(manifest))
            if os.path.exists(path):
                return False
            if sources is not None:
                self._write(self._path(self._sources, *_identity(manifest)), sources)
            self._write(path, manifest)
        return True

    def refuse_other_content(self, manifest: dict[str, t.Any]) -> None:
        """Raise Refused if the store has this capsule's version with other content: versions never change."""
        found = self.find(*_identity(manifest))
        if found is not None and found != manifest:
            differing = ", ".join(sorted(key for key in manifest if found.get(key) != manifest[key]))
            raise Refused(f"Capsule {manifests.title(manifest)} exists with other content ({differing} differ); give the new content a new version.")

    def remove(self, domain: str, name: str, version: str) -> bool:
        """Remove a capsule and the blobs that nothing names any more; return False if it was not there.

        Raises:
            Refused: an instance on this RM uses it.
        """
        if self.find(domain, name, version) is None:
            return False
        with self._lock():
            manifest = self.get(domain, name, version)
            self.refuse_in_use(manifest)
            for directory in (self._capsules, self._sources):
                path = self._path(directory, domain, name, version)
                remove(path)
                _remove_empty(os.path.dirname(path), os.path.dirname(os.path.dirname(path)))
            self._collect({blob["sha256"] for blob in manifests.blobs(manifest)})
        return True

    def drop_unnamed(self, digests: set[str]) -> None:
        """Remove the blobs with these *digests* that no capsule and no instance names: what a failed operation brought."""
        self.prepare()
        with self._lock():
            self._collect(digests)

    def refuse_in_use(self, manifest: dict[str, t.Any]) -> None:
        """Raise Refused if an instance on this RM is made from the capsule of *manifest*."""
        users = self.users(manifest)
        if users:
            raise Refused(f"Capsule {manifests.title(manifest)} is used by {', '.join(users)}; remove the instance first.")

    # Inside

    @staticmethod
    def _path(directory: str, domain: str, name: str, version: str) -> str:
        return os.path.join(directory, names.domain(domain), names.label("service", name), f"{names.version(version)}.json")

    def _lock_path(self) -> str:
        return os.path.join(self.root, ".lock")

    def _lock(self) -> t.ContextManager[None]:
        return files.lock(self._lock_path(), "the store")

    def _write(self, path: str, value: t.Any) -> None:
        self._make_directory(os.path.dirname(path), 0o750)
        files.write_json(path, value)
        give_away(path, self.root)
        sync_directory(os.path.dirname(path))

    def _open_blobs(self, manifest: dict[str, t.Any]) -> None:
        # QEMU runs as a user of its own and reads kernels and disks itself; a memory image is opened for it by root, and credentials are not its business.
        secret = manifests.secrets(manifest)
        for blob in manifests.blobs(manifest):
            path = self.blob_path(blob["sha256"])
            if blob["sha256"] not in secret and os.stat(path).st_mode & 0o777 != 0o444:
                os.chmod(path, 0o444)

    def _collect(self, dropped: set[str]) -> None:
        named = {blob["sha256"] for manifest in self.list() for blob in manifests.blobs(manifest)}
        named |= {blob["sha256"] for _path, manifest in footprint.manifests(self.instances) for blob in manifests.blobs(manifest)}
        for entry in os.scandir(self._blobs):
            if entry.name not in named and (entry.name in dropped or entry.stat().st_mtime < time.time() - GRACE):
                self.drop_blob(entry.name)


def _identity(manifest: dict[str, t.Any]) -> tuple[str, str, str]:
    return manifest["domain"], manifest["name"], manifest["version"]


def _remove_empty(*directories: str) -> None:
    for directory in directories:
        if os.path.isdir(directory) and not os.listdir(directory):
            os.rmdir(directory)
