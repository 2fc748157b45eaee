# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Bringing a capsule to another RM whatever the connection does meanwhile, and telling beforehand what that would take."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import manifest as manifests
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import transfer, wire
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, InvalidInput, MeshError


class Delivery(t.NamedTuple):
    """What a delivery did, or would do.

    Attributes:
        missing: digests of the blobs that the other RM lacked at first.
        present: whether the other RM had the manifest at first.
        bytes_total: of all blobs.
        bytes_skipped: of these, what the other RM had at first.
        bytes_wire: what was sent: compressed, with framing, before encryption.
        seconds: that it took.
        resumed: whether a blob was continued that had arrived in part before.
    """

    missing: list[str]
    present: bool
    bytes_total: int
    bytes_skipped: int
    bytes_wire: int
    seconds: float
    resumed: bool


def deliver(store: Store, manifest: dict[str, t.Any], peer: transfer.Peer, timeout: float, retries: int, dry: bool = False, **how: t.Any) -> Delivery:
    """Send a capsule to *peer*, going on after a cut.

    Args:
        store: where it lies.
        manifest: of the capsule.
        peer: the other RM.
        timeout: seconds for everything.
        retries: how often to connect again after a cut, after pauses of 1, 2, 4 ... seconds.
        dry: only ask what would have to be sent.
        how: further arguments for transfer.connect().

    Raises:
        Refused: a blob is missing or altered here, or the other RM has no room or this version with other content.
        DeadlineExceeded: it was not done in time; a further run goes on where this one stopped.
        MeshError: the connection was cut too often; a further run goes on where this one stopped.
    """
    if timeout <= 0 or retries < 0:
        raise InvalidInput(f"A transfer cannot take {timeout:g} s and {retries} retries: the one must be more than 0, the other not less.")
    start = time.monotonic()
    end = start + timeout
    first: dict[str, t.Any] = {}
    sent, resumed = 0, False
    store.ensure_intact(manifest)
    for attempt in range(retries + 1):
        try:
            with transfer.connect(peer, end - time.monotonic(), **how) as session:
                session.deadline = end
                try:
                    first = first or session.offer(manifest)
                    if not dry and (first["absent"] or not first["present"]):
                        session.send_capsule(store, manifest)
                finally:
                    sent += session.bytes_wire
                    resumed = resumed or session.resumed
            break
        except wire.Cut as exc:
            pause = 2.0**attempt
            if attempt == retries:
                raise MeshError(f"Capsule {manifests.title(manifest)} did not reach RM {peer.name} in {retries + 1} attempts: {exc.message}") from exc
            if time.monotonic() + pause >= end:
                raise DeadlineExceeded(f"Capsule {manifests.title(manifest)} did not reach RM {peer.name} within {timeout:g} s: {exc.message}") from exc
            time.sleep(pause)
    total = manifests.total_bytes(manifest)
    return Delivery(
        missing=[blob["sha256"] for blob in first["absent"]],
        present=first["present"],
        bytes_total=total,
        bytes_skipped=total - sum(blob["size"] - blob["offset"] for blob in first["absent"]),
        bytes_wire=sent,
        seconds=round(time.monotonic() - start, 3),
        resumed=resumed,
    )
