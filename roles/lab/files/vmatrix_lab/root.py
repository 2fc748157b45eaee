# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian root file systems by mmdebstrap, cached under the digest of all that goes into them."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shlex
import shutil
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import sha256_file
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run

from vmatrix_lab import places

#: Raise this when the recipe below makes something else of the same inputs.
_RECIPE = 2
_DOCS = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale", "info")]
_QUICK = ["--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io", '--aptopt=Acquire::Languages "none"', "--quiet"]


def digest(*inputs: t.Any) -> str:
    """Return a short digest of JSON-like *inputs*, which names what is made of them."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def path(document: dict[str, t.Any]) -> str:
    """Return where the root for the hosts that *document* describes lies, made or not.

    Raises:
        InvalidInput: the package sources that it names are not there.
    """
    sources = document["sources"]
    if not os.path.isfile(sources):
        raise InvalidInput(f"The package sources {sources} do not exist on this machine; name a file with lab_apt_sources.")
    inputs = (_RECIPE, document["suite"], sorted(document["packages"]), document["absent_units"], sha256_file(sources))
    return os.path.join(places.CACHE, f"root-{digest(*inputs)}")


def build(document: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Make the root file system of the hosts unless the cache has it; returns {changed, root}."""
    root = path(document)
    changed = not os.path.isdir(root) or os.path.realpath(places.ROOT) != root
    if changed and not check:
        if not os.path.isdir(root):
            debootstrap(root, document["suite"], document["packages"], document["sources"], lambda new: _prepare(new, document["absent_units"]))
        _point_at(root)
    return {"changed": changed, "root": root}


def debootstrap(target: str, suite: str, packages: list[str], sources: str, finish: t.Callable[[str], None], preseed: str | None = None) -> None:
    """Install *packages* of *suite* into the new directory *target*, which appears by rename when *finish* is done with it.

    Args:
        target: the directory, not there yet.
        suite: the Debian release.
        packages: what to install besides the essential packages.
        sources: the APT sources file.
        finish: gets the directory before it appears.
        preseed: an answer for debconf (debconf-set-selections(1)).
    """
    os.makedirs(os.path.dirname(target), exist_ok=True)
    new = target + ".new"
    shutil.rmtree(new, ignore_errors=True)
    hooks = [f"--essential-hook=echo {shlex.quote(preseed)} | chroot \"$1\" debconf-set-selections"] if preseed else []
    # In a mount namespace of its own: were it killed, nothing would stay mounted in what is removed the next time.
    command = ["unshare", "--mount", "--propagation", "private", "mmdebstrap", *_QUICK, *_DOCS, *hooks]
    run([*command, f"--include={','.join(sorted(set(packages)))}", suite, new, sources], timeout=1800)
    finish(new)
    os.rename(new, target)


def prune(prefix: str, keep: str) -> None:
    """Remove the cached file systems whose names begin with *prefix*, except *keep*."""
    for old in glob.glob(os.path.join(places.CACHE, prefix + "*")):
        if old != keep:
            shutil.rmtree(old)


def _point_at(root: str) -> None:
    new = places.ROOT + ".new"
    if os.path.lexists(new):
        os.unlink(new)
    os.symlink(os.path.basename(root), new)
    os.replace(new, places.ROOT)


def _prepare(root: str, absent_units: list[str]) -> None:
    # Each host gets keys and an identity of its own.
    for key in glob.glob(os.path.join(root, "etc/ssh/ssh_host_*")):
        os.unlink(key)
    for unit in absent_units:
        link = os.path.join(root, "etc/systemd/system", unit)
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink("/dev/null", link)
    _append(root, "etc/systemd/networkd.conf", "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n")
    # In nspawn, libvirt can neither make control groups nor tell the hosts apart by the machine's firmware.
    _append(root, "etc/libvirt/qemu.conf", "cgroup_controllers = [ ]\n")
    _append(root, "etc/libvirt/libvirtd.conf", 'host_uuid_source = "machine-id"\n')
    wants = os.path.join(root, "etc/systemd/system/multi-user.target.wants")
    os.makedirs(wants, exist_ok=True)
    os.symlink("/lib/systemd/system/systemd-networkd.service", os.path.join(wants, "systemd-networkd.service"))


def _append(root: str, name: str, text: str) -> None:
    with open(os.path.join(root, name), "a", encoding="utf-8") as handle:
        handle.write(text)
