# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway in network namespaces, for tests of what a caller outside and a guest inside meet.

A client and guests sit in namespaces of their own; the gateway's root namespace is one more, which this thread enters, so the
machine's own interfaces are never seen. A Linux bridge stands in for the switch.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import socketserver
import subprocess
import threading
from unittest import mock

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import fence
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import namespace, router
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside, enter

MARK = f"t{os.getpid()}"
DOMAIN = f"{MARK}.example"
PUBLIC = "198.18.7.1"
CLIENT = "198.18.0.2"


def sh(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


class BridgeSwitch:
    """The device edge: access ports on a Linux bridge, which needs no daemon."""

    bridge = "brtest"

    def __init__(self):
        self.vlans, self.uplinks = {}, []

    def trunks(self):
        return self.uplinks

    def _ports(self):
        return {link["ifname"] for link in json.loads(sh("ip", "-j", "link", "show", "master", self.bridge)) if link}

    def access_vlan(self, port):
        return self.vlans.get(port) if port in self._ports() else None

    def guard_port(self, port, vlan, mac, addresses, forwards=False):
        assert (mac, forwards) == ("02:76:6d:00:00:01", True) and addresses, "a router speaks for others, but with its own MAC only"
        sh("ip", "link", "set", port, "master", self.bridge)
        self.vlans[port] = vlan

    def remove_port(self, port):
        if port in self._ports():
            sh("ip", "link", "set", port, "nomaster")
        self.vlans.pop(port, None)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


class Guest:
    """A host that knows nothing of us, behind the switch; its servers say who answered and whom they saw."""

    def __init__(self, number):
        self.namespace = f"{MARK}-guest{number}"
        self.address = f"192.168.1.{10 + number}"
        self.instance = f"shop-{number}.{DOMAIN}"
        self.servers = []
        sh("ip", "netns", "add", self.namespace)
        sh("ip", "link", "add", f"g{number}", "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        sh("ip", "link", "set", f"g{number}", "master", BridgeSwitch.bridge, "up")
        sh("ip", "-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", "eth0")
        sh("ip", "-n", self.namespace, "link", "set", "eth0", "up")
        sh("ip", "-n", self.namespace, "route", "add", "default", "via", "192.168.1.1")

    @property
    def member(self):
        return {"instance": self.instance, "address": self.address}

    def serve(self, port):
        guest = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                for line in self.rfile:
                    self.wfile.write(f"{guest.instance} {self.client_address[0]} {line.decode()}".encode())

        self._listen(port, Handler)

    def serve_pages(self, port):
        """Answer every line as a web server would, with the status that is set."""
        guest = self
        guest.status = 200

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.rfile.readline()
                self.wfile.write(f"HTTP/1.1 {guest.status} Whatever\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

        self._listen(port, Handler)

    def _listen(self, port, handler):
        server = call_inside(self.namespace, lambda: Server((self.address, port), handler))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.servers.append(server)

    def quit(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
        self.servers = []


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """The gateway's namespace (this thread is inside it), a client at its WAN side, two guests behind its switch."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    gateway, client = f"{MARK}-gw", f"{MARK}-client"
    try:
        for name in (gateway, client):
            sh("ip", "netns", "add", name)
        enter(gateway)
        sh("ip", "link", "add", "wan0", "type", "veth", "peer", "name", "eth0", "netns", client)
        sh("ip", "addr", "add", "198.18.0.1/15", "dev", "wan0")
        sh("ip", "link", "set", "wan0", "up")
        sh("ip", "-n", client, "addr", "add", f"{CLIENT}/15", "dev", "eth0")
        sh("ip", "-n", client, "link", "set", "eth0", "up")
        sh("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        sh("ip", "link", "add", BridgeSwitch.bridge, "type", "bridge")
        sh("ip", "link", "set", BridgeSwitch.bridge, "up")
        guests = [Guest(1), Guest(2)]
        yield type("Net", (), {"client": client, "guests": guests, "switch": BridgeSwitch()})
        for guest in guests:
            guest.quit()
    finally:
        assert call_back_home(own)
        for name in sorted(os.listdir("/run/netns")):
            if name.startswith(f"{MARK}-") or name == f"router-{DOMAIN}":
                sh("ip", "netns", "del", name)


def call_back_home(descriptor):
    return ctypes.CDLL(None).setns(descriptor, 0x40000000) == 0


@pytest.fixture
def mesh(net, tmp_path):
    """The same network with no router and no server yet, and an empty state directory."""
    net.directory = str(tmp_path / "routers")
    with mock.patch.object(fence, "DIRECTORY", str(tmp_path / "leases")):
        yield net
    for guest in net.guests:
        guest.quit()
    router.remove(DOMAIN, lambda _bridge: net.switch, directory=net.directory)
    namespace.remove(DOMAIN)


def document(members, generation=1, ports=(80,), **more):
    services = [{"name": "shop", "public_address": PUBLIC, "ports": [{"protocol": "tcp", "port": port} for port in ports], "members": members}]
    return {"domain": DOMAIN, "vlan": 101, "generation": generation, "gateways": ["192.168.1.1/24"], "services": services, **more}


def watched(members, generation=1, ports=(80,), **balance):
    """Return a document whose members are asked often."""
    made = document(members, generation, ports)
    made["services"][0]["balance"] = {"check_interval": 0.2, "check_timeout": 0.5, **balance}
    return made


def apply(mesh, desired, **more):
    return router.apply(desired, lambda _bridge: mesh.switch, mesh.switch.bridge, "wan0", directory=mesh.directory, **more)


def connect(address, port, timeout=1.0):
    """Return how a connection attempt ends, as a caller sees it."""
    try:
        with socket.create_connection((address, port), timeout=timeout):
            return "open"
    except ConnectionRefusedError:
        return "refused"
    except (socket.timeout, OSError):
        return "silent"


def ping(address, timeout=2.0):
    """Send one ICMP echo request and say whether it was answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(timeout)
        # Type 8, identifier 1, sequence 1; the checksum of these is 0xF7FD.
        sock.sendto(bytes.fromhex("0800f7fd00010001"), (address, 0))
        try:
            while True:
                reply = sock.recv(1500)
                if reply[20] == 0 and reply[24:28] == bytes.fromhex("00010001"):
                    return True
        except socket.timeout:
            return False


def ask(address=PUBLIC, port=80, timeout=3.0):
    with socket.create_connection((address, port), timeout=timeout) as sock:
        sock.sendall(b"hello\n")
        return sock.makefile().readline().split()


def talk(port, to=PUBLIC):
    """Return a UDP socket that keeps its source port, and what it hears when it says something."""
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.settimeout(1)
    line.connect((to, port))

    def say():
        line.send(b"hello")
        return line.recv(100).decode()

    return line, say


@contextlib.contextmanager
def echo(guest, port):
    """Have a guest answer datagrams with its name."""
    line = call_inside(guest.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    line.bind((guest.address, port))

    def answer():
        with contextlib.suppress(OSError):
            while True:
                line.sendto(guest.instance.encode(), line.recvfrom(100)[1])

    threading.Thread(target=answer, daemon=True).start()
    try:
        yield
    finally:
        line.close()
