# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Envelopes: a service's private key, or the key that it shares with its owner's VPN gateway, readable by one gateway only.

The recipe is that of HPKE's base mode in plain words (RFC 9180, which Debian's cryptography lacks): an X25519 key made for this
one envelope and the gateway's wrapping key agree on a secret (RFC 7748), HKDF-SHA256 makes an AES-256-GCM key of it (RFC 5869),
and everything else in the envelope is authenticated with the ciphertext.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import write_atomic
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import pki
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.libraries import cryptography

DIRECTORY = "/etc/vmatrix/vpn"
ALGORITHM = "x25519-hkdf-sha256-aes256gcm"
#: Bytes that are drawn for one: an X25519 key and a nonce.
_DRAWN = 32 + 12
#: What stands in the place of a certificate's digest on the envelope of a pre-shared key.
PRE_SHARED = "pre-shared"
_KEYS = ("algorithm", "certificate", "ciphertext", "ephemeral", "nonce", "recipient", "schema", "subject")

#: An envelope travels as one word, base64 of JSON, so that it can be kept out of logs as a whole.
Envelope = str


def ensure_key(directory: str = DIRECTORY, dry_run: bool = False) -> tuple[bool, str | None]:
    """Make sure that this gateway has a wrapping key; return whether it was made, and its public half (None in a dry run without one)."""
    path = os.path.join(directory, "wrapping.key")
    if not os.path.exists(path):
        if dry_run:
            return True, None
        os.makedirs(directory, mode=0o700, exist_ok=True)
        form, x25519 = cryptography.hazmat.primitives.serialization, cryptography.hazmat.primitives.asymmetric.x25519
        key = x25519.X25519PrivateKey.generate()
        write_atomic(path, key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()), mode=0o600)
        return True, _public(key)
    return False, _public(own_key(directory))


def own_key(directory: str = DIRECTORY) -> t.Any:
    """Return this gateway's private wrapping key; raises NotFound when the role vpn has not made one."""
    try:
        with open(os.path.join(directory, "wrapping.key"), "rb") as handle:
            return pki.load_key(handle.read(), "wrapping key")
    except FileNotFoundError as exc:
        raise NotFound(f"This host has no wrapping key in {directory}, so it cannot read envelopes; the role vpn makes one.") from exc


def fingerprint(public: str) -> str:
    """Return the SHA-256 of a public wrapping key in hexadecimal: how an envelope names its reader."""
    return hashlib.sha256(_raw(public)).hexdigest()


def wrap(key: bytes, recipient: str, subject: str, certificate: t.Any, own: t.Any = None) -> Envelope:
    """Return an envelope of a private key, or of a pre-shared one.

    Args:
        key: the private key in PEM; the bytes of a pre-shared one.
        recipient: the public wrapping key of the one gateway that may read it, in base64.
        subject: the DNS name of the service that it is of.
        certificate: the certificate that the key belongs to; None for a pre-shared key.
        own: the private wrapping key of a gateway whose envelopes of the same key are to be the same, and only those: nothing else tells of two pre-shared keys
            whether they are one.

    Raises:
        InvalidInput: the recipient is no X25519 public key.
        Refused: the key is not that of the certificate.
    """
    x25519 = cryptography.hazmat.primitives.asymmetric.x25519
    if certificate is not None:
        _refuse_mismatch(key, certificate, subject)
    belongs = _belongs(certificate)
    drawn = os.urandom(_DRAWN) if own is None else _drawn_again(own, [recipient, subject, belongs], key)
    try:
        theirs, ephemeral = x25519.X25519PublicKey.from_public_bytes(_raw(recipient)), x25519.X25519PrivateKey.from_private_bytes(drawn[:32])
        shared = ephemeral.exchange(theirs)
    except ValueError as exc:
        raise InvalidInput(f"{recipient!r} cannot be a gateway's public wrapping key.") from exc
    nonce = drawn[32:]
    envelope = {
        "schema": 1,
        "algorithm": ALGORITHM,
        "subject": subject,
        "certificate": belongs,
        "recipient": fingerprint(recipient),
        "ephemeral": _public(ephemeral),
        "nonce": base64.b64encode(nonce).decode(),
    }
    sealed = _cipher(shared, envelope["ephemeral"], recipient).encrypt(nonce, key, _bound(envelope))
    envelope["ciphertext"] = base64.b64encode(sealed).decode()
    return base64.b64encode(json.dumps(envelope, sort_keys=True).encode()).decode()


