#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: switch
short_description: Set up the switch of a host
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Sets up the bridge that carries the domains' VLANs on an RM or a gateway, with its trunk ports.
  - Keeps the host's own network stack out of it with a guard of nftables rules. They drop whatever the host would receive from
    or send to the guests (interfaces C(vm*)), the domain routers (C(vr*)) and the uplinks, and come back after a reboot.
  - An instance or a domain router speaks on it only with its own MAC and IPv4 addresses, untagged, and hears only what is meant for it.
    A port of which nothing is known is mute. The uplinks carry the VLANs of the ports that are there, and no others.
  - The engines must be on the host (see M(vmatrix.mesh.engines)); they guard the ports again when the switch was started anew.
  - Open vSwitch forwards in the kernel where the kernel can, and in user space elsewhere; which of the two is found out.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  name:
    description: The bridge.
    type: str
    default: br-mesh
  driver:
    description:
      - What the switch is made of. V(linux_bridge) needs a kernel whose bridges filter by VLAN.
      - A switch does not change its driver; remove it first.
    type: str
    default: openvswitch
    choices: [openvswitch, linux_bridge]
  uplinks:
    description:
      - The interfaces that lead to the other hosts of the HN; they become trunk ports for the VLANs in use.
      - An interface with an address of this host is refused, because it would be cut off.
    type: list
    elements: str
    default: []
  state:
    description: Whether the switch should exist. V(absent) removes it with all its ports.
    type: str
    default: present
    choices: [present, absent]
seealso:
  - module: vmatrix.mesh.switch_info
  - module: vmatrix.mesh.engines
  - module: vmatrix.mesh.domain_router
"""

EXAMPLES = r"""
- name: Set up the switch of an RM
  vmatrix.mesh.switch:
    uplinks: [trunk0]
"""

RETURN = r"""
switch:
  description: The switch as it is now (or would be), or V(none) when it was removed.
  returned: success
  type: dict
  sample:
    name: br-mesh
    driver: openvswitch
    uplinks: [trunk0]
    settings: {datapath_type: netdev, fail_mode: secure, stp_enable: false, rstp_enable: false}
    vlans: [101]
    ports:
      - port: vm0a1b2c3d4e
        vlan: 101
        mac: 52:54:00:12:34:56
        addresses: [192.168.1.10]
        forwards: false
        fabric_address: null
    drift: []
    guarded: true
    restored_at_boot: true
  contains:
    name:
      description: The bridge.
      type: str
      returned: success
      sample: br-mesh
    driver:
      description: What it is made of.
      type: str
      returned: success
      sample: openvswitch
    uplinks:
      description: Its trunk ports.
      type: list
      elements: str
      returned: success
      sample: [trunk0]
    settings:
      description: How it forwards, in the words of the driver.
      type: dict
      returned: success
      sample: {datapath_type: netdev, fail_mode: secure, stp_enable: false, rstp_enable: false}
    vlans:
      description: The VLANs that its uplinks carry; those of its guarded ports.
      type: list
      elements: int
      returned: success
      sample: [101]
    ports:
      description: The guarded ports that are there, by name.
      type: list
      elements: dict
      returned: success
      sample:
        - port: vm0a1b2c3d4e
          vlan: 101
          mac: 52:54:00:12:34:56
          addresses: [192.168.1.10]
          forwards: false
          fabric_address: null
      contains:
        port:
          description: Its interface on this host.
          type: str
          returned: success
          sample: vm0a1b2c3d4e
        vlan:
          description: The VLAN that it belongs to.
          type: int
          returned: success
          sample: 101
        mac:
          description: The only MAC address that it may send from.
          type: str
          returned: success
          sample: 52:54:00:12:34:56
        addresses:
          description: The IPv4 addresses that are its own.
          type: list
          elements: str
          returned: success
          sample: [192.168.1.10]
        forwards:
          description: Whether it may pass on packets with other sources, as a domain router does.
          type: bool
          returned: success
          sample: false
        fabric_address:
          description: The address by which everybody else knows it, where that is not its own. Null otherwise.
          type: str
          returned: success
          sample: 192.168.1.254
    drift:
      description: What is not as the ports ask for; some of V(access ports), V(trunks), V(flooding) and V(guard). Setting the switch up again mends it.
      type: list
      elements: str
      returned: success
      sample: []
    guarded:
      description: Whether the host's own network stack is kept out of it.
      type: bool
      returned: success
      sample: true
    restored_at_boot:
      description: Whether guard and uplinks come back after a reboot.
      type: bool
      returned: success
      sample: true
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import switch


def main() -> None:
    run_module(
        switch.ensure,
        argument_spec={
            "name": {"type": "str", "default": "br-mesh"},
            "driver": {"type": "str", "default": "openvswitch", "choices": ["openvswitch", "linux_bridge"]},
            "uplinks": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
    )


if __name__ == "__main__":
    main()
