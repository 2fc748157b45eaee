#!/usr/bin/python
# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rm_info
short_description: Find out what an RM can offer, and what it holds
version_added: 0.1.0
description:
  - Finds out the capacity of this RM, its machine types and CPU models, which accelerator really works, and which capsules it holds, in the shape of a
    subscription with the VMA.
  - Whether KVM works is found out by booting a kernel under it, since a device file proves nothing. The finding is kept in C(/var/lib/vmatrix)
    until QEMU, the host's kernel or the probe kernel change. Without O(probe_kernel), an earlier finding is used.
author:
  - The vmatrix.mesh founders (@vmatrix)
extends_documentation_fragment:
  - vmatrix.mesh.attributes.info
  - vmatrix.mesh.attributes.actiongroup_mesh
options:
  probe_kernel:
    description: Path on the RM of a Linux kernel with a serial console, such as a distribution's own, to boot for the probe.
    type: path
  probe_timeout:
    description: Seconds until a kernel that says nothing counts as hanging.
    type: float
    default: 15
seealso:
  - module: vmatrix.mesh.vma_rm
"""

EXAMPLES = r"""
- name: Find out what the RM can offer
  vmatrix.mesh.rm_info:
    probe_kernel: /vmlinuz
  register: offer
"""

RETURN = r"""
rm:
  description: What the RM can offer.
  type: dict
  returned: success
  contains:
    memory_mib:
      description: Memory for instances in MiB, after what the host keeps for itself.
      type: int
      sample: 21694
    vcpus:
      description: CPUs.
      type: int
      sample: 2
    disk_bytes:
      description: >-
        Bytes that may be promised to instances, told anew only when what there is has changed by a tenth of the file system; with C(rm_disk_overcommit) of the
        role P(vmatrix.mesh.rm#role) it is more than there is.
      type: int
      sample: 53687091200
    machine_types:
      description: Machine types that an instance can pin.
      type: list
      elements: str
      sample: [pc-i440fx-7.2, pc-q35-7.2]
    cpus:
      description: CPU models that an instance can pin under that accelerator.
      type: list
      elements: str
      sample: [Nehalem, qemu64]
    accelerator:
      description: What works here, V(kvm) or V(tcg).
      type: str
      sample: tcg
    capsules:
      description:
        - The manifests of the capsules in its store; whether one is whole is said by M(vmatrix.mesh.capsule_info).
      type: list
      elements: dict
      sample:
        - {name: shop, version: 1.0.0, domain: example.com}
instances:
  description:
    - The instances that live on it or could, each with its C(name), C(state) and C(epoch), and the number of the C(lease) that the RM last acted under for it.
  type: list
  elements: dict
  returned: success
  sample:
    - {name: shop-1.example.com, state: running, epoch: 1, lease: 1764515622001}
"""

from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_info_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import offers


def main() -> None:
    """Run the module."""
    run_info_module(
        lambda params: offers.offer(params, True).result,
        libraries=[Library(*library) for library in offers.LIBRARIES],
        argument_spec={"probe_kernel": {"type": "path"}, "probe_timeout": {"type": "float", "default": 15}},
    )


if __name__ == "__main__":
    main()
