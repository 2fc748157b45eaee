# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long calls of libvirt may take that write or read the memory of a guest."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import capabilities, client
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.instance import Wanted, ensure
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME, manifest


@pytest.mark.parametrize("timeout, waits", [(None, 380.0), (7.0, 7.0)])
def test_a_guest_with_16_gib_has_the_time_that_they_take_unless_somebody_says_how_long(rm, monkeypatch, timeout, waits):
    limits = []
    real = client._deadline

    def deadline(limit, give_up, what):
        limits.append(limit)
        return real(limit, give_up, what)

    monkeypatch.setattr(client, "_deadline", deadline)
    monkeypatch.setattr(capabilities, "_meminfo", lambda field: 32 << 10)
    monkeypatch.setattr("ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.disks.free_bytes", lambda path: 1 << 40)
    rm.capsules["1.0.0"] = manifest(machine={**manifest()["machine"], "memory_mib": 16 << 10})
    rm.order("running")
    for state in ("suspended", "running"):
        ensure(rm.host, Wanted(NAME, state, epoch=1, timeout=timeout))
    assert limits == [waits, waits]
