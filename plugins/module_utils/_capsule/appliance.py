# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""Virtual appliances (OVA): a tar archive that begins with a description (OVF) and holds disks; other archives are none."""

from __future__ import annotations

import tarfile
import typing as t
from xml.etree import ElementTree

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.unpack import Narrow
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused

#: Files of an appliance: description, manifest, certificate, some disks and texts.
_MOST_MEMBERS = 128
#: Bytes of a description.
_LONGEST_OVF = 4 << 20
_DISKS_SHOWN = 8


class Member(t.NamedTuple):
    """A file within an archive: its name, where its bytes begin, and how many they are."""

    name: str
    start: int
    size: int


def disk(handle: t.BinaryIO, named: str, wanted: str | None) -> Member:
    """Return the disk called *wanted*, or the only one, of the appliance in an open file that is called *named* in messages.

    Raises:
        Refused: it is no appliance, is damaged, or holds no such disk, or several and none is *wanted*.
    """
    members = _members(handle, named)
    found = _disks(handle, named, members)
    listed = f"{', '.join(name[:100] for name in found[:_DISKS_SHOWN])}{', ...' if len(found) > _DISKS_SHOWN else ''}"
    if not found:
        raise Refused(f"{named} is a virtual appliance (OVA) without a disk.")
    if wanted is None and len(found) > 1:
        raise Refused(f"{named} is a virtual appliance (OVA) with {len(found)} disks: {listed}; say with member which one this disk is.")
    name = wanted or found[0]
    if name not in found:
        raise Refused(f"{named} is a virtual appliance (OVA) without a disk {name!r}; it has: {listed}.")
    if name not in members:
        raise Refused(f"{named} is a virtual appliance (OVA) whose disk {name[:100]!r} is not in it; a copy or a download may not have ended: get it again.")
    return members[name]


def _members(handle: t.BinaryIO, named: str) -> dict[str, Member]:
    """Return the regular files of a tar archive by name."""
    size = handle.seek(0, 2)
    handle.seek(0)
    members: dict[str, Member] = {}
    try:
        with tarfile.open(fileobj=t.cast(t.IO[bytes], Narrow(handle)), mode="r:") as archive:
            for _number in range(_MOST_MEMBERS):
                entry = archive.next()
                if entry is None:
                    break
                if entry.isreg() and not entry.issparse():
                    if entry.offset_data + entry.size > size:
                        raise EOFError(f"{entry.name[:100]!r} ends behind the end of the file")
                    members[entry.name.removeprefix("./")] = Member(entry.name, entry.offset_data, entry.size)
                # Of nothing that was seen more is kept than its name and its place.
                archive.members = []
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as exc:
        words = " ".join(str(exc).split()).rstrip(".")
        raise Refused(f"{named} is a damaged tar archive: {words}; a copy or a download may not have ended: get it again.") from exc
    return members


def _disks(handle: t.BinaryIO, named: str, members: dict[str, Member]) -> list[str]:
    """Return the names of the disks, in the order of the description."""
    description = next((member for name, member in members.items() if name.lower().endswith(".ovf")), None)
    if description is None:
        raise Refused(f"{named} is a tar archive, not a disk image or a virtual appliance (OVA): unpack it first (tar -xf) and import the disk image in it.")
    if description.size > _LONGEST_OVF:
        raise Refused(f"{named} is a virtual appliance (OVA) whose description has {description.size} bytes; {_LONGEST_OVF} is the most.")
    handle.seek(description.start)
    try:
        text = handle.read(description.size).decode("utf-8-sig")
        # What declares entities can say little and mean much.
        if "<!" in text.replace("<!--", "").replace("<![CDATA[", ""):
            raise ValueError("it has declarations (DOCTYPE)")
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as exc:
        raise Refused(f"{named} is a virtual appliance (OVA) whose description {description.name[:100]!r} cannot be read: {exc}.") from exc
    files = {_value(node, "id"): _value(node, "href") for node in root.iter() if _name(node) == "File"}
    references = [_value(node, "fileRef") for node in root.iter() if _name(node) == "Disk"]
    # A disk without a file is an empty one.
    return [str(files[reference]) for reference in references if reference is not None and files.get(reference)]


def _name(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""


def _value(node: ElementTree.Element, attribute: str) -> str | None:
    return next((value for name, value in node.attrib.items() if name.rpartition("}")[2] == attribute), None)
