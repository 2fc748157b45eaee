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
        C(service), C(certificate) (PEM) and C(envelope), which that gateway alone can read; C(peer), C(backends) and C(inbound) as the tunnel here has them.

    Raises:
        NotFound: the service has no tunnel here.
        InvalidInput: the recipient is no public wrapping key.
    """
    known = state.load(endpoint).get(names.label("service", service))
    if known is None:
        raise NotFound(f"The service {service} of {endpoint.domain} has no tunnel on this gateway, so its key is not here.")
    local = known["local"]
    certificate = pki.load_certificate(local["certificate"], "certificate")
    key = plan.private_key(local, endpoint.directory)
    envelope = wrapping.wrap(key, recipient, f"{service}.{endpoint.domain}", certificate)
    return {"service": service, "certificate": local["certificate"], "envelope": envelope, **{part: known[part] for part in _EVERYWHERE}}


def brought(parcel: dict[str, t.Any], known: Document | None) -> Document:
    """Return the part of a tunnel's document that *parcel*, which another host made up, holds: C(local) without an address, C(peer), C(backends), C(inbound).

    Where the tunnel that is there (*known*) has the same certificate already, its key stays, because each envelope of the same key is another.
    """
    local = {"certificate": parcel["certificate"], "envelope": parcel["envelope"]}
    if known is not None:
        certificates = [pki.load_certificate(one["certificate"], "certificate") for one in (local, known["local"])]
        local = known["local"] if pki.digest(certificates[0]) == pki.digest(certificates[1]) else local
    return {"local": local, **{part: parcel[part] for part in _EVERYWHERE}}
