# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two HNs do not give life to one name."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import agreement, instances, overview, reservations

SHOP = "shop-1.example.com"


def test_a_vma_agrees_to_what_it_does_not_know(url, ask):
    before = overview.overview(url)
    agreement.consent(url, [{"instance": SHOP, "epoch": 1}])
    assert overview.overview(url) == before


def test_it_does_not_agree_to_what_is_reserved_or_lives_here(url, ask):
    reservations.reserve(url, ask(SHOP, 10))
    with pytest.raises(Refused) as caught:
        agreement.consent(url, [{"instance": "shop-2.example.com", "epoch": 1}, {"instance": SHOP, "epoch": 7}])
    assert caught.value.message.startswith(f"{SHOP} is reserved in hn-east since its place began at ")
    assert caught.value.message.endswith("another operation was faster, so it gets no life elsewhere.")
    instances.update(url, {"instance": SHOP, "state": "running", "operation_done": True})
    with pytest.raises(Refused, match=f"{SHOP} is running in hn-east already: another operation was faster"):
        agreement.consent(url, [{"instance": SHOP, "epoch": 7}])


def test_it_does_not_agree_to_an_epoch_that_is_over(url, ask):
    reservations.reserve(url, ask(SHOP, 10, epoch_above=6))
    instances.update(url, {"instance": SHOP, "state": "absent"})
    with pytest.raises(Refused, match=f"{SHOP} has had the epoch 7 in hn-east since this was planned; run this again."):
        agreement.consent(url, [{"instance": SHOP, "epoch": 7}])
    agreement.consent(url, [{"instance": SHOP, "epoch": 8}])


def test_what_is_no_name_is_refused(url):
    with pytest.raises(InvalidInput):
        agreement.consent(url, [{"instance": "../shop", "epoch": 1}])
