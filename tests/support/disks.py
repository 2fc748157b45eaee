# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks as tools of others make them."""

from __future__ import annotations

import random
import struct
import subprocess

SIZE = 8 << 20
#: Types of partitions as they stand in a GPT: EFI system, and Linux.
ESP, LINUX = (bytes.fromhex(each) for each in ("28732ac11ff8d211ba4b00a0c93ec93b", "af3dc60f838472478e793d69d8477de4"))


def qemu_img(*words):
    """Run qemu-img."""
    subprocess.run(["qemu-img", *map(str, words)], check=True, capture_output=True)


def disk(seed: bytes = b"disk", size: int = SIZE, kind: int = 0x83, code: bytes = b"\xeb\x63\x90") -> bytes:
    """Return a raw disk with a boot sector, a partition to its end, and content of which no two sectors are the same."""
    entry = struct.pack("<B3sB3sII", 0x80, b"", kind, b"", 2048, size // 512 - 2048)
    content = bytearray(random.Random(seed).randbytes(size))
    content[:512] = code.ljust(446, b"\0") + entry.ljust(64, b"\0") + b"\x55\xaa"
    # A hole, as real disks have them.
    content[size // 2 : size // 2 + (1 << 20)] = bytes(1 << 20)
    return bytes(content)


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


def OVF(*disks: str) -> str:  # noqa: N802
    """Return the description of an appliance, as VMware's tools write it, with these files as disks."""
    files = "".join(f'<File ovf:href="{name}" ovf:id="file{number}" ovf:size="1"/>' for number, name in enumerate(disks))
    listed = "".join(f'<Disk ovf:capacity="8" ovf:diskId="d{number}" ovf:fileRef="file{number}"/>' for number, unused in enumerate(disks))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!-- Made by hand -->\n'
        '<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">'
        f"<References>{files}</References><DiskSection><Info>Disks</Info>{listed}</DiskSection></Envelope>"
    )
