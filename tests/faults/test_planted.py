# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Without any one of the safeties, the walks that are a part of the unit tests find two lives, lost data, or what nothing leads out of."""

from __future__ import annotations

import contextlib
from unittest import mock

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import agreement, instances, leases, records
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import leases as planned_leases
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import devices, world
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.state_machine import walked

_change, _write = instances.change, records.write


def _never_given_back(tx, wanted):
    return None if wanted.get("expected") else _change(tx, wanted)


def _in_the_same_epoch(tx, record):
    before = records.one(tx, record["instance"])
    _write(tx, {**record, "epoch": before["epoch"]} if before and record["moves_to"] else record)


def _granted(tx, lease, names):
    return dict.fromkeys(names, 1)


#: So many walks find each of them.
MOST = 2000
#: What is taken out, and what stands in its place.
SAFETIES = {
    "the lease": [(leases, "take", _granted), (leases, "take_up", _granted)],
    "the consent of the other VMAs": [(agreement, "consent", lambda url, lives: None), (planned_leases, "_arbiter", lambda view: [])],
    "the flush of what has come": [(devices.Rm, "flush", staticmethod(lambda guest: None))],
    "one undo, that of reservations": [(instances, "change", _never_given_back)],
    "the newer epoch of what is rescued": [(records, "write", _in_the_same_epoch)],
    "the journals of devices": [(world.Written, "begin", lambda journal, ids: None), (world.Written, "end", lambda journal, answer, secret: None)],
}


@pytest.mark.parametrize("safety", SAFETIES)
def test_without_one_of_the_safeties_it_would_not(safety):
    with contextlib.ExitStack() as stack:
        for where, name, instead in SAFETIES[safety]:
            stack.enter_context(mock.patch.object(where, name, instead))
        with pytest.raises((AssertionError, MeshError)) as found:
            walked(MOST)
    print(f"Without {safety}: {str(found.value).partition(chr(10))[0]}")
