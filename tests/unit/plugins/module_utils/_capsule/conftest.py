# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two RMs in directories, and a receiver that runs as it does on a real one, over pipes instead of SSH."""

from __future__ import annotations

import os
import sys

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.store import Store

PACKAGE = "ansible_collections.vmatrix.mesh.plugins.module_utils._capsule"
#: Lets only so many bytes through to the receiver the first time, then hangs up.
CUTTER = """
import os, subprocess, sys
limit, flag, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
if os.path.exists(flag):
    os.execvp(command[0], command)
open(flag, "w").close()
receiver = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0)
while limit and (data := os.read(0, min(65536, limit))):
    receiver.stdin.write(data)
    limit -= len(data)
receiver.stdin.close()
receiver.wait()
"""


class Machine:
    """An RM in a directory."""

    def __init__(self, root) -> None:
        self.root = root
        self.incoming = str(root / "incoming")
        self.store = Store(str(root / "store"), str(root / "instances"))
        for name in ("store", "incoming", "instances"):
            (root / name).mkdir(parents=True)
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self.argv = ["env", f"PYTHONPATH={path}", sys.executable, "-m", f"{PACKAGE}.receive", "--root", str(root)]

    def cut_after(self, count: int) -> list[str]:
        """Return a way to reach this RM that breaks once, after *count* bytes."""
        return [sys.executable, "-c", CUTTER, str(count), str(self.root / "was-cut"), *self.argv]

    def blobs(self) -> set[str]:
        """Return the names of all files among the blobs, temporary ones too."""
        directory = self.root / "store" / "blobs" / "sha256"
        return {entry.name for entry in directory.iterdir()} if directory.exists() else set()


@pytest.fixture
def here(tmp_path):
    return Machine(tmp_path / "here")


@pytest.fixture
def there(tmp_path):
    return Machine(tmp_path / "there")


@pytest.fixture
def manifest():
    """A manifest whose blobs exist nowhere."""
    return {
        "schema": 1,
        "name": "shop",
        "version": "1.0.0",
        "domain": "example.com",
        "guest": {"address": "192.168.1.10/24", "gateway": "192.168.1.1", "mac": "52:54:00:12:34:56"},
        "ports": [{"protocol": "tcp", "port": 80}],
        "machine": {"type": "pc-i440fx-7.2", "cpu": "qemu64", "vcpus": 1, "memory_mib": 128},
        "boot": {"kernel": {"sha256": "a" * 64, "size": 1}, "initrd": {"sha256": "b" * 64, "size": 2}, "cmdline": "console=ttyS0"},
        "disks": [{"name": "root", "format": "qcow2", "virtual_size": 1073741824, "blob": {"sha256": "c" * 64, "size": 3}}],
        "memory": None,
    }


@pytest.fixture
def stored(here, manifest, tmp_path):
    """The manifest of a capsule that the first RM has."""

    def blob(content: bytes):
        path = tmp_path / "content"
        path.write_bytes(content)
        return here.store.add_file(str(path))

    manifest["boot"].update(kernel=blob(os.urandom(3 << 20)), initrd=blob(b"initrd" * 1000))
    manifest["disks"][0]["blob"] = blob(b"disk" + bytes(5 << 20) + os.urandom(100000))
    assert here.store.put_manifest(manifest)
    return manifest


@pytest.fixture
def ordinary():
    """Return what a capsule is imported with, but for its disks: it boots by itself from those."""
    return {
        "name": "shop",
        "version": "1.0.0",
        "domain": "example.com",
        "guest": {"address": "192.168.1.10/24", "gateway": "192.168.1.1", "mac": "52:54:00:12:34:56"},
        "ports": [{"protocol": "tcp", "port": 80}],
        "machine": {"type": "pc-i440fx-7.2", "cpu": "qemu64", "vcpus": 1, "memory_mib": 128},
        "boot": None,
        "disks": [],
    }
