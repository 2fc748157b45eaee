# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct

import pytest
from disks import SIZE, disk

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import contents

ESP = bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")
LINUX = bytes.fromhex("af3dc60f838472478e793d69d8477de4")


def gpt(*types, code=b"", sector=512, size=SIZE):
    """Return the start of a disk with a GPT whose partitions have these types."""
    head = bytearray(1 << 20)
    head[:512] = code.ljust(446, b"\0") + struct.pack("<B3sB3sII", 0, b"", 0xEE, b"", 1, 0xFFFFFFFF).ljust(64, b"\0") + b"\x55\xaa"
    head[sector : sector + 8] = b"EFI PART"
    struct.pack_into("<Q", head, sector + 32, size // sector - 1)
    struct.pack_into("<QII", head, sector + 72, 2, 128, 128)
    for number, kind in enumerate(types):
        head[2 * sector + 128 * number : 2 * sector + 128 * number + 16] = kind
    return bytes(head)


def warned(head, boots=True, size=SIZE):
    return contents.warnings(contents.look(head), "root", size, boots)


def test_a_disk_that_boots_needs_no_word():
    assert contents.look(disk()) == contents.Contents("mbr", True, False, False, None, False, SIZE)
    assert warned(disk()) == []
    for head in (gpt(contents._GPT_BIOS_BOOT, LINUX, code=b"\xeb\x63"), gpt(ESP, LINUX, code=b"\xeb\x63")):
        assert contents.look(head).table == "gpt" and warned(head) == []


@pytest.mark.parametrize("head", [gpt(ESP, LINUX), gpt(LINUX, ESP, sector=4096), disk(kind=0xEF, code=b"")])
def test_a_disk_that_boots_by_uefi_only_is_told(head):
    assert contents.look(head).efi
    (said,) = warned(head)
    assert said.startswith("The disk root boots by UEFI only, which real machines here do not offer: it has an EFI system partition, and no boot code")
    assert warned(head, boots=False) == []


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
)
def test_a_disk_without_boot_code_is_told_with_what_was_seen(head, seen):
    (said,) = warned(head)
    assert f"no boot code in its first sector ({seen})" in said


def test_a_table_that_reaches_beyond_the_end_is_told():
    for head in (disk(), gpt(LINUX, code=b"\xeb")):
        assert f"ends at byte {SIZE - 512}, and its partition table reaches to byte {SIZE}" in warned(head, boots=False, size=SIZE - 512)[0]


@pytest.mark.parametrize("head", [b"", b"\0", b"EFI PART", bytes(512) + b"EFI PART", bytes(510) + b"\x55\xaa", b"\xff" * 4096, gpt() + b"\xff"])
def test_whatever_there_is_can_be_looked_at(head):
    contents.warnings(contents.look(head), "root", 1 << 20, True)


def test_a_boot_sector_of_a_file_system_is_no_partition_table():
    fat = (b"\xeb\x3c\x90" + b"mkfs.fat").ljust(54, b"\0") + b"FAT16   " + b"\x0e" * 440
    assert contents.look(fat[:510] + b"\x55\xaa").table is None
    assert contents.look(fat[:510] + b"\x55\xaa").holds == "FAT"
