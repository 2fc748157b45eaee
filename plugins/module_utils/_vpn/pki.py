# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""X.509 in the form that all of the VPN uses: ECDSA on P-256, PEM, and UTC (RFC 5280)."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.libraries import cryptography

#: How strongSwan writes the parts of a subject (RFC 4519 section 2, RFC 2985 section 5.2.1).
_SHORT = {
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "E",
    "2.5.4.3": "CN",
    "2.5.4.5": "SN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
}
UTC = datetime.timezone.utc


def now() -> datetime.datetime:
    """Return the present second, in UTC: certificates know no fractions."""
    return datetime.datetime.now(UTC).replace(microsecond=0)


def stamp(moment: datetime.datetime) -> str:
    """Return a moment as text, such as C(2026-11-23T04:00:00Z)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_key() -> t.Any:
    """Return a new private key."""
    ec = cryptography.hazmat.primitives.asymmetric.ec
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: t.Any) -> bytes:
    """Return a private key as unencrypted PKCS #8."""
    form = cryptography.hazmat.primitives.serialization
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def load_key(pem: bytes, what: str) -> t.Any:
    """Return the private key in *pem*; *what* names it in the error, which never shows any of it."""
    try:
        return cryptography.hazmat.primitives.serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, cryptography.exceptions.UnsupportedAlgorithm) as exc:
        raise InvalidInput(f"The {what} is no unencrypted private key in PEM.") from exc


def public_bytes(key: t.Any) -> bytes:
    """Return a public key as DER SubjectPublicKeyInfo."""
    form = cryptography.hazmat.primitives.serialization
    return key.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)


def load_certificate(pem: str, what: str) -> t.Any:
    """Return the one certificate in *pem*; *what* names it in the error."""
    try:
        if pem.count("-----BEGIN ") != 1:
            raise ValueError("not exactly one")
        return cryptography.x509.load_pem_x509_certificate(pem.encode())
    except ValueError as exc:
        raise InvalidInput(f"The {what} must be exactly one X.509 certificate in PEM.") from exc


def load_crl(pem: str, what: str) -> t.Any:
    """Return the certificate revocation list in *pem*; *what* names it in the error."""
    try:
        return cryptography.x509.load_pem_x509_crl(pem.encode())
    except ValueError as exc:
        raise InvalidInput(f"The {what} must be a certificate revocation list in PEM.") from exc


def pem_of(signed: t.Any) -> str:
    """Return a certificate or revocation list as PEM."""
    return signed.public_bytes(cryptography.hazmat.primitives.serialization.Encoding.PEM).decode()


def der_of(signed: t.Any) -> bytes:
    """Return a certificate or revocation list as DER."""
    return signed.public_bytes(cryptography.hazmat.primitives.serialization.Encoding.DER)


def digest(certificate: t.Any) -> str:
    """Return the SHA-256 of a certificate's DER in lower case hexadecimal."""
    return hashlib.sha256(der_of(certificate)).hexdigest()


def serial(certificate: t.Any) -> str:
    """Return a certificate's serial number in lower case hexadecimal."""
    return f"{certificate.serial_number:x}"


def not_before(certificate: t.Any) -> datetime.datetime:
    """Return when a certificate begins to be valid."""
    return _utc(certificate, "not_valid_before")


def not_after(certificate: t.Any) -> datetime.datetime:
    """Return when a certificate ends to be valid."""
    return _utc(certificate, "not_valid_after")


def next_update(crl: t.Any) -> datetime.datetime:
    """Return when a revocation list ends to be valid."""
    return _utc(crl, "next_update")


def names_of(certificate: t.Any) -> list[str]:
    """Return the DNS names that a certificate is for."""
    x509 = cryptography.x509
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)


def identities_of(certificate: t.Any) -> list[str]:
    """Return all that a certificate is for, as C(_core.identities) writes it: names, e-mail addresses, addresses, and its subject last."""
    x509, found = cryptography.x509, names_of(certificate)
    with contextlib.suppress(x509.ExtensionNotFound):
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [*found, *others.get_values_for_type(x509.RFC822Name), *map(str, others.get_values_for_type(x509.IPAddress))]
    parts = [(_SHORT.get(part.oid.dotted_string, part.oid.dotted_string), part.value) for part in certificate.subject]
    return [*found, ", ".join(f"{name}={value}" for name, value in parts)]


def _utc(signed: t.Any, attribute: str) -> datetime.datetime:
    # Aware times came with cryptography 42; Debian 12 has 38, whose naive ones are UTC too.
    aware = getattr(signed, f"{attribute}_utc", None)
    return aware if aware is not None else getattr(signed, attribute).replace(tzinfo=UTC)
