# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ranges of ports, and FTP, through a domain router: what a caller meets."""

from __future__ import annotations

import contextlib
import ftplib
import io
import re
import socket
import socketserver
import threading

import pytest
from gateway_net import DOMAIN, PUBLIC, Server, apply, ask, connect, document, sh, talk

from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import namespace, router, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside

RANGE = {"protocol": "tcp", "port": 8000, "last_port": 8010}
CONTROL = {"protocol": "tcp", "port": 21, "helper": "ftp"}
CONTENT = b"what an old server has to say\n" * 1000


def declared(members, ports, generation=1, **more):
    wanted = document(members, generation)
    wanted["services"][0].update(ports=ports, **more)
    return wanted


def ways(ports):
    return [connect(PUBLIC, port, 0.3) for port in ports]


def test_every_port_of_a_range_is_reached_and_none_beside_it(mesh):
    one = mesh.guests[0]
    for port in (7999, 8000, 8007, 8010, 8011):
        one.serve(port)
    apply(mesh, declared([one.member], [RANGE]))
    assert call_inside(mesh.client, lambda: ways([7999, 8000, 8007, 8010, 8011])) == ["silent", "open", "open", "open", "silent"]
    assert call_inside(mesh.client, lambda: ask(port=8007))[0] == one.instance
    assert not apply(mesh, declared([one.member], [RANGE])).changed
    apply(mesh, declared([], [RANGE], 2))
    assert call_inside(mesh.client, lambda: ways([7999, 8000, 8007, 8010, 8011])) == ["silent", "refused", "refused", "refused", "silent"]


def test_all_ports_of_a_range_lead_a_caller_to_one_member_where_that_is_wanted(mesh):
    for guest in mesh.guests:
        for port in range(8000, 8011):
            guest.serve(port)
    members = [guest.member for guest in mesh.guests]
    apply(mesh, declared(members, [RANGE], balance={"policy": "sticky"}))
    assert len({answer[0] for answer in call_inside(mesh.client, lambda: [ask(port=port) for port in range(8000, 8011)])}) == 1
    apply(mesh, declared(members, [RANGE], 2))
    assert len({answer[0] for answer in call_inside(mesh.client, lambda: [ask(port=port) for port in range(8000, 8011)])}) == 2


def test_a_range_of_udp_ports_is_refused_when_nobody_serves(mesh):
    apply(mesh, declared([], [{"protocol": "udp", "port": 5000, "last_port": 5003}]))
    for port in (5000, 5003):
        line, say = call_inside(mesh.client, lambda port=port: talk(port))
        with line, pytest.raises(ConnectionRefusedError):
            say()
            say()


def test_a_caller_hears_that_a_guest_refuses_a_udp_port(mesh):
    one = mesh.guests[0]
    apply(mesh, declared([one.member], [{"protocol": "udp", "port": 5000, "last_port": 5003}]))
    line, say = call_inside(mesh.client, lambda: talk(5001))
    with line, pytest.raises(ConnectionRefusedError):
        say()
        say()


def test_who_serves_a_range_only_has_to_be_there_before_it_is_published(mesh):
    """Nobody says that all of a range is always open."""
    one = mesh.guests[0]
    report = apply(mesh, declared([one.member], [RANGE]), answer_timeout=5)
    assert [each.instance for each in report.waited] == [one.instance] and report.warnings == []


def test_connections_to_a_range_are_counted(mesh):
    one = mesh.guests[0]
    one.serve(8007)
    apply(mesh, declared([one.member], [RANGE]))
    with call_inside(mesh.client, lambda: socket.create_connection((PUBLIC, 8007), timeout=2)) as line:
        line.sendall(b"hello\n")
        line.recv(100)
        [service] = router.look(state.load(DOMAIN, mesh.directory), mesh.switch)["services"]
        assert [member["connections"] for member in service["members"]] == [1]


class FtpServer(Server):
    """As much of RFC 959 as it takes to hand out one file, passively and actively; it knows nothing of any translation."""

    def __init__(self, address):
        super().__init__((address, 21), FtpSession)


