# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Making a capsule from a kernel and an initrd, from disk images, or from all of them."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import contents, conversion, credentials, image, origins, workroom
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import manifest as manifests
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.progress import TRANSFERS, Progress
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import balance, files, names, ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused

_NO_BLOB = {"sha256": "0" * 64, "size": 1}


class Import(t.NamedTuple):
    """What an import did, or would do.

    Attributes:
        changed: whether the store differs.
        before: settings and source digests of the capsule that was there, or None.
        after: those of the capsule that is there now, or would be.
        manifest: of the capsule; None if it would have to be made first.
        warnings: a sentence for everything that the guest will miss here.
        steps: what was done with each disk, by name: C({did, bytes, seconds}) of each step.
    """

    changed: bool
    before: dict[str, t.Any] | None
    after: dict[str, t.Any]
    manifest: dict[str, t.Any] | None
    warnings: t.Sequence[str] = ()
    steps: t.Mapping[str, t.Sequence[dict[str, t.Any]]] = {}


def import_capsule(store: Store, wanted: dict[str, t.Any], dry: bool = False, progress: str = TRANSFERS) -> Import:
    """Make a capsule from files.

    Args:
        store: where to.
        wanted: C(name), C(version), C(domain), C(guest), C(ports) and C(machine) as in a manifest, but a MAC address in any of its usual forms; C(boot)
            with the paths C(kernel) and C(initrd) (or None) and the C(cmdline), or None; C(balance) as C(balance.checked) takes it; C(clock) with C(agent) and
            C(catch_up), or None; C(disks), each as C(origins.origin) takes it; C(vpn) as in a manifest but without its C(credentials), which are given beside
            it, or None.
        dry: only find out what would be done.
        progress: directory for the file of Progress.

    Raises:
        InvalidInput: a setting or a path is wrong; nothing was touched.
        CommandFailed, DeadlineExceeded: a disk cannot be fetched; nothing was touched.
        Refused: an image cannot be imported, this version exists with other content, or there is no room; nothing was touched.
    """
    draft = manifests.check(_draft(wanted))
    identity = (wanted["domain"], wanted["name"], wanted["version"])
    sources = _inspected(wanted, store.sources(*identity) or {})
    secret = credentials.check(wanted["credentials"]) if wanted.get("vpn") else None
    after = _described(draft, {name: source["sha256"] for name, source in sources.items()}, secret)
    found = store.find(*identity)
    total = sum(source["origin"].size if source["origin"] else source["seen"]["size"] for source in sources.values())
    shown = Progress("import-" + "-".join(identity), f"import of capsule {manifests.title(draft)}", total, progress)
    before = None
    with _full_disk_told(store, total):
        if found is not None:
            before = _described(found, _source_digests(store, found, sources, shown), credentials.load(store, found))
            if before != after:
                differing = ", ".join(sorted(key for key in after if before.get(key) != after[key]))
                raise Refused(f"Capsule {manifests.title(found)} exists with other content ({differing} differ); give the new content a new version.")
            if not store.problems(found):
                return Import(False, before, after, found)
        _refuse_unfit(store, sources)
        if dry:
            return Import(True, before, after, found)
        blobs: dict[str, dict[str, t.Any]] = {}
        made: dict[str, origins.Made] = {}
        try:
            with shown:
                for name, source in sources.items():
                    if source["origin"] is not None:
                        made[name], blobs[name] = _disk(store, source, shown)
                    else:
                        blobs[name] = _taken_in(store, source)
            if secret:
                blobs["vpn.credentials"] = _written(store, credentials.packed(secret))
            manifest = manifests.check(_filled(draft, blobs, made))
            store.put_manifest(manifest, {name: source["seen"] for name, source in sources.items()})
        except BaseException:
            store.drop_unnamed({blob["sha256"] for blob in blobs.values()})
            raise
    return Import(True, before, after, manifest, _warnings(draft, made), {name.partition(".")[2]: each.steps for name, each in made.items()})


