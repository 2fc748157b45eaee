# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all plans for several instances have."""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.starts import orders, transfers
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_scale import record


def test_each_rm_gets_all_that_concerns_it_in_one_part():
    records = [record(1), record(2, rm="rm-east-2"), record(3), record(4)]
    states = {"shop-1.example.com": "running", "shop-2.example.com": "suspended", "shop-3.example.com": "absent"}
    parts = orders(records, states, {"stop_force": True})
    assert list(parts) == ["rm-east-1", "rm-east-2"] and all(part["stop_force"] for part in parts.values())
    one, three = parts["rm-east-1"]["instances"]
    assert one == {"name": "shop-1.example.com", "state": "running", "epoch": 1, "capsule": "warm", "vlan": 100, "record": records[0]}
    assert three == {"name": "shop-3.example.com", "state": "absent", "epoch": 3}


def test_each_capsule_is_brought_once_to_who_has_not_got_it():
    west = {"rm": "rm-west-1"}
    records = [record(1), *(record(ordinal, rm="rm-east-2") for ordinal in (2, 3)), record(4, service="db", **west), record(5, capsule="cold", **west)]
    capsules = [{"service": service, "version": "warm", "holders": ["rm-east-1", "rm-east-3"]} for service in ("shop", "db")]
    common = {"version": "warm", "holder": "rm-east-1"}
    assert transfers(records, capsules) == [{"service": "shop", "rm": "rm-east-2", **common}, {"service": "db", "rm": "rm-west-1", **common}]
    assert transfers(records, []) == transfers([], capsules) == []