class FtpSession(socketserver.StreamRequestHandler):
    def say(self, words):
        self.wfile.write(f"{words}\r\n".encode())

    def handle(self):
        self.say("220 ready")
        passive, active = None, None
        for line in self.rfile:
            command, unused, argument = line.decode().strip().partition(" ")
            if command == "PASV":
                passive = socket.create_server((self.server.server_address[0], 0))
                passive.settimeout(3)
                port = passive.getsockname()[1]
                self.say(f"227 Entering Passive Mode ({self.server.server_address[0].replace('.', ',')},{port >> 8},{port & 255}).")
            elif command == "EPSV":
                passive = socket.create_server((self.server.server_address[0], 0))
                passive.settimeout(3)
                self.say(f"229 Entering Extended Passive Mode (|||{passive.getsockname()[1]}|)")
            elif command == "PORT":
                *address, high, low = argument.split(",")
                active = (".".join(address), int(high) * 256 + int(low))
                self.say("200 fine")
            elif command == "RETR":
                self.say("150 here it comes")
                with contextlib.suppress(OSError), passive.accept()[0] if passive else socket.create_connection(active, timeout=3) as data:
                    data.sendall(CONTENT)
                self.say("226 that was it")
            else:
                self.say({"USER": "230 welcome", "TYPE": "200 fine", "QUIT": "221 good bye"}.get(command, "502 no"))


@contextlib.contextmanager
def serving_ftp(guest):
    server = call_inside(guest.namespace, lambda: FtpServer(guest.address))
    # Its sessions open further connections, in the namespace of the thread that begins it.
    call_inside(guest.namespace, threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def fetch(passive=True, extended=False):
    """Return the file, as a client fetches it by the public address."""
    found = io.BytesIO()
    with ftplib.FTP() as ftp:
        ftp.connect(PUBLIC, timeout=3)
        ftp.login()
        ftp.set_pasv(passive)
        if extended:
            ftp.makepasv = lambda: ftplib.parse229(ftp.sendcmd("EPSV"), ftp.sock.getpeername())
        ftp.trust_server_pasv_ipv4_address = True
        ftp.retrbinary("RETR file", found.write)
    return found.getvalue()


@pytest.mark.parametrize("how", [{}, {"extended": True}, {"passive": False}], ids=["passive", "extended passive", "active"])
def test_ftp_works_through_the_load_balancer_where_its_helper_is_declared(mesh, how):
    with serving_ftp(mesh.guests[0]), serving_ftp(mesh.guests[1]):
        apply(mesh, declared([guest.member for guest in mesh.guests], [CONTROL]))
        assert [call_inside(mesh.client, lambda: fetch(**how)) == CONTENT for unused in range(4)] == [True] * 4


def test_the_server_is_made_to_name_the_public_address(mesh):
    def told():
        with ftplib.FTP() as ftp:
            ftp.connect(PUBLIC, timeout=3)
            ftp.login()
            first, second = ftp.sendcmd("PASV"), ftp.sendcmd("TYPE I")
            return re.search(r"\((\d+,\d+,\d+,\d+),", first)[1], second

    with serving_ftp(mesh.guests[0]):
        apply(mesh, declared([mesh.guests[0].member], [CONTROL]))
        assert call_inside(mesh.client, told) == (PUBLIC.replace(".", ","), "200 fine"), "and what comes after has its place"


def test_without_the_helper_no_data_connection_passes(mesh):
    with serving_ftp(mesh.guests[0]):
        apply(mesh, declared([mesh.guests[0].member], [{"protocol": "tcp", "port": 21}]))
        with pytest.raises(OSError):
            call_inside(mesh.client, fetch)


def test_a_helper_is_in_its_own_router_only(mesh):
    apply(mesh, declared([], [CONTROL]))
    assert "helper" not in sh("nft", "list", "ruleset")
    assert 'ct helper set "ftp"' in call_inside(namespace.names(DOMAIN).namespace, lambda: sh("nft", "list", "ruleset"))
    apply(mesh, declared([], [{"protocol": "tcp", "port": 21}], 2))
    assert "helper" not in call_inside(namespace.names(DOMAIN).namespace, lambda: sh("nft", "list", "ruleset"))
