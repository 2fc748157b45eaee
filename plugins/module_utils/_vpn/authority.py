# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The owner's certificate authority: one directory on a host of the owner with its key, its index and its revocation list.

The index is the record of truth; the revocation list is made from it. Private keys are readable by root only, and nothing here
returns one.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import lock, read_json, write_atomic, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import pki
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.libraries import cryptography

DIRECTORY = "/etc/vmatrix/authority"


class Report(t.NamedTuple):
    """What was done (or would be, in a dry run): whether anything changed, the state before and after, and what the caller gets."""

    changed: bool
    before: dict[str, t.Any]
    after: dict[str, t.Any]
    result: dict[str, t.Any]


class Opened(t.NamedTuple):
    """An authority as it lies on the disk: its key, its certificate, and its index of what it issued (by serial number)."""

    key: t.Any
    certificate: t.Any
    index: dict[str, dict[str, t.Any]]


def present(name: str, days: int, crl_days: int, directory: str = DIRECTORY, dry_run: bool = False) -> Report:
    """Make sure that there is an authority called *name*, with a revocation list that says what the index says.

    Args:
        name: the domain that it is for; an existing authority keeps its name for ever.
        days: how long a new authority is valid.
        crl_days: how long a revocation list is valid; it is renewed when less than half of that is left.
        directory: where it lies.
        dry_run: whether to only say what would change.

    Raises:
        InvalidInput: a number of days makes no sense.
        Refused: the directory holds the authority of another domain.
    """
    names.domain(name)
    for what, value in (("days", days), ("crl_days", crl_days)):
        if not 1 <= value <= 36500:
            raise InvalidInput(f"{value} cannot be the {what} of an authority: it must be from 1 to 36500.")
    if not os.path.exists(_path(directory, "authority.key")):
        if not dry_run:
            for made in (directory, _path(directory, "keys"), _path(directory, "certificates")):
                os.makedirs(made, exist_ok=True)
                os.chmod(made, 0o700)
            with locked(directory):
                _create(name, days, directory)
                write_crl(open_authority(directory), crl_days, directory)
        after = {"authority": name, "revoked": []}
        return Report(True, {"authority": None, "revoked": []}, after, _result(None if dry_run else open_authority(directory), directory))
    with locked(directory, dry_run):
        opened = open_authority(directory)
        if pki.names_of(opened.certificate) != [name]:
            raise Refused(f"{directory} holds the authority of {pki.names_of(opened.certificate)[0]}, which cannot become that of {name}.")
        listed, due = _listed(directory, crl_days)
        changed = due or listed != revoked(opened.index)
        if changed and not dry_run:
            write_crl(opened, crl_days, directory)
        before, after = {"authority": name, "revoked": listed}, {"authority": name, "revoked": revoked(opened.index)}
        if due:
            before["crl"], after["crl"] = "due", "renewed"
        return Report(changed, before, after, _result(opened, directory))


def open_authority(directory: str) -> Opened:
    """Return the authority in *directory*; raises NotFound when there is none."""
    try:
        with open(_path(directory, "authority.key"), "rb") as handle:
            key = pki.load_key(handle.read(), "authority's key")
        with open(_path(directory, "authority.pem"), encoding="ascii") as handle:
            certificate = pki.load_certificate(handle.read(), "authority's certificate")
    except FileNotFoundError as exc:
        raise NotFound(f"There is no certificate authority in {directory}; make one with vmatrix.mesh.vpn_authority.") from exc
    return Opened(key, certificate, read_json(_path(directory, "index.json")) or {})


def revoked(index: dict[str, dict[str, t.Any]]) -> list[str]:
    """Return the serial numbers that an index has as revoked."""
    return sorted(serial for serial, entry in index.items() if entry["revoked"])


def write_crl(opened: Opened, crl_days: int, directory: str) -> None:
    """Sign a revocation list of what the index has as revoked (RFC 5280 section 5)."""
    x509, now = cryptography.x509, pki.now()
    builder = x509.CertificateRevocationListBuilder().issuer_name(opened.certificate.subject)
    builder = builder.last_update(now).next_update(now + datetime.timedelta(days=crl_days))
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(opened.key.public_key()), critical=False)
    # A number that grows with every list, also when the clock stands still: strongSwan keeps the list with the higher one.
    number = max(_number(directory) + 1, int(now.timestamp()))
    builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for serial in revoked(opened.index):
        moment = datetime.datetime.fromtimestamp(opened.index[serial]["revoked"], pki.UTC)
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(moment).build())
    signed = builder.sign(opened.key, cryptography.hazmat.primitives.hashes.SHA256())
    write_atomic(_path(directory, "crl.pem"), pki.pem_of(signed), mode=0o600)


def write_index(opened: Opened, directory: str) -> None:
    """Write the index of what was issued and revoked."""
    write_json(_path(directory, "index.json"), opened.index)


def read_crl(directory: str) -> str:
    """Return the revocation list in force as PEM."""
    with open(_path(directory, "crl.pem"), encoding="ascii") as handle:
        return handle.read()


def locked(directory: str, dry_run: bool = False) -> t.ContextManager[None]:
    """Hold the authority for oneself; raises Refused when somebody else keeps it for 30 s. A dry run leaves no trace, so it does not lock."""
    return contextlib.nullcontext() if dry_run else lock(_path(directory, ".lock"), f"the certificate authority in {directory}")


def _create(name: str, days: int, directory: str) -> None:
    x509, key, now = cryptography.x509, pki.new_key(), pki.now()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{name} VPN authority"[:64])])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    # An hour of grace, for hosts whose clocks are behind.
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    certificate = builder.sign(key, cryptography.hazmat.primitives.hashes.SHA256())
    write_json(_path(directory, "index.json"), {})
    write_atomic(_path(directory, "authority.pem"), pki.pem_of(certificate), mode=0o600)
    # The key comes last: an authority without one is none, and is made anew.
    write_atomic(_path(directory, "authority.key"), pki.key_pem(key), mode=0o600)


def _listed(directory: str, crl_days: int) -> tuple[list[str], bool]:
    """Return the serial numbers on the revocation list, and whether it is time for a new one."""
    try:
        crl = pki.load_crl(read_crl(directory), "authority's revocation list")
    except FileNotFoundError:
        return [], True
    due = pki.next_update(crl) - pki.now() < datetime.timedelta(days=crl_days) / 2
    return sorted(f"{entry.serial_number:x}" for entry in crl), due


def _number(directory: str) -> int:
    try:
        crl = pki.load_crl(read_crl(directory), "authority's revocation list")
    except FileNotFoundError:
        return 0
    return crl.extensions.get_extension_for_class(cryptography.x509.CRLNumber).value.crl_number


def _result(opened: Opened | None, directory: str) -> dict[str, t.Any]:
    if opened is None:
        return {"certificate": None, "crl": None, "serial": None, "not_after": None}
    return {
        "certificate": pki.pem_of(opened.certificate),
        "crl": read_crl(directory),
        "serial": pki.serial(opened.certificate),
        "not_after": pki.stamp(pki.not_after(opened.certificate)),
    }


def _path(directory: str, name: str) -> str:
    return os.path.join(directory, name)
