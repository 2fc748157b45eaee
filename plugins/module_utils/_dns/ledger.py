# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""A steering document as the text of a TXT record: it lies beside what it led to, changes with it in one update, and can be read back from any server."""

from __future__ import annotations

import base64
import binascii
import json
import typing as t
import zlib

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.libraries import dns
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.policy import Document

_FORM = b"vmatrix1 "
_LARGEST = 4 << 20


def name(steered: str) -> str:
    """Return the name of the record that has the document of *steered*."""
    return f"_steering.{steered}"


def steered(names: t.Iterable[str]) -> list[str]:
    """Return whose documents the records of these names have."""
    mark = name("")
    return sorted(found[len(mark) :] for found in names if found.startswith(mark))


def records(document: Document) -> t.Any:
    """Return the record set (a dns.rdataset.Rdataset) that holds a document."""
    packed = _FORM + base64.b64encode(zlib.compress(json.dumps(document, sort_keys=True, separators=(",", ":")).encode(), 9))
    strings = [packed[start : start + 255] for start in range(0, len(packed), 255)]
    wire = b"".join(bytes([len(one)]) + one for one in strings)
    found = dns.rdataset.Rdataset(dns.rdataclass.IN, dns.rdatatype.TXT, ttl=document["ttl"])
    found.add(dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.TXT, wire, 0, len(wire)))
    return found


def document(steered: str, found: t.Any) -> Document | None:
    """Return the document in a record set, or None for none.

    Raises:
        Refused: something else is there; it is not ours to overwrite.
    """
    if not found:
        return None
    packed = b"".join(found[0].strings)
    try:
        if len(found) != 1 or not packed.startswith(_FORM):
            raise ValueError
        unpack = zlib.decompressobj()
        text = unpack.decompress(base64.b64decode(packed[len(_FORM) :], validate=True), _LARGEST)
        return json.loads(text)
    except (ValueError, binascii.Error, zlib.error) as exc:
        raise Refused(f"The TXT record of {name(steered)} is no steering document of this mesh; remove it if nobody needs it.") from exc
