#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_cutover
short_description: Move an instance from one RM to another in one call on each
version_added: 0.1.0
description:
  - One side of the cut-over of an instance. Run it on both RMs at the same time.
  - The source opens the way to the target, suspends the instance, sends its memory and overlays, gives up the right to run it durably, and hands it over.
    Whatever fails before that is taken back, and the instance goes on at the source.
  - The target awaits what is handed over, checks it, takes it over and resumes it with the raised epoch. When it cannot be resumed, it stays suspended there.
  - With O(live=true) the instance runs on while libvirt brings its memory and overlays over, and stands still for the last of it only; a guest
    that QEMU emulates stands still while all of its memory is sent, since QEMU before 9.0 loses some of what such a guest writes meanwhile.
    When that cannot be done, it runs on at the source. The sockets of libvirt and QEMU at the target can be reached by the source alone, through the
    connection that RMs have for transfers, and for no longer than the cut-over takes.
  - The instance's capsule must be in the target's store already.
  - At no time can the instance run on both.
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
    description: The instance, as service, ordinal and domain.
    type: str
    required: true
  epoch:
    description: The epoch that the instance is to have at the target, higher than the one that it has.
    type: int
    required: true
  peer:
    description: The other RM. Required at the source, and with O(live=true) at the target.
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
  state:
    description: What the instance is to be at the target.
    type: str
    default: running
    choices:
      - running
      - suspended
  live:
    description: Whether the instance runs on meanwhile. It must be running, and O(state=running).
    type: bool
    default: false
  vlan:
    description: The VLAN of the instance's domain in the target's HN, V(1) to V(4094). Required at the target.
    type: int
  record:
    description: The instance's surroundings record in the target's HN, kept as it is. Used at the target.
    type: dict
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
"""

RETURN = r"""
instance:
  description: The instance on this RM, after that or (where O(side=source) failed) as it was left.
  type: dict
  returned: success, and on some failures
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
  returned: at the source, also on failures after the peer was reached
  sample: "yes"
seconds:
  description: How long each phase took, by its name. Phases that there were none of are left out.
  type: dict
  returned: success
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
  returned: success at the source, unless O(live=true)
  sample: 134217728
bytes_wire:
  description: Bytes that went over the wire for them. With O(live=true) those of the memory, some of it more than once.
  type: int
  returned: success at the source, with O(live=true) at the target
  sample: 41943040
downtime:
  description: Seconds for which the guest stood still for its memory, as libvirt tells it.
  type: float
  returned: success at the target with O(live=true)
  sample: 0.21
"""

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import libraries
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.transfer import Peer
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover import live
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.host import this_host
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.order import Order
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.source import give
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.target import take
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import client
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, Outcome, run_module


def _call(params: dict[str, t.Any], check: bool) -> Outcome:
    order = Order(**{key: params[key] for key in Order._fields})
    peer = params["peer"] and Peer(params["peer"]["name"], params["peer"]["address"])
    if params["live"]:
        if order.state != "running" or peer is None:
            raise InvalidInput("What is moved live runs at the target, and each side has to know the other.")
        handed = (live.give if params["side"] == "source" else live.take)(this_host(), order, peer, check)
    elif params["side"] == "source":
        handed = give(this_host(), order, peer, check)
    else:
        handed = take(this_host(), order, check)
    return Outcome(handed.changed, handed.before, handed.after, {"instance": handed.after, **handed.result})


def main() -> None:
    """Run the module."""
    run_module(
        _call,
        libraries=[Library(*each) for each in (*client.LIBRARIES, *libraries.LIBRARIES)],
        argument_spec={
            "side": {"type": "str", "required": True, "choices": ["source", "target"]},
            "name": {"type": "str", "required": True},
            "epoch": {"type": "int", "required": True},
            "peer": {
                "type": "dict",
                "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
            },
            "state": {"type": "str", "default": "running", "choices": ["running", "suspended"]},
            "live": {"type": "bool", "default": False},
            "vlan": {"type": "int"},
            "record": {"type": "dict"},
            "timeout": {"type": "float", "default": 120},
        },
        required_if=[("side", "source", ("peer",)), ("side", "target", ("vlan",))],
    )


if __name__ == "__main__":
    main()
