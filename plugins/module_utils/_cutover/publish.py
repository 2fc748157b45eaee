# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Making a capsule of an instance with its memory, from which others begin where it was."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import image
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import manifest as manifests
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import files, names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.patience import LEAST, patience
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import disks, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.standstill import held_still


class Published(t.NamedTuple):
    """What was done, or would be.

    Attributes:
        changed: whether the store differs.
        manifest: of the capsule; None if it would have to be made first.
        outage: seconds for which the instance stood still; None if it did not run anyway, or nothing was done.
    """

    changed: bool
    manifest: dict[str, t.Any] | None
    outage: float | None


def publish(
    host: state.Host, store: Store, name: str, version: str, timeout: float | None, check: bool = False, meet: t.Callable[[], None] = lambda: None
) -> Published:
    """Make a capsule of the given version from instance *name* as it is now: its memory and what it has written.

    A running instance stands still for it until its memory and its overlays are copied; a suspended one stays as it is.

    Args:
        host: this RM.
        store: its capsules.
        name: the instance.
        version: of the capsule that is made; its service and domain are the instance's.
        timeout: seconds that one call of libvirt may take, and to get the instance's lock; None as C(_hypervisor.instance.Wanted) says.
        check: only find out what would be done.
        meet: called when its memory and overlays are safe, before it goes on.

    Raises:
        NotFound: there is no such instance here.
        Refused: it is stopped, or the version exists and was not made from it, or there is no room.
        MeshError: it could not be made; what was begun is gone. If the instance does not run on, the sentence says so.
    """
    parts = names.instance(name)
    names.version(version)
    with state.held(host, name, LEAST if timeout is None else timeout, check) as found:
        if found.state == "absent":
            raise NotFound(f"There is no instance {name} on this RM.")
        known = store.find(parts.domain, parts.service, version)
        if known is not None:
            made_from = (store.sources(parts.domain, parts.service, version) or {}).get("memory", {}).get("instance")
            if made_from != name:
                raise Refused(f"Capsule {manifests.title(known)} exists and was not made from {name}; give what {name} is now another version.")
            return Published(False, known, None)
        if found.state not in ("running", "suspended"):
            raise Refused(f"{name} is {found.state}: only a running or suspended instance has a memory that could be published.")
        store.ensure_intact(found.document["manifest"])
        _require_room(host, store, found)
        if found.live:
            state.require_running(found, "be published")
        if check:
            return Published(True, None, None)
        return _publish(host, store, found, version, patience(found.document["manifest"]["machine"]["memory_mib"], timeout), meet)


def _publish(host: state.Host, store: Store, found: state.Found, version: str, timeout: float, meet: t.Callable[[], None]) -> Published:
    captured: dict[str, str] = {}
    blobs: dict[str, dict[str, t.Any]] = {}
    outage = None
    try:
        captured["memory"] = store.temporary()
        if found.live:
            with held_still(host, found.name, captured["memory"], timeout) as stood:
                _copy_overlays(host, store, found, captured)
                meet()
            outage = stood.seconds
        else:
            _link_memory(host, store, found, captured["memory"])
            _copy_overlays(host, store, found, captured)
            meet()
        for disk in found.document["manifest"]["disks"]:
            if "overlay" in disk:
                _merge(store, disk, captured)
        for what, path in captured.items():
            blobs[what] = store.take_file(path, files.sha256_file(path), os.path.getsize(path))
        manifest = _manifest(found.document, version, blobs)
        store.put_manifest(manifest, {"memory": {"instance": found.name, "sha256": blobs["memory"]["sha256"]}})
    except BaseException:
        for path in captured.values():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        store.drop_unnamed({blob["sha256"] for blob in blobs.values()})
        raise
    return Published(True, manifest, outage)


def _link_memory(host: state.Host, store: Store, found: state.Found, target: str) -> None:
    """Keep the memory of a suspended instance as the file *target* of the store."""
    memory = os.path.realpath(host.places.memory(found.name))
    linked = f"{target}-linked"
    try:
        # A memory image is never written to again, so a second name is as good as a copy.
        os.link(memory, linked)
        os.replace(linked, target)
    except OSError:
        store.copy_into(memory, target)


def _copy_overlays(host: state.Host, store: Store, found: state.Found, captured: dict[str, str]) -> None:
    """Keep the overlays of an instance that stands still as files of the store, noted in *captured* by the disks' names as they appear."""
    for disk in found.document["manifest"]["disks"]:
        captured[f"disk-{disk['name']}"] = store.temporary()
        disks.snapshot(host.places.overlay(found.name, disk["name"]), captured[f"disk-{disk['name']}"])


def _merge(store: Store, disk: dict[str, t.Any], captured: dict[str, str]) -> None:
    """Put what a disk's instance has written above what its capsule had frozen already: a capsule's overlay lies on the base itself."""
    overlay = captured[f"disk-{disk['name']}"]
    merged = store.temporary()
    captured[f"disk-{disk['name']}"] = merged
    try:
        store.copy_into(store.blob_path(disk["overlay"]["sha256"]), merged)
        image.merge(overlay, merged, store.blob_path(disk["blob"]["sha256"]))
    finally:
        os.unlink(overlay)


def _manifest(document: dict[str, t.Any], version: str, blobs: dict[str, dict[str, t.Any]]) -> dict[str, t.Any]:
    manifest = document["manifest"]
    frozen = [{**disk, "overlay": blobs[f"disk-{disk['name']}"]} for disk in manifest["disks"]]
    memory = {"accelerator": document["accelerator"], "blob": blobs["memory"]}
    return {**manifest, "version": version, "disks": frozen, "memory": memory}


def _require_room(host: state.Host, store: Store, found: state.Found) -> None:
    manifest = found.document["manifest"]
    frozen = sum(disk["overlay"]["size"] for disk in manifest["disks"] if "overlay" in disk)
    needed = (manifest["machine"]["memory_mib"] << 20) + disks.SLACK + 2 * state.overlay_bytes(host.places, found) + frozen
    free = store.free_bytes()
    if needed > free:
        raise Refused(f"There is not enough disk on this RM to publish {found.name}: it takes up to {needed} bytes, {free} bytes are free for it.")
