# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual machines on an RM that are none of the mesh's."""

from __future__ import annotations

import pytest

#: As virt-install would have it, but for what takes long: an image that belongs to root, and no word of who may open it.
START = """
qemu-img create -q -f qcow2 /var/lib/libvirt/images/strange.qcow2 16M
chown root:root /var/lib/libvirt/images/strange.qcow2
chmod 0600 /var/lib/libvirt/images/strange.qcow2
cat > /tmp/strange.xml <<XML
<domain type='qemu'><name>strange</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/strange.qcow2'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>
XML
virsh create /tmp/strange.xml
stat -c %U /var/lib/libvirt/images/strange.qcow2
"""


@pytest.mark.usefixtures("shop")
def test_they_start_as_they_did_before(mesh):
    try:
        assert mesh.shell("rm-east-1", START).split()[-1] == "libvirt-qemu"
    finally:
        mesh.shell("rm-east-1", "virsh destroy strange; rm -f /tmp/strange.xml /var/lib/libvirt/images/strange.qcow2")
    owners = mesh.shell("rm-east-1", "find /var/lib/vmatrix/store/blobs/sha256 -type f -printf '%u\\n' | sort -u")
    assert "libvirt-qemu" not in owners, "libvirt left the mesh's own files alone"
