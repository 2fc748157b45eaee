# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Making a capsule from files of an RM: a kernel and an initrd, disk images, or all of them."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import credentials, image
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import manifest as manifests
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import balance, files
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused

_NO_BLOB = {"sha256": "0" * 64, "size": 1}


class Import(t.NamedTuple):
    """What an import did, or would do.

    Attributes:
        changed: whether the store differs.
        before: settings and source digests of the capsule that was there, or None.
        after: those of the capsule that is there now, or would be.
        manifest: of the capsule; None if it would have to be made first.
    """

    changed: bool
    before: dict[str, t.Any] | None
    after: dict[str, t.Any]
    manifest: dict[str, t.Any] | None


def import_capsule(store: Store, wanted: dict[str, t.Any], dry: bool = False) -> Import:
    """Make a capsule from files.

    Args:
        store: where to.
        wanted: C(name), C(version), C(domain), C(guest), C(ports) and C(machine) as in a manifest; C(boot) with the paths C(kernel) and C(initrd)
            (or None) and the C(cmdline), or None; C(balance) as C(balance.checked) takes it; C(clock) with C(agent) and C(catch_up), or None; C(disks),
            each with C(name) and the path C(src); C(vpn) as in a manifest but without its C(credentials), which are given beside it, or None.
        dry: only find out what would be done.

    Raises:
        InvalidInput: a setting or a path is wrong; nothing was touched.
        Refused: an image cannot be imported, this version exists with other content, or there is no room; nothing was touched.
    """
    draft = manifests.check(_draft(wanted))
    identity = (wanted["domain"], wanted["name"], wanted["version"])
    sources = _inspected(wanted, store.sources(*identity) or {})
    secret = credentials.check(wanted["credentials"]) if wanted.get("vpn") else None
    after = _described(draft, {name: source["sha256"] for name, source in sources.items()}, secret)
    found = store.find(*identity)
    before = None
    if found is not None:
        before = _described(found, _source_digests(store, found, sources), credentials.load(store, found))
        if before != after:
            differing = ", ".join(sorted(key for key in after if before.get(key) != after[key]))
            raise Refused(f"Capsule {manifests.title(found)} exists with other content ({differing} differ); give the new content a new version.")
        if not store.problems(found):
            return Import(False, before, after, found)
    _refuse_unfit(store, sources)
    if dry:
        return Import(True, before, after, found)
    blobs: dict[str, dict[str, t.Any]] = {}
    try:
        for name, source in sources.items():
            blobs[name] = _taken_in(store, source)
        if secret:
            blobs["vpn.credentials"] = _written(store, credentials.packed(secret))
        manifest = manifests.check(_filled(draft, blobs, sources))
        store.put_manifest(manifest, {name: source["seen"] for name, source in sources.items()})
    except BaseException:
        store.drop_unnamed({blob["sha256"] for blob in blobs.values()})
        raise
    return Import(True, before, after, manifest)


def _draft(wanted: dict[str, t.Any]) -> dict[str, t.Any]:
    boot, unusual = wanted["boot"], balance.checked(wanted.get("balance"))
    clock = {key: True for key in ("agent", "catch_up") if (wanted.get("clock") or {}).get(key)}
    balance.refuse_unclear(unusual, wanted["name"], wanted["ports"])
    return {
        "schema": 1,
        **{key: wanted[key] for key in ("name", "version", "domain", "guest", "ports", "machine")},
        **({"balance": unusual} if unusual else {}),
        **({"clock": clock} if clock else {}),
        "boot": boot and {"kernel": _NO_BLOB, "initrd": _NO_BLOB if boot["initrd"] else None, "cmdline": boot["cmdline"]},
        "disks": [{"name": disk["name"], "format": "qcow2", "virtual_size": 512, "blob": _NO_BLOB} for disk in wanted["disks"]],
        "memory": None,
        **({"vpn": {**wanted["vpn"], "credentials": _NO_BLOB}} if wanted.get("vpn") else {}),
    }


