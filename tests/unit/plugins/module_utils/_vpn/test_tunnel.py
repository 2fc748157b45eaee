# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a tunnel, with a daemon that is made up."""

from __future__ import annotations

import contextlib
import types

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import tunnel


BY_CERTIFICATES = {"local": {"auth": "pubkey", "id": "shop.example.com"}, "remote": {"auth": "pubkey", "id": "vpn.example.com"}}
BY_PRE_SHARED_KEY = {"local": {"auth": "psk", "id": "shop@example.com"}, "remote": {"auth": "psk", "id": "198.18.0.6"}}


class Refusing:
    """A session in which each try takes a tenth of a second to be refused, if it has that long."""

    def __init__(self, clock):
        self.clock = clock

    def tunnels(self):
        return []

    def initiate(self, name, child, timeout):
        self.clock.now += min(timeout, 0.1)
        return "received AUTHENTICATION_FAILED notify error" if timeout >= 0.1 else f"CHILD_SA '{child}' not established after {timeout * 1000:.0f}ms"


class Clock(types.SimpleNamespace):
    """The time, which passes by sleeping only."""

    def __init__(self):
        super().__init__(now=0.0)

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize("timeout", [number / 20 for number in range(10, 60)])
def test_the_peers_reason_outlives_a_try_that_had_no_time_for_it(monkeypatch, timeout):
    clock = Clock()
    monkeypatch.setattr(tunnel, "time", clock)
    monkeypatch.setattr(tunnel, "opened", lambda socket, namespace: contextlib.nullcontext(Refusing(clock)))
    monkeypatch.setattr(tunnel, "missing", lambda session, wanted, childless, replaced: [("shop", "shop-1")])
    with pytest.raises(DeadlineExceeded, match="AUTHENTICATION_FAILED" if timeout > 1 else "did not come up"):
        tunnel._wait(types.SimpleNamespace(socket="", namespace="", domain="example.com"), {"shop": BY_CERTIFICATES}, timeout, ())


@pytest.mark.parametrize(
    "said, words",
    [
        (
            "received AUTHENTICATION_FAILED notify error",
            "the peer refused to authenticate shop@example.com (received AUTHENTICATION_FAILED notify error): it has another pre-shared key, knows nobody of "
            "that identity, or is not 198.18.0.6 itself",
        ),
        ("tried 1 shared key for 'a' - 'b', but MAC mismatched", "the peer has another pre-shared key (tried 1 shared key for 'a' - 'b', but MAC mismatched)"),
        ("received NO_PROPOSAL_CHOSEN notify error", "received NO_PROPOSAL_CHOSEN notify error"),
    ],
)
def test_a_wrong_pre_shared_key_is_called_by_its_name(said, words):
    assert tunnel._told(said, BY_PRE_SHARED_KEY) == words
    assert tunnel._told(said, BY_CERTIFICATES) == said


def test_what_others_have_changed_while_it_was_waited_stays(monkeypatch):
    """The tunnel of the shop did not come up; meanwhile another operation has brought the mail's, changed the store's, and removed the wiki's."""
    known = {"shop": "old", "store": "old", "wiki": "old"}
    wanted = {**known, "shop": "new", "desk": "new"}
    now = {"shop": "new", "desk": "new", "store": "newer", "mail": "new"}
    enforced = []
    monkeypatch.setattr(tunnel.state, "locked", lambda endpoint, dry_run: contextlib.nullcontext())
    monkeypatch.setattr(tunnel.state, "load", lambda endpoint: now)
    monkeypatch.setattr(tunnel, "_enforce", lambda endpoint, target, present: enforced.append((target, present)))
    tunnel._undo("endpoint", wanted, known)
    assert enforced == [({"shop": "old", "store": "newer", "mail": "new"}, now)]
