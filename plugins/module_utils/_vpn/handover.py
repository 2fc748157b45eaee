# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Handing a service's tunnel over to the gateway of another HN: the gateway that can read its key wraps it anew."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import pki, plan, state, wrapping
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.document import Document
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.state import Endpoint


#: What of a tunnel is the same in every HN.
_EVERYWHERE = ("peer", "backends", "inbound")


def envelope_for(endpoint: Endpoint, service: str, recipient: str) -> dict[str, t.Any]:
    """Return what the gateway with the public wrapping key *recipient* needs for a service's tunnel.

    Returns:
        C(service), C(certificate) (PEM; None with a pre-shared key), C(envelope), which that gateway alone can read, and C(identity), None as usual;
        C(peer), C(backends) and C(inbound) as the tunnel here has them.

    Raises:
        NotFound: the service has no tunnel here.
        InvalidInput: the recipient is no public wrapping key.
    """
    known = state.load(endpoint).get(names.label("service", service))
    if known is None:
        raise NotFound(f"The service {service} of {endpoint.domain} has no tunnel on this gateway, so its key is not here.")
    local = known["local"]
    certificate = pki.load_certificate(local["certificate"], "certificate") if local["certificate"] else None
    envelope = wrapping.wrap(plan.own_key(local, endpoint.directory), recipient, f"{service}.{endpoint.domain}", certificate)
    ends = {"service": service, "certificate": local["certificate"], "envelope": envelope, "identity": local.get("identity")}
    return {**ends, **{part: known[part] for part in _EVERYWHERE}}


def brought(parcel: dict[str, t.Any], known: Document | None, directory: str) -> Document:
    """Return the part of a tunnel's document that *parcel*, which another host made up, holds: C(local) without an address, C(peer), C(backends), C(inbound).

    Where the tunnel that is there (*known*) has the same certificate or pre-shared key already, its envelope stays, because each one of the same key is
    another. *directory* is where the gateway's wrapping key lies, which tells pre-shared keys apart.
    """
    local = {part: parcel[part] for part in ("certificate", "envelope") if parcel.get(part)}
    if known is not None and _same(local, known["local"], directory):
        local = {part: value for part, value in known["local"].items() if part != "identity"}
    called = {"identity": parcel["identity"]} if parcel.get("identity") else {}
    return {"local": {**local, **called}, **{part: parcel[part] for part in _EVERYWHERE}}


def _same(one: dict[str, t.Any], other: dict[str, t.Any], directory: str) -> bool:
    """Say whether two ends have the same certificate, or the same pre-shared key."""
    papers = [end.get("certificate") for end in (one, other)]
    if all(papers):
        digests = [pki.digest(pki.load_certificate(paper, "certificate")) for paper in papers]
        return digests[0] == digests[1]
    if any(papers):
        return False
    keys = [wrapping.unwrap(end["envelope"], wrapping.own_key(directory), None) for end in (one, other)]
    return keys[0] == keys[1]
