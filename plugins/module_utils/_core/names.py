# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What names may look like. They become file, network namespace and libvirt names, so nothing else is let through."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

#: A DNS label (RFC 1123 section 2.1), lower case: at most 63 of a-z, 0-9 and inner hyphens.
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = rf"{LABEL}(?:\.{LABEL})+"
#: Characters of a label of the DNS, and of a whole name: instances have names like that, and files are named after them, with something behind it.
_LONGEST_LABEL, LONGEST = 63, 240
#: Instances of a service are counted up to this; what is left of a label is for the service.
LAST_ORDINAL = 9999
_LONGEST_SERVICE = _LONGEST_LABEL - len(f"-{LAST_ORDINAL}")
#: What an inventory may call a host: a label, a name with dots, an address; without what has a meaning to a shell, a path or a sentence.
MACHINE = r"[0-9A-Za-z_](?:[0-9A-Za-z._:-]{0,61}[0-9A-Za-z_])?"
VERSION = r"[0-9A-Za-z](?:[0-9A-Za-z._+-]{0,62}[0-9A-Za-z])?"
SHA256 = r"[0-9a-f]{64}"


class InstanceName(t.NamedTuple):
    """The parts of an instance's name, C(service-ordinal.domain)."""

    service: str
    ordinal: int
    domain: str


def _checked(kind: str, pattern: str, value: str, looks_like: str, longest: int = 253) -> str:
    if not isinstance(value, str) or len(value) > longest or not re.fullmatch(pattern, value):
        raise InvalidInput(f"{value!r} is not a {kind}: it must look like {looks_like}.")
    return value


def label(kind: str, value: str) -> str:
    """Return *value* if it can name a *kind* (a service, an HN); raise InvalidInput otherwise, and say which name of that kind is near to it."""
    near = re.sub("[^a-z0-9]+", "-", value.lower()).strip("-")[:63].strip("-") if isinstance(value, str) else ""
    would_do = f", as {near!r} does" if near else ""
    return _checked(f"name for a {kind}", LABEL, value, f"'shop' or 'hn-east' (a-z, 0-9 and inner hyphens, at most 63 characters){would_do}")


def service(value: str) -> str:
    """Return *value* if a service may be declared under that name, which leaves room for the numbers of its instances; raise InvalidInput otherwise."""
    if len(label("service", value)) > _LONGEST_SERVICE:
        raise InvalidInput(
            f"The name {value} for a service has {len(value)} characters; at most {_LONGEST_SERVICE} leave room for the numbers of its instances (shop-9999) "
            f"in a label of the DNS."
        )
    return value


def machine(value: str) -> str:
    """Return *value* if it can name an RM; raise InvalidInput otherwise.

    An RM has the name of its host in the inventory as it is, so there is nothing to translate for whoever reads or types it, and no two can come to the same.
    """
    return _checked("name for a real machine", MACHINE, value, "'rm-east-1' or 'rm_1.example.com' (letters, digits and inner . _ : -, at most 63 characters)")


def domain(value: str) -> str:
    """Return *value* if it can name a domain, such as C(example.com); raise InvalidInput otherwise."""
    return _checked("domain", DOMAIN, value, "'example.com' (at least two labels of a-z, 0-9 and inner hyphens)", longest=200)


def version(value: str) -> str:
    """Return *value* if it can be a capsule's version; raise InvalidInput otherwise."""
    if ".." in str(value):
        raise InvalidInput(f"{value!r} is not a version: it must look like '1.0.0'.")
    return _checked("version", VERSION, value, "'1.0.0' (letters, digits and inner . _ + -, at most 64 characters)")


def sha256(value: str) -> str:
    """Return *value* if it is a SHA-256 digest in lower case hexadecimal; raise InvalidInput otherwise."""
    return _checked("SHA-256 digest", SHA256, value, "64 lower case hexadecimal digits")


def mac(value: str) -> str:
    """Return a MAC address as C(52:54:00:12:34:56), whether it has colons, hyphens (Windows), dots (Cisco) or nothing; raise InvalidInput if it is none."""
    digits = re.sub(r"[:.-]", "", value) if isinstance(value, str) else ""
    widths = {len(part) for part in re.split(r"[:.-]", value)} if digits else set()
    if not re.fullmatch(r"[0-9A-Fa-f]{12}", digits) or widths not in ({2}, {4}, {12}) or len(set(re.findall(r"[:.-]", value))) > 1:
        raise InvalidInput(f"{value!r} is not a MAC address: it must look like '52:54:00:12:34:56'.")
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2)).lower()


def instance(value: str) -> InstanceName:
    """Take an instance's name apart: C(shop-1.example.com) is the first instance of service shop of example.com."""
    if isinstance(value, str) and len(value) > LONGEST:
        raise InvalidInput(f"{value!r} is not an instance: it has {len(value)} characters, and at most {LONGEST} can be.")
    match = re.fullmatch(rf"({LABEL})-([1-9][0-9]{{0,3}})\.({DOMAIN})", value) if isinstance(value, str) else None
    if not match:
        raise InvalidInput(f"{value!r} is not an instance: it must look like 'shop-1.example.com' (service, ordinal, domain).")
    first = len(value.partition(".")[0])
    if first > _LONGEST_LABEL:
        raise InvalidInput(f"{value!r} is not an instance: its service and ordinal have {first} characters, and at most {_LONGEST_LABEL} can be a label.")
    return InstanceName(match.group(1), int(match.group(2)), match.group(3))


def instance_name(of: str, ordinal: int, owner: str) -> str:
    """Put an instance's name together from its service, ordinal and domain; raise InvalidInput if it is none, or too long."""
    made = f"{label('service', of)}-{ordinal}.{domain(owner)}"
    instance(made)
    return made
