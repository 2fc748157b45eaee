# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What RMs know each other by."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import peers
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome


def look(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return the public keys of this RM, that of the private C(key) among them, and what it has written down of others."""
    return Outcome(False, None, None, peers.known(arguments.get("key") or peers.KEY)._asdict())
