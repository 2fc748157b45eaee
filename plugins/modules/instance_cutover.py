#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_cutover
short_description: Move instances from one RM to others in one call on each
version_added: 0.1.0
description:
  - One side of the cut-over of an instance, or of several at the same time. Run it on all RMs at the same time.
  - The source opens the way to the target, suspends the instance, sends its memory and overlays, gives up the right to run it durably, and hands it over.
    Whatever fails before that is taken back, and the instance goes on at the source.
  - The target awaits what is handed over, checks it, takes it over and resumes it with the raised epoch. When it cannot be resumed, it stays suspended there.
  - With O(live=true) the instance runs on while libvirt brings its memory and overlays over, and stands still for the last of it only; a guest
    that QEMU emulates stands still while all of its memory is sent, since QEMU before 9.0 loses some of what such a guest writes meanwhile.
    When that cannot be done, it runs on at the source. The sockets of libvirt and QEMU at the target can be reached by the source alone, through the
    connection that RMs have for transfers, and for no longer than the cut-over takes.
  - The instance's capsule must be in the target's store already.
  - At no time can the instance run on both.
  - One of several O(instances) that fails does not stop the others; the module fails then, and RV(instances) says of each what became of it.
author:
  - The vmatrix.mesh founders (@vmatrix)
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  side:
    description: Which side this RM is on.
    type: str
    required: true
    choices:
      - source
      - target
  name:
    description: The instance, as service, ordinal and domain. Either this or O(instances) is required.
    type: str
  epoch:
    description: &epoch The epoch that the instance is to have at the target, higher than the one that it has. Required.
    type: int
  peer: &peer
    description: The other RM. Required at the source, and at the target for an instance that is moved live.
    type: dict
    suboptions:
      name:
        description: Name of the RM, as it was subscribed.
        type: str
        required: true
      address:
        description: Where other RMs reach it.
        type: str
        required: true
  state: &state
    description: What the instance is to be at the target; V(running) when omitted.
    type: str
    choices:
      - running
      - suspended
  vlan: &vlan
    description: The VLAN of the instance's domain in the target's HN, V(1) to V(4094). Required at the target.
    type: int
  record: &record
    description: The instance's surroundings record in the target's HN, kept as it is. Used at the target.
    type: dict
  instances:
    description: Several instances, in the place of the options of one.
    type: list
    elements: dict
    suboptions:
      name:
        description: The instance, as service, ordinal and domain.
        type: str
        required: true
      epoch:
        description: *epoch
        type: int
        required: true
      peer: *peer
      state: *state
      vlan: *vlan
      record: *record
  live:
    description: Whether the instance runs on meanwhile. It must be the only one, be running, and become V(running) at the target.
    type: bool
    default: false
  timeout:
    description: Seconds for the way to the peer, for the whole hand-over after that, and at the target for the wait for it.
    type: float
    default: 120
seealso:
  - module: vmatrix.mesh.instance
  - module: vmatrix.mesh.capsule_transfer
"""

EXAMPLES = r"""
- name: Hand the instance over
  vmatrix.mesh.instance_cutover:
    side: source
    name: shop-1.example.com
    epoch: 2
    peer:
      name: rm-west-1
      address: 10.77.2.11

- name: Take it over, at the same time on the other RM
  vmatrix.mesh.instance_cutover:
    side: target
    name: shop-1.example.com
    epoch: 2
    vlan: 201

- name: Hand the shop and its database over
  vmatrix.mesh.instance_cutover:
    side: source
    instances:
      - {name: shop-1.example.com, epoch: 2, peer: {name: rm-west-1, address: 10.77.2.11}}
      - {name: db-1.example.com, epoch: 2, peer: {name: rm-west-2, address: 10.77.2.12}}
