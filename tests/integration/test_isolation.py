# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two domains with the same guest address and MAC on the same RM: real frames flooded from one, and ears at all ports of the other."""

from __future__ import annotations

import json
import shlex
import subprocess
import time

import pytest
from mesh_lab import CAPSULE, ROOT, SHOP, until

from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.namespace import MAC as ROUTER
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.namespace import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import tap_name
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._switch import frames

#: Beside the shop: one with the same address and MAC on the same RM, and a guest of its domain on another RM.
OTHER_SHOP, DESK = "shop-1.example.org", "desk-1.example.org"
PLACES = {
    SHOP: ("rm-east-1", "198.18.1.10"),
    OTHER_SHOP: ("rm-east-1", "198.18.1.11"),
    DESK: ("rm-east-2", "198.18.1.12"),
}
GUEST = CAPSULE["capsule_import_guest"]["mac"]
#: A stand-in for a second guest of example.com, attached and guarded as instances are, whose wire this test holds.
PORT, FLOODER, ADDRESS = "vmflooder", "52:54:00:66:66:66", "192.168.1.66"
MARK = b"frame of the isolation test "
REPEATS = 40
ENGINES = "PYTHONPATH=/usr/lib/vmatrix/engines.zip python3 -c "
SWITCH = "from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.switch import find; find('br-mesh')."

#: Sends each frame (a line of hex) from an interface.
MOUTH = """
import socket, sys, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((sys.argv[1], 0))
sent = [bytes.fromhex(line) for line in sys.stdin.read().split()]
for frame in sent * int(sys.argv[2]):
    wire.send(frame)
    # A switch in user space loses what comes too fast.
    time.sleep(0.001)
"""
#: Says "ready", listens on interfaces until its input ends, and prints [interface, hex of the frame] of each one that it heard.
EARS = """
import json, select, socket, sys, time
wires = {}
for name in sys.argv[1:]:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.setsockopt(socket.SOL_SOCKET, 33, 1 << 25)
    wire.bind((name, 0))
    wires[wire] = name
print("ready", flush=True)
heard, end = {}, None
while end is None or time.monotonic() < end:
    for one in select.select([sys.stdin] * (end is None) + list(wires), [], [], 0.2)[0]:
        if one is sys.stdin:
            end = time.monotonic() + 1
            continue
        frame, sender = one.recvfrom(2048)
        key = wires[one], sender[2], frame.hex()
        heard[key] = heard.get(key, 0) + 1
print(json.dumps([[*key, count] for key, count in heard.items()]))
"""
#: Tries all TCP ports of an address; prints those that are open and those that are refused.
SCANNER = """
import asyncio, json, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
answers = {"open": [], "refused": []}
async def work(ports):
    for port in ports:
        try:
            unused, writer = await asyncio.wait_for(asyncio.open_connection(sys.argv[1], port), 0.5)
        except ConnectionRefusedError:
            answers["refused"].append(port)
        except (OSError, asyncio.TimeoutError):
            continue
        else:
            answers["open"].append(port)
            writer.close()
async def main():
    ports = iter(range(1, 65536))
    await asyncio.gather(*(work(ports) for unused in range(1500)))
asyncio.run(main())
print(json.dumps(answers))
"""
UDP_SCANNER = """
import json, socket, sys
answers = []
for port in (7, 19, 53, 67, 68, 69, 80, 111, 123, 137, 161, 389, 443, 500, 514, 520, 623, 1194, 1701, 1900, 4500, 4789, 5353, 6081, 11211, 33434):
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asking.settimeout(0.3)
    asking.connect((sys.argv[1], port))
    try:
        asking.send(b"\\0" * 24)
        asking.recv(100)
        answers.append(port)
    except OSError:
        pass
print(json.dumps(answers))
"""


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


def honest():
    """What a guest may say; its own domain hears it, and nobody else."""
    made = {
        "arp request for the router": frames.arp(FLOODER, ADDRESS, "192.168.1.1"),
        "arp request for nobody": frames.arp(FLOODER, ADDRESS, "192.168.1.77"),
        "arp request for the rm": frames.arp(FLOODER, ADDRESS, "10.81.0.11"),
        "arp request for the rm's management": frames.arp(FLOODER, ADDRESS, "10.99.0.12"),
        "ipv4 to the router": frames.ipv4(FLOODER, ADDRESS, ROUTER, "192.168.1.1"),
        "ipv4 to a neighbour": frames.ipv4(FLOODER, ADDRESS, GUEST, "192.168.1.10"),
        "ipv4 to nobody": frames.ipv4(FLOODER, ADDRESS, "52:54:00:77:77:77", "192.168.1.77"),
        "ipv4 to the rm": frames.ipv4(FLOODER, ADDRESS, ROUTER, "10.81.0.11"),
    }
    return {name: marked(name, frame) for name, frame in made.items()}


