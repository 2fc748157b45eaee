# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Certificates of an owner's services and VPN gateways: issuing, renewing and revoking them with the owner's authority."""

from __future__ import annotations

import contextlib
import datetime
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json, write_atomic, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import authority, pki, wrapping
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.authority import DIRECTORY, Opened, Report
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.libraries import cryptography

#: id-kp-ipsecIKE (RFC 4945 section 5.1.3.12).
IKE_USAGE = "1.3.6.1.5.5.7.3.17"


class Paths(t.NamedTuple):
    """Where what belongs to one certificate lies."""

    certificate: str
    key: str
    envelopes: str


def paths(name: str, directory: str = DIRECTORY) -> Paths:
    """Return where what belongs to the certificate of *name* lies."""
    return Paths(
        os.path.join(directory, "certificates", f"{names.domain(name)}.pem"),
        os.path.join(directory, "keys", f"{name}.key"),
        os.path.join(directory, "certificates", f"{name}.envelopes.json"),
    )


def present(
    name: str,
    days: int,
    renew_before: int,
    renew: bool = False,
    recipients: t.Sequence[str] = (),
    directory: str = DIRECTORY,
    dry_run: bool = False,
) -> Report:
    """Make sure that *name* has a valid certificate, and an envelope of its key for each recipient and nobody else.

    Args:
        name: the DNS name that it is for: a service such as C(shop.example.com), or the owner's VPN gateway.
        days: how long a new certificate is valid; it never outlives the authority.
        renew_before: a certificate that has fewer days left is replaced, key and all.
        renew: whether to replace a good one too.
        recipients: public wrapping keys of the gateways that may read the private key.
        directory: where the authority lies.
        dry_run: whether to only say what would change.

    Raises:
        InvalidInput: days or recipients are invalid.
        NotFound: there is no authority.
    """
    where = paths(name, directory)
    if not 1 <= days <= 36500 or not 0 <= renew_before < days:
        raise InvalidInput(f"A certificate for {days} days that is renewed when fewer than {renew_before} are left cannot be had.")
    readers = {wrapping.fingerprint(recipient): recipient for recipient in recipients}
    with authority.locked(directory, dry_run):
        opened = authority.open_authority(directory)
        found, stored = _current(where), read_json(where.envelopes) or {}
        status = _status(opened, found, renew_before)
        if status == "valid" and not _has_key(where, found):
            # Whoever issued it anew was cut off between the two.
            status = "keyless"
        anew = renew or status != "valid"
        kept = {} if anew else {reader: one for reader, one in stored.items() if reader in readers and _fits(one, found)}
        changed = anew or sorted(stored) != sorted(kept) or sorted(kept) != sorted(readers)
        if changed and not dry_run:
            if anew:
                _issue(opened, name, days, where, directory)
            kept = _envelopes(name, where, readers, kept)
        certificate = None if dry_run and anew else _current(where)
        before = {"name": name, "certificate": pki.serial(found) if found else None, "status": status, "readers": sorted(stored)}
        after = {"name": name, "certificate": "new" if anew else pki.serial(found), "status": "valid", "readers": sorted(readers)}
        return Report(changed, before, after, _result(certificate, where, directory, kept))


def absent(name: str, crl_days: int, directory: str = DIRECTORY, dry_run: bool = False) -> Report:
    """Revoke every certificate of *name* that has not expired, forget its key and envelopes, and sign a new revocation list.

    Args:
        name: the DNS name.
        crl_days: how long the new revocation list is valid.
        directory: where the authority lies.
        dry_run: whether to only say what would change.
    """
    where = paths(name, directory)
    with authority.locked(directory, dry_run):
        opened, now = authority.open_authority(directory), int(pki.now().timestamp())
        listed = sorted(serial for serial, entry in opened.index.items() if entry["name"] == name and entry["not_after"] > now)
        due = [serial for serial in listed if not opened.index[serial]["revoked"]]
        changed = bool(due) or any(map(os.path.exists, where))
        if changed and not dry_run:
            for serial in due:
                opened.index[serial]["revoked"] = now
            authority.write_index(opened, directory)
            authority.write_crl(opened, crl_days, directory)
            for path in where:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        before = {"name": name, "valid": due, "revoked": [serial for serial in listed if serial not in due]}
        return Report(changed, before, {"name": name, "valid": [], "revoked": listed}, _result(None, where, directory, {}))