"""

RETURN = r"""
instance:
  description: The instance on this RM, after that or (where O(side=source) failed) as it was left.
  type: dict
  returned: with the options of one instance, on success and on some failures
  contains:
    name:
      description: Its name.
      type: str
      sample: shop-1.example.com
    state:
      description: What it is here, one of V(running), V(suspended), V(stopped) and V(absent).
      type: str
      sample: running
    epoch:
      description: The highest epoch that this RM knows of, V(0) for none.
      type: int
      sample: 2
    here:
      description: Whether the right to run it in that epoch was granted here.
      type: bool
      sample: true
    capsule:
      description: Version of its capsule, null when absent.
      type: str
      sample: 1.0.0
    vlan:
      description: Its VLAN, null when absent.
      type: int
      sample: 201
    accelerator:
      description: What it runs or ran under, V(kvm) or V(tcg), null when absent.
      type: str
      sample: tcg
handed_over:
  description:
    - V(yes) when the target has it, V(no) when it is at the source.
    - V(unknown) when the target's answer was lost. Then it does not run at the source, nor will it in this epoch.
  type: str
  returned: with the options of one instance at the source, also on failures after the peer was reached
  sample: "yes"
seconds:
  description: How long each phase took, by its name. Phases that there were none of are left out.
  type: dict
  returned: success with the options of one instance
  contains:
    connect:
      description: Opening the way to the peer, while the guest runs.
      type: float
      sample: 0.31
    suspend:
      description: Suspending, from when the guest stops.
      type: float
      sample: 0.42
    send:
      description: Sending memory and overlays.
      type: float
      sample: 0.73
    commit:
      description: Handing over, until the target has answered.
      type: float
      sample: 0.02
    wait:
      description: Waiting for the hand-over, at the target.
      type: float
      sample: 1.62
    adopt:
      description: Checking and taking over, at the target.
      type: float
      sample: 0.05
    resume:
      description: Resuming, at the target.
      type: float
      sample: 0.44
bytes:
  description: Bytes of memory and overlays that the target needed.
  type: int
  returned: success with the options of one instance at the source, unless O(live=true)
  sample: 134217728
bytes_wire:
  description: Bytes that went over the wire for them. With O(live=true) those of the memory, some of it more than once.
  type: int
  returned: success with the options of one instance at the source, with O(live=true) at the target
  sample: 41943040
downtime:
  description: Seconds for which the guest stood still for its memory, as libvirt tells it.
  type: float
  returned: success at the target with O(live=true)
  sample: 0.21
instances:
  description: What became of each, in the order of O(instances). Also returned when the module fails.
  type: list
  elements: dict
  returned: with O(instances), if they make sense
  sample:
    - name: shop-1.example.com
      instance: {name: shop-1.example.com, state: suspended, epoch: 2, here: false, capsule: 1.0.0, vlan: 101, accelerator: tcg}
      handed_over: "yes"
      seconds: {connect: 0.31, suspend: 0.42, send: 0.73, commit: 0.02}
      bytes: 134217728
      bytes_wire: 41943040
      error: null
  contains:
    name:
      description: The instance.
      type: str
      sample: shop-1.example.com
    error:
      description: Why it failed; null if it did not. All else is as for one instance.
      type: str
      sample: null
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module import shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.one_or_several import OneOrSeveral, only
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import cutovers

OPTIONS = OneOrSeveral(
    one={
        "name": {"type": "str"},
        "epoch": {"type": "int"},
        "peer": {"type": "dict", "options": shapes.needed("name", "address")},
        "state": {"type": "str", "choices": ["running", "suspended"]},
        "vlan": {"type": "int"},
        "record": {"type": "dict"},
    },
    needed=("name", "epoch"),
    shared={
        "side": {"type": "str", "required": True, "choices": ["source", "target"]},
        "live": {"type": "bool", "default": False},
        "timeout": {"type": "float", "default": 120},
    },
)


def main() -> None:
    """Run the module."""
    run_module(OPTIONS.unwrapping(cutovers.hand_over, only("instances")), [Library(*each) for each in cutovers.LIBRARIES], **OPTIONS.spec())


if __name__ == "__main__":
    main()
