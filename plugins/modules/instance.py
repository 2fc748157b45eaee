#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance
short_description: Start, suspend, resume, stop or remove instances on an RM
version_added: 0.1.0
description:
  - Brings an instance on this RM into the wanted state, or several at the same time.
  - An absent instance is started from its capsule, which must be in this RM's store already. A stopped one starts from the disks it has.
    A suspended one is resumed from its memory image, where it left off.
  - Suspending keeps CPU, memory, devices and disks as they are at one and the same point.
  - Whatever the RM cannot honour (machine type, CPU, accelerator, room, blobs, epoch) is refused before anything is touched.
  - One of several O(instances) that fails does not stop the others; the module fails then, and RV(instances) says of each what became of it.
author:
  - The vmatrix.mesh founders (@vmatrix)
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  name:
    description: The instance, as service, ordinal and domain. Either this or O(instances) is required.
    type: str
  state:
    description: &state
      - What the instance is to be. Required.
      - Only a running instance can become V(suspended).
      - V(absent) deletes its disks and memory too, ends it first if it runs, and gives up the right to run it here in this epoch.
    type: str
    choices: &states
      - running
      - suspended
      - stopped
      - absent
  epoch: &epoch
    description:
      - The epoch that the VMA granted for this order. An epoch that is older than the one this RM knows of is refused.
      - Required to run an instance. Without it, other states keep the known epoch.
    type: int
  capsule: &capsule
    description:
      - Version of the capsule of the instance's service.
      - Required when the instance was never started here. From a capsule with memory it can be made suspended, too.
    type: str
  vlan: &vlan
    description:
      - The VLAN of the instance's domain in this HN, V(1) to V(4094).
      - Required when the instance was never started here. It cannot change while the instance runs.
    type: int
  record: &record
    description:
      - The instance's surroundings record, kept as it is for rebuilding the VMA's registry.
      - Where its C(fabric_address) is not the guest's own address, everybody else knows the instance by that from its next start on.
      - It is kept when this call changes something else, and not compared otherwise.
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
      state:
        description: *state
        type: str
        required: true
        choices: *states
      epoch: *epoch
      capsule: *capsule
      vlan: *vlan
      record: *record
  timeout:
    description:
      - Seconds that one call of libvirt, and the wait for the end of another operation on an instance, may take.
      - When it is omitted, 60 s, and for what writes or reads the memory of a guest 20 s more for each GiB of that.
    type: float
  stop_timeout:
    description: Seconds that a guest has to shut down after its power button was pressed.
    type: float
    default: 30
  stop_force:
    description: Whether a guest that does not shut down in time is ended, and whether the memory of a suspended instance may be dropped to stop it.
    type: bool
    default: false
  go_on:
    description:
      - Whether a guest that is to run and is paused goes on. QEMU pauses one for which there is no room on the disk; RV(instance.paused) says why.
      - It is refused unless there is room again for all that the instances of the RM were promised.
    type: bool
    default: false
    version_added: 0.2.0
seealso:
  - module: vmatrix.mesh.instance_info
  - module: vmatrix.mesh.instance_cutover
  - module: vmatrix.mesh.rm_info
"""

EXAMPLES = r"""
- name: Start an instance
  vmatrix.mesh.instance:
    name: shop-1.example.com
    state: running
    epoch: 1
    capsule: 1.0.0
    vlan: 101

- name: Suspend it
  vmatrix.mesh.instance:
    name: shop-1.example.com
    state: suspended

- name: Resume it
  vmatrix.mesh.instance:
    name: shop-1.example.com
    state: running
    epoch: 1

- name: Remove it, whether or not its guest obeys
  vmatrix.mesh.instance:
    name: shop-1.example.com
    state: absent
    stop_timeout: 10
    stop_force: true

- name: Start two clones from one memory image
  vmatrix.mesh.instance:
    instances:
      - {name: shop-2.example.com, state: running, epoch: 1, capsule: 1.0.0-warm, vlan: 101, record: {fabric_address: 192.168.1.254}}
      - {name: shop-3.example.com, state: running, epoch: 1, capsule: 1.0.0-warm, vlan: 101, record: {fabric_address: 192.168.1.253}}
"""

RETURN = r"""
action:
  description: What was done to the instance.
  type: str
  returned: success with the options of one instance
  sample: resumed
  choices:
    - none
    - started
    - resumed
    - continued
    - furnished
    - suspended
    - stopped
    - removed
instance:
  description: The instance after that; of one that failed only its C(name).
  type: dict
  returned: with the options of one instance, if they make sense
  contains:
    name:
      description: Its name.
      type: str
      sample: shop-1.example.com
    state:
      description: What it is, one of V(running), V(suspended), V(stopped) and V(absent).
      type: str
      sample: running
    epoch:
      description: The highest epoch that this RM knows of, V(0) for none.
      type: int
      sample: 1
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
      sample: 101
    accelerator:
      description: What it runs or ran under, V(kvm) or V(tcg), null when absent.
      type: str
      sample: tcg
    paused:
      description: Why its guest stands still though it is V(running), as a sentence without its end.
      type: str
      returned: when QEMU has paused it, or somebody by hand
      sample: there was no room left on the RM for what it wrote to vda
clock:
  description: A sentence that says how far the clock of a guest that goes on is behind, and whether its agent has set it; a space is before it.
  type: str
  returned: when it came from memory, and stood still for a second or more
  sample: " The clock of shop-1.example.com is 3600 s behind."
seconds:
  description: How long it took, from looking to done.
  type: float
  returned: success with the options of one instance
  sample: 0.512
memory_bytes:
  description: How many bytes the memory image of a suspended instance takes, null for any other.
  type: int
  returned: success with the options of one instance
  sample: 131072000
known_epoch:
  description: The newer epoch that this RM knows of. It holds nothing of the one that the order was given in.
  type: int
  returned: when an order to give the instance up was refused because it is outdated
  sample: 4
instances:
  description: What became of each, in the order of O(instances). Also returned when the module fails.
  type: list
  elements: dict
  returned: with O(instances), if they make sense
  sample:
    - name: shop-2.example.com
      action: started
      instance: {name: shop-2.example.com, state: running, epoch: 1, here: true, capsule: 1.0.0-warm, vlan: 101, accelerator: tcg}
      seconds: 0.71
      memory_bytes: null
      error: null
  contains:
    name:
      description: The instance.
      type: str
      sample: shop-2.example.com
    error:
      description: Why it failed; null if it did not. All else is as for one instance; RV(action), RV(seconds) and RV(memory_bytes) are null if it failed.
      type: str
      sample: null
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.one_or_several import OneOrSeveral, only
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import instances

OPTIONS = OneOrSeveral(
    one={
        "name": {"type": "str"},
        "state": {"type": "str", "choices": ["running", "suspended", "stopped", "absent"]},
        "epoch": {"type": "int"},
        "capsule": {"type": "str"},
        "vlan": {"type": "int"},
        "record": {"type": "dict"},
    },
    needed=("name", "state"),
    shared={
        "timeout": {"type": "float"},
        "stop_timeout": {"type": "float", "default": 30},
        "go_on": {"type": "bool", "default": False},
        "stop_force": {"type": "bool", "default": False},
    },
    required_if=[("state", "running", ("epoch",))],
)


def main() -> None:
    """Run the module."""
    run_module(OPTIONS.unwrapping(instances.ensure, only("instances")), [Library(*each) for each in instances.LIBRARIES], **OPTIONS.spec())


if __name__ == "__main__":
    main()
