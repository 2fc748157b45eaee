# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading what Open vSwitch's programs print, and names that are refused; test_port_guard.py has the real ones at work."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import switch
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.openvswitch import not_flooded, parse

PORTS_DESCRIBED = """\
OFPST_PORT_DESC reply (xid=0x2):
 1(trunk0): addr:12:30:68:e8:f4:46
     config:     0
     state:      0
 2(vmshop): addr:ea:70:e6:70:f7:b5
     config:     NO_FLOOD
     state:      0
 3(vmwiki): addr:ea:70:e6:70:f7:b6
     config:     PORT_DOWN NO_FLOOD
     state:      0
 LOCAL(br-mesh): addr:82:08:23:02:70:41
     config:     NO_FLOOD
"""


def test_a_single_member_of_a_set_is_read_like_several():
    listing = {"headings": ["_uuid", "ports"], "data": [[["uuid", "b1"], ["uuid", "p1"]], [["uuid", "b2"], ["set", [["uuid", "p1"]]]]]}
    assert [row["ports"] for row in parse(json.dumps(listing))] == ["uuid:p1", ["set", [["uuid", "p1"]]]]


def test_ports_that_are_not_flooded_are_told_from_others():
    assert not_flooded(PORTS_DESCRIBED) == {2, 3}


@pytest.mark.parametrize("name", ["bond0.100", "eth1", "enp3s0f0_a"])
def test_an_uplink_may_be_a_vlan_of_another_interface(name):
    with pytest.raises(InvalidInput, match=f"no interface '{name}' that could be an uplink"):
        switch.apply("br-mesh", "openvswitch", [name], dry_run=True)


@pytest.mark.parametrize("name", ["../x", "", "a" * 16, "bond 0", 'br";flush', ".", "0.1"])
def test_what_no_interface_can_be_called_is_no_uplink(name):
    with pytest.raises(InvalidInput, match="cannot name the uplink: it must look like 'eth1' or 'bond0.100'"):
        switch.apply("br-mesh", "openvswitch", [name], dry_run=True)


@pytest.mark.parametrize("name", ["../x", "", "a" * 16, "br mesh", 'br";flush ruleset', "0br", None])
def test_a_name_that_no_interface_can_have_is_refused(name):
    with pytest.raises(InvalidInput, match="cannot name the switch"):
        switch.apply(name, "openvswitch", [], dry_run=True)
    with pytest.raises(InvalidInput, match="cannot name the switch"):
        switch.find(name)
