# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Let services into an owner's intranet, on the owner's VPN gateway."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import document, state, tunnel
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.libraries import LIBRARIES

__all__ = ["LIBRARIES", "ensure"]

DOCUMENT = ("domain", "local", "authority", "crl", "backends", "services")


def ensure(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Bring the VPN gateway of a C(domain) to what the arguments say, a document as C(_vpn.document) takes it, or with C(state) absent remove it."""
    endpoint = state.owner(arguments["domain"])
    if arguments.get("state") == "absent":
        report = tunnel.remove(endpoint, document.RESPONDER, check)
    else:
        report = tunnel.apply_responder(endpoint, {key: arguments[key] for key in DOCUMENT}, check)
    return Outcome(report.changed, report.before, report.after, {"responder": report.after["tunnel"]})
