# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two domains apart from each other on the kernel's VLAN-aware bridge: the tests that Open vSwitch passes in the lab."""

from __future__ import annotations

import isolation
from isolation import OTHER_SHOP, SHOP

from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import tap_name
from ansible_collections.vmatrix.mesh.tests.vms.conftest import GUESTS


class TestLinuxBridge(isolation.Isolation):
    """The tests that every switch has to pass."""


def test_a_bridge_that_a_reboot_took_away_is_made_anew(site):
    site.shell(site.rm, "ip link del br-mesh; systemctl restart vmatrix-switch-br-mesh")
    switch = site.switch(site.rm)
    assert (switch["uplinks"], switch["ports"], switch["drift"], switch["guarded"]) == (["trunk0"], [], [], True)
    assert switch["settings"]["vlan_filtering"] is True
    # Guests are plugged in anew after a reboot, too.
    for instance in (SHOP, OTHER_SHOP):
        unused, vlan, mac, address = GUESTS[instance]
        site.shell(site.rm, isolation.guarded(tap_name(instance), vlan, mac, address))
    site.mend()
