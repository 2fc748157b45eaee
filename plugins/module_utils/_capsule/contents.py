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

#: Bytes that are looked at: they reach into a first partition that begins at 1 MiB, as is usual.
HEAD = (1 << 20) + (64 << 10)
_SIGNATURE = b"\x55\xaa"
#: Of a master boot record: code, and the table of four partitions, of whose entries each has its type at byte 4.
_CODE = 440
_TABLE_AT, _ENTRY, _ENTRIES, _TYPE = 446, 16, 4, 4
#: Its first byte says whether it is the active one; the last eight where it begins, and how long it is (sectors).
_ACTIVE = (0x00, 0x80)
_EXTENT, _EXTENT_AT = struct.Struct("<II"), 8
_PROTECTIVE, _ESP = 0xEE, 0xEF
#: Types of partitions of Microsoft's systems: FAT, NTFS, and what their makers put beside them to recover from. Others may hold a system that is booted.
_MICROSOFT = (0x01, 0x04, 0x06, 0x07, 0x0B, 0x0C, 0x0E, 0x12, 0x27)
#: Boot loaders in the master boot record that do not boot the active partition, but what they were told.
_CHOOSERS = (b"GRUB", b"LILO")
#: Of an active partition: its first sectors, and what each system of Microsoft's has its boot code look for. Windows writes the second sector of NTFS with the
#: name of its loader in UTF-16, after the length of that; other tools that make NTFS do not. Boot code for FAT holds names as they are in a directory.
_VOLUME = 1024
_NTFS = b"NTFS    "
_NT_LOADERS = tuple(struct.pack("<H", len(name)) + name.encode("utf-16-le") for name in ("NTLDR", "BOOTMGR"))
_FAT_LOADERS = (("Windows", b"NTLDR      "), ("Windows", b"BOOTMGR    "), ("MS-DOS or Windows up to ME", b"IO      SYSMSDOS   SYS"))
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


#: What an operator has to know of each system.
_STRANGERS = {
    "Windows": (
        "The disk {disk} boots Windows, which has no drivers of its own for the disks and network cards of guests here (virtio). Unless they were installed in "
        "it (virtio-win), its guest will not start: install them where it runs now, and import it again."
    ),
    "MS-DOS or Windows up to ME": (
        "The disk {disk} boots MS-DOS or Windows up to ME, which has no driver of its own for the network cards of guests here (virtio). Unless one was "
        "installed in it, nobody will reach its guest."
    ),
}


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
        system: what boots from it, where that is a system that knows no virtio by itself and leaves no doubt; else None.
    """

    table: str | None
    boot_code: bool
    efi: bool
    bios_boot: bool
    holds: str | None
    blank: bool
    end: int
    system: str | None = None

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
    return Contents("mbr", code, _ESP in types, False, holds, blank, max(ends), _system(head, entries))


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
    if not boots:
        return found
    if seen.system:
        return [*found, _STRANGERS[seen.system].format(disk=disk)]
    why = obstacle(seen, disk)
    if why is None:
        return found
    if seen.efi:
        helps = "install a boot loader for BIOS in it (such as grub-install --target=i386-pc), or give a kernel to boot"
        return [*found, f"{_sentence(why)}. Its guest will not start; {helps}."]
    return [*found, f"{_sentence(why)}, so a guest will not start from it; give a kernel to boot, or a disk that boots first."]


def obstacle(seen: Contents, disk: str) -> str | None:
    """Return why no guest boots from a disk of that name, as a part of a sentence; None if nothing is in its way that can be seen."""
    if seen.boot_code:
        return None
    if seen.efi:
        why = "it has an EFI system partition, and no boot code in its first sector"
        return f"the disk {disk} boots by UEFI only, which real machines here do not offer: {why}"
    table = {"gpt": "it has a GPT", "mbr": "it has an MBR partition table"}.get(seen.table or "")
    what = table or (f"it holds {seen.holds}" if seen.holds else "it is blank" if seen.blank else "it has no partition table")
    return f"the disk {disk} has no boot code in its first sector ({what})"


def _sentence(part: str) -> str:
    return f"{part[0].upper()}{part[1:]}"


def _system(head: bytes, entries: t.Sequence[bytes]) -> str | None:
    """Return the system of a disk with a master boot record, as Contents has it."""
    used = [entry for entry in entries if entry[_TYPE]]
    active = [entry for entry in used if entry[0]]
    if len(active) != 1 or any(entry[_TYPE] not in _MICROSOFT for entry in used) or any(each in head[:_CODE] for each in _CHOOSERS):
        return None
    start = _EXTENT.unpack_from(active[0], _EXTENT_AT)[0] * SECTOR
    volume = head[start : start + _VOLUME]
    if volume[SECTOR - 2 : SECTOR] != _SIGNATURE:
        return None
    if volume[3:].startswith(_NTFS):
        return "Windows" if volume[SECTOR:].startswith(_NT_LOADERS) else None
    return next((system for system, loader in _FAT_LOADERS if loader in volume[:SECTOR]), None)


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
