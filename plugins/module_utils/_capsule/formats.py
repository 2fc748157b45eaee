# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""What a file is, by its magic numbers alone: nothing that it names is opened, and no program is asked."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused

#: The sector size that headers and footers count in (bytes).
SECTOR = 512
#: The volume descriptors of ISO 9660 begin at sector 16 of 2048 bytes.
_ISO_AT = 32769
_HEAD = _ISO_AT + 5
_TAR_AT = 257
#: A fixed VHD has nothing but this in its last sector (Virtual Hard Disk Image Format Specification, "Hard Disk Footer Format").
_VHD_COOKIE = b"conectix"

#: Kinds that are unpacked on the way.
PACKED = ("gzip", "xz", "zstd", "bzip2", "zip")
#: Kinds that qemu-img converts, and how it calls them.
FOREIGN = {"qcow1": "qcow", "vmdk": "vmdk", "vmdk descriptor": "vmdk", "vdi": "vdi", "vhdx": "vhdx", "vhd": "vpc"}

#: (kind, offset, magic), in the order in which they count.
_MAGIC = (
    ("qcow1", 0, b"QFI\xfb\x00\x00\x00\x01"),
    ("qcow2", 0, b"QFI\xfb"),
    ("vmdk", 0, b"KDMV"),
    ("vmdk", 0, b"COWD"),
    ("vmdk descriptor", 0, b"# Disk DescriptorFile"),
    ("vdi", 64, b"\x7f\x10\xda\xbe"),
    ("vhdx", 0, b"vhdxfile"),
    ("vhd", 0, _VHD_COOKIE),
    ("gzip", 0, b"\x1f\x8b"),
    ("xz", 0, b"\xfd7zXZ\x00"),
    ("zstd", 0, b"\x28\xb5\x2f\xfd"),
    ("bzip2", 0, b"BZh"),
    ("zip", 0, b"PK\x03\x04"),
    ("zip", 0, b"PK\x05\x06"),
    ("tar", _TAR_AT, b"ustar"),
    ("7z", 0, b"7z\xbc\xaf\x27\x1c"),
    ("rar", 0, b"Rar!\x1a\x07"),
    ("lz4", 0, b"\x04\x22\x4d\x18"),
    ("lzip", 0, b"LZIP\x01"),
    ("lzma", 0, b"\x5d\x00\x00"),
    ("cabinet", 0, b"MSCF\x00\x00\x00\x00"),
    ("ar", 0, b"!<arch>\n"),
    ("cpio", 0, b"070701"),
    ("rpm", 0, b"\xed\xab\xee\xdb"),
    ("pdf", 0, b"%PDF-"),
    ("program", 0, b"\x7fELF"),
    ("qed", 0, b"QED\x00"),
    ("parallels", 0, b"WithoutFreeSpace"),
    ("parallels", 0, b"WithouFreSpacExt"),
    ("luks", 0, b"LUKS\xba\xbe"),
    ("iso", _ISO_AT, b"CD001"),
)
_UNPACK = "unpack it first and import the disk image that is in it"
#: What is refused: what it is, and what helps.
_REFUSED = {
    "7z": ("a 7z archive", f"{_UNPACK} (7z x)"),
    "rar": ("a RAR archive", f"{_UNPACK} (unrar x)"),
    "lz4": ("packed with lz4", "unpack it first (unlz4)"),
    "lzip": ("packed with lzip", "unpack it first (lzip -d)"),
    "lzma": ("packed as .lzma", "unpack it first (unlzma)"),
    "cabinet": ("a cabinet archive", f"{_UNPACK} (cabextract)"),
    "ar": ("a package or an ar archive", _UNPACK),
    "cpio": ("a cpio archive", "an initrd is given as initrd, beside its kernel"),
    "rpm": ("an RPM package", _UNPACK),
    "pdf": ("a PDF document", "look where it came from, and get the image itself"),
    "program": ("a program", "a kernel is given as kernel, not as a disk"),
    "qed": ("a QED image", "convert it to qcow2 first (qemu-img convert -f qed -O qcow2)"),
    "parallels": ("a Parallels image", "convert it to qcow2 first (qemu-img convert -f parallels -O qcow2)"),
    "luks": ("encrypted (LUKS)", "decrypt it first, for nobody gives a key when a guest starts here"),
    "iso": (
        "an image of a CD or DVD (ISO 9660)",
        "install the system from it elsewhere, and import the disk on which it was installed; of files for a guest make a FAT image (mkfs.vfat, mcopy)",
    ),
    "html": ("a web page (HTML)", "the download went wrong: open the address in a browser, and get the image itself"),
    "xml": ("an XML document", "the download may have gone wrong; of a virtual machine's description, give the disk image that it names"),
}


def kind(handle: t.BinaryIO) -> str:
    """Return what an open file is: a kind of this module, or C(raw) if it is none of them."""
    size = os.fstat(handle.fileno()).st_size
    head = os.pread(handle.fileno(), _HEAD, 0)
    for name, offset, magic in _MAGIC:
        if head[offset : offset + len(magic)] == magic and (name != "bzip2" or head[3:4] in b"123456789"):
            return name
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1024].lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or (text.startswith((b"<!--", b"<?xml")) and b"<html" in text):
        return "html"
    if text.startswith((b"<?xml", b"<!doctype", b"<domain", b"<envelope")):
        return "xml"
    if size >= SECTOR and os.pread(handle.fileno(), len(_VHD_COOKIE), size - SECTOR) == _VHD_COOKIE:
        return "vhd"
    return "raw"


def refuse_useless(named: str, found: str) -> None:
    """Raise Refused, with what helps, if a disk cannot be made of kind *found*; the file is called *named*."""
    if found in _REFUSED:
        what, help_ = _REFUSED[found]
        raise Refused(f"{named} is {what}, not a disk image: {help_}.")
