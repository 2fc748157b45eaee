# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""What is on a disk, by its first bytes: the partition table, how it can boot, and file systems by their magic. What cannot be seen is not said."""

from __future__ import annotations

import struct
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.formats import SECTOR

#: Bytes that are looked at.
HEAD = 1 << 20
_SIGNATURE = b"\x55\xaa"
#: Of a master boot record: code, and the table of four partitions, of whose entries each has its type at byte 4.
_CODE = 440
_TABLE_AT, _ENTRY, _ENTRIES, _TYPE = 446, 16, 4, 4
#: Its first byte says whether it is the active one; the last eight where it begins, and how long it is (sectors).
_ACTIVE = (0x00, 0x80)
_EXTENT, _EXTENT_AT = struct.Struct("<II"), 8
_PROTECTIVE, _ESP = 0xEE, 0xEF
#: UEFI Specification 2.10, tables 5.5 and 5.6: where the header of a GPT tells of its entries, and what they begin with.
_GPT = b"EFI PART"
_GPT_ENTRIES = struct.Struct("<QII")
_GPT_ENTRIES_AT = 72
_MOST_GPT_ENTRIES = 128
#: Where its backup is: in the last sector of the disk.
_GPT_BACKUP, _GPT_BACKUP_AT = struct.Struct("<Q"), 32
#: Types of partitions as they stand there: EFI system, BIOS boot (of GRUB).
_GPT_ESP = bytes.fromhex("28732ac11ff8d211ba4b00a0c93ec93b")
_GPT_BIOS_BOOT = b"Hah!IdontNeedEFI"

#: (what, offset, magic) of file systems and of what else a whole disk may hold.
_WHOLE = (
    ("ext2, ext3 or ext4", 1080, b"\x53\xef"),
    ("XFS", 0, b"XFSB"),
    ("Btrfs", 0x10040, b"_BHRfS_M"),
    ("swap space", 4086, b"SWAPSPACE2"),
    ("LVM", 512, b"LABELONE"),
    ("LVM", 536, b"LVM2 001"),
    ("NTFS", 3, b"NTFS    "),
    ("exFAT", 3, b"EXFAT   "),
    ("FAT", 54, b"FAT"),
    ("FAT", 82, b"FAT32"),
    ("F2FS", 1024, b"\x10\x20\xf5\xf2"),
    ("SquashFS", 0, b"hsqs"),
    ("EROFS", 1024, b"\xe2\xe1\xf5\xe0"),
    ("JFS", 32768, b"JFS1"),
    ("ReiserFS", 65588, b"ReIsEr"),
    ("UFS", 65536 + 1372, b"\x19\x01\x54\x19"),
    ("UFS", 8192 + 1372, b"\x19\x01\x54\x19"),
    ("UFS", 65536 + 1372, b"\x54\x19\x01\x19"),
    ("UFS", 8192 + 1372, b"\x54\x19\x01\x19"),
    ("MINIX", 1040, b"\x68\x24"),
    ("MINIX", 1048, b"\x5a\x4d"),
    ("NILFS", 1030, b"\x34\x34"),
    ("Linux RAID", 0, b"\xfc\x4e\x2b\xa9"),
    ("Linux RAID", 4096, b"\xfc\x4e\x2b\xa9"),
    ("a BSD label", 512, b"WEV\x82"),
)
#: Of these the code lies where a table would be.
_BOOT_SECTORS = ("FAT", "NTFS", "exFAT")


class Contents(t.NamedTuple):
    """What was seen on a disk.

    Attributes:
        table: C(gpt), C(mbr), or None.
        boot_code: whether the first sector is a boot sector with code in it.
        efi: whether there is an EFI system partition.
        bios_boot: whether there is a partition for a boot loader of BIOS.
        holds: the file system, or whatever fills the whole disk; None where nothing known does.
        blank: whether all that was looked at is zeros.
        end: where the disk ends by its partition table, in bytes; 0 without one.
    """

    table: str | None
    boot_code: bool
    efi: bool
    bios_boot: bool
    holds: str | None
    blank: bool
    end: int

    @property
    def known(self) -> bool:
        """Whether there is anything on the disk that one can name; a blank one is a disk, too."""
        return bool(self.table or self.boot_code or self.holds or self.blank)


def look(head: bytes) -> Contents:
    """Return what the first bytes of a disk, C(HEAD) at most, tell."""
    signed = head[SECTOR - 2 : SECTOR] == _SIGNATURE
    holds = next((what for what, offset, magic in _WHOLE if head[offset : offset + len(magic)] == magic), None)
    code, blank = signed and any(head[:_CODE]), not any(head)
    gpt = _gpt(head)
    if gpt is not None:
        return Contents("gpt", code, _GPT_ESP in gpt.types, _GPT_BIOS_BOOT in gpt.types, holds, blank, gpt.end)
    entries = [head[at : at + _ENTRY] for at in range(_TABLE_AT, _TABLE_AT + _ENTRIES * _ENTRY, _ENTRY)]
    types = [entry[_TYPE] for entry in entries] if signed else []
    # Where a file system's own boot sector has code, there is no table.
    if not any(types) or holds in _BOOT_SECTORS or _PROTECTIVE in types or any(entry[0] not in _ACTIVE for entry in entries):
        return Contents(None, code, False, False, holds, blank, 0)
    ends = [sum(_EXTENT.unpack_from(entry, _EXTENT_AT)) * SECTOR for entry in entries if entry[_TYPE]]
    return Contents("mbr", code, _ESP in types, False, holds, blank, max(ends))


def warnings(seen: Contents, disk: str, size: int, boots: bool) -> list[str]:
    """Return what an operator has to know of a disk.

    Args:
        seen: on it.
        disk: its name.
        size: its bytes.
        boots: whether a guest here is to boot from it, by BIOS.
    """
    found = []
    if seen.end > size:
        found.append(f"The disk {disk} ends at byte {size}, and its partition table reaches to byte {seen.end}: what was imported may have been cut off.")
    if not boots or seen.boot_code:
        return found
    if seen.efi:
        return [
            *found,
            f"The disk {disk} boots by UEFI only, which real machines here do not offer: it has an EFI system partition, and no boot code in its first sector. "
            "Its guest will not start; install a boot loader for BIOS in it (such as grub-install --target=i386-pc), or give a kernel to boot.",
        ]
    table = {"gpt": "it has a GPT", "mbr": "it has an MBR partition table"}.get(seen.table or "")
    what = table or (f"it holds {seen.holds}" if seen.holds else "it is blank" if seen.blank else "it has no partition table")
    return [
        *found,
        f"The disk {disk} has no boot code in its first sector ({what}), so a guest will not start from it; give a kernel to boot, or a disk that boots first.",
    ]


class _Gpt(t.NamedTuple):
    types: list[bytes]
    end: int


def _gpt(head: bytes) -> _Gpt | None:
    """Return the types of a GPT's partitions, and where it says that the disk ends; None without one."""
    for sector in (SECTOR, 4096):
        header = head[sector : 2 * sector]
        if not header.startswith(_GPT) or len(header) < SECTOR:
            continue
        block, number, size = _GPT_ENTRIES.unpack_from(header, _GPT_ENTRIES_AT)
        start, end = block * sector, (_GPT_BACKUP.unpack_from(header, _GPT_BACKUP_AT)[0] + 1) * sector
        found = [head[at : at + 16] for at in range(start, start + size * min(number, _MOST_GPT_ENTRIES), size)] if size >= 128 else []
        return _Gpt(found, end)
    return None
