# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts of the molecule scenario qemu, which its verify step runs these tests on, with stand-ins for guests."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time

import isolation
import pytest
from isolation import DESK, GUEST, OTHER_SHOP, SHOP

from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import tap_name

LAB = os.environ.get("VMATRIX_LAB_NAME", "vmatrix-lab")
INSIDE = ["nsenter", f"--net=/run/netns/{LAB}"]
ADDRESSES = {"gw-vm": "10.99.0.61", "rm-vm": "10.99.0.62", "owner-vm": "10.99.0.63"}
#: As the scenario's inventory has them.
VLAN, OTHER_VLAN = 101, 102
PUBLIC = {SHOP: "198.18.61.10", OTHER_SHOP: "198.18.61.11"}
#: The stand-ins: host, VLAN, MAC, address.
GUESTS = {
    SHOP: ("rm-vm", VLAN, GUEST, "192.168.1.10"),
    OTHER_SHOP: ("rm-vm", OTHER_VLAN, GUEST, "192.168.1.10"),
    DESK: ("gw-vm", OTHER_VLAN, "52:54:00:c0:ff:20", "192.168.1.20"),
}


class Vms(isolation.Site):
    """The hosting network of virtual machines, on Linux bridges. Its gateway is the desk's host, too."""

    rm, gateway, desk_host = "rm-vm", "gw-vm", "gw-vm"
    rm_addresses = ["10.99.0.62"]
    ears = {"rm-vm": "vm*|trunk*", "gw-vm": "vm*|vr*|trunk*"}
    vlan, other_vlan = VLAN, OTHER_VLAN
    repeats = 10
    breaks = {
        "anti-spoofing": f"nft insert rule bridge ports-br-mesh speak iifname {isolation.PORT} accept",
        "tagging": f"bridge vlan del dev {isolation.PORT} vid {VLAN}; bridge vlan add dev {isolation.PORT} vid {OTHER_VLAN} pvid untagged",
        # The kernel's bridge does not hand guests' frames to the host unless the host itself is in their VLAN.
        "guard": f"nft delete table arp guard-br-mesh; bridge vlan add dev br-mesh vid {VLAN} pvid untagged self",
    }

    def argv(self, host, *command):
        options = {
            "UserKnownHostsFile": f"/var/lib/{LAB}/ssh/known_hosts_vms",
            "ProxyCommand": shlex.join([*INSIDE, "nc", "%h", "%p"]),
            "ControlMaster": "auto",
            "ControlPersist": "60",
            "ControlPath": f"/run/{LAB}/vms-%h",
        }
        flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "none", "-i", f"/var/lib/{LAB}/ssh/id_ed25519", *flags, f"root@{ADDRESSES[host]}", shlex.join(command)]

    def switch(self, host):
        look = "import json; from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import switch; print(json.dumps(switch.look('br-mesh')))"
        return json.loads(self.shell(host, isolation.ENGINES + shlex.quote(look)))

    def settle(self):
        end = time.monotonic() + 60
        while not called(PUBLIC[SHOP]):
            assert time.monotonic() < end, "the shop was not found again within 60 s"


def called(address):
    """Return what answers at an address of the internet, or None."""
    done = subprocess.run([*INSIDE, "curl", "-s", "-m", "2", f"http://{address}/"], text=True, capture_output=True, timeout=10, check=False)
    return done.stdout.strip() or None


@pytest.fixture(scope="session")
def site():
    """The hosts, with all stand-ins in place and two of them answering."""
    made = Vms()
    for instance, (host, vlan, mac, address) in GUESTS.items():
        port = tap_name(instance)
        made.shell(host, isolation.plugged_in(port, vlan, mac, address))
        made.shell(host, f"systemd-run --quiet --unit=greeter-{port} ip netns exec {port} python3 /usr/local/bin/greeter 80 {instance}")
    made.shell(made.rm, isolation.plugged_in(isolation.PORT, VLAN, isolation.FLOODER, isolation.ADDRESS))
    yield made
    for host, port in [(made.rm, isolation.PORT), *((guest[0], tap_name(instance)) for instance, guest in GUESTS.items())]:
        made.shell(host, f"systemctl stop greeter-{port} 2>/dev/null; {isolation.unplugged(port)}")


@pytest.fixture(scope="session")
def flood(site):
    """One flood with everything in place."""
    site.settle()
    return isolation.Flood(site)
