# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two domains with the same guest address and MAC on the same RM: real frames flooded from one, and ears at all ports of the other."""

from __future__ import annotations

import concurrent.futures
import json
import shlex

import isolation
import pytest
from isolation import DESK, OTHER_SHOP, PORT, SHOP
from mesh_lab import CAPSULE, LAB, machine, until

PLACES = {
    SHOP: ("rm-east-1", "198.18.1.10"),
    OTHER_SHOP: ("rm-east-1", "198.18.1.11"),
    DESK: ("rm-east-2", "198.18.1.12"),
}
#: Tries all TCP ports of an address; prints those that are open and those that are refused.
SCANNER = """
import asyncio, json, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
answers = {"open": [], "refused": []}
async def work(ports):
    for port in ports:
        try:
            unused, writer = await asyncio.wait_for(asyncio.open_connection(sys.argv[1], port), 1.5)
        except ConnectionRefusedError:
            answers["refused"].append(port)
        except (OSError, asyncio.TimeoutError):
            continue
        else:
            answers["open"].append(port)
            writer.close()
async def main():
    ports = iter(range(1, 65536))
    await asyncio.gather(*(work(ports) for unused in range(5000)))
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


@pytest.fixture(scope="module")
def domains(mesh):
    """Both domains with their instances, and the stand-in."""
    other = {**CAPSULE, "capsule_import_domain": "example.org"}
    desk = {**machine("desk", 20), "capsule_import_domain": "example.org"}
    for rm, capsule in (("rm-east-1", other), ("rm-east-2", desk)):
        imported = mesh.play("capsule_import", rm=rm, **capsule)
        assert imported.ok, imported.output
    assert mesh.play("remove", instance=SHOP).ok, "an earlier test may have left it elsewhere"
    for instance, (rm, address) in PLACES.items():
        placed = mesh.play("place", instance=instance, capsule="1.0.0", to_hn="hn-east", to_rm=rm, public_address=address)
        assert placed.ok, placed.output
    mesh.shell("rm-east-1", isolation.plugged_in(PORT, vlan_of(mesh, SHOP), isolation.FLOODER, isolation.ADDRESS))
    yield mesh
    mesh.shell("rm-east-1", isolation.unplugged(PORT))
    for instance in PLACES:
        assert mesh.play("remove", instance=instance).ok


class Lab(isolation.Site):
    """The lab's eastern network, on Open vSwitch."""

    rm, gateway, desk_host = "rm-east-1", "gw-east", "rm-east-2"
    rm_addresses = ["10.81.0.11", "10.99.0.12"]
    ears = {"rm-east-1": "vm*|trunk*", "rm-east-2": "vm*|trunk*", "gw-east": "vr*|trunk*"}
    repeats = 40

    def __init__(self, mesh):
        self.mesh, self.vlan, self.other_vlan = mesh, vlan_of(mesh, SHOP), vlan_of(mesh, OTHER_SHOP)
        self.breaks = {
            "anti-spoofing": f"ovs-ofctl add-flow br-mesh priority=999,in_port={PORT},actions=normal",
            "tagging": f"ovs-vsctl set Port {PORT} tag={self.other_vlan}",
            "guard": "nft delete table arp guard-br-mesh",
        }

    def argv(self, host, *command):
        return ["ssh", "-F", str(LAB / "ssh_config"), host, shlex.join(command)]

    def switch(self, host):
        (found,) = self.mesh.module(host, "switch_info")["switches"]
        return found

    def settle(self):
        until(lambda: self.mesh.page(PLACES[SHOP][1], timeout=1), 60, "the shop is found again")


@pytest.fixture(scope="module")
def site(domains):
    return Lab(domains)


@pytest.fixture(scope="module")
def flood(site):
    """One flood with everything in place."""
    return isolation.Flood(site)


class TestOpenVSwitch(isolation.Isolation):
    """The tests that every switch has to pass."""


def vlan_of(mesh, instance):
    (found,) = mesh.module(PLACES[instance][0], "instance_info", name=instance)["instances"]
    return found["vlan"]


def test_both_domains_have_the_same_addresses_and_vlans_of_their_own(domains):
    pages = {instance: domains.page(address) for instance, (unused, address) in PLACES.items()}
    assert pages[SHOP]["address"] == pages[OTHER_SHOP]["address"]
    assert len({page["boot_id"] for page in pages.values()}) == 3
    assert vlan_of(domains, OTHER_SHOP) == vlan_of(domains, DESK) != vlan_of(domains, SHOP)


def test_a_guest_reaches_its_own_domain_only(domains):
    def inside(address):
        text = domains.ssh("rm-east-1", "ip", "netns", "exec", PORT, "curl", "-s", "-m", "3", f"http://{address}/cgi-bin/page", check=False)
        return json.loads(text)["boot_id"] if text else None

    # The guest may remember for some seconds what was forged while a safety was taken out.
    assert until(lambda: inside("192.168.1.10"), 30, "the neighbour answers") == domains.page(PLACES[SHOP][1])["boot_id"]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(inside, ("192.168.1.20", "10.81.0.11", "10.99.0.12", "169.254.76.1"))) == [None] * 4
    neighbours = (
        f"for n in $(seq 1 254); do (ip netns exec {PORT} timeout 1 bash -c \"echo > /dev/udp/192.168.1.$n/9\" 2>/dev/null || true) & done; wait; sleep 3; "
        f"ip -n {PORT} neigh show nud reachable nud stale nud delay nud probe | cut -d' ' -f1 | sort"
    )
    assert domains.shell("rm-east-1", neighbours).split() == ["192.168.1.1", "192.168.1.10"]


def test_of_all_ports_only_the_declared_one_answers(domains):
    def scan(client, instance, program):
        return json.loads(domains.ssh(client, "python3", "-c", program, PLACES[instance][1]))

    def answering(client, instance):
        """Return all TCP ports that answered, open or refused, in any scan; one that does not see the declared one saw too little, and is made again."""
        seen = {"open": set(), "refused": set()}

        def declared_is_seen():
            for how, ports in scan(client, instance, SCANNER).items():
                seen[how].update(ports)
            return 80 in seen["open"]

        until(declared_is_seen, 120, "a scan sees the declared port")
        return seen

    places = (("client-east", SHOP), ("client-west", OTHER_SHOP))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        over_tcp = pool.map(lambda place: answering(*place), places)
        over_udp = pool.map(lambda place: scan(*place, UDP_SCANNER), places)
        assert list(over_tcp) == [{"open": {80}, "refused": set()}] * 2
        assert list(over_udp) == [[]] * 2


def test_a_trunk_loses_the_vlan_with_its_last_guest(domains):
    vlan, carried = vlan_of(domains, DESK), "ovs-vsctl get Port trunk0 trunks"
    assert str(vlan) in domains.shell("rm-east-2", carried)
    assert domains.play("suspend", instance=DESK).ok
    assert str(vlan) not in domains.shell("rm-east-2", carried)
    assert domains.play("resume", instance=DESK).ok
    assert str(vlan) in domains.shell("rm-east-2", carried)
    until(lambda: domains.page(PLACES[DESK][1], timeout=1), 10, "it answers again")