@contextlib.contextmanager
def _full_disk_told(store: Store, total: int) -> t.Iterator[None]:
    """Say in a sentence that the disk is full."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise Refused(
            f"The disk filled while the capsule was imported: {store.root} has {store.free_bytes()} bytes for it, its sources have {total} "
            "(packed or converted they may need more); nothing of it was left there."
        ) from exc


def _draft(wanted: dict[str, t.Any]) -> dict[str, t.Any]:
    ports.checked(f"service {wanted['name']}", wanted["ports"])
    boot, unusual = wanted["boot"], balance.checked(wanted.get("balance"))
    clock = {key: True for key in ("agent", "catch_up") if (wanted.get("clock") or {}).get(key)}
    balance.refuse_unclear(unusual, wanted["name"], wanted["ports"])
    return {
        "schema": 1,
        **{key: wanted[key] for key in ("name", "version", "domain", "ports", "machine")},
        "guest": {**wanted["guest"], "mac": names.mac(wanted["guest"]["mac"])},
        **({"balance": unusual} if unusual else {}),
        **({"clock": clock} if clock else {}),
        "boot": boot and {"kernel": _NO_BLOB, "initrd": _NO_BLOB if boot["initrd"] else None, "cmdline": boot["cmdline"]},
        "disks": [{"name": disk["name"], "format": "qcow2", "virtual_size": 512, "blob": _NO_BLOB} for disk in wanted["disks"]],
        "memory": None,
        **({"vpn": {**wanted["vpn"], "credentials": _NO_BLOB}} if wanted.get("vpn") else {}),
    }


def _inspected(wanted: dict[str, t.Any], recorded: dict[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return for each source C(origin) (None for a kernel or an initrd), C(path), C(sha256) and C(seen), which tells next time whether it is still the same."""
    paths = {f"boot.{part}": wanted["boot"][part] for part in ("kernel", "initrd") if wanted["boot"] and wanted["boot"][part]}
    sources = {}
    for name, path in paths.items():
        state = image.regular_file(path)
        look = {"path": path, "size": state.st_size, "mtime_ns": state.st_mtime_ns, "inode": state.st_ino}
        sources[name] = {"origin": None, "path": path, "look": look}
    for disk in wanted["disks"]:
        found = origins.origin(disk)
        sources[f"disks.{disk['name']}"] = {"origin": found, "path": found.path, "look": origins.look(found)}
    for name, source in sources.items():
        look, known = source["look"], recorded.get(name, {})
        if {**known, **look} == known:
            source["sha256"] = known["sha256"]
        else:
            source["sha256"] = origins.digest(source["origin"]) if source["origin"] else files.sha256_file(source["path"])
        source["seen"] = {**look, "sha256": source["sha256"]}
    return sources


def _source_digests(store: Store, found: dict[str, t.Any], sources: dict[str, t.Any], progress: Progress) -> dict[str, str]:
    """Return the digests of the files that the capsule *found* was made of, as far as they can be told."""
    recorded = store.sources(found["domain"], found["name"], found["version"]) or {}
    digests = {name: source["sha256"] for name, source in recorded.items()}
    if recorded:
        return digests
    # It came from another RM: what was taken as it was can be told from its blob, what was converted has to be compared.
    boot = found["boot"] or {}
    digests = {f"boot.{part}": boot[part]["sha256"] for part in ("kernel", "initrd") if boot.get(part)}
    for disk in found["disks"]:
        name, blob = f"disks.{disk['name']}", disk["blob"]["sha256"]
        source = sources.get(name)
        same = source is not None and source["sha256"] != blob and _same_content(store, source["origin"], disk, progress)
        digests[name] = source["sha256"] if source is not None and same else blob
    return digests


