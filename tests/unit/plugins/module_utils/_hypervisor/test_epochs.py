# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import epochs
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME


@pytest.fixture
def places(tmp_path):
    """Places with a directory for epochs."""
    (tmp_path / "epochs").mkdir()
    return Places(str(tmp_path))


def test_an_older_epoch_and_one_that_was_given_up_are_refused(places):
    assert epochs.known(places, NAME) == (0, False)
    epochs.grant(places, NAME, 3)
    epochs.grant(places, NAME, 3)
    with pytest.raises(Refused, match="epoch 2: this RM knows of epoch 3"):
        epochs.grant(places, NAME, 2)
    with pytest.raises(Refused, match="outdated"):
        epochs.fence(places, NAME, 2)
    epochs.fence(places, NAME, 4)
    with pytest.raises(Refused, match="given up here"):
        epochs.grant(places, NAME, 4)
    epochs.grant(places, NAME, 5)
    assert epochs.known(places, NAME) == (5, True)


def test_what_is_gone_is_remembered(places):
    epochs.grant(places, NAME, 3)
    epochs.fence(places, "gone-1.example.org", 7)
    assert epochs.remembered(places) == {"gone-1.example.org": 7, NAME: 3}
    with pytest.raises(Refused) as caught:
        epochs.fence(places, "gone-1.example.org", 2)
    assert caught.value.result == {"known_epoch": 7}


def test_no_name_leads_elsewhere(places):
    for name in ("../x", "shop-1.example.com/../../x", "", "shop-1"):
        with pytest.raises(InvalidInput):
            epochs.known(places, name)


# Epochs are flushed to the disk, which takes as long as it takes.
@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["grant", "fence"]), st.integers(1, 4)), max_size=12))
def test_what_is_known_never_goes_back(orders):
    with tempfile.TemporaryDirectory() as root:
        places = Places(root)
        os.mkdir(os.path.join(root, "epochs"))
        given_up, before = set(), epochs.known(places, NAME)
        for what, number in orders:
            with contextlib.suppress(Refused):
                getattr(epochs, what)(places, NAME, number)
                assert not (what == "grant" and number in given_up)
            after = epochs.known(places, NAME)
            assert after.number >= before.number
            if not after.here:
                given_up.add(after.number)
            before = after
