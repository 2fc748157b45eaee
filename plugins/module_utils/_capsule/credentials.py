# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The credentials in a capsule: what a service's tunnel needs that is not for everybody's eyes.

They are a blob of their own, which only the store's owner can read, so that the manifest can be shown: the authority's certificate, its revocation list,
the service's certificate, and the service's private key in envelopes, one for each gateway that may read it; or, of all this, a pre-shared key in envelopes.
Envelopes are not opened here.
"""

from __future__ import annotations

import hashlib
import json
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import manifest as manifests
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused

Credentials = t.Dict[str, t.Any]

_PARTS = ("authority", "certificate", "crl", "envelopes")
#: More than that (bytes) is nobody's certificate or envelope.
_LONGEST = 1 << 20


def check(value: t.Any) -> Credentials:
    """Return credentials if they are some; raise InvalidInput otherwise, without showing any of them."""
    if not isinstance(value, dict) or sorted(value) != sorted(_PARTS):
        raise InvalidInput(f"The credentials of a capsule must be {', '.join(_PARTS)}.")
    certified = value["certificate"] is not None
    if (value["authority"] is not None) != certified or (value["crl"] is not None and not certified):
        raise InvalidInput("The credentials of a capsule hold both the service's certificate and its authority's, or, with a pre-shared key, neither.")
    for part, kind in (("authority", "CERTIFICATE"), ("certificate", "CERTIFICATE"), ("crl", "X509 CRL")):
        text = value[part]
        if text is None:
            continue
        if not isinstance(text, str) or len(text) > _LONGEST or not text.startswith(f"-----BEGIN {kind}-----"):
            raise InvalidInput(f"The {part} of a capsule must be in PEM (BEGIN {kind}).")
    envelopes = value["envelopes"]
    if not isinstance(envelopes, dict) or not envelopes:
        raise InvalidInput("A capsule with a VPN part needs an envelope for at least one gateway.")
    for reader, envelope in envelopes.items():
        names.sha256(reader)
        if not isinstance(envelope, str) or not 0 < len(envelope) <= _LONGEST:
            raise InvalidInput("An envelope of a capsule must be what vmatrix.mesh.vpn_certificate or vmatrix.mesh.vpn_secret returned.")
    return value


def packed(credentials: Credentials) -> bytes:
    """Return checked credentials as the content of their blob."""
    return json.dumps(credentials, sort_keys=True).encode()


def identity(credentials: Credentials) -> str:
    """Return a digest that tells whether credentials are the same.

    With a certificate, which tells of the key, only the readers of envelopes count, for each envelope of the same key is another. Those of a pre-shared key are
    the same for the same key.
    """
    envelopes = sorted(credentials["envelopes"]) if credentials["certificate"] else credentials["envelopes"]
    return hashlib.sha256(json.dumps({**credentials, "envelopes": envelopes}, sort_keys=True).encode()).hexdigest()


def load(store: Store, manifest: dict[str, t.Any]) -> Credentials | None:
    """Return the credentials of a capsule in *store*; None when it has no VPN part.

    Raises:
        Refused: they are missing or altered.
    """
    if "vpn" not in manifest:
        return None
    blob = manifest["vpn"]["credentials"]
    problem = store.problem(blob)
    if problem:
        raise Refused(f"Capsule {manifests.title(manifest)} cannot be used: {problem}.")
    with open(store.blob_path(blob["sha256"]), encoding="utf-8") as handle:
        return check(json.load(handle))


def parcel(store: Store, manifest: dict[str, t.Any], reader: str) -> dict[str, t.Any]:
    """Return what the gateway whose wrapping key has the fingerprint *reader* needs for the tunnel of the capsule's service.

    Returns:
        C(service), C(certificate), C(envelope), C(identity), C(peer), C(backends) and C(inbound).

    Raises:
        NotFound: the capsule has no VPN part, or no envelope for this gateway.
        Refused: its credentials are missing or altered.
    """
    credentials = load(store, manifest)
    if credentials is None:
        raise NotFound(f"Capsule {manifests.title(manifest)} has no VPN part.")
    envelope = credentials["envelopes"].get(names.sha256(reader))
    if envelope is None:
        raise NotFound(f"Capsule {manifests.title(manifest)} has no envelope that this gateway could open: its key was not wrapped for it.")
    vpn = manifest["vpn"]
    peer = {**vpn["gateway"], "authority": credentials["authority"], "crl": credentials["crl"]}
    ends = {"service": manifest["name"], "certificate": credentials["certificate"], "envelope": envelope, "identity": vpn.get("identity")}
    return {**ends, "peer": peer, "backends": vpn["backends"], "inbound": vpn["inbound"]}
