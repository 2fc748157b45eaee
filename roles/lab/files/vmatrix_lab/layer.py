# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written into a host's own layer over the shared root before it boots."""

from __future__ import annotations

import os
import typing as t
import uuid

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import write_atomic
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run

from vmatrix_lab import places

_HOST_KEY = "etc/ssh/ssh_host_ed25519_key"


def host_key(name: str) -> str:
    """Return the public SSH host key of the host *name*."""
    with open(places.of_host(name, "upper", _HOST_KEY + ".pub"), encoding="ascii") as handle:
        return " ".join(handle.read().split()[:2])


def network_unit(interface: str, wire: dict[str, t.Any]) -> str:
    """Return the systemd-networkd unit of one *interface* with its address, routes and forwarding (systemd.network(5))."""
    lines = ["[Match]", f"Name={interface}", "", "[Network]", "LinkLocalAddressing=no", "IPv6AcceptRA=no", "LLDP=no", "ConfigureWithoutCarrier=yes"]
    if wire.get("address"):
        lines.append(f"Address={wire['address']}")
    if wire.get("gateway"):
        lines.append(f"Gateway={wire['gateway']}")
    if wire.get("forward"):
        lines.append("IPForward=ipv4")
    for route in wire.get("routes", []):
        lines += ["", "[Route]", f"Destination={route['to']}", f"Gateway={route['via']}"]
    return "\n".join(lines) + "\n"


def prepare(host: dict[str, t.Any], hosts_file: str) -> None:
    """Fill the upper layer of a *host*.

    Args:
        host: its description: name, interfaces, masked_units, and Python programs that it gets in /usr/local/bin.
        hosts_file: the content of /etc/hosts.
    """
    upper = places.of_host(host["name"], "upper")
    # Those that an overlay shares with its lower layer must look the same there.
    public = ("etc/ssh", "etc/systemd/network", "etc/systemd/system", "etc/tmpfiles.d", "usr/local/bin")
    for directory, mode in (*((each, 0o755) for each in public), ("root/.ssh", 0o700)):
        os.makedirs(os.path.join(upper, directory), exist_ok=True)
        os.chmod(os.path.join(upper, directory), mode)
    os.chmod(os.path.join(upper, "root"), 0o700)
    os.chmod(upper, 0o755)

    def put(path: str, content: str | bytes, mode: int = 0o644) -> None:
        write_atomic(os.path.join(upper, path), content, mode)

    put("etc/hostname", host["name"] + "\n")
    put("etc/hosts", hosts_file)
    # Nobody to ask out there: a name that is not known must fail at once.
    put("etc/resolv.conf", "")
    put("etc/machine-id", uuid.uuid4().hex + "\n")
    for interface, wire in host["interfaces"].items():
        put(f"etc/systemd/network/{interface}.network", network_unit(interface, wire))
    for unit in host["masked_units"]:
        os.symlink("/dev/null", os.path.join(upper, "etc/systemd/system", unit))
    with open(places.KEY + ".pub", "rb") as handle:
        put("root/.ssh/authorized_keys", handle.read(), 0o600)
    if os.path.exists("/dev/kvm"):
        # A node of its own, as udev makes it: libvirt probes QEMU anew at every call when the group kvm may not use what is there.
        put("etc/tmpfiles.d/kvm.conf", "c /dev/kvm 0660 root kvm - 10:232\n")
    for program, source in host["programs"].items():
        with open(source["path"], "rb") as handle:
            put(os.path.join("usr/local/bin", program), b"#!/usr/bin/python3\n" + handle.read(), 0o755)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host["name"], "-f", os.path.join(upper, _HOST_KEY)])