def _issue(opened: Opened, name: str, days: int, where: Paths, directory: str) -> None:
    x509, key, now = cryptography.x509, pki.new_key(), pki.now()
    end = min(now + datetime.timedelta(days=days), pki.not_after(opened.certificate))
    builder = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name[:64])]))
    builder = builder.issuer_name(opened.certificate.subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
    # An hour of grace, for hosts whose clocks are behind.
    builder = builder.not_valid_before(max(now - datetime.timedelta(hours=1), pki.not_before(opened.certificate))).not_valid_after(end)
    usages = [x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH, x509.ObjectIdentifier(IKE_USAGE)]
    for extension, critical in (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.KeyUsage(True, False, False, False, False, False, False, False, False), True),
        (x509.ExtendedKeyUsage(usages), False),
        (x509.SubjectAlternativeName([x509.DNSName(name)]), False),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(opened.key.public_key()), False),
    ):
        builder = builder.add_extension(extension, critical=critical)
    certificate = builder.sign(opened.key, cryptography.hazmat.primitives.hashes.SHA256())
    # The index first: what nobody remembers could not be revoked.
    opened.index[pki.serial(certificate)] = {"name": name, "not_after": int(end.timestamp()), "revoked": None}
    authority.write_index(opened, directory)
    write_atomic(where.key, pki.key_pem(key), mode=0o600)
    write_atomic(where.certificate, pki.pem_of(certificate), mode=0o600)


def _envelopes(name: str, where: Paths, readers: dict[str, str], kept: dict[str, t.Any]) -> dict[str, t.Any]:
    with open(where.key, "rb") as handle:
        key = handle.read()
    wrapped = {reader: kept.get(reader) or wrapping.wrap(key, public, name, _current(where)) for reader, public in readers.items()}
    write_json(where.envelopes, wrapped, mode=0o600)
    return wrapped


def _fits(envelope: wrapping.Envelope, certificate: t.Any) -> bool:
    return wrapping.opened(envelope)["certificate"] == pki.digest(certificate)


def _current(where: Paths) -> t.Any:
    try:
        with open(where.certificate, encoding="ascii") as handle:
            return pki.load_certificate(handle.read(), f"certificate in {where.certificate}")
    except FileNotFoundError:
        return None


def _has_key(where: Paths, certificate: t.Any) -> bool:
    """Whether the key that lies with a certificate is that certificate's."""
    try:
        with open(where.key, "rb") as handle:
            key = pki.load_key(handle.read(), f"key in {where.key}")
    except (FileNotFoundError, InvalidInput):
        return False
    return pki.public_bytes(key.public_key()) == pki.public_bytes(certificate.public_key())


def _status(opened: Opened, certificate: t.Any, renew_before: int) -> str:
    """Return C(absent), C(foreign) (not in the index), C(revoked), C(due) or C(valid)."""
    if certificate is None:
        return "absent"
    entry = opened.index.get(pki.serial(certificate))
    if entry is None:
        return "foreign"
    if entry["revoked"]:
        return "revoked"
    left = pki.not_after(certificate) - pki.now()
    # A certificate that ends with its authority cannot be replaced by one that lasts longer.
    ends_with_authority = pki.not_after(certificate) == pki.not_after(opened.certificate) and left > datetime.timedelta(0)
    return "valid" if left >= datetime.timedelta(days=renew_before) and left > datetime.timedelta(0) or ends_with_authority else "due"


def _result(certificate: t.Any, where: Paths, directory: str, envelopes: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        "certificate": pki.pem_of(certificate) if certificate else None,
        "serial": pki.serial(certificate) if certificate else None,
        "not_after": pki.stamp(pki.not_after(certificate)) if certificate else None,
        "key_path": where.key,
        "envelopes": envelopes,
        "crl": authority.read_crl(directory),
    }
