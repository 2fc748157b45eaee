# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's large guest: an ordinary Debian disk with systemd, its own boot loader and a packaged web site."""

from __future__ import annotations

import glob
import os
import shutil

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import write_atomic
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run

#: Answers to the questions that the web site's package asks (debconf): let everybody read it.
PRESEED = "dokuwiki dokuwiki/system/accessible select global"

_SIZE = 2 << 30
_START = 1 << 20
_BOOT_CODE = 440
_GRUB = "/usr/lib/grub/i386-pc"
_GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "normal", "configfile", "linux", "serial", "terminal")
_FILES = {
    "etc/hostname": "wiki\n",
    "etc/hosts": "127.0.0.1 localhost\n192.168.1.20 wiki\n",
    "etc/machine-id": "",
    "etc/fstab": "LABEL=debian / ext4 errors=remount-ro 0 1\n",
    "etc/systemd/network/lan.network": "[Match]\nName=en* eth*\n\n[Network]\nAddress=192.168.1.20/24\nGateway=192.168.1.1\n",
}
_GRUB_CFG = """serial --unit=0
terminal_output serial console
set timeout=0
menuentry Debian {{
    linux {kernel} root=LABEL=debian ro console=ttyS0 quiet
    initrd {initrd}
}}
"""


def build(root: str, target: str) -> None:
    """Make debian.vmdk in the directory *target* of the Debian *root*, which is changed on the way."""
    for name, content in _FILES.items():
        write_atomic(os.path.join(root, name), content)
    wants = os.path.join(root, "etc/systemd/system/multi-user.target.wants/systemd-networkd.service")
    if not os.path.lexists(wants):
        os.symlink("/lib/systemd/system/systemd-networkd.service", wants)
    kernel, initrd = (os.path.join("/boot", os.path.basename(max(glob.glob(os.path.join(root, "boot", name))))) for name in ("vmlinuz-*", "initrd.img-*"))
    os.makedirs(os.path.join(root, "boot/grub"), exist_ok=True)
    write_atomic(os.path.join(root, "boot/grub/grub.cfg"), _GRUB_CFG.format(kernel=kernel, initrd=initrd))
    core = os.path.join(root, "boot/grub/core.img")
    grub = ["grub-mkimage", "-O", "i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", "/boot/grub/core.img", *_GRUB_MODULES]
    run(["chroot", root, *grub])

    raw = os.path.join(target, "debian.raw")
    run(["mke2fs", "-q", "-t", "ext4", "-L", "debian", "-d", root, "-E", f"offset={_START}", raw, f"{(_SIZE - _START) >> 10}k"], timeout=300)
    os.truncate(raw, _SIZE)
    # GRUB's boot.img reads core.img from the sector after it, where nothing else lies before the first partition.
    with open(raw, "r+b") as disk, open(root + os.path.join(_GRUB, "boot.img"), "rb") as boot, open(core, "rb") as rest:
        disk.write(boot.read(_BOOT_CODE))
        disk.seek(512)
        disk.write(rest.read())
    run(["sfdisk", "--quiet", raw], stdin=f"label: dos\nstart={_START // 512}, type=83, bootable\n")
    # As VMware's tools export disks; packing them takes too long for a test.
    run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, os.path.join(target, "debian.vmdk")], timeout=300)
    os.unlink(raw)
    shutil.rmtree(os.path.join(root, "boot/grub"))
