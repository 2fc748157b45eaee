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
    """

    port: str
    vlan: int
    mac: str
    addresses: tuple[str, ...]
    forwards: bool = False


def checked(port: str, vlan: int, mac: str, addresses: t.Iterable[str], forwards: bool = False) -> Guarded:
    """Return the guarded port with these properties; addresses may carry a prefix length, which is dropped.

    Raises:
        InvalidInput: one of them cannot be meant.
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
    return Guarded(port, vlan, mac, tuple(map(str, own)), forwards)


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
