# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RMs in a directory: real files and engine, qemu-img and libvirt made of air."""

from __future__ import annotations

import os

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import files
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import accelerator, client, disks
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.client import Hypervisor
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import tap_name
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.instance import Wanted, ensure
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.state import Capsules, Host, find
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import fake_libvirt

NAME = "shop-1.example.com"
SIZE = 1 << 30
#: What qemu-img would leave behind, as far as anybody looks.
QEMU_IMG = r"""#!/bin/sh
for argument; do before=$last; last=$argument; done
printf 'QFI\373\0\0\0\003' > "$before"
echo "$@" > "$(dirname "$0")/calls"
"""


def device(monkeypatch, programs):
    """Put air in place of libvirt, QEMU's programs (in the directory *programs*) and KVM's device file. Everything above them is real."""
    (programs / "qemu-img").write_text(QEMU_IMG)
    (programs / "qemu-img").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(client, "libvirt", fake_libvirt)
    monkeypatch.setattr(accelerator, "DEVICE", str(programs / "no-kvm"))
    return programs


def manifest(**changes):
    """Return a manifest like that of the contract, with *changes*."""
    blob = {"sha256": "b" * 64, "size": 4096}
    return {
        "schema": 1,
        "name": "shop",
        "version": "1.0.0",
        "domain": "example.com",
        "guest": {"address": "192.168.1.10/24", "gateway": "192.168.1.1", "mac": "52:54:00:12:34:56"},
        "ports": [{"protocol": "tcp", "port": 80}],
        "machine": {"type": "pc-i440fx-7.2", "cpu": "qemu64", "vcpus": 1, "memory_mib": 1},
        "boot": {"kernel": {"sha256": "c" * 64, "size": 1}, "initrd": {"sha256": "d" * 64, "size": 1}, "cmdline": "console=ttyS0"},
        "disks": [{"name": "root", "format": "qcow2", "virtual_size": SIZE, "blob": blob}],
        "memory": None,
        **changes,
    }


def qcow2(size=SIZE, features=0, version=3, magic=b"QFI\xfb"):
    """Return the head of a qcow2 image."""
    return disks.QCOW2_HEADER.pack(magic, version, 0, 0, 16, size, features)


class Disk:
    """What is flushed to the disk, seen from a simulated RM.

    Attributes:
        flushed: (name of the file or directory, whether a guest of the RM ran then), in the order of time.
    """

    def __init__(self, monkeypatch, rm) -> None:
        self.flushed: list[tuple[str, bool]] = []
        real = os.fsync

        def fsync(descriptor):
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if path.startswith(f"{rm.root}/"):
                running = any(domain.current == fake_libvirt.VIR_DOMAIN_RUNNING for domain in rm.connection.domains.values())
                self.flushed.append((os.path.basename(path), running))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)

    def running(self):
        """Return what was flushed while the guest ran."""
        return [name for name, running in self.flushed if running]

    def still(self):
        """Return what was flushed while it did not, but for what is written whole beside its place, and epochs."""
        return [name for name, running in self.flushed if not running and not name.startswith(".new-") and name != "epochs"]


def reboot(monkeypatch, tmp_path, *rms):
    """Cut the power of RMs."""
    (tmp_path / "boot").write_text("another-boot")
    monkeypatch.setattr(files, "BOOT", str(tmp_path / "boot"))
    for rm in rms:
        rm.connection.domains.clear()


class Ports:
    """A network made of air.

    Attributes:
        guarded: what each port may speak as.
        fail: what guarding a port raises.
        connection: the libvirt whose guests are plugged in; none of them may run on an unguarded port.
    """

    virtualport = "openvswitch"

    def __init__(self, connection: fake_libvirt.Connection) -> None:
        self.connection = connection
        self.guarded: dict[str, tuple] = {}
        self.failures: list[Exception] = []

    def guard(self, port, vlan, mac, addresses, fabric_address):
        owners = [domain for name, domain in self.connection.domains.items() if tap_name(name) == port]
        assert [domain.current for domain in owners] == [fake_libvirt.VIR_DOMAIN_PAUSED], "it ran before it was guarded"
        for failure in self.failures:
            raise failure
        self.guarded[port] = (vlan, mac, addresses, *([fabric_address] if fabric_address else []))

    def release(self, port):
        assert port not in map(tap_name, self.connection.domains), "it lost its port while it lived"
        self.guarded.pop(port, None)


class Rm:
    """One RM below *root*.

    Attributes:
        connection: its libvirt.
        ports: its network.
        capsules: its manifests by version.
        problems: what its store raises when asked for blobs.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        for folder in ("instances", "epochs", "incoming"):
            os.makedirs(os.path.join(root, folder))
        self.places = Places(root)
        self.connection = fake_libvirt.Connection()
        self.ports = Ports(self.connection)
        self.capsules = {"1.0.0": manifest()}
        self.problems = []

    @property
    def host(self) -> Host:
        def get(_name, version):
            if version not in self.capsules:
                raise NotFound(f"There is no capsule {version}.")
            return self.capsules[version]

        def blobs(_manifest):
            for problem in self.problems:
                raise problem
            return {letter * 64: f"{self.root}/blobs/{letter * 64}" for letter in "bcdef"}

        return Host(self.places, Hypervisor(self.connection), Capsules(get, blobs, lambda _manifest: None), self.ports)

    def order(self, state, check=False, name=NAME, **more):
        """Bring the instance into *state*."""
        defaults = {"capsule": "1.0.0", "vlan": 101, "epoch": 1} if state == "running" else {}
        return ensure(self.host, Wanted(name, state, **{"timeout": 0.2, "stop_timeout": 0.0, **defaults, **more}), check)

    @property
    def found(self):
        return find(self.host, NAME)

    def files(self):
        """Return the files of the instance."""
        return sorted(os.listdir(self.places.directory(NAME))) if os.path.isdir(self.places.directory(NAME)) else []

    def leftovers(self):
        """Return what lies about that is no instance."""
        return [name for name in os.listdir(self.places.instances()) if name.startswith(".")]
