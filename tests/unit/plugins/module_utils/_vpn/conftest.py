# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An owner's authority, and a small internet of network namespaces with real IKE daemons in it.

guest -- router-DOMAIN (charon) -- internet (the wire that is tapped) -- owner (charon) -- backend
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import threading
import types

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import authority, certificates, keeper, observe, state, tunnel, wrapping
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.rules import MARK

CHARON = "/usr/sbin/charon-systemd"
MARKED = f"t{os.getpid()}"
DOMAIN = f"{MARKED}.example"
ROUTER = f"router-{DOMAIN}"
GUEST, WIRE, OWNER, BACKEND = (f"{MARKED}-{name}" for name in ("guest", "wire", "owner", "backend"))
PUBLIC, PEER = "198.18.1.1", "198.18.9.1"
GUESTS = ["192.168.1.10", "192.168.1.11"]
POOL = ["172.21.162.9", "172.21.162.12"]
SERVER = "172.21.162.10"

#: What a domain router's own table does in so far as tunnels are concerned: drop, except what the tunnels' table has marked.
ROUTER_RULES = f"""
table inet vmatrix {{
  chain forward {{ type filter hook forward priority filter; policy drop; meta mark {MARK:#x} accept; }}
  chain input {{ type filter hook input priority filter; policy drop; ct state established,related accept; meta mark {MARK:#x} accept; }}
}}
"""


def sh(*argv, stdin=None):
    return subprocess.run(argv, check=True, capture_output=True, text=True, input=stdin).stdout


class Processes:
    """The device edge: what systemd does on a host, a child process does here."""

    def __init__(self):
        self.running = {}
        self.configurations = {}

    def bind(self, endpoint):
        self.configurations[endpoint.domain, endpoint.namespace] = endpoint.configuration
        return Bound(self, endpoint.domain, endpoint.namespace)


class Bound:
    def __init__(self, processes, domain, namespace):
        self.processes, self.key = processes, (domain, namespace)

    @property
    def process(self):
        return self.processes.running.get(self.key)

    def start(self, _domain):
        self.stop(_domain)
        environment = {**os.environ, "STRONGSWAN_CONF": self.processes.configurations[self.key]}
        self.processes.running[self.key] = subprocess.Popen(
            ["ip", "netns", "exec", self.key[1], CHARON],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self, _domain):
        process = self.processes.running.pop(self.key, None)
        if process:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(3)
            process.kill()
            process.wait()

    def kill(self):
        """Let it vanish without a word to its peers."""
        process = self.processes.running.pop(self.key)
        process.send_signal(signal.SIGKILL)
        process.wait()


def endpoint_in(tmp, processes, namespace):
    found = state.Endpoint(DOMAIN, namespace, directory=str(tmp / namespace / "etc"), run=str(tmp / namespace / "run"))
    return found._replace(daemon=processes.bind(found))


@pytest.fixture(scope="session")
def pki_home(tmp_path_factory):
    """The owner's authority with certificates of two services and of the VPN gateway, and the wrapping key of an HN's gateway."""
    home = tmp_path_factory.mktemp("pki")
    directory, wrapping_directory = str(home / "authority"), str(home / "gateway")
    root = authority.present(DOMAIN, 3650, 365, directory).result
    reader = wrapping.ensure_key(wrapping_directory)[1]
    issued = {
        name: certificates.present(f"{name}.{DOMAIN}", 90, 30, recipients=[reader], directory=directory).result for name in ("shop", "blog", "vpn")
    }
    return types.SimpleNamespace(directory=directory, wrapping=wrapping_directory, reader=reader, root=root, issued=issued)


