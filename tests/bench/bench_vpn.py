# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tunnels: throughput against the bare link and against strongSwan set up by hand, start to the first row of the back-end, recovery of a killed peer."""

from __future__ import annotations

import contextlib
import pathlib
import shlex
import subprocess
import sys
import time
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

import yaml  # noqa: E402
from figures import Figures, rounds  # noqa: E402
from listener import Listener  # noqa: E402
from mesh_lab import LAB, ROOT, Mesh, until  # noqa: E402

STORE, EAST, RM = "store-1.example.com", "198.18.1.30", "rm-east-1"
CAPSULE = yaml.safe_load((ROOT / "playbooks" / "vars" / "store.yml").read_text(encoding="utf-8"))
#: Calls the engine as the module does, and prints when it began.
ENGINE = """
import sys, time
sys.path.insert(0, "/usr/lib/vmatrix/engines.zip")
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.host import this_host
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.instance import Wanted, ensure
name, state, epoch = sys.argv[1:]
began = time.time()
ensure(this_host(), Wanted(name=name, state=state, epoch=int(epoch), capsule=None, vlan=None, record=None, timeout=60, stop_timeout=0, stop_force=True), False)
print(began)
"""
#: Where throughput is measured: a stand-in for a guest on the gateway's switch, and a sink in the other owner's intranet.
GATEWAY, OWNER, DOMAIN, PUBLIC, PEER = "gw-west", "other-owner", "example.org", "198.18.2.40", "198.18.0.5"
GUEST, INTRANET, BACKEND, PORT, VLAN, MAC = "192.168.1.66", "172.21.162.18", "172.21.162.10", 5001, 3999, "52:54:00:be:be:be"
SERVICE = {
    "name": "store",
    "public_address": PUBLIC,
    "ports": [{"protocol": "tcp", "port": 80}],
    "members": [],
    "mappings": [{"instance": f"store-4.{DOMAIN}", "fabric_address": GUEST, "intranet_address": INTRANET}],
}
SWITCH = "from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.switch import find; find('br-mesh')."
#: Takes what comes and says how much that was, so that the other end knows that all of it arrived.
SINK = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    one, total = server.accept()[0], 0
    while data := one.recv(1 << 20):
        total += len(data)
    one.sendall(str(total).encode())
    one.close()
"""
#: Sends for some seconds and prints Mbit/s.
SOURCE = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as one:
    block, began = bytes(1 << 18), time.monotonic()
    while time.monotonic() < began + 3:
        one.sendall(block)
    one.shutdown(socket.SHUT_WR)
    print(int(one.makefile().read()) * 8 / 1e6 / (time.monotonic() - began))
"""
#: What an administrator would write, with the same algorithms; Debian's own plugin settings.
HAND = """
charon-systemd {{
  load_modular = yes
  plugins {{
    include /etc/strongswan.d/charon/*.conf
    kernel-libipsec {{ load = {user_space} }}
    vici {{ socket = unix:///run/hand.vici }}
  }}
}}
"""
HAND_CONNECTION = """
connections {{ hand {{
  version = 2
  proposals = aes128gcm16-prfsha256-ecp256
  local_addrs = {here}
  remote_addrs = {there}
  mobike = no
  local {{ auth = psk
    id = {here} }}
  remote {{ auth = psk
    id = {there} }}
  children {{ hand {{
    local_ts = {local}
    remote_ts = {remote}
    esp_proposals = aes128gcm16-ecp256
  }} }}
}} }}
secrets {{ ike {{ secret = bench }} }}
"""


def on_switch(call: str) -> str:
    """Return the command that calls the engine of a host's switch."""
    return f"PYTHONPATH=/usr/lib/vmatrix/engines.zip python3 -c {shlex.quote(SWITCH + call)}"


