# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The port book of a switch: which ports are guarded, and as what each may speak.

It lies in C(/run), since ports do not outlive a reboot either.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import lock, read_json, write_json

DIRECTORY = "/run/vmatrix/switches"
LOCK_TIMEOUT = 30.0


class Guarded(t.NamedTuple):
    """A guarded access port.

    Attributes:
        port: its interface on this host.
        vlan: the VLAN that it belongs to, 1-4094.
        mac: the only MAC address that it speaks with.
        addresses: the IPv4 addresses that are its own, and that it answers ARP for.
        forwards: whether it also passes on packets of others, as a router does.
        fabric_address: the address by which everybody else knows it, if that is not its own: what passes the port is rewritten both ways. None otherwise.
    """

    port: str
    vlan: int
    mac: str
    addresses: tuple[str, ...]
    forwards: bool = False
    fabric_address: str | None = None

    @property
    def outer_mac(self) -> str:
        """The MAC address that everybody else sees."""
        return fabric_mac(self.fabric_address) if self.fabric_address else self.mac

    @property
    def outer_addresses(self) -> tuple[str, ...]:
        """The addresses that everybody else sees."""
        return (self.fabric_address,) if self.fabric_address else self.addresses


def fabric_mac(address: str) -> str:
    """Return the MAC address that goes with a fabric address.

    It follows from the address alone, so that no neighbour's ARP cache is ever wrong about it, whichever instance has it. It is locally administered
    (second lowest bit of the first byte), and neither libvirt's range (52:54:00) nor the routers' (02:76:6d) holds any such.
    """
    return ":".join(f"{byte:02x}" for byte in (0x06, 0x76, *ipaddress.IPv4Address(address).packed))


def checked(port: str, vlan: int, mac: str, addresses: t.Iterable[str], forwards: bool = False, fabric_address: str | None = None) -> Guarded:
    """Return the guarded port with these properties; addresses may carry a prefix length, which is dropped.

    A fabric address that is the port's own address is none.

    Raises:
        InvalidInput: one of them is invalid.
    """
    if not isinstance(port, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,14}", port):
        raise InvalidInput(f"{port!r} cannot name a port of the switch.")
    if not isinstance(vlan, int) or not 1 <= vlan <= 4094:
        raise InvalidInput(f"{vlan!r} is not a VLAN: it must be a number from 1 to 4094.")
    if not isinstance(mac, str) or not re.fullmatch(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", mac) or int(mac[:2], 16) & 1:
        raise InvalidInput(f"{mac!r} is not the MAC address of a host: it must look like '52:54:00:12:34:56'.")
    try:
        own = sorted({ipaddress.IPv4Interface(address).ip for address in addresses})
    except ValueError as exc:
        raise InvalidInput(f"The port {port} cannot own that address: {exc}.") from exc
    if not own:
        raise InvalidInput(f"The port {port} must own at least one address.")
    addresses = tuple(map(str, own))
    if fabric_address is None or addresses == (fabric_address,):
        return Guarded(port, vlan, mac, addresses, forwards)
    if forwards or len(addresses) > 1:
        raise InvalidInput(f"The port {port} cannot have a fabric address: only one with a single address of its own can.")
    try:
        return Guarded(port, vlan, mac, addresses, forwards, str(ipaddress.IPv4Address(fabric_address)))
    except ValueError as exc:
        raise InvalidInput(f"The port {port} cannot have that fabric address: {exc}.") from exc


def load(bridge: str) -> dict[str, Guarded]:
    """Return the guarded ports of *bridge* by name."""
    return {port: Guarded(**{**entry, "addresses": tuple(entry["addresses"])}) for port, entry in (read_json(_path(bridge)) or {}).items()}


def save(bridge: str, ports: t.Mapping[str, Guarded]) -> None:
    """Remember the guarded ports of *bridge*."""
    write_json(_path(bridge), {port: guarded._asdict() for port, guarded in ports.items()})


def forget(bridge: str) -> None:
    """Forget all ports of *bridge*, which is gone."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(bridge))


def locked(bridge: str) -> t.ContextManager[None]:
    """Hold the ports of *bridge* for oneself; raises Refused when somebody else keeps them for LOCK_TIMEOUT seconds."""
    os.makedirs(DIRECTORY, mode=0o755, exist_ok=True)
    return lock(os.path.join(DIRECTORY, f"{bridge}.lock"), f"the ports of the switch {bridge}", LOCK_TIMEOUT)


def _path(bridge: str) -> str:
    return os.path.join(DIRECTORY, f"{bridge}.json")
