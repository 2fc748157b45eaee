#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: switch_info
short_description: Look at the switches of a host
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Shows the switches that M(vmatrix.mesh.switch) set up on this host, as they are now.
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  name:
    description: The bridge to look at; all of them if not given.
    type: str
seealso:
  - module: vmatrix.mesh.switch
"""

EXAMPLES = r"""
- name: See whether the host is guarded
  vmatrix.mesh.switch_info:
    name: br-mesh
"""

RETURN = r"""
switches:
  description: The switches, in the order of their names.
  returned: success
  type: list
  elements: dict
  sample:
    - name: br-mesh
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

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import run_info_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import switch


def call(params: dict) -> dict:
    return {"switches": [seen for seen in switch.look_all() if params["name"] in (None, seen["name"])]}


def main() -> None:
    run_info_module(call, argument_spec={"name": {"type": "str"}})


if __name__ == "__main__":
    main()
