# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stand-ins for guests on the lab: addresses in a network namespace of an RM, behind a guarded port of its switch; and sixty that are slow."""

from __future__ import annotations

import contextlib
import shlex
import typing as t

from mesh_lab import Mesh

GATEWAY, ROUTER = "gw-east", "192.168.1.1"
SWITCH = "from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.switch import find; find('br-mesh')."

#: The domain of those that are slow, and where they are.
SLOW, SLOW_RM, SLOW_VLAN, SLOW_MAC = "slow.example", "rm-east-1", 3997, "52:54:00:be:be:60"
SLOW_ADDRESSES = [f"192.168.1.{number}" for number in range(100, 160)]
#: Asked more often than one can answer, and for so long that an attempt is always under way at each.
SLOW_BALANCE = {"check": "http", "check_interval": 0.5, "check_timeout": 2}
#: A third of them answer in drops, a third accept and say nothing, and a third never accept: the kernel keeps one connection for each of these, and is silent.
SLOW_SERVER = """
import asyncio, socket, sys
async def trickle(reader, writer):
    while not reader.at_eof() and not writer.is_closing():
        writer.write(b"H")
        await asyncio.sleep(0.2)
async def say_nothing(reader, writer):
    await reader.read()
    writer.close()
async def main():
    kept = []
    for number, address in enumerate(sys.argv[1:]):
        if number % 3 == 2:
            kept.append(socket.create_server((address, 80), backlog=0))
        else:
            kept.append(await asyncio.start_server((trickle, say_nothing)[number % 3], address, 80))
    await asyncio.Event().wait()
asyncio.run(main())
"""


def on_switch(call: str) -> str:
    """Return the command that calls the engine of a host's switch."""
    return f"PYTHONPATH=/usr/lib/vmatrix/engines.zip python3 -c {shlex.quote(SWITCH + call)}"


@contextlib.contextmanager
def stand_ins(mesh: Mesh, rm: str, name: str, vlan: int, mac: str, addresses: t.Sequence[str]) -> t.Iterator[None]:
    """Have addresses in a VLAN of an RM's hosting network, all of one interface in a network namespace.

    Args:
        name: that of the namespace, at most ten characters.
    """
    port, added = f"v{name}", "".join(f"ip -n {name} addr add {address}/24 dev eth0;" for address in addresses)
    mesh.shell(
        rm,
        f"ip netns add {name}; ip link add {port} type veth peer name eth0 netns {name}; ip link set {port} up; ip -n {name} link set lo up;"
        f"ip -n {name} link set eth0 address {mac} up; {added} ip -n {name} route add default via {ROUTER};"
        f"ip netns exec {name} ethtool -K eth0 tx off tso off gso off >/dev/null; " + on_switch(f"guard_port({port!r}, {vlan}, {mac!r}, {list(addresses)!r})"),
    )
    try:
        yield
    finally:
        mesh.shell(rm, on_switch(f"remove_port({port!r})") + f"; ip link del {port}; ip netns del {name}")


@contextlib.contextmanager
def slow_guests(mesh: Mesh) -> t.Iterator[None]:
    """Have sixty web servers that are slow or silent in a domain of their own; nobody asks them yet."""
    with stand_ins(mesh, SLOW_RM, "slow", SLOW_VLAN, SLOW_MAC, SLOW_ADDRESSES):
        server = shlex.join(["python3", "-c", SLOW_SERVER, *SLOW_ADDRESSES])
        mesh.shell(SLOW_RM, f"systemd-run --quiet --collect --unit=slow-guests ip netns exec slow {server}")
        try:
            yield
        finally:
            mesh.shell(SLOW_RM, "systemctl stop slow-guests")


@contextlib.contextmanager
def slow_members(mesh: Mesh) -> t.Iterator[None]:
    """Have the gateway ask all sixty whether they are alive, all the time."""
    members = [{"instance": f"web-{number}.{SLOW}", "address": address} for number, address in enumerate(SLOW_ADDRESSES, 1)]
    ports = [{"protocol": "tcp", "port": 80}]
    service = {"name": "web", "public_address": "198.18.1.14", "ports": ports, "balance": SLOW_BALANCE, "members": members}
    made = mesh.module(GATEWAY, "domain_router", domain=SLOW, vlan=SLOW_VLAN, generation=1, gateways=[f"{ROUTER}/24"], services=[service])
    assert "exception" not in made, made["msg"]
    try:
        yield
    finally:
        mesh.module(GATEWAY, "domain_router", domain=SLOW, state="absent")