def _inspected(wanted: dict[str, t.Any], recorded: dict[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return for each source C(image) (None for a kernel or an initrd), C(path), C(sha256) and C(seen), which tells next time whether it is still the same."""
    paths = {f"boot.{part}": wanted["boot"][part] for part in ("kernel", "initrd") if wanted["boot"] and wanted["boot"][part]}
    images = {f"disks.{disk['name']}": image.inspect(disk["src"]) for disk in wanted["disks"]}
    paths.update({name: found.path for name, found in images.items()})
    sources = {}
    for name, path in paths.items():
        state = image.regular_file(path)
        look = {"path": path, "size": state.st_size, "mtime_ns": state.st_mtime_ns, "inode": state.st_ino}
        known = recorded.get(name, {})
        sha256 = known["sha256"] if {**known, **look} == known else files.sha256_file(path)
        sources[name] = {"image": images.get(name), "path": path, "sha256": sha256, "seen": {**look, "sha256": sha256}}
    return sources


def _source_digests(store: Store, found: dict[str, t.Any], sources: dict[str, t.Any]) -> dict[str, str]:
    """Return the digests of the files that the capsule *found* was made of, as far as they can be told."""
    recorded = store.sources(found["domain"], found["name"], found["version"]) or {}
    digests = {name: source["sha256"] for name, source in recorded.items()}
    if recorded:
        return digests
    # It came from another RM: what was taken as it was can be told from its blob, a converted image has to be compared.
    boot = found["boot"] or {}
    digests = {f"boot.{part}": boot[part]["sha256"] for part in ("kernel", "initrd") if boot.get(part)}
    for disk in found["disks"]:
        name, blob = f"disks.{disk['name']}", disk["blob"]["sha256"]
        source = sources.get(name, {})
        wanted = source.get("image")
        raw = wanted is not None and wanted.format == "raw" and wanted.virtual_size == disk["virtual_size"]
        digests[name] = source["sha256"] if raw and image.same_content(wanted, store.blob_path(blob)) else blob
    return digests


def _described(manifest: dict[str, t.Any], digests: dict[str, str], secret: credentials.Credentials | None) -> dict[str, t.Any]:
    settings = {key: manifest[key] for key in ("name", "version", "domain", "guest", "ports", "machine")}
    cmdline = manifest["boot"]["cmdline"] if manifest["boot"] else None
    described = {**settings, "cmdline": cmdline, "disks": [disk["name"] for disk in manifest["disks"]], "memory": manifest["memory"], "sources": digests}
    vpn = {**manifest["vpn"], "credentials": credentials.identity(secret)} if secret else None
    return {**described, "balance": manifest.get("balance", {}), "clock": manifest.get("clock", {}), "vpn": vpn}


def _refuse_unfit(store: Store, sources: dict[str, t.Any]) -> None:
    needed = 0
    for source in sources.values():
        if not store.has_blob({"sha256": source["sha256"], "size": source["seen"]["size"]}):
            needed += source["image"].allocated if source["image"] else source["seen"]["size"]
    free = store.free_bytes()
    if needed > free:
        raise Refused(f"There is not enough disk on this RM: the capsule takes up to {needed} bytes, {free} bytes are free for it.")


def _taken_in(store: Store, source: dict[str, t.Any]) -> dict[str, t.Any]:
    blob = {"sha256": source["sha256"], "size": source["seen"]["size"]}
    raw = source["image"] is not None and source["image"].format == "raw"
    if not raw and store.has_blob(blob):
        return blob
    temporary = store.temporary()
    try:
        if raw:
            image.convert(source["image"], temporary)
            blob = {"sha256": files.sha256_file(temporary), "size": os.path.getsize(temporary)}
        else:
            copied = store.copy_into(source["path"], temporary)
            if copied != blob:
                raise Refused(f"{source['path']} changed while it was imported.")
            if source["image"] is not None:
                # The copy is what counts: whoever owns the source cannot change this one.
                image.check(temporary, source["path"])
        return store.take_file(temporary, **blob)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _written(store: Store, content: bytes) -> dict[str, t.Any]:
    temporary = store.temporary()
    try:
        with open(temporary, "wb") as handle:
            handle.write(content)
        return store.take_file(temporary, files.sha256_file(temporary), len(content))
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _filled(draft: dict[str, t.Any], blobs: dict[str, t.Any], sources: dict[str, t.Any]) -> dict[str, t.Any]:
    boot = draft["boot"] and {**draft["boot"], "kernel": blobs["boot.kernel"], "initrd": blobs.get("boot.initrd")}
    disks = []
    for disk in draft["disks"]:
        name = f"disks.{disk['name']}"
        disks.append({**disk, "virtual_size": sources[name]["image"].virtual_size, "blob": blobs[name]})
    vpn = {"vpn": {**draft["vpn"], "credentials": blobs["vpn.credentials"]}} if "vpn" in draft else {}
    return {**draft, "boot": boot, "disks": disks, **vpn}