@pytest.fixture(scope="module")
def network():
    """The namespaces and the links between them, without any daemon."""
    try:
        for name in (GUEST, ROUTER, WIRE, OWNER, BACKEND):
            sh("ip", "netns", "add", name)
            sh("ip", "-n", name, "link", "set", "lo", "up")
        link(GUEST, "eth0", ROUTER, "guests")
        link(ROUTER, "outside", WIRE, "hn")
        link(WIRE, "home", OWNER, "wan0")
        link(OWNER, "lan0", BACKEND, "eth0")
        for address in GUESTS:
            sh("ip", "-n", GUEST, "addr", "add", f"{address}/24", "dev", "eth0")
        sh("ip", "-n", GUEST, "route", "add", "default", "via", "192.168.1.1")
        sh("ip", "-n", ROUTER, "addr", "add", "192.168.1.1/24", "dev", "guests")
        sh("ip", "-n", ROUTER, "addr", "add", f"{PUBLIC}/32", "dev", "outside")
        sh("ip", "-n", ROUTER, "route", "add", "default", "via", "169.254.76.1", "dev", "outside", "onlink")
        sh("ip", "-n", WIRE, "addr", "add", "169.254.76.1/32", "dev", "hn")
        sh("ip", "-n", WIRE, "route", "add", PUBLIC, "dev", "hn")
        sh("ip", "-n", WIRE, "addr", "add", "198.18.9.254/24", "dev", "home")
        sh("ip", "-n", OWNER, "addr", "add", f"{PEER}/24", "dev", "wan0")
        sh("ip", "-n", OWNER, "route", "add", "default", "via", "198.18.9.254")
        sh("ip", "-n", OWNER, "addr", "add", "172.21.162.1/24", "dev", "lan0")
        sh("ip", "-n", BACKEND, "addr", "add", f"{SERVER}/24", "dev", "eth0")
        for name in (ROUTER, WIRE, OWNER):
            sh("ip", "netns", "exec", name, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        sh("ip", "netns", "exec", ROUTER, "nft", "-f", "-", stdin=ROUTER_RULES)
        yield
    finally:
        for name in (GUEST, ROUTER, WIRE, OWNER, BACKEND):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def link(one, name, other, peer):
    sh("ip", "link", "add", name, "netns", one, "type", "veth", "peer", "name", peer, "netns", other)
    for where, what in ((one, name), (other, peer)):
        sh("ip", "-n", where, "link", "set", what, "up")


class Mesh:
    """Both endpoints of a tunnel, and what tests do to them."""

    domain, router, guest, wire, peers, backend = DOMAIN, ROUTER, GUEST, WIRE, OWNER, BACKEND
    public, peer, guests, pool, server = PUBLIC, PEER, GUESTS, POOL, SERVER

    def __init__(self, pki, gateway, owner):
        self.pki, self.gateway, self.owner = pki, gateway, owner

    def tunnel(self, instances=1, **more):
        """Return the tunnel document of service shop with so many instances."""
        issued = self.pki.issued["shop"]
        return {
            "domain": DOMAIN,
            "service": "shop",
            "local": {"address": PUBLIC, "certificate": issued["certificate"], "envelope": next(iter(issued["envelopes"].values()))},
            "peer": {"address": PEER, "identity": f"vpn.{DOMAIN}", "authority": self.pki.root["certificate"]},
            "mappings": [
                {"instance": f"shop-{number}.{DOMAIN}", "fabric_address": GUESTS[number - 1], "intranet_address": POOL[number - 1]}
                for number in range(1, instances + 1)
            ],
            "backends": [{"address": SERVER, "ports": [{"protocol": "tcp", "port": 5432}, {"protocol": "icmp"}]}],
            **more,
        }

    def responder(self, **more):
        """Return the responder's document of the owner's gateway."""
        issued = self.pki.issued["vpn"]
        return {
            "domain": DOMAIN,
            "local": {"address": PEER, "identity": f"vpn.{DOMAIN}", "certificate": issued["certificate"], "key": issued["key_path"]},
            "authority": self.pki.root["certificate"],
            "crl": self.pki.root["crl"],
            "backends": [SERVER],
            "services": [{"name": "shop", "addresses": POOL}],
            **more,
        }

    def open(self, instances=1, **more):
        """Bring both ends up, as they are at the beginning of most tests."""
        tunnel.apply_responder(self.owner, self.responder())
        return tunnel.apply_tunnel(self.gateway, self.tunnel(instances, **more), 15)

    @contextlib.contextmanager
    def kept(self):
        """Let the keepers of both ends do their work, as their units do on hosts."""
        stop = threading.Event()

        def work():
            while not stop.wait(0.2):
                for endpoint in (self.owner, self.gateway):
                    keeper.keep(endpoint)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            yield
        finally:
            stop.set()
            worker.join()

    @staticmethod
    def inside(namespace, function):
        """Run *function* in a thread inside a network namespace."""

        def there():
            descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
            try:
                assert ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000) == 0
            finally:
                os.close(descriptor)
            return function()

        with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(there).result()

    @staticmethod
    def until(condition, what, timeout=20.0):
        return wait_for(condition, timeout, what)

    @staticmethod
    def established(endpoint):
        found = observe.look(endpoint)
        return bool(found) and all(one["established"] for one in found)


@pytest.fixture(scope="module")
def mesh(network, pki_home, tmp_path_factory):
    """Both endpoints without documents; whatever a test leaves, processes and namespaces end with the module."""
    tmp = tmp_path_factory.mktemp("vpn")
    processes = Processes()
    ends = {namespace: endpoint_in(tmp, processes, namespace) for namespace in (ROUTER, OWNER)}
    for end in ends.values():
        os.makedirs(end.directory)
    shutil.copytree(pki_home.wrapping, ends[ROUTER].directory, dirs_exist_ok=True)
    try:
        yield Mesh(pki_home, ends[ROUTER], ends[OWNER])
    finally:
        for end in ends.values():
            end.daemon.stop(DOMAIN)