def unwrap(sealed: Envelope, own: t.Any, certificate: t.Any) -> bytes:
    """Return the private key (PEM) in an envelope, or the bytes of a pre-shared one.

    Args:
        sealed: the envelope that C(wrap) returned.
        own: this gateway's private wrapping key.
        certificate: the certificate that the key must belong to; None for a pre-shared key.

    Raises:
        InvalidInput: it is no envelope.
        Refused: it is for somebody else, was tampered with, or holds the key of another certificate.
    """
    x25519 = cryptography.hazmat.primitives.asymmetric.x25519
    envelope = opened(sealed)
    recipient = _public(own)
    if envelope["recipient"] != fingerprint(recipient):
        raise Refused(f"The envelope of {envelope['subject']}'s key is for another gateway; only that one can wrap it again for this one.")
    if envelope["certificate"] != _belongs(certificate):
        raise Refused(f"The envelope of {envelope['subject']}'s key belongs to another certificate.")
    try:
        shared = own.exchange(x25519.X25519PublicKey.from_public_bytes(_raw(envelope["ephemeral"])))
        ciphertext, nonce = (base64.b64decode(envelope[part], validate=True) for part in ("ciphertext", "nonce"))
        key = _cipher(shared, envelope["ephemeral"], recipient).decrypt(nonce, ciphertext, _bound(envelope))
    except (ValueError, binascii.Error, cryptography.exceptions.InvalidTag) as exc:
        raise Refused(f"The envelope of {envelope['subject']}'s key was damaged or tampered with.") from exc
    if certificate is not None:
        _refuse_mismatch(key, certificate, envelope["subject"])
    return key


def read_key(path: str, certificate: t.Any) -> bytes:
    """Return the private key (PEM) in a file of this host.

    Raises:
        NotFound: there is no such file.
        Refused: others than its owner can read it, or it is not the key of *certificate*.
    """
    try:
        with open(path, "rb") as handle:
            if os.fstat(handle.fileno()).st_mode & 0o077:
                raise Refused(f"The private key {path} can be read by others than its owner; it must have mode 0600.")
            key = handle.read()
    except FileNotFoundError as exc:
        raise NotFound(f"There is no private key {path} on this host.") from exc
    _refuse_mismatch(key, certificate, path)
    return key


def opened(sealed: t.Any) -> dict[str, t.Any]:
    """Return what is written on an envelope and in it, still encrypted; raise InvalidInput when it is none."""
    try:
        envelope = json.loads(base64.b64decode(sealed, validate=True))
    except (ValueError, TypeError) as exc:
        raise InvalidInput("An envelope must be what vmatrix.mesh.vpn_certificate or vmatrix.mesh.vpn_secret returned.") from exc
    if not isinstance(envelope, dict) or sorted(envelope) != sorted(_KEYS) or (envelope["schema"], envelope["algorithm"]) != (1, ALGORITHM):
        raise InvalidInput(f"An envelope must be of schema 1 and {ALGORITHM}.")
    if not all(isinstance(envelope[key], str) for key in _KEYS if key != "schema"):
        raise InvalidInput("An envelope must hold nothing but text.")
    return envelope


def _belongs(certificate: t.Any) -> str:
    return PRE_SHARED if certificate is None else pki.digest(certificate)


def _drawn_again(own: t.Any, bound: list[str], key: bytes) -> bytes:
    """Return what looks random to all who lack *own*, is the same for the same key and reader, and another for every other."""
    form, primitives = cryptography.hazmat.primitives.serialization, cryptography.hazmat.primitives
    secret = own.private_bytes(form.Encoding.Raw, form.PrivateFormat.Raw, form.NoEncryption())
    what = hashlib.sha256(json.dumps(bound).encode() + key).digest()
    return primitives.kdf.hkdf.HKDF(primitives.hashes.SHA256(), _DRAWN, None, b"vmatrix.mesh envelope 1 again " + what).derive(secret)


def _refuse_mismatch(key: bytes, certificate: t.Any, subject: str) -> None:
    if pki.public_bytes(pki.load_key(key, f"key of {subject}").public_key()) != pki.public_bytes(certificate.public_key()):
        raise Refused(f"The private key of {subject} is not that of its certificate.")


def _cipher(shared: bytes, ephemeral: str, recipient: str) -> t.Any:
    primitives = cryptography.hazmat.primitives
    salt = _raw(ephemeral) + _raw(recipient)
    derived = primitives.kdf.hkdf.HKDF(primitives.hashes.SHA256(), 32, salt, b"vmatrix.mesh envelope 1").derive(shared)
    return primitives.ciphers.aead.AESGCM(derived)


def _bound(envelope: dict[str, t.Any]) -> bytes:
    return json.dumps({key: value for key, value in envelope.items() if key != "ciphertext"}, sort_keys=True).encode()


def _public(key: t.Any) -> str:
    form = cryptography.hazmat.primitives.serialization
    return base64.b64encode(key.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)).decode()


def _raw(public: str) -> bytes:
    try:
        raw = base64.b64decode(public, validate=True)
    except (binascii.Error, ValueError, TypeError) as exc:
        raise InvalidInput(f"{public!r} is no public wrapping key: it must be 32 bytes in base64.") from exc
    if len(raw) != 32:
        raise InvalidInput(f"{public!r} is no public wrapping key: it must be 32 bytes in base64.")
    return raw
