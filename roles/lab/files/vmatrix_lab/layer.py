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


def host_key(upper: str) -> str:
    """Return the public SSH host key of the host with the upper layer *upper*."""
    with open(os.path.join(upper, _HOST_KEY + ".pub"), encoding="ascii") as handle:
        return " ".join(handle.read().split()[:2])


def login_key() -> str:
    """Return the public key that hosts let in, made when missing."""
    os.makedirs(places.SSH, exist_ok=True)
    os.chmod(places.SSH, 0o700)
    if not os.path.exists(places.KEY):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", places.NAME, "-f", places.KEY])
    with open(places.KEY + ".pub", encoding="ascii") as handle:
        return handle.read()


def hosts_file(hosts: dict[str, t.Any]) -> str:
    """Return the content of /etc/hosts where these *hosts* are known by name."""
    return "127.0.0.1 localhost\n" + "".join(f"{address(host)} {name}\n" for name, host in hosts.items())


def address(host: dict[str, t.Any]) -> str:
    """Return the address that a *host* is reached at."""
    return host["interfaces"]["mgmt0"]["address"].split("/")[0]


def network_unit(interface: str, wire: dict[str, t.Any]) -> str:
    """Return the systemd-networkd unit of one *interface* with its address, routes and forwarding (systemd.network(5))."""
    lines = ["[Match]", f"Name={interface}", *(["", "[Link]", f"MACAddress={wire['mac']}"] if "mac" in wire else []), "", "[Network]"]
    lines += ["LinkLocalAddressing=no", "IPv6AcceptRA=no", "LLDP=no", "ConfigureWithoutCarrier=yes"]
    if wire.get("address"):
        lines.append(f"Address={wire['address']}")
    if wire.get("gateway"):
        lines.append(f"Gateway={wire['gateway']}")
    if wire.get("forward"):
        lines.append("IPForward=ipv4")
    for route in wire.get("routes", []):
        lines += ["", "[Route]", f"Destination={route['to']}", f"Gateway={route['via']}"]
    return "\n".join(lines) + "\n"


def prepare(upper: str, host: dict[str, t.Any], known: str) -> None:
    """Fill the upper layer of a *host*.

    Args:
        upper: its directory.
        host: its description: name, interfaces, masked_units, Python programs that it gets in /usr/local/bin, and other files, path to content.
        known: the content of /etc/hosts.
    """
    # Those that an overlay shares with its lower layer must look the same there.
    public = ["etc/ssh", "etc/systemd/network", "etc/systemd/system", "etc/tmpfiles.d", "usr/local/bin", *map(os.path.dirname, host["files"])]
    for directory, mode in (*((each, 0o755) for each in public), ("root/.ssh", 0o700)):
        os.makedirs(os.path.join(upper, directory), exist_ok=True)
        os.chmod(os.path.join(upper, directory), mode)
    os.chmod(os.path.join(upper, "root"), 0o700)
    os.chmod(upper, 0o755)

    def put(path: str, content: str | bytes, mode: int = 0o644) -> None:
        write_atomic(os.path.join(upper, path), content, mode)

    put("etc/hostname", host["name"] + "\n")
    put("etc/hosts", known)
    # Nobody to ask out there: a name that is not known must fail at once.
    put("etc/resolv.conf", "")
    put("etc/machine-id", uuid.uuid4().hex + "\n")
    for interface, wire in host["interfaces"].items():
        put(f"etc/systemd/network/{interface}.network", network_unit(interface, wire))
    for unit in host["masked_units"]:
        os.symlink("/dev/null", os.path.join(upper, "etc/systemd/system", unit))
    put("root/.ssh/authorized_keys", login_key(), 0o600)
    for program, source in host["programs"].items():
        with open(source["path"], "rb") as handle:
            put(os.path.join("usr/local/bin", program), b"#!/usr/bin/python3\n" + handle.read(), 0o755)
    for path, content in host["files"].items():
        put(path, content)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host["name"], "-f", os.path.join(upper, _HOST_KEY)])


def lend_kvm(upper: str) -> None:
    """Give the host with the upper layer *upper* the machine's /dev/kvm, if there is one."""
    if os.path.exists("/dev/kvm"):
        # A node of its own, as udev makes it: libvirt probes QEMU anew at every call when the group kvm may not use what is there.
        write_atomic(os.path.join(upper, "etc/tmpfiles.d/kvm.conf"), "c /dev/kvm 0660 root kvm - 10:232\n")
