# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Bring an RM's capsules to other RMs."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import delivery, store, transfer
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import ways as tried
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.libraries import LIBRARIES
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.answers import given

__all__ = ["LIBRARIES", "bring", "ways"]


def bring(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Send the capsule of a C(domain), C(name) and C(version) C(to) another RM, within C(timeout) and so many C(retries)."""
    arguments = given(arguments)
    capsules = store.Store()
    sent = capsules.get(arguments["domain"], arguments["name"], arguments["version"])
    peer = transfer.Peer(arguments["to"]["name"], arguments["to"]["address"])
    done = delivery.deliver(capsules, sent, peer, arguments.get("timeout", 3600), arguments.get("retries", 5), dry=check)
    return Outcome(
        changed=bool(done.missing) or not done.present,
        before={"rm": peer.name, "present": done.present, "missing": done.missing},
        after={"rm": peer.name, "present": True, "missing": []},
        result={key: getattr(done, key) for key in ("bytes_total", "bytes_skipped", "bytes_wire", "seconds", "resumed")},
    )


def ways(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Be sure that other RMs (C(peers), address by name) let this one in within C(timeout) seconds; nothing is sent."""
    problems = tried.broken([transfer.Peer(name, address) for name, address in sorted(arguments["peers"].items())], arguments["timeout"])
    if problems:
        raise CommandFailed(" ".join(problems))
    return Outcome(False, None, None, {})
