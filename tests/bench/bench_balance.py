# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests per second through a domain router's rotation, against asking the members directly, and against HAProxy in TCP mode in the same place."""

from __future__ import annotations

import contextlib
import pathlib
import re
import sys
import typing as t

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from figures import Figures, rounds  # noqa: E402
from mesh_lab import Mesh  # noqa: E402
from stand_ins import GATEWAY, stand_ins  # noqa: E402

CLIENT, DOMAIN, PUBLIC, VLAN = "client-east", "bench.example", "198.18.1.14", 3998
#: Stand-ins for guests on both RMs: fast enough that the way to them is what is measured.
MEMBERS = {"rm-east-1": ("192.168.1.71", "52:54:00:be:be:71"), "rm-east-2": ("192.168.1.72", "52:54:00:be:be:72")}
ROUTER = f"router-{DOMAIN}"
SETTINGS = "global\n  nbthread 1\n  maxconn 4000\ndefaults\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"
ANSWERING = SETTINGS + "  mode http\nfrontend page\n  bind {address}:80\n  http-request return status 200 content-type text/plain string hello\n"
BALANCING = SETTINGS + "  mode tcp\nlisten rotation\n  bind {address}:8080\n  balance roundrobin\n  server one {one}:80\n  server two {two}:80\n"
KINDS = {"fresh": ["-H", "Connection: close"], "kept": []}


@contextlib.contextmanager
def daemon(mesh: Mesh, host: str, namespace: str, settings: str) -> t.Iterator[None]:
    """Run HAProxy in a network namespace of a host."""
    mesh.shell(host, f"cat > /run/bench-haproxy.cfg <<'END'\n{settings}\nEND\n")
    mesh.shell(host, f"systemd-run --quiet --unit=bench-haproxy ip netns exec {namespace} haproxy -W -f /run/bench-haproxy.cfg")
    try:
        yield
    finally:
        mesh.shell(host, "systemctl stop bench-haproxy; rm /run/bench-haproxy.cfg")


@contextlib.contextmanager
def member(mesh: Mesh, rm: str) -> t.Iterator[None]:
    """A stand-in for a guest that answers."""
    address, mac = MEMBERS[rm]
    with stand_ins(mesh, rm, "bench", VLAN, mac, [address]), daemon(mesh, rm, "bench", ANSWERING.format(address=address)):
        yield


@contextlib.contextmanager
def rotation(mesh: Mesh) -> t.Iterator[None]:
    """A router with both members in rotation, and HAProxy beside it on another port of the same address."""
    members = [{"instance": f"shop-{number}.{DOMAIN}", "address": address} for number, (address, unused) in enumerate(MEMBERS.values(), 1)]
    service = {"name": "shop", "public_address": PUBLIC, "ports": [{"protocol": "tcp", "port": 80}], "members": members}
    made = mesh.module(
        GATEWAY, "domain_router", domain=DOMAIN, vlan=VLAN, generation=1, gateways=["192.168.1.1/24"], services=[service], answer_timeout=15
    )
    assert "exception" not in made, made["msg"]
    one, two = (address for address, unused in MEMBERS.values())
    # Its own port is open for the time of the bench only.
    mesh.shell(GATEWAY, f"ip netns exec {ROUTER} nft insert rule inet vmatrix input tcp dport 8080 accept")
    try:
        with daemon(mesh, GATEWAY, ROUTER, BALANCING.format(address=PUBLIC, one=one, two=two)):
            yield
    finally:
        mesh.module(GATEWAY, "domain_router", domain=DOMAIN, state="absent")


def rate(mesh: Mesh, url: str, kind: str, host: str = CLIENT, namespace: str | None = None) -> float:
    """Return the requests per second that wrk gets answered with 32 connections."""
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    said = mesh.ssh(host, *inside, "wrk", "-t", "1", "-c", "32", "-d", "4s", *KINDS[kind], url)
    assert "Non-2xx" not in said and "Socket errors" not in said, said
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def main() -> None:
    """Measure and print."""
    count = rounds(__doc__, 5)
    mesh, figures = Mesh(), Figures()
    assert mesh.play("site").ok
    with contextlib.ExitStack() as stack:
        for rm in MEMBERS:
            stack.enter_context(member(mesh, rm))
        stack.enter_context(rotation(mesh))
        direct = MEMBERS["rm-east-1"][0]
        for unused in range(count):
            for kind in KINDS:
                figures.add(f"{kind} connections, one member asked by its router", rate(mesh, f"http://{direct}/", kind, GATEWAY, ROUTER))
                figures.add(f"{kind} connections, through the rotation", rate(mesh, f"http://{PUBLIC}/", kind))
                figures.add(f"{kind} connections, through HAProxy", rate(mesh, f"http://{PUBLIC}:8080/", kind))
    figures.show("requests/s")
    for kind in KINDS:
        figures.ratio(f"{kind} connections, through the rotation", f"{kind} connections, one member asked by its router")
        figures.ratio(f"{kind} connections, through the rotation", f"{kind} connections, through HAProxy")


if __name__ == "__main__":
    main()
