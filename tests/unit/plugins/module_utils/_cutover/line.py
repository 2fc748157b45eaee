# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A line between two simulated RMs: the real parcels of the receiving end, and a wire that can be cut at every word."""

from __future__ import annotations

import functools
import os
import shutil

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import parcel
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.transfer import Peer, Sent
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.wire import Cut
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import sha256_file
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.order import Order
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.source import give
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.target import take
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME

PEER = Peer("rm-west-1", "192.0.2.7")


class Line:
    """The way to *rm*.

    Attributes:
        cuts: words at which the connection is cut: before they are heard, or after that (the answer is lost) if they end in "!".
        free_bytes: what the other end can take.
    """

    def __init__(self, rm) -> None:
        self.incoming = os.path.join(rm.root, "incoming")
        self.cuts: set[str] = set()
        self.free_bytes = 1 << 40
        self.disk_overcommit = 1.0
        self.deadline = None
        self.dialled = 0
        self.digests: dict[str, str] = {}

    def dial(self, peer, timeout):
        assert peer == PEER and timeout > 0
        self.dialled += 1
        self._heard("dial" if self.dialled == 1 else "redial")
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None

    def send_parcel_file(self, name, label, path):
        self._heard(label)
        target, done = parcel.prepare_file(name, label, os.path.getsize(path), "token", self.incoming)
        if not done:
            shutil.copyfile(path, target)
            parcel.finish_file(name, label, sha256_file(path), self.incoming)
        self.digests[label] = sha256_file(path)
        self._heard(f"{label}!")
        return Sent(os.path.getsize(path), 0, 7, 0.0)

    def commit_parcel(self, name, note):
        self._heard("commit")
        parcel.commit_parcel(name, note, self.digests, self.incoming)
        self._heard("commit!")

    def abort_parcel(self, name, reason):
        self._heard("abort")
        parcel.abort_parcel(name, reason, self.incoming)

    def _heard(self, word):
        if word in self.cuts:
            raise Cut("The connection was cut.")


def hand(rm, line, epoch=2, check=False, **more):
    """The source's side."""
    return give(rm.host, Order(NAME, epoch, timeout=5.0, **more), PEER, check, line.dial)


def accept(rm, epoch=2, check=False, timeout=0.05, **more):
    """The target's side; by default it does not wait for long."""
    incoming = os.path.join(rm.root, "incoming")
    receive, discard = (functools.partial(call, incoming=incoming) for call in (parcel.await_parcel, parcel.discard_parcel))
    return take(rm.host, Order(NAME, epoch, vlan=201, timeout=timeout, **more), check, receive, discard)
