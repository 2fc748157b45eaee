# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What the owner of a VPN gateway that is not ours gives for a service's tunnel: a pre-shared key, or a certificate with its private key."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import identities, names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import pki, preshared, wrapping


def wrapped(name: str, given: t.Mapping[str, t.Any], directory: str = wrapping.DIRECTORY) -> dict[str, t.Any]:
    """Return what was given, its key in an envelope for this gateway; it is left nowhere. The envelope of the same key is the same each time.

    Args:
        name: the service, such as C(shop.example.com).
        given: C(psk), as C(preshared.checked) takes it, or C(certificate), C(key) and C(authority), perhaps with C(crl), all in PEM; and C(identity), what the
            service calls itself to its owner's VPN gateway, where that is not its name.
        directory: where this gateway's wrapping key lies.

    Returns:
        C(fingerprint) of the gateway's wrapping key, and C(envelope).

    Raises:
        InvalidInput: it is not what is needed, in one sentence that shows none of it.
        NotFound: this gateway has no wrapping key.
        Refused: the key is not that of the certificate.
    """
    names.domain(name)
    identity = identities.checked(f"tunnel of {name}", given.get("identity") or name)
    certified = [part for part in ("certificate", "key", "authority") if given.get(part)]
    if given.get("psk") and (certified or given.get("crl")):
        raise InvalidInput(f"Both a pre-shared key and a certificate are given for {name}; its tunnel can go by one of them only.")
    if not given.get("psk") and not certified:
        raise InvalidInput(f"Neither a pre-shared key nor a certificate is given for {name}, so its tunnel could not show who it is.")
    certificate = None
    if certified:
        if len(certified) < 3:
            missing = next(part for part in ("certificate", "key", "authority") if part not in certified)
            raise InvalidInput(f"The {missing} is missing of what is given for {name}: a certificate, its key, and that of the peer's authority.")
        certificate = pki.load_certificate(given["certificate"], f"certificate of {name}")
        known = pki.identities_of(certificate)
        if identity not in known:
            raise InvalidInput(f"The certificate that is given for {name} is for {' and '.join(known)}, not for {identity}.")
        pki.load_certificate(given["authority"], f"authority of the peer of {name}")
        if given.get("crl"):
            pki.load_crl(given["crl"], f"revocation list for {name}")
        key = pki.key_pem(pki.load_key(given["key"].encode(), f"key of {name}"))
    else:
        key = preshared.checked(name, given["psk"])
    own = wrapping.own_key(directory)
    public = wrapping.ensure_key(directory)[1]
    return {"fingerprint": wrapping.fingerprint(str(public)), "envelope": wrapping.wrap(key, str(public), name, certificate, own)}
