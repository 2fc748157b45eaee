# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of the ways between hosts."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import sizes
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import outside
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import ways
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import bridge_filter, trunk

RM = {"uplinks": ["eth1"], "switch": "br-none"}
GATEWAY = {"uplinks": ["eth1"], "wan": "eth0", "switch": "br-gate"}


@pytest.fixture
def found(monkeypatch):
    """What the links carry, and what reaches the gateway."""
    told = {"eth0": 1500, "eth1": 1500, "reaches": None}
    monkeypatch.setattr(sizes, "carried_by", told.get)
    monkeypatch.setattr(trunk, "largest", lambda uplink, vlans, gateway, limit: told["reaches"])
    monkeypatch.setattr(outside, "in_the_way", lambda wan: [f"Somebody drops what {wan} gets."])
    return told


def told_of(arguments):
    outcome = ways.look(arguments, True)
    assert not outcome.changed
    return [sentence.partition(":")[0] for sentence in outcome.result["warnings"]]


def test_nothing_is_told_where_all_is_as_usual_or_nobody_answers(found):
    assert told_of(RM) == []
    found["reaches"] = 1500
    assert told_of(RM) == []
    assert told_of(GATEWAY) == ["Somebody drops what eth0 gets."]


def test_links_that_say_that_they_carry_less_are_named(found):
    found.update(eth0=1492, eth1=1450)
    assert told_of(GATEWAY)[:2] == ["The trunk interface eth1 carries 1450 bytes, not 1500", "The WAN interface eth0 carries 1492 bytes, not 1500"]


def test_a_trunk_that_carries_less_than_its_ends_say_is_named(found):
    found["reaches"] = 1450
    [sentence] = ways.look(RM, True).result["warnings"]
    assert sentence.startswith("Packets of more than 1450 bytes do not reach the gateway by the trunk interface eth1, which takes 1500: ")
    found["eth1"] = 1450
    assert told_of(RM) == ["The trunk interface eth1 carries 1450 bytes, not 1500"], "that it carries so much is known"


@pytest.mark.parametrize("host", [RM, GATEWAY])
def test_it_is_told_of_each_switch_whether_the_firewall_of_its_host_meets_its_frames(found, monkeypatch, host):
    monkeypatch.setattr(bridge_filter, "in_the_way", lambda bridge: [f"What guests send over {bridge}: a firewall."])
    assert told_of(host)[-1] == f"What guests send over {host['switch']}"


def test_an_interface_that_is_not_there_is_for_others_to_tell():
    assert ways.look({"uplinks": ["none0"], "switch": "br-none"}, True).result == {"warnings": []}
