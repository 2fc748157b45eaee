# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The image of the lab's virtual machines: the root file system of its hosts on a disk, booted once and frozen with its memory."""

from __future__ import annotations

import concurrent.futures
import glob
import json
import os
import shlex
import shutil
import typing as t
import uuid

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json, sha256_file, write_atomic, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import accelerator
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places

from vmatrix_lab import places, root, vm

#: What runs in the machine until it has got its identity.
PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vmatrix_identity.py")
#: Seconds that a kernel has to show that KVM works.
PROBE = 15.0
#: Seconds that the first boot may take.
BOOT = 400.0
_SIZE = "4G"
_UNIT = """\
[Unit]
Description=Waits for the identity of this machine
ConditionPathExists=!/etc/machine-identity

[Service]
Type=exec
ExecStart=/usr/bin/python3 /usr/local/lib/vmatrix_identity.py

[Install]
WantedBy=multi-user.target
"""
#: They need the identity.
_LATER = ("ssh.service", "systemd-networkd.service", "systemd-networkd.socket")
_FILES = {
    "etc/fstab": "/dev/vda / ext4 defaults 0 0\n",
    "etc/systemd/system/vmatrix-identity.service": _UNIT,
    **{f"etc/systemd/system/{unit}.d/identity.conf": "[Unit]\nConditionPathExists=/etc/machine-identity\n" for unit in _LATER},
    **{f"etc/systemd/network/10-{interface}.link": f"[Match]\nPath={vm.slot(interface)}\n\n[Link]\nName={interface}\n" for interface in vm.INTERFACES},
}


def path(document: dict[str, t.Any]) -> str:
    """Return where the image that *document* describes lies, made or not."""
    inputs = [root.path(document), document["memory_mib"], document["masked_units"], *map(sha256_file, (PROGRAM, __file__, vm.__file__))]
    return os.path.join(places.CACHE, f"vm-{root.digest(*inputs)}")


def build(document: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Make the image unless the cache has it; returns {changed, image: its description or None}."""
    made = os.path.join(path(document), "image.json")
    image = read_json(made)
    changed = image is None
    if changed and not check:
        base = root.build(document, check)["root"]
        shutil.rmtree(path(document), ignore_errors=True)
        os.makedirs(path(document))
        image = _build(base, path(document), document)
        write_json(made, image)
        root.prune("vm-", path(document))
    return {"changed": changed, "image": image}


def _build(base: str, target: str, document: dict[str, t.Any]) -> dict[str, t.Any]:
    kernel, initrd = (os.path.join(target, name) for name in ("vmlinuz", "initrd.img"))
    for copy in (kernel, initrd):
        shutil.copyfile(max(glob.glob(os.path.join(base, "boot", os.path.basename(copy) + "-*"))), copy)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        probe = pool.submit(accelerator.probe, Places(target), kernel, PROBE)
        _disk(base, target, document["masked_units"])
        accelerated = probe.result()
    image = {"kernel": kernel, "initrd": initrd, "accelerator": accelerated, "memory_mib": document["memory_mib"], "disk": os.path.join(target, "disk.qcow2")}
    try:
        vm.start(vm.command(target, image, {}))
        failed = json.loads(vm.talk(target, b"", b"\n", BOOT))
        if failed:
            raise CommandFailed(f"Units failed while the virtual machine booted: {', '.join(failed)}; see {target}/console.log.")
        words = vm.monitor(target, f"savevm {vm.SNAPSHOT}")
        if words:
            raise CommandFailed(f"The virtual machine could not be frozen: {words.strip()}")
    finally:
        vm.stop(target)
    return image


def _disk(base: str, target: str, masked_units: list[str]) -> None:
    """Make disk.raw of the Debian *base* with our files over it, and disk.qcow2, which is written to."""
    upper, work, merged = (os.path.join(target, name) for name in ("upper", "work", "merged"))
    for directory in (upper, work, merged):
        os.makedirs(directory)
    with open(PROGRAM, encoding="utf-8") as handle:
        program = handle.read()
    for name, content in {**_FILES, "usr/local/lib/vmatrix_identity.py": program, "etc/machine-id": uuid.uuid4().hex + "\n"}.items():
        os.makedirs(os.path.dirname(os.path.join(upper, name)), exist_ok=True)
        write_atomic(os.path.join(upper, name), content)
    units = os.path.join(upper, "etc/systemd/system")
    os.makedirs(os.path.join(units, "multi-user.target.wants"))
    os.symlink("/etc/systemd/system/vmatrix-identity.service", os.path.join(units, "multi-user.target.wants/vmatrix-identity.service"))
    for unit in masked_units:
        os.symlink("/dev/null", os.path.join(units, unit))
    raw = os.path.join(target, "disk.raw")
    mount = shlex.join(["mount", "-t", "overlay", "-o", f"lowerdir={base},upperdir={upper},workdir={work}", places.NAME, merged])
    fill = shlex.join(["mke2fs", "-q", "-t", "ext4", "-d", merged, raw, _SIZE])
    # In a mount namespace of its own, with which the overlay vanishes.
    run(["unshare", "--mount", "--propagation", "private", "sh", "-c", f"{mount} && {fill}"], timeout=300)
    for directory in (upper, work, merged):
        shutil.rmtree(directory)
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", raw, os.path.join(target, "disk.qcow2")])
