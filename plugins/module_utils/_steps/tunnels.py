# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What a tunnel needs at a gateway that is new to it: the gateway's key, and the service's key in an envelope for it."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import handover, state, wrapping
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.libraries import CRYPTOGRAPHY

LIBRARIES = (CRYPTOGRAPHY,)


def key(_arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Make sure that the gateway has a key that envelopes can be wrapped for, and return its public part and fingerprint."""
    made, public = wrapping.ensure_key(dry_run=check)
    shown = {"public_key": public, "fingerprint": public and wrapping.fingerprint(public)}
    return Outcome(made, {"wrapping_key": not made}, {"wrapping_key": True}, shown)


def wrap(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return what the tunnel of a C(service) of a C(domain) needs elsewhere, its key wrapped anew for the C(recipient)'s public key."""
    parcel = handover.envelope_for(state.gateway(arguments["domain"]), arguments["service"], arguments["recipient"])
    return Outcome(False, None, None, {"tunnel": parcel})