def _same_content(store: Store, found: origins.Origin, disk: dict[str, t.Any], progress: Progress) -> bool:
    """Say whether what a disk would be made of holds the same as a *disk* of a capsule that is there."""
    with progress, workroom.workroom(store.work) as room:
        made = origins.make(found, room, store.free_bytes, progress)
        return made.virtual_size == disk["virtual_size"] and conversion.same_content(room, store.blob_path(disk["blob"]["sha256"]))


def _described(manifest: dict[str, t.Any], digests: dict[str, str], secret: credentials.Credentials | None) -> dict[str, t.Any]:
    settings = {key: manifest[key] for key in ("name", "version", "domain", "guest", "ports", "machine")}
    cmdline = manifest["boot"]["cmdline"] if manifest["boot"] else None
    described = {**settings, "cmdline": cmdline, "disks": [disk["name"] for disk in manifest["disks"]], "memory": manifest["memory"], "sources": digests}
    vpn = {**manifest["vpn"], "credentials": credentials.identity(secret)} if secret else None
    return {**described, "balance": manifest.get("balance", {}), "clock": manifest.get("clock", {}), "vpn": vpn}


def _refuse_unfit(store: Store, sources: dict[str, t.Any]) -> None:
    needed = 0
    for source in sources.values():
        found = source["origin"]
        size = found.size if found else source["seen"]["size"]
        if not store.has_blob({"sha256": source["sha256"], "size": size}):
            needed += found.allocated if found else size
    free = store.free_bytes()
    if needed > free:
        raise Refused(f"There is not enough disk on this RM: the capsule takes up to {needed} bytes, {free} bytes are free for it in {store.root}.")


def _disk(store: Store, source: dict[str, t.Any], progress: Progress) -> tuple[origins.Made, dict[str, t.Any]]:
    """Make a blob of a disk."""
    found, blob = source["origin"], {"sha256": source["sha256"], "size": source["origin"].size}
    there = store.blob_path(blob["sha256"])
    # One that no manifest names yet is for root only, so the sandbox could not read it.
    if found.kind != "qcow2" or not store.has_blob(blob) or not os.stat(there).st_mode & stat.S_IROTH:
        there = None
    with workroom.workroom(store.work) as room:
        made = origins.make(found, room, store.free_bytes, progress, there)
        if there is None:
            blob = {"sha256": files.sha256_file(made.path), "size": os.path.getsize(made.path)}
        return made, store.take_file(made.path, **blob)


def _taken_in(store: Store, source: dict[str, t.Any]) -> dict[str, t.Any]:
    blob = {"sha256": source["sha256"], "size": source["seen"]["size"]}
    if store.has_blob(blob):
        return blob
    temporary = store.temporary()
    try:
        if store.copy_into(source["path"], temporary) != blob:
            raise Refused(f"{source['path']} changed while it was imported.")
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


def _filled(draft: dict[str, t.Any], blobs: dict[str, t.Any], made: dict[str, origins.Made]) -> dict[str, t.Any]:
    boot = draft["boot"] and {**draft["boot"], "kernel": blobs["boot.kernel"], "initrd": blobs.get("boot.initrd")}
    disks = []
    for disk in draft["disks"]:
        name = f"disks.{disk['name']}"
        disks.append({**disk, "virtual_size": made[name].virtual_size, "blob": blobs[name]})
    vpn = {"vpn": {**draft["vpn"], "credentials": blobs["vpn.credentials"]}} if "vpn" in draft else {}
    return {**draft, "boot": boot, "disks": disks, **vpn}


def _warnings(draft: dict[str, t.Any], made: dict[str, origins.Made]) -> list[str]:
    """Return what the guest will miss; only the first disk has to boot, and only without a kernel."""
    found = []
    for number, disk in enumerate(draft["disks"]):
        each = made[f"disks.{disk['name']}"]
        found += contents.warnings(each.contents, disk["name"], each.virtual_size, boots=number == 0 and not draft["boot"])
    return found
