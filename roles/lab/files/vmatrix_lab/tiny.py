# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's small guest: Debian's cloud kernel, an initramfs with BusyBox, tcpsvd and a web page, and a disk with data."""

from __future__ import annotations

import glob
import hashlib
import os
import random
import re
import shutil

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tiny")
BUSYBOX = "/bin/busybox"
#: Takes the web server's calls.
_LISTENER = "/usr/bin/tcpsvd"
#: What the kernel has as modules and the guest needs; in dependency order they are loaded at boot.
_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "button", "evdev")
_LINE = "this line was on the disk from the beginning\n"


def module_order(modules_dep: str, wanted: tuple[str, ...]) -> list[str]:
    """Return the paths of the *wanted* modules and of all that they need, each after what it needs.

    Args:
        modules_dep: the content of modules.dep (depmod(8)): C(path: dependency dependency ...), the deepest one last.
        wanted: module names.

    Raises:
        InvalidInput: one is not listed.
    """
    needs = {line.split(":")[0]: line.split(":")[1].split() for line in modules_dep.splitlines() if ":" in line}
    by_name = {os.path.basename(path).split(".")[0].replace("-", "_"): path for path in needs}
    order: list[str] = []
    for name in wanted:
        if name not in by_name:
            raise InvalidInput(f"The kernel has no module {name}.")
        for path in [*reversed(needs[by_name[name]]), by_name[name]]:
            if path not in order:
                order.append(path)
    return order


def build(root: str, target: str) -> None:
    """Make vmlinuz, tiny-initrd.img and tiny-data.qcow2 in the directory *target* from the kernel in the Debian *root*."""
    kernel = max(glob.glob(os.path.join(root, "boot/vmlinuz-*")))
    modules = os.path.join(root, "lib/modules", os.path.basename(kernel)[len("vmlinuz-") :])
    work = os.path.join(target, "work")
    _initramfs(modules, os.path.join(work, "initramfs"), os.path.join(target, "tiny-initrd.img"))
    _data_disk(work, os.path.join(target, "tiny-data.qcow2"))
    shutil.copyfile(kernel, os.path.join(target, "vmlinuz"))
    shutil.rmtree(work)


def _initramfs(modules: str, tree: str, target: str) -> None:
    shutil.copytree(SOURCE, tree)
    for directory in ("bin", "modules", "proc", "sys", "dev", "run", "data"):
        os.mkdir(os.path.join(tree, directory))
    shutil.copy(BUSYBOX, os.path.join(tree, "bin/busybox"))
    os.symlink("busybox", os.path.join(tree, "bin/sh"))
    shutil.copy(_LISTENER, os.path.join(tree, "bin"))
    for library in re.findall(r"/\S+", run(["ldd", _LISTENER]).stdout):
        os.makedirs(os.path.dirname(tree + library), exist_ok=True)
        shutil.copy(library, tree + library)
    _large_file(os.path.join(tree, "www", "big"))
    with open(os.path.join(modules, "modules.dep"), encoding="utf-8") as handle:
        order = module_order(handle.read(), _MODULES)
    for path in order:
        shutil.copy(os.path.join(modules, path), os.path.join(tree, "modules"))
    with open(os.path.join(tree, "modules/order"), "w", encoding="utf-8") as handle:
        handle.writelines(os.path.basename(path) + "\n" for path in order)
    names = sorted(os.path.relpath(os.path.join(parent, name), tree) for parent, directories, files in os.walk(tree) for name in [*directories, *files])
    # Not compressed: unpacking would cost the guest more than reading it does.
    run(["env", "--chdir", tree, BUSYBOX, "cpio", "-o", "-H", "newc", "-F", target], stdin="".join(name + "\n" for name in names))


def _large_file(path: str) -> None:
    # Nothing in it repeats, and it is the same whenever the image is built.
    content = random.Random(0).randbytes(3 << 20)
    with open(path, "wb") as handle:
        handle.write(content)
    with open(f"{path}.sha256", "w", encoding="ascii") as handle:
        handle.write(f"{hashlib.sha256(content).hexdigest()}\n")


def _data_disk(work: str, target: str) -> None:
    tree = os.path.join(work, "data")
    os.makedirs(tree)
    with open(os.path.join(tree, "line"), "w", encoding="utf-8") as handle:
        handle.write(_LINE)
    raw = os.path.join(work, "data.raw")
    run(["mke2fs", "-q", "-t", "ext4", "-L", "data", "-d", tree, raw, "256M"])
    run(["qemu-img", "convert", "-O", "qcow2", raw, target])