def start_to_row(mesh: Mesh, figures: Figures, count: int) -> None:
    """From the start of an instance to the first answer of the guest, and to the first row of its back-end."""
    placed = mesh.play("place", instance=STORE, capsule="1.0.0", to_hn="hn-east", to_rm=RM, public_address=EAST)
    assert placed.ok, placed.output
    epoch = str(placed.answer("reserve")["records"][0]["epoch"])
    with Listener(EAST, patience=1) as pages, Listener(EAST, path="/cgi-bin/row", patience=1) as rows:
        for unused in range(count):
            mesh.ssh(RM, "python3", "-c", ENGINE, STORE, "stopped", epoch)
            began = float(mesh.ssh(RM, "python3", "-c", ENGINE, STORE, "running", epoch))
            figures.add("start to the first page", pages.first_after(began))
            figures.add("start to the first row of the back-end", rows.first_after(began))


def recovery(mesh: Mesh, figures: Figures, count: int) -> None:
    """From the kill of the owner's IKE daemon to the next row."""
    unit = "vmatrix-charon@example.com"
    with Listener(EAST, path="/cgi-bin/row", patience=1) as rows:
        for unused in range(count):
            rows.first_after(time.time())
            killed = float(mesh.shell("owner-gw", f"kill -KILL $(systemctl show -P MainPID {unit}); date +%s.%N"))
            # What was under way may still be answered.
            figures.add("killed peer to the next row of the back-end", rows.first_after(killed + 0.5) + 0.5)


@contextlib.contextmanager
def sink(mesh: Mesh, host: str, namespace: str | None, address: str) -> t.Iterator[None]:
    """Listen at an address of a host, in one of its network namespaces."""
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    argv = ["ssh", "-F", str(LAB / "ssh_config"), "-tt", host, shlex.join([*inside, "python3", "-u", "-c", SINK, address, str(PORT)])]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline().strip() == "ready"
        try:
            yield
        finally:
            process.terminate()


def rate(mesh: Mesh, address: str, namespace: str | None = None) -> float:
    """Return the Mbit/s from the gateway, or a namespace of it, to a sink."""
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    return float(mesh.ssh(GATEWAY, *inside, "python3", "-c", SOURCE, address, str(PORT)))


@contextlib.contextmanager
def stand_in(mesh: Mesh) -> t.Iterator[None]:
    """A router of the other domain with a tunnel, made by the modules, and a stand-in for a guest behind it."""
    reader = mesh.module(GATEWAY, "vpn_wrapping_key")["fingerprint"]
    call = {"call": "unpack_tunnel", "arguments": {"domain": DOMAIN, "name": "store", "version": "1.0.0", "reader": reader}}
    parcel = mesh.module(RM, "stage", calls=[call])["answers"]["unpack_tunnel"]["result"]["tunnel"]
    parcel["backends"] = [{"address": BACKEND, "ports": [{"protocol": "tcp", "port": PORT}]}]
    document = {"domain": DOMAIN, "vlan": VLAN, "generation": 1, "gateways": ["192.168.1.1/24"], "services": [SERVICE]}
    made = mesh.module(GATEWAY, "domain_router", **document, tunnels=[parcel])
    assert "exception" not in made, made["msg"]
    guard = on_switch(f"guard_port('vbench', {VLAN}, '{MAC}', ['{GUEST}'])")
    mesh.shell(
        GATEWAY,
        "ip netns add bench; ip link add vbench type veth peer name eth0 netns bench; ip link set vbench up;"
        f"ip -n bench link set eth0 address {MAC} up; ip -n bench addr add {GUEST}/24 dev eth0; ip -n bench route add default via 192.168.1.1;"
        f"ip netns exec bench ethtool -K eth0 tx off tso off gso off >/dev/null; {guard}",
    )
    try:
        yield
    finally:
        removal = on_switch("remove_port('vbench')")
        mesh.shell(GATEWAY, f"{removal}; ip link del vbench; ip netns del bench")
        mesh.module(GATEWAY, "domain_router", domain=DOMAIN, state="absent")


