# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct

import pytest
from disks import ESP, LINUX, SIZE, disk, gpt

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import contents


def warned(head, boots=True, size=1 << 40):
    return contents.warnings(contents.look(head), "root", size, boots)


def test_a_disk_that_boots_needs_no_word():
    assert contents.look(disk()) == contents.Contents("mbr", True, False, False, None, False, SIZE)
    assert warned(disk()) == []
    for head in (gpt(contents._GPT_BIOS_BOOT, LINUX, code=b"\xeb\x63"), gpt(ESP, LINUX, code=b"\xeb\x63")):
        assert contents.look(head).table == "gpt" and warned(head) == []


@pytest.mark.parametrize("head", [gpt(ESP, LINUX), gpt(LINUX, ESP, sector=4096), disk(kind=0xEF, code=b"")], ids=range(3))
def test_a_disk_that_boots_by_uefi_only_is_told(head):
    assert contents.look(head).efi
    (said,) = warned(head)
    assert said.startswith("The disk root boots by UEFI only, which real machines here do not offer: it has an EFI system partition, and no boot code")
    assert warned(head, boots=False) == []
    assert contents.obstacle(contents.look(head), "root") == f"the{said[3:].partition('.')[0]}"


@pytest.mark.parametrize(
    ("head", "seen"),
    [
        (gpt(LINUX), "it has a GPT"),
        (disk(code=b""), "it has an MBR partition table"),
        (bytes(1080) + b"\x53\xef" + bytes(5000), "it holds ext2, ext3 or ext4"),
        (b"XFSB" + bytes(5000), "it holds XFS"),
        (bytes(4096), "it is blank"),
        (b"anything" * 1000, "it has no partition table"),
    ],
    ids=range(6),
)
def test_a_disk_without_boot_code_is_told_with_what_was_seen(head, seen):
    (said,) = warned(head)
    assert f"no boot code in its first sector ({seen})" in said


def boot_record(*partitions, code=b"\x33\xc0\x8e\xd0", volume=b"", start=2048):
    """Return the start of a disk of partitions, each (active, type), whose first one begins so."""
    places = range(start, start + 64 * len(partitions), 64)
    table = b"".join(struct.pack("<B3sB3sII", 0x80 * active, b"", kind, b"", at, 64) for at, (active, kind) in zip(places, partitions))
    head = bytearray(contents.HEAD)
    head[:512] = code.ljust(446, b"\0") + table.ljust(64, b"\0") + b"\x55\xaa"
    head[start * 512 : start * 512 + len(volume)] = volume
    return bytes(head)


def ntfs(loader, second=None):
    """Return the first sectors of a volume that Windows has made."""
    said = struct.pack("<H", len(loader)) + loader.encode("utf-16-le") if second is None else second
    return (b"\xeb\x52\x90NTFS    " + b"\x02\x08").ljust(510, b"\1") + b"\x55\xaa" + said.ljust(512, b"\0")


def fat(names):
    """Return the boot sector of a FAT volume whose code looks for these files."""
    return (b"\xeb\x3c\x90MSDOS5.0".ljust(54, b"\0") + b"FAT16   ").ljust(480, b"\1") + names.ljust(30, b"\0")[:30] + b"\x55\xaa"


BOOTMGR, DOS = ntfs("BOOTMGR"), fat(b"IO      SYSMSDOS   SYS")


@pytest.mark.parametrize(
    ("head", "system"),
    [
        pytest.param(boot_record((True, 7), volume=BOOTMGR), "Windows", id="Windows 7 and later"),
        pytest.param(boot_record((True, 7), (False, 7), (False, 0x27), volume=BOOTMGR), "Windows", id="with a partition to recover from"),
        pytest.param(boot_record((True, 7), volume=ntfs("NTLDR"), start=63), "Windows", id="Windows XP and before"),
        pytest.param(boot_record((True, 0x0C), volume=fat(b"BOOTMGR    ")), "Windows", id="Windows from FAT"),
        pytest.param(boot_record((True, 6), volume=DOS, start=63), "MS-DOS or Windows up to ME", id="MS-DOS"),
    ],
)
def test_a_system_that_knows_no_virtio_is_told(head, system):
    (said,) = warned(head)
    assert f" boots {system}, which has no driver" in said and "(virtio)" in said
    assert warned(head, boots=False) == []


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(boot_record((False, 7), (True, 0x83), volume=BOOTMGR), id="another system is booted"),
        pytest.param(boot_record((True, 7), (False, 0x83), volume=BOOTMGR), id="another system is there"),
        pytest.param(boot_record((True, 7), (False, 0x0F), volume=BOOTMGR), id="what is in an extended partition is not seen"),
        pytest.param(boot_record((False, 7), volume=BOOTMGR), id="none is active"),
        pytest.param(boot_record((True, 7), (True, 7), volume=BOOTMGR), id="two are active"),
        pytest.param(boot_record((True, 7), code=b"\xeb\x63\x90GRUB \0Geom", volume=BOOTMGR), id="a boot loader chooses"),
        pytest.param(boot_record((True, 7), volume=ntfs("", second=b"\xfa\x31\xc0")), id="made by another tool"),
        pytest.param(boot_record((True, 7), volume=BOOTMGR[:510] + b"\0\0"), id="no boot sector"),
        pytest.param(boot_record((True, 0x0C), volume=fat(b"SYSLINUX")), id="Linux from FAT"),
        pytest.param(boot_record((True, 0x0C), volume=fat(b"KERNEL  SYS")), id="FreeDOS"),
        pytest.param(boot_record((True, 7), start=1 << 20), id="it begins where nobody looks"),
        pytest.param(gpt(ESP, LINUX, code=b"\xeb\x63"), id="a GPT"),
    ],
)
def test_where_there_is_any_doubt_nothing_is_said_of_drivers(head):
    assert warned(head) == []


def test_a_table_that_reaches_beyond_the_end_is_told():
    for head in (disk(), gpt(LINUX, code=b"\xeb")):
        assert f"ends at byte {SIZE - 512}, and its partition table reaches to byte {SIZE}" in warned(head, boots=False, size=SIZE - 512)[0]


@pytest.mark.parametrize("head", [b"", b"\0", b"EFI PART", bytes(512) + b"EFI PART", bytes(510) + b"\x55\xaa", b"\xff" * 4096, gpt() + b"\xff"], ids=range(7))
def test_whatever_there_is_can_be_looked_at(head):
    contents.warnings(contents.look(head), "root", 1 << 20, True)


def test_a_boot_sector_of_a_file_system_is_no_partition_table():
    fat = (b"\xeb\x3c\x90" + b"mkfs.fat").ljust(54, b"\0") + b"FAT16   " + b"\x0e" * 440
    assert contents.look(fat[:510] + b"\x55\xaa").table is None
    assert contents.look(fat[:510] + b"\x55\xaa").holds == "FAT"
