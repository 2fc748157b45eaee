# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The IKE daemon of one domain: strongSwan's charon-systemd in the network namespace of the domain's router.

Each has its own configuration and its own vici socket, so two domains may use the same addresses.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.connection import IF_ID
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.rules import DEVICE

#: A request is sent again after 1 s, 1.4 s and 2 s, and given up 2.7 s later: a dead peer is noticed 7 s after the first question.
_RETRANSMISSION = {"retransmit_tries": "3", "retransmit_timeout": "1.0", "retransmit_base": "1.4"}

#: aesni encrypts faster than openssl where ESP is done in user space; on a processor without these instructions it offers nothing.
_PLUGINS = "random nonce aesni openssl pem pkcs8 x509 pubkey revocation constraints kdf {esp} socket-default vici"

#: The routing table and packet mark of routes that charon wants to make; no packet has this mark, so they have no effect.
UNUSED_TABLE = "7670"
_UNUSED_MARK = "0x7670"


class Daemon(t.Protocol):
    """What starts and stops the IKE daemon of a domain."""

    def start(self, domain: str) -> None: ...

    def stop(self, domain: str) -> None: ...


class Systemd:
    """The daemon as an instance of the unit that the role vpn installs."""

    def start(self, domain: str) -> None:
        """Start it now, anew if it runs, and at each boot."""
        run(["systemctl", "enable", "--quiet", _unit(domain)])
        run(["systemctl", "restart", _unit(domain)])

    def stop(self, domain: str) -> None:
        """Stop it, now and for good."""
        run(["systemctl", "disable", "--quiet", "--now", _unit(domain)])


def configuration(socket: str, kernel: bool) -> str:
    """Return the strongswan.conf of a daemon.

    Args:
        socket: the path of its vici socket.
        kernel: whether the kernel does ESP; otherwise the daemon does it itself, in user space.
    """
    lines = ["charon-systemd {", "  load_modular = no"]
    lines += [f"  load = {_PLUGINS.format(esp='kernel-netlink' if kernel else 'kernel-libipsec kernel-netlink')}"]
    lines += [f"  {key} = {value}" for key, value in _RETRANSMISSION.items()]
    # Routes into the tunnel are made with the mapping; see device.py for the table.
    lines += ["  install_routes = no", f"  routing_table = {UNUSED_TABLE}", "  plugins {"]
    lines += [f"    kernel-netlink {{ fwmark = {_UNUSED_MARK} }}", f"    vici {{ socket = unix://{socket} }}", "  }", "}"]
    return "\n".join(lines) + "\n"


def kernel_has_esp() -> bool:
    """Find out whether the kernel encrypts by itself: make an ESP state and an XFRM interface in a namespace that is thrown away."""
    probe = f"vmatrix-esp-{os.getpid()}"
    ends = ["src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "spi", "0x1000"]
    state = ["mode", "tunnel", "if_id", str(IF_ID), "aead", "rfc4106(gcm(aes))", "0x" + "00" * 20, "128"]
    run(["ip", "netns", "add", probe])
    try:
        steps = (["xfrm", "state", "add", *ends, *state], ["xfrm", "state", "delete", *ends], _interface())
        return all(run(["ip", "-n", probe, *step], check=False).returncode == 0 for step in steps)
    finally:
        run(["ip", "netns", "del", probe])


def add_interface(namespace: str | None) -> None:
    """Make the XFRM interface of a namespace."""
    run(["ip", *(["-n", namespace] if namespace else []), *_interface()])


def remove_interface(namespace: str | None) -> None:
    """Remove the XFRM interface of a namespace, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        run(["ip", *(["-n", namespace] if namespace else []), "link", "del", DEVICE], check=False)


def forget_states(namespace: str) -> None:
    """Remove from the kernel what a daemon that was killed has left in its namespace."""
    run(["ip", "-n", namespace, "xfrm", "policy", "flush"])
    run(["ip", "-n", namespace, "xfrm", "state", "flush"])


def _interface() -> list[str]:
    return ["link", "add", DEVICE, "type", "xfrm", "dev", "lo", "if_id", str(IF_ID)]


def _unit(domain: str) -> str:
    return f"vmatrix-charon@{domain}.service"