@contextlib.contextmanager
def by_hand(mesh: Mesh) -> t.Iterator[None]:
    """The same ends with IKE daemons set up by hand in the place of ours; routes are theirs, rules stay as they are."""
    ends = {
        GATEWAY: (f"ip netns exec router-{DOMAIN} ", PUBLIC, PEER, f"{INTRANET}/32", "172.21.162.0/24"),
        OWNER: ("", PEER, PUBLIC, "172.21.162.0/24", f"{INTRANET}/32"),
    }
    for host, (inside, here, there, local, remote) in ends.items():
        user_space = "no" if '"kernel": true' in mesh.ssh(host, "cat", "/run/vmatrix/vpn/esp.json") else "yes"
        settings = HAND.format(user_space=user_space)
        connection = HAND_CONNECTION.format(here=here, there=there, local=local, remote=remote)
        mesh.shell(
            host,
            f"systemctl stop vmatrix-vpn vmatrix-charon@{DOMAIN}\n"
            f"cat > /run/hand.conf <<'END'\n{settings}\nEND\ncat > /run/hand-swanctl.conf <<'END'\n{connection}\nEND\n"
            + (f"ip -n router-{DOMAIN} addr add {INTRANET}/32 dev lo\n" if inside else "")
            + f"systemd-run --quiet --unit=hand -E STRONGSWAN_CONF=/run/hand.conf {inside}/usr/sbin/charon-systemd",
        )
    load = "swanctl --load-all --file /run/hand-swanctl.conf --uri unix:///run/hand.vici >/dev/null 2>&1"
    try:
        for host in ends:
            until(lambda host=host: mesh.ssh(host, "bash", "-c", f"{load} && echo yes", check=False).strip() == "yes", 15, f"charon by hand is up on {host}")
        mesh.ssh(GATEWAY, "swanctl", "--initiate", "--child", "hand", "--timeout", "10", "--uri", "unix:///run/hand.vici")
        yield
    finally:
        for host, (inside, *unused) in ends.items():
            address = f"ip -n router-{DOMAIN} addr del {INTRANET}/32 dev lo;" if inside else ""
            mesh.shell(host, f"systemctl stop hand; {address} rm -f /run/hand*; systemctl start vmatrix-vpn")
        until(lambda: mesh.module(GATEWAY, "vpn_tunnel_info", domain=DOMAIN)["tunnels"][0]["established"], 30, "the tunnel is back")


def throughput(mesh: Mesh, figures: Figures, count: int) -> None:
    """Measure the bare link, our tunnel and the one by hand in turn."""
    with stand_in(mesh):
        for unused in range(count):
            with sink(mesh, OWNER, None, PEER):
                figures.add("bare link", rate(mesh, PEER))
            with sink(mesh, OWNER, "backend", BACKEND):
                figures.add("tunnel", rate(mesh, BACKEND, "bench"))
                with by_hand(mesh):
                    figures.add("tunnel by hand", rate(mesh, BACKEND, "bench"))


def main() -> None:
    """Measure and print."""
    count = rounds(__doc__, 3)
    mesh, seconds, megabits = Mesh(), Figures(), Figures()
    assert mesh.play("site").ok
    vpn = {**CAPSULE["capsule_import_vpn"], "gateway": {"address": PEER, "identity": f"vpn.{DOMAIN}"}}
    other = {**CAPSULE, "owner": OWNER, "capsule_import_domain": DOMAIN, "capsule_import_vpn": vpn}
    for capsule in (CAPSULE, other):
        mesh.import_anew(RM, capsule)
    throughput(mesh, megabits, count)
    assert mesh.play("remove", instance=STORE).ok
    start_to_row(mesh, seconds, count)
    recovery(mesh, seconds, count)
    assert mesh.play("remove", instance=STORE).ok
    megabits.show("Mbit/s")
    seconds.show("s")
    megabits.ratio("tunnel", "bare link")
    megabits.ratio("tunnel", "tunnel by hand", "0.95")
    seconds.ratio("start to the first row of the back-end", "start to the first page")


if __name__ == "__main__":
    main()