class Flood:
    """What was heard where while everything was sent from the stand-in's wire."""

    def __init__(self, mesh):
        hosts = {"rm-east-1": "vm*|trunk*", "rm-east-2": "vm*|trunk*", "gw-east": "vr*|trunk*"}
        ears = {}
        for host, pattern in hosts.items():
            found = mesh.shell(host, f"cd /sys/class/net; for one in *; do case $one in {PORT}) ;; {pattern}) echo $one ;; esac; done").split()
            ears[host] = self._listen(host, ["python3", "-u", "-c", EARS, *found])
        ears["wire"] = self._listen("rm-east-1", ["ip", "netns", "exec", PORT, "python3", "-u", "-c", EARS, "wire0"])
        lines = "\n".join(frame.hex() for frame in {**forged(), **honest()}.values())
        mouth = ["ip", "netns", "exec", PORT, "python3", "-c", MOUTH, "wire0", str(REPEATS)]
        done = subprocess.run(self._ssh("rm-east-1", mouth), input=lines, text=True, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        self.heard: dict[str, dict[str, int]] = {}
        self.answers: list[bytes] = []
        for host, ear in ears.items():
            for interface, direction, text, count in json.loads(ear.communicate(timeout=60)[0]):
                frame = bytes.fromhex(text)
                if host == "wire":
                    # 4: what was sent from here itself.
                    self.answers += [frame] if direction != 4 else []
                elif MARK in frame:
                    name = frame.split(MARK)[1].split(b".")[0].decode()
                    at = self.heard.setdefault(f"{host} {interface}", {})
                    at[name] = at.get(name, 0) + count

    @staticmethod
    def _ssh(host, argv):
        return ["ssh", "-F", str(ROOT / ".lab" / "ssh_config"), host, shlex.join(argv)]

    def _listen(self, host, argv):
        ear = subprocess.Popen(self._ssh(host, argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert ear.stdout.readline().strip() == "ready"
        return ear

    def at(self, *ports):
        """Return the names of frames that were heard at these ports."""
        return {name: count for port in ports for name, count in self.heard.get(port, {}).items()}

    @property
    def across(self):
        """What was heard at ports of the other domain."""
        return self.at(f"rm-east-1 {tap_name(OTHER_SHOP)}", f"rm-east-2 {tap_name(DESK)}", f"gw-east {names('example.org').port}")

    @property
    def passed(self):
        """What was heard anywhere although it was forged."""
        return {name: count for name, count in self.at(*self.heard).items() if name in forged()}

    @property
    def from_host(self):
        """What came back to the sender's wire that is neither from its router nor from its neighbour."""
        return [frame for frame in self.answers if frame[6:12] not in (frames.mac(ROUTER), frames.mac(GUEST))]


@pytest.fixture(scope="module")
def domains(mesh):
    """Both domains with their instances, and the stand-in."""
    other = {**CAPSULE, "capsule_import_domain": "example.org"}
    desk = {
        **other,
        "capsule_import_name": "desk",
        "capsule_import_guest": {"address": "192.168.1.20/24", "gateway": "192.168.1.1", "mac": "52:54:00:c0:ff:20"},
        "capsule_import_boot": {
            **CAPSULE["capsule_import_boot"],
            "cmdline": "console=ttyS0 quiet vmx.address=192.168.1.20/24 vmx.gateway=192.168.1.1 vmx.hostname=desk",
        },
    }
    for rm, capsule in (("rm-east-1", other), ("rm-east-2", desk)):
        imported = mesh.play("capsule_import", rm=rm, **capsule)
        assert imported.ok, imported.output
    for instance, (rm, address) in PLACES.items():
        placed = mesh.play("place", instance=instance, capsule="1.0.0", to_hn="hn-east", to_rm=rm, public_address=address)
        assert placed.ok, placed.output
    vlan = vlan_of(mesh, SHOP)
    mesh.shell(
        "rm-east-1",
        f"ip netns add {PORT}; ip link add {PORT} type veth peer name wire0 netns {PORT};"
        f"sysctl -qw net.ipv6.conf.{PORT}.disable_ipv6=1; ip link set {PORT} up;"
        f"ip -n {PORT} link set wire0 address {FLOODER} up; ip -n {PORT} addr add {ADDRESS}/24 dev wire0; ip -n {PORT} route add default via 192.168.1.1;"
        f"ip netns exec {PORT} sysctl -qw net.ipv6.conf.wire0.disable_ipv6=1; ip netns exec {PORT} ethtool -K wire0 tx off >/dev/null;"
        + ENGINES + shlex.quote(f"{SWITCH}guard_port('{PORT}', {vlan}, '{FLOODER}', ['{ADDRESS}'])"),
    )
    yield mesh
    mesh.shell("rm-east-1", ENGINES + shlex.quote(f"{SWITCH}remove_port('{PORT}')") + f"; ip link del {PORT}; ip netns del {PORT}")
    for instance in PLACES:
        assert mesh.play("remove", instance=instance).ok


@pytest.fixture(scope="module")
def flood(domains):
    """One flood with everything in place."""
    return Flood(domains)


def vlan_of(mesh, instance):
    (found,) = mesh.module(PLACES[instance][0], "instance_info", name=instance)["instances"]
    return found["vlan"]


def test_both_domains_have_the_same_addresses_and_vlans_of_their_own(domains):
    pages = {instance: domains.page(address) for instance, (unused, address) in PLACES.items()}
    assert pages[SHOP]["address"] == pages[OTHER_SHOP]["address"]
    assert len({page["boot_id"] for page in pages.values()}) == 3
    assert vlan_of(domains, OTHER_SHOP) == vlan_of(domains, DESK) != vlan_of(domains, SHOP)


def test_the_ears_hear(flood):
    """Without this, silence would prove nothing."""
    assert {"arp request for the router", "ipv4 to the router", "arp request for nobody"} <= set(flood.at(f"gw-east {names('example.com').port}"))
    assert set(flood.at(f"rm-east-1 {tap_name(SHOP)}")) == {"ipv4 to a neighbour"}
    assert min(flood.at(f"gw-east {names('example.com').port}").values()) >= REPEATS / 2


def test_no_frame_crosses_to_the_other_domain(flood):
    assert flood.across == {}


def test_nothing_forged_gets_anywhere(flood):
    assert flood.passed == {}


def test_only_the_vlans_in_use_are_on_the_trunks(domains):
    both, other = sorted({vlan_of(domains, SHOP), vlan_of(domains, DESK)}), [vlan_of(domains, DESK)]
    for host, vlans in (("rm-east-1", both), ("rm-east-2", other), ("gw-east", both)):
        (switch,) = domains.module(host, "switch_info")["switches"]
        assert (switch["vlans"], switch["drift"], switch["guarded"]) == (vlans, [], True)


def test_the_host_neither_hears_nor_answers_guests(flood):
    assert flood.from_host == []


def without(domains, break_it, host="rm-east-1"):
    """Flood while something is taken out; then set the switch up again."""
    domains.shell(host, break_it)
    try:
        return Flood(domains)
    finally:
        vlan = vlan_of(domains, SHOP)
        domains.shell("rm-east-1", ENGINES + shlex.quote(f"{SWITCH}guard_port('{PORT}', {vlan}, '{FLOODER}', ['{ADDRESS}'])"))
        domains.shell("rm-east-1", "systemctl restart vmatrix-switch-br-mesh")
        (switch,) = domains.module("rm-east-1", "switch_info")["switches"]
        assert switch["drift"] == [] and switch["guarded"]
        # What was forged while nobody guarded is believed for a while: the router asks anew, and the guest believes its request.
        domains.shell("gw-east", "ip -n router-example.com neigh flush dev guests")
        until(lambda: domains.page(PLACES[SHOP][1], timeout=1), 60, "the shop is found again")


def test_missing_anti_spoofing_would_be_seen(domains):
    assert without(domains, f"ovs-ofctl add-flow br-mesh priority=999,in_port={PORT},actions=normal").passed


def test_missing_tagging_would_be_seen(domains):
    """Guest and trunk in no VLAN, or in that of the other domain."""
    other = vlan_of(domains, OTHER_SHOP)
    assert without(domains, f"ovs-vsctl set Port {PORT} tag={other}").across


def test_a_missing_guard_of_the_host_would_be_seen(domains):
    assert without(domains, "nft delete table arp guard-br-mesh").from_host


def test_a_guest_reaches_its_own_domain_only(domains):
    def inside(address):
        text = domains.ssh("rm-east-1", "ip", "netns", "exec", PORT, "curl", "-s", "-m", "3", f"http://{address}/cgi-bin/page", check=False)
        return json.loads(text)["boot_id"] if text else None

    assert inside("192.168.1.10") == domains.page(PLACES[SHOP][1])["boot_id"]
    for address in ("192.168.1.20", "10.81.0.11", "10.99.0.12", "169.254.76.1"):
        assert inside(address) is None
    neighbours = (
        f"for n in $(seq 1 254); do (ip netns exec {PORT} timeout 1 bash -c \"echo > /dev/udp/192.168.1.$n/9\" 2>/dev/null || true) & done; wait; sleep 3; "
        f"ip -n {PORT} neigh show nud reachable nud stale nud delay nud probe | cut -d' ' -f1 | sort"
    )
    assert domains.shell("rm-east-1", neighbours).split() == ["192.168.1.1", "192.168.1.10"]


@pytest.mark.parametrize("instance", [SHOP, OTHER_SHOP])
def test_of_all_ports_only_the_declared_one_answers(domains, instance):
    began = time.monotonic()
    address = PLACES[instance][1]
    answers = json.loads(domains.ssh("client-east", "python3", "-c", SCANNER, address))
    assert answers == {"open": [80], "refused": []}
    assert json.loads(domains.ssh("client-east", "python3", "-c", UDP_SCANNER, address)) == []
    assert time.monotonic() - began < 110


def test_a_trunk_loses_the_vlan_with_its_last_guest(domains):
    vlan, carried = vlan_of(domains, DESK), "ovs-vsctl get Port trunk0 trunks"
    assert str(vlan) in domains.shell("rm-east-2", carried)
    assert domains.play("suspend", instance=DESK).ok
    assert str(vlan) not in domains.shell("rm-east-2", carried)
    assert domains.play("resume", instance=DESK).ok
    assert str(vlan) in domains.shell("rm-east-2", carried)
    until(lambda: domains.page(PLACES[DESK][1], timeout=1), 10, "it answers again")
