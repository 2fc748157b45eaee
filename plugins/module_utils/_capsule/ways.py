# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Whether this RM reaches others for transfers: asked when hosts are set up, and not for the first time when a guest stands still for it."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.transfer import Peer, connect
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.fan_out import fan_out


def broken(peers: t.Sequence[Peer], timeout: float, dial: t.Callable[..., t.Any] = connect) -> list[str]:
    """Return a sentence for each of *peers* that does not let this RM in, or does not answer within *timeout* seconds; all are tried at the same time."""

    def greet(peer: Peer) -> None:
        with dial(peer, timeout):
            pass

    return [told.error.message for told in fan_out([(peer.name, lambda peer=peer: greet(peer)) for peer in peers]) if told.error]
