# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Domains apart from each other, shown with real frames: the same tests for every kind of switch.

A site is what they run on: a guest of example.com and one of example.org with the same address and MAC on one RM, another one of
example.org elsewhere in the same HN, the routers of both domains, and a stand-in for a second guest of example.com, whose wire the tests
hold. All that is said from that wire is looked for at all ports.
"""

from __future__ import annotations

import abc
import shlex
import subprocess
import typing as t

from wire import EARS, MOUTH, Ear

from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.namespace import MAC as ROUTER
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.namespace import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import tap_name
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._switch import frames

SHOP, OTHER_SHOP, DESK = "shop-1.example.com", "shop-1.example.org", "desk-1.example.org"
#: The MAC of both shops.
GUEST = "52:54:00:c0:ff:ee"
#: The stand-in, attached and guarded as instances are.
PORT, FLOODER, ADDRESS = "vmflooder", "52:54:00:66:66:66", "192.168.1.66"
MARK = b"frame of the isolation test "
ENGINES = "PYTHONPATH=/usr/lib/vmatrix/engines.zip python3 -c "
SWITCH = "from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.switch import find; find('br-mesh')."


def guarded(port: str, vlan: int, mac: str, address: str) -> str:
    """Return the command that guards a port on an RM."""
    return ENGINES + shlex.quote(f"{SWITCH}guard_port('{port}', {vlan}, '{mac}', ['{address}'])")


def plugged_in(port: str, vlan: int, mac: str, address: str) -> str:
    """Return the script that makes a stand-in for a guest: a network namespace called as its port, with the wire of that in it."""
    return (
        f"set -e; ip netns add {port}; ip link add {port} type veth peer name wire0 netns {port}; sysctl -qw net.ipv6.conf.{port}.disable_ipv6=1;"
        f"ip link set {port} up; ip -n {port} link set wire0 address {mac} up; ip -n {port} addr add {address}/24 dev wire0;"
        f"ip -n {port} route add default via 192.168.1.1; ip netns exec {port} sysctl -qw net.ipv6.conf.wire0.disable_ipv6=1;"
        f"ip netns exec {port} ethtool -K wire0 tx off >/dev/null; {guarded(port, vlan, mac, address)}"
    )


def unplugged(port: str) -> str:
    """Return the script that removes a stand-in."""
    return ENGINES + shlex.quote(f"{SWITCH}remove_port('{port}')") + f"; ip link del {port}; ip netns del {port}"


class Site(abc.ABC):
    """A hosting network to look at.

    Attributes:
        rm: the host of the shops and of the stand-in.
        gateway: the host of the routers.
        desk_host: the host of the desk.
        rm_addresses: addresses of the RM itself, which guests must not reach.
        ears: the ports that are listened at, as a shell pattern, by host.
        vlan: the VLAN of example.com.
        other_vlan: the VLAN of example.org.
        repeats: how often each frame is sent.
        breaks: scripts that take something out on the RM: C(anti-spoofing), C(tagging), and C(guard) of the host.
    """

    rm: str
    gateway: str
    desk_host: str
    rm_addresses: list[str]
    ears: dict[str, str]
    vlan: int
    other_vlan: int
    repeats: int
    breaks: dict[str, str]

    @abc.abstractmethod
    def argv(self, host: str, *command: str) -> list[str]:
        """Return what runs a command on a host."""

    @abc.abstractmethod
    def switch(self, host: str) -> dict[str, t.Any]:
        """Return what M(vmatrix.mesh.switch_info) says of a host's only switch."""

    @abc.abstractmethod
    def settle(self) -> None:
        """Wait until the shop of example.com is reached again."""

    def shell(self, host: str, script: str) -> str:
        """Run a script on a host and return what it printed."""
        done = subprocess.run(self.argv(host, "bash", "-c", script), stdin=subprocess.DEVNULL, text=True, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def mend(self) -> None:
        """Set the switch of the RM up again."""
        self.shell(self.rm, f"{guarded(PORT, self.vlan, FLOODER, ADDRESS)} && systemctl restart vmatrix-switch-br-mesh")
        switch = self.switch(self.rm)
        assert switch["drift"] == [] and switch["guarded"]
        # What was forged while nobody guarded is believed for a while: the router asks anew, and the guest believes its request.
        self.shell(self.gateway, "ip -n router-example.com neigh flush dev guests")
        self.settle()


def marked(name, frame):
    """Give a frame a name that can be found in it, behind what its own protocol reads."""
    return frame.rstrip(b"\0").ljust(60, b"\0") + MARK + name.encode() + b"."


def forged():
    """What a guest of example.com must not get through to anybody."""
    good = {"source": FLOODER, "sender": ADDRESS}
    made = {
        "arp for the router": frames.arp(FLOODER, "192.168.1.1", "192.168.1.10"),
        "arp for a neighbour": frames.arp(FLOODER, "192.168.1.10", "192.168.1.1", operation=2),
        "arp from another mac": frames.arp(GUEST, ADDRESS, "192.168.1.1"),
        "arp with another mac inside": frames.arp(FLOODER, ADDRESS, "192.168.1.10", GUEST, claimed=ROUTER, operation=2),
        "ipv4 from another mac": frames.ipv4(GUEST, ADDRESS, ROUTER, "192.168.1.1"),
        "ipv4 from the router's mac": frames.ipv4(ROUTER, ADDRESS, GUEST, "192.168.1.10"),
        "ipv4 from another address": frames.ipv4(FLOODER, "192.168.1.10", ROUTER, "198.18.100.1"),
        "ipv4 from the world": frames.ipv4(FLOODER, "198.18.100.1", GUEST, "192.168.1.10"),
        "ipv4 broadcast": frames.ipv4(**good, target=frames.BROADCAST, receiver="255.255.255.255"),
        "ipv4 subnet broadcast": frames.ipv4(**good, target=frames.BROADCAST, receiver="192.168.1.255"),
        "ipv4 multicast": frames.ipv4(**good, target="01:00:5e:00:00:fb", receiver="224.0.0.251"),
        "dhcp server": frames.ipv4(**good, target=GUEST, receiver="192.168.1.10", ports=(67, 68)),
        "router advertisement": frames.ipv6(FLOODER, "33:33:00:00:00:01"),
        "ipv6 to a guest": frames.ipv6(FLOODER, GUEST, 128),
        "ipv6 to the router": frames.ipv6(FLOODER, ROUTER, 128),
        "spanning tree": frames.ethernet(FLOODER, "01:80:c2:00:00:00", 0x0026, b"\x42\x42\x03"),
        "pppoe": frames.ethernet(FLOODER, frames.BROADCAST, 0x8863, b"\x11\x09"),
    }
    for vlan in (0, 1, 100, 101, 102, 103, 4094, 4095):
        made[f"arp with tag {vlan}"] = frames.arp(FLOODER, ADDRESS, "192.168.1.10", tags=[(0x8100, vlan)])
        made[f"ipv4 with tag {vlan}"] = frames.ipv4(**good, target=GUEST, receiver="192.168.1.10", tags=[(0x8100, vlan)])
        made[f"ipv4 with service tag {vlan}"] = frames.ipv4(**good, target=GUEST, receiver="192.168.1.10", tags=[(0x88A8, vlan)])
        made[f"arp with two tags {vlan}"] = frames.arp(FLOODER, ADDRESS, "192.168.1.10", tags=[(0x8100, 100), (0x8100, vlan)])
    return {name: marked(name, frame) for name, frame in made.items()}


def honest(site):
    """What a guest may say; its own domain hears it, and nobody else."""
    made = {
        "arp request for the router": frames.arp(FLOODER, ADDRESS, "192.168.1.1"),
        "arp request for nobody": frames.arp(FLOODER, ADDRESS, "192.168.1.77"),
        "ipv4 to the router": frames.ipv4(FLOODER, ADDRESS, ROUTER, "192.168.1.1"),
        "ipv4 to a neighbour": frames.ipv4(FLOODER, ADDRESS, GUEST, "192.168.1.10"),
        "ipv4 to nobody": frames.ipv4(FLOODER, ADDRESS, "52:54:00:77:77:77", "192.168.1.77"),
    }
    for address in site.rm_addresses:
        made[f"arp request for the rm as {address}"] = frames.arp(FLOODER, ADDRESS, address)
        made[f"ipv4 to the rm as {address}"] = frames.ipv4(FLOODER, ADDRESS, ROUTER, address)
    return {name: marked(name, frame) for name, frame in made.items()}


class Flood:
    """What was heard where while everything was sent from the stand-in's wire."""

    def __init__(self, site: Site) -> None:
        self.site = site
        listen = ["python3", "-u", "-c", EARS]
        ears = {}
        for host, pattern in site.ears.items():
            found = site.shell(host, f"cd /sys/class/net; for one in *; do case $one in {PORT}) ;; {pattern}) echo $one ;; esac; done").split()
            ears[host] = Ear(site.argv(host, *listen, *found))
        ears["wire"] = Ear(site.argv(site.rm, "ip", "netns", "exec", PORT, *listen, "wire0"))
        lines = "\n".join(frame.hex() for frame in {**forged(), **honest(site)}.values())
        mouth = site.argv(site.rm, "ip", "netns", "exec", PORT, "python3", "-c", MOUTH, "wire0", str(site.repeats))
        done = subprocess.run(mouth, input=lines, text=True, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        self.by_port: dict[str, dict[str, int]] = {}
        self.answers: list[bytes] = []
        for host, ear in ears.items():
            for interface, direction, frame, count in ear.heard():
                if host == "wire":
                    self.answers += [frame] if direction != 4 else []
                elif MARK in frame:
                    name = frame.split(MARK)[1].split(b".")[0].decode()
                    at = self.by_port.setdefault(f"{host} {interface}", {})
                    at[name] = at.get(name, 0) + count

    def at(self, *ports: str) -> dict[str, int]:
        """Return the names of frames that were heard at these ports, and how often."""
        return {name: count for port in ports for name, count in self.by_port.get(port, {}).items()}

    @property
    def at_router(self) -> dict[str, int]:
        """What was heard at the stand-in's own router."""
        return self.at(f"{self.site.gateway} {names('example.com').port}")

    @property
    def at_neighbour(self) -> dict[str, int]:
        """What was heard at the guest of its own domain."""
        return self.at(f"{self.site.rm} {tap_name(SHOP)}")

    @property
    def across(self) -> dict[str, int]:
        """What was heard at ports of the other domain."""
        here = f"{self.site.rm} {tap_name(OTHER_SHOP)}", f"{self.site.desk_host} {tap_name(DESK)}"
        return self.at(*here, f"{self.site.gateway} {names('example.org').port}")

    @property
    def passed(self) -> dict[str, int]:
        """What was heard anywhere although it was forged."""
        return {name: count for name, count in self.at(*self.by_port).items() if name in forged()}

    @property
    def from_host(self) -> list[bytes]:
        """What came back to the sender's wire that is neither from its router nor from its neighbour."""
        return [frame for frame in self.answers if frame[6:12] not in (frames.mac(ROUTER), frames.mac(GUEST))]


def without(site: Site, what: str) -> Flood:
    """Flood while something is taken out; then set the switch up again."""
    site.shell(site.rm, site.breaks[what])
    try:
        return Flood(site)
    finally:
        site.mend()


class Isolation:
    """The tests. Who inherits them has a fixture C(site), and C(flood), which is one flood with everything in place."""

    def test_the_ears_hear(self, flood: Flood) -> None:
        """Without this, silence would prove nothing."""
        assert {"arp request for the router", "ipv4 to the router", "arp request for nobody"} <= set(flood.at_router)
        assert set(flood.at_neighbour) == {"ipv4 to a neighbour"}
        assert min(flood.at_router.values()) >= flood.site.repeats / 2

    def test_no_frame_crosses_to_the_other_domain(self, flood: Flood) -> None:
        assert flood.across == {}

    def test_nothing_forged_gets_anywhere(self, flood: Flood) -> None:
        assert flood.passed == {}

    def test_the_host_neither_hears_nor_answers_guests(self, flood: Flood) -> None:
        assert flood.from_host == []

    def test_only_the_vlans_in_use_are_on_the_trunks(self, site: Site) -> None:
        both = sorted({site.vlan, site.other_vlan})
        wanted = {site.desk_host: [site.other_vlan], site.rm: both, site.gateway: both}
        for host, vlans in wanted.items():
            switch = site.switch(host)
            assert (switch["vlans"], switch["drift"], switch["guarded"]) == (vlans, [], True)

    def test_missing_anti_spoofing_would_be_seen(self, site: Site) -> None:
        assert without(site, "anti-spoofing").passed

    def test_missing_tagging_would_be_seen(self, site: Site) -> None:
        """The stand-in in the VLAN of the other domain."""
        assert without(site, "tagging").across

    def test_a_missing_guard_of_the_host_would_be_seen(self, site: Site) -> None:
        assert without(site, "guard").from_host
