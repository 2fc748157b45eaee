# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Handing a service's key over to the gateway of another HN: the gateway that can read it wraps it anew."""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import pki, plan, state, wrapping
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.state import Endpoint


def envelope_for(endpoint: Endpoint, service: str, recipient: str) -> dict[str, str]:
    """Return what the gateway with the public wrapping key *recipient* needs for a service's tunnel.

    Returns:
        C(certificate) (PEM) and C(envelope), which that gateway alone can read.

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
    return {"certificate": local["certificate"], "envelope": wrapping.wrap(key, recipient, f"{service}.{endpoint.domain}", certificate)}
