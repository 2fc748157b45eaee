# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A domain router in real network namespaces, with real nftables: what a caller outside and a guest inside meet."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import socket
import socketserver
import struct
import threading
import time

import pytest
from gateway_net import CLIENT, DOMAIN, MARK, PUBLIC, Server, apply, ask, connect, document, echo, ping, sh, talk, watched

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.balance import Check
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import answers, clocks, drain, health, inside, namespace, router, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside, enter


def test_a_caller_reaches_the_declared_port_and_keeps_its_address(mesh):
    one = mesh.guests[0]
    one.serve(80)
    report = apply(mesh, document([one.member]))
    assert report.changed
    assert call_inside(mesh.client, ask) == [one.instance, CLIENT, "hello"]


def test_a_lot_of_data_passes_whole_both_ways(mesh):
    one = mesh.guests[0]
    one.serve(80)
    apply(mesh, document([one.member]))

    def talk():
        with socket.create_connection((PUBLIC, 80), timeout=10) as sock:
            line = b"x" * 60_000 + b"\n"
            reader = sock.makefile("rb")
            for _again in range(50):
                sock.sendall(line)
                assert reader.readline().endswith(line)
        return True

    assert call_inside(mesh.client, talk)


def test_nothing_else_of_a_public_address_or_the_guest_is_reached(mesh):
    one = mesh.guests[0]
    for port in (80, 22, 8080):
        one.serve(port)
    apply(mesh, document([one.member]))
    sh("ip", "-n", mesh.client, "route", "replace", "192.168.1.0/24", "via", "198.18.0.1")
    sh("ip", "route", "replace", "192.168.1.0/24", "dev", namespace.names(DOMAIN).link)
    try:
        seen = call_inside(mesh.client, lambda: {port: connect(PUBLIC, port, 0.3) for port in (22, 79, 80, 81, 8080)})
        assert seen == {22: "silent", 79: "silent", 80: "open", 81: "silent", 8080: "silent"}
        assert call_inside(mesh.client, lambda: [connect(one.address, port, 0.3) for port in (22, 80)]) == ["silent", "silent"]
        assert not call_inside(mesh.client, lambda: ping(one.address, 0.3))
    finally:
        sh("ip", "-n", mesh.client, "route", "del", "192.168.1.0/24")
        sh("ip", "route", "del", "192.168.1.0/24", "dev", namespace.names(DOMAIN).link)


def test_a_guest_pings_its_gateway_but_opens_nothing(mesh):
    one = mesh.guests[0]
    apply(mesh, document([one.member]))
    assert call_inside(one.namespace, lambda: ping("192.168.1.1"))
    assert call_inside(one.namespace, lambda: [connect(CLIENT, 80, 0.3), connect("192.168.1.1", 22, 0.3), connect(PUBLIC, 80, 0.3)]) == ["silent"] * 3


def hours(address, timeout=1.0):
    """Return what an NTP server says (RFC 5905): mode, stratum, and how far it is from our clock in seconds; or how nobody answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.connect((address, 123))
        try:
            sock.send(bytes([0x23]) + bytes(47))
            answer = sock.recv(100)
        except ConnectionRefusedError:
            return "refused"
        except socket.timeout:
            return "silent"
    seconds, fraction = struct.unpack("!II", answer[40:48])
    return answer[0] & 7, answer[1], abs(seconds - 2208988800 + fraction / 2**32 - time.time()) < 1


def test_a_guest_that_asks_for_the_time_is_refused_where_nobody_tells_it(mesh):
    apply(mesh, document([mesh.guests[0].member]))
    assert call_inside(mesh.guests[0].namespace, lambda: hours("192.168.1.1")) == "refused"
    assert call_inside(mesh.client, lambda: hours(PUBLIC, 0.3)) == "silent"


@pytest.mark.skipif(not os.path.exists(clocks.PROGRAM), reason="chrony is not installed")
def test_a_guest_hears_the_time_at_its_gateway_and_nobody_else_does(mesh, monkeypatch, tmp_path):
    monkeypatch.setattr(clocks, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(clocks, "USER", "root")
    apply(mesh, document([mesh.guests[0].member]))
    servers = {}
    try:
        clocks.follow(servers, {(DOMAIN, 1)})
        wait_for(lambda: call_inside(mesh.guests[0].namespace, lambda: hours("192.168.1.1", 0.3)) == (4, 10, True), 5, "the time is told")
        assert call_inside(mesh.client, lambda: hours(PUBLIC, 0.3)) == "silent"
    finally:
        clocks.follow(servers, set())
    assert not servers and call_inside(mesh.guests[0].namespace, lambda: hours("192.168.1.1")) == "refused"


def test_late_comers_are_sent_to_where_it_is_served_now(mesh):
    one, elsewhere = mesh.guests[0], "198.18.9.1"
    one.serve(80)
    one.serve(22)
    apply(mesh, document([one.member]))
    sh("ip", "-n", mesh.client, "addr", "add", f"{elsewhere}/32", "dev", "eth0")

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                self.wfile.write(f"elsewhere {self.client_address[0]} {line.decode()}".encode())

    def serve():
        server = call_inside(mesh.client, lambda: Server((elsewhere, 80), Handler))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server

    server = serve()
    try:
        wanted = document([], generation=2)
        wanted["services"][0]["forward_to"] = elsewhere
        assert apply(mesh, wanted).changed and not apply(mesh, wanted).changed
        assert call_inside(mesh.client, ask) == ["elsewhere", PUBLIC, "hello"]
        assert call_inside(mesh.client, lambda: connect(PUBLIC, 22, 0.3)) == "silent"
        # While nobody serves there yet, they are not refused, but try again by themselves.
        server.shutdown()
        server.server_close()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(call_inside, mesh.client, ask)
            wait_for(lambda: waiting.done() or f"{PUBLIC}:80" in call_inside(mesh.client, lambda: sh("ss", "-tnH", "state", "syn-sent")), 5, "it calls")
            server = serve()
            assert waiting.result(10) == ["elsewhere", PUBLIC, "hello"]
        # Whoever serves here does so.
        wanted = document([one.member], generation=3)
        wanted["services"][0]["forward_to"] = elsewhere
        apply(mesh, wanted)
        assert call_inside(mesh.client, ask)[0] == one.instance
    finally:
        server.shutdown()
        server.server_close()
        sh("ip", "-n", mesh.client, "addr", "del", f"{elsewhere}/32", "dev", "eth0")


def test_an_empty_rotation_refuses_at_once(mesh):
    apply(mesh, document([]))
    start = time.monotonic()
    assert call_inside(mesh.client, lambda: [connect(PUBLIC, 80), connect(PUBLIC, 81, 0.3)]) == ["refused", "silent"]
    assert time.monotonic() - start < 1.0


def test_members_share_the_connections(mesh):
    for guest in mesh.guests:
        guest.serve(80)
    apply(mesh, document([guest.member for guest in mesh.guests]))
    who = call_inside(mesh.client, lambda: [ask()[0] for _call in range(120)])
    assert {guest.instance: who.count(guest.instance) for guest in mesh.guests} == {guest.instance: 60 for guest in mesh.guests}


def test_members_share_the_connections_by_weight(mesh):
    one, two = mesh.guests
    for guest in mesh.guests:
        guest.serve(80)
    apply(mesh, document([{**one.member, "weight": 3}, two.member]))
    who = call_inside(mesh.client, lambda: [ask()[0] for _call in range(120)])
    assert (who.count(one.instance), who.count(two.instance)) == (90, 30)


def test_a_caller_stays_with_its_member_until_that_leaves(mesh):
    sources = [f"198.18.0.{last}" for last in range(10, 30)]

    def answers_by_source():
        found = {}
        for source in sources:
            for _call in range(3):
                with socket.create_connection((PUBLIC, 80), timeout=3, source_address=(source, 0)) as sock:
                    sock.sendall(b"hello\n")
                    found.setdefault(source, set()).add(sock.makefile().readline().split()[0])
        return found

    one, two = mesh.guests
    for guest in mesh.guests:
        guest.serve(80)
    for source in sources:
        sh("ip", "-n", mesh.client, "addr", "add", f"{source}/15", "dev", "eth0")
    wanted = document([one.member, two.member])
    wanted["services"][0]["balance"] = {"policy": "sticky"}
    apply(mesh, wanted)
    found = call_inside(mesh.client, answers_by_source)
    assert all(len(members) == 1 for members in found.values()), "a caller met two members"
    assert {member for members in found.values() for member in members} == {one.instance, two.instance}
    # Another port makes other rules; the callers must not notice.
    again = document([one.member, two.member], 2, ports=(80, 81))
    again["services"][0]["balance"] = {"policy": "sticky"}
    apply(mesh, again)
    assert call_inside(mesh.client, answers_by_source) == found


def test_membership_changes_lose_no_connection(mesh):
    one, two = mesh.guests
    for guest in mesh.guests:
        guest.serve(80)
    apply(mesh, document([one.member]))
    stop, outcome = threading.Event(), {"answers": 0, "errors": []}

    def stream():
        enter(mesh.client)
        while not stop.is_set():
            try:
                ask()
                outcome["answers"] += 1
            except OSError as exc:
                outcome["errors"].append(str(exc))

    callers = [threading.Thread(target=stream) for _caller in range(3)]
    for caller in callers:
        caller.start()
    for generation in range(2, 22):
        apply(mesh, document([[one.member, two.member], [two.member], [one.member]][generation % 3], generation))
    stop.set()
    for caller in callers:
        caller.join()
    assert outcome["errors"] == []
    assert outcome["answers"] > 20


def test_a_removed_member_keeps_its_connections_unless_asked_otherwise(mesh):
    one, two = mesh.guests
    for guest in mesh.guests:
        guest.serve(80)
    apply(mesh, document([one.member]))
    sock = call_inside(mesh.client, lambda: socket.create_connection((PUBLIC, 80), timeout=3))
    reader = sock.makefile()

    def say():
        sock.sendall(b"again\n")
        return reader.readline().split()

    assert say()[0] == one.instance
    apply(mesh, document([two.member], 2))
    assert say()[0] == one.instance
    service = router.look(state.load(DOMAIN, mesh.directory), mesh.switch)["services"][0]
    assert service["members"] == [{**two.member, "connections": 0, "healthy": True}]
    assert service["leaving"] == [{"address": one.address, "connections": 1}]
    apply(mesh, document([one.member, two.member], 3))
    apply(mesh, document([two.member], 4), close_connections=True)
    with pytest.raises(OSError):
        for _again in range(3):
            say()
    sock.close()


def who_answers(mesh, calls=20):
    return set(call_inside(mesh.client, lambda: {ask()[0] for _call in range(calls)}))


def rounds(watch, number):
    """Let so many attempts with each member come to their end, and return what was done."""
    done, begun = watch.look(), {}

    def ended():
        done.extend(watch.look())
        for target, due in watch._due.items():
            begun.setdefault(target, set()).add(due)
        # None begins before the one before it has ended.
        return watch._records and all(len(begun.get(target, ())) > number for target in watch._records)

    wait_for(ended, 20, "all have been asked so often")
    return done


def test_a_dead_member_leaves_the_rotation_and_comes_back(mesh):
    one, two = mesh.guests
    for guest in mesh.guests:
        guest.serve(80)
    members = [one.member, two.member]
    apply(mesh, watched(members))
    watch = health.Watch(DOMAIN, mesh.directory)
    assert rounds(watch, 5) == []
    sock = call_inside(mesh.client, lambda: [socket.create_connection((PUBLIC, 80), timeout=3) for _member in members])
    # Nobody answers at all, not even with a reset: the link is cut.
    sh("ip", "link", "set", "g1", "down")
    began = time.monotonic()
    assert wait_for(watch.look, 5, "it is noticed") == [f"{one.address} of {DOMAIN} is down"]
    assert time.monotonic() - began < 3.0
    assert who_answers(mesh) == {two.instance}
    for connection in sock:
        connection.close()
    known = state.load(DOMAIN, mesh.directory)
    assert router.drift(known, mesh.switch) == []
    assert [member["healthy"] for member in router.look(known, mesh.switch)["services"][0]["members"]] == [False, True]
    # A document that says nothing new of it does not put it back, and neither does another one.
    assert not apply(mesh, watched(members)).changed
    apply(mesh, watched(members, 2))
    assert who_answers(mesh) == {two.instance}
    sh("ip", "link", "set", "g1", "up")
    assert wait_for(watch.look, 5, "it is back") == [f"{one.address} of {DOMAIN} is up again"]
    assert who_answers(mesh) == {one.instance, two.instance}


def test_a_member_that_serves_no_page_leaves_the_rotation_where_pages_are_asked_for(mesh):
    one, two = mesh.guests
    one.serve(80)
    two.serve_pages(80)
    apply(mesh, watched([one.member, two.member], check="http", path="/health"))
    watch = health.Watch(DOMAIN, mesh.directory)
    assert wait_for(watch.look, 5, "it is noticed") == [f"{one.address} of {DOMAIN} is down"]
    assert who_answers(mesh) == {"HTTP/1.1"}
    two.status = 500
    assert wait_for(watch.look, 5, "it is noticed") == [f"{two.address} of {DOMAIN} is down"]
    assert state.load(DOMAIN, mesh.directory).down == tuple(sorted([one.address, two.address]))


def test_a_dead_member_loses_its_connections(mesh):
    one, two = mesh.guests
    for guest in mesh.guests:
        guest.serve(80)
    apply(mesh, watched([one.member]))
    sock = call_inside(mesh.client, lambda: socket.create_connection((PUBLIC, 80), timeout=3))
    apply(mesh, watched([one.member, two.member], 2))
    sh("ip", "link", "set", "g1", "down")
    try:
        wait_for(health.Watch(DOMAIN, mesh.directory).look, 5, "it is noticed")
        with pytest.raises(ConnectionResetError):
            for _again in range(3):
                sock.sendall(b"are you there\n")
                sock.recv(100)
    finally:
        sock.close()
        sh("ip", "link", "set", "g1", "up")


def test_when_nobody_passes_everybody_stays(mesh):
    apply(mesh, watched([guest.member for guest in mesh.guests]))
    wait_for(health.Watch(DOMAIN, mesh.directory).look, 5, "it is noticed")
    mesh.guests[0].serve(80)
    assert call_inside(mesh.client, lambda: "open" in [connect(PUBLIC, 80) for _call in range(10)])


def trickle(line):
    """Say something that never comes to an end, a byte at a time."""
    with contextlib.suppress(OSError):
        for byte in b"HTTP/1.1 " + b"2" * 600:
            line.sendall(bytes([byte]))
            time.sleep(0.05)


@pytest.mark.parametrize("kind", ["http", "https"])
@pytest.mark.parametrize("says", [trickle, lambda line: time.sleep(30)], ids=["trickles", "says nothing"])
def test_an_attempt_is_over_in_its_time_whatever_the_other_one_does(mesh, kind, says):
    (one, two), check = mesh.guests, Check(kind, 80)
    apply(mesh, document([one.member]))

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            says(self.request)

    one._listen(80, Handler)

    def ask():
        began = time.monotonic()
        return answers.ask(one.address, check, began + 0.5), time.monotonic() - began

    problem, took = call_inside(namespace.names(DOMAIN).namespace, ask)
    assert problem and took < 1.5, (problem, took)


def test_who_stands_still_by_our_own_doing_stays_in_the_rotation(mesh, monkeypatch, tmp_path):
    """Until it has come back: who dies after that leaves the rotation as usual."""
    monkeypatch.setattr(state, "_SPARED", str(tmp_path))
    one, two = mesh.guests
    for guest in mesh.guests:
        guest.serve(80)
    apply(mesh, watched([one.member, two.member]))
    watch = health.Watch(DOMAIN, mesh.directory)
    assert rounds(watch, 2) == []
    state.spare(DOMAIN, [one.instance], 60)
    one.quit()
    assert rounds(watch, 6) == []
    one.serve(80)
    assert rounds(watch, 3) == []
    one.quit()
    assert wait_for(watch.look, 5, "it is noticed") == [f"{one.address} of {DOMAIN} is down"]
    one.serve(80)
    assert wait_for(watch.look, 5, "it is back") == [f"{one.address} of {DOMAIN} is up again"]
    # It stands still again, and does not come back.
    state.spare(DOMAIN, [one.instance], 1.5)
    one.quit()
    assert rounds(watch, 4) == []
    assert wait_for(watch.look, 5, "it is noticed") == [f"{one.address} of {DOMAIN} is down"]


def test_nobody_waits_for_members_of_another_router(mesh, tmp_path):
    """Sixty that accept and say nothing hold nobody up but themselves."""
    one, two = mesh.guests
    for guest in mesh.guests:
        guest.serve(80)
    apply(mesh, watched([one.member, two.member]))

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            time.sleep(30)

    slow = [health.Target(one.address, Check("http", port, timeout=20)) for port in range(8000, 8060)]
    for target in slow:
        one._listen(target.check.port, Handler)
    other = health.Watch("slow.example", str(tmp_path))
    other._pool = concurrent.futures.ThreadPoolExecutor(64, initializer=inside.enter, initargs=(namespace.names(DOMAIN).namespace,))
    other._ask(slow)
    try:
        watch = health.Watch(DOMAIN, mesh.directory)
        assert rounds(watch, 3) == []
        two.quit()
        began = time.monotonic()
        assert wait_for(watch.look, 5, "it is noticed") == [f"{two.address} of {DOMAIN} is down"]
        assert time.monotonic() - began < 3.0 and not any(asked.done() for asked in other._asked.values())
    finally:
        other._close()


def test_a_guest_with_several_ports_is_asked_on_none_that_nobody_named(mesh):
    one, two = mesh.guests
    calls = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            calls.append(self.server.server_address[1])

    for port in (22, 80):
        one._listen(port, Handler)
    apply(mesh, watched([one.member], ports=(22, 80)))
    watch = health.Watch(DOMAIN, mesh.directory)
    assert rounds(watch, 5) == [] and calls == []
    # That it is there is seen nevertheless.
    apply(mesh, watched([one.member, two.member], 2, ports=(22, 80)))
    sh("ip", "link", "set", "g1", "down")
    try:
        assert wait_for(watch.look, 5, "it is noticed") == [f"{one.address} of {DOMAIN} is down"]
    finally:
        sh("ip", "link", "set", "g1", "up")
    assert wait_for(watch.look, 5, "it is back") == [f"{one.address} of {DOMAIN} is up again"] and calls == []
    apply(mesh, watched([one.member], 3, ports=(22, 80), check_port=80))
    assert rounds(watch, 5) == [] and set(calls) == {80}


def test_a_udp_port_that_is_refused_is_down(mesh):
    one, two = mesh.guests
    wanted = watched([one.member, two.member], check="udp")
    wanted["services"][0]["ports"] = [{"protocol": "udp", "port": 5353}]
    apply(mesh, wanted)

    def open_port():
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        line.bind((two.address, 5353))
        return line

    with call_inside(two.namespace, open_port):
        watch = health.Watch(DOMAIN, mesh.directory)
        assert wait_for(watch.look, 5, "it is noticed") == [f"{one.address} of {DOMAIN} is down"]
        assert rounds(watch, 4) == []


def test_the_status_of_a_page_has_to_be_the_right_one(mesh):
    one, two = mesh.guests
    two.serve_pages(80)
    two.status = 204
    apply(mesh, document([two.member]))

    def problem(status):
        return call_inside(namespace.names(DOMAIN).namespace, lambda: answers.ask(two.address, Check("http", 80, status=status), time.monotonic() + 3))

    assert problem((100, 499)) is problem((204, 204)) is None
    assert problem((200, 200)) == "its HTTP status is 204"


def test_who_serves_udp_only_has_to_be_there_before_it_is_published(mesh):
    one, unused = mesh.guests
    wanted = document([one.member])
    wanted["services"][0]["ports"] = [{"protocol": "udp", "port": 5353}]
    sh("ip", "link", "set", "g1", "down")
    try:
        with pytest.raises(DeadlineExceeded, match=rf"{one.instance} did not answer on {one.address} within 0.5 s \(no reply; nobody has that address\)"):
            apply(mesh, wanted, answer_timeout=0.5)
    finally:
        sh("ip", "link", "set", "g1", "up")
    assert [waited.instance for waited in apply(mesh, wanted, answer_timeout=10).waited] == [one.instance]


def test_a_udp_flow_goes_elsewhere_when_its_member_leaves_and_is_refused_when_nobody_is_left(mesh):
    """Whoever sends from one port all along would stay with the one that left for as long as he speaks."""
    one, two = mesh.guests

    def udp(members, generation):
        wanted = document(members, generation)
        wanted["services"][0]["ports"] = [{"protocol": "udp", "port": 5353}]
        return wanted

    with echo(one, 5353), echo(two, 5353):
        apply(mesh, udp([one.member], 1))
        line, say = call_inside(mesh.client, lambda: talk(5353))
        with line:
            assert [say() for unused in range(3)] == [one.instance] * 3
            apply(mesh, udp([two.member], 2))
            assert [say() for unused in range(3)] == [two.instance] * 3
            apply(mesh, udp([], 3))
            with pytest.raises(ConnectionRefusedError):
                say()
                say()


def test_a_public_address_answers_a_ping_while_somebody_serves(mesh):
    one, two = mesh.guests
    one.serve(80)

    def answers_ping():
        return call_inside(mesh.client, lambda: ping(PUBLIC, 1))

    apply(mesh, watched([one.member]))
    assert answers_ping()
    one.quit()
    assert wait_for(health.Watch(DOMAIN, mesh.directory).look, 5, "it is noticed")
    assert not answers_ping()
    apply(mesh, watched([one.member, two.member], 2))
    assert answers_ping(), "nobody has judged the other one yet"
    apply(mesh, watched([one.member, two.member], 3, ping=False))
    assert not answers_ping()
    apply(mesh, watched([], 4))
    assert not answers_ping()


def test_who_calls_a_former_member_is_reset_when_that_is_forgotten(mesh):
    one, two = mesh.guests
    one.serve(80)
    two.serve(80)
    apply(mesh, document([one.member]))
    sock = call_inside(mesh.client, lambda: socket.create_connection((PUBLIC, 80), timeout=3))
    with sock:
        apply(mesh, document([two.member], 2))
        sock.sendall(b"still there\n")
        assert one.instance in sock.recv(100).decode(), "it keeps its connections"
        router.forget(DOMAIN, [one.address], mesh.directory)
        router.forget("example.net", [one.address], mesh.directory)
        with pytest.raises(ConnectionResetError):
            for unused in range(3):
                sock.sendall(b"and now\n")
                sock.recv(100)


def test_a_drain_ends_when_nobody_will_hear_of_it(mesh, monkeypatch):
    one, two = mesh.guests
    one.serve(80)
    apply(mesh, document([one.member]))
    with call_inside(mesh.client, lambda: socket.create_connection((PUBLIC, 80), timeout=3)):
        apply(mesh, document([two.member], 2))
        monkeypatch.setattr(drain.Caller, "gone", lambda caller: True)
        with pytest.raises(Refused, match="has ended, for whoever asked for it has gone; none was cut"):
            drain.drain(DOMAIN, [one.address], 60, "cut", 0, directory=mesh.directory)


def test_a_drain_says_what_became_of_every_connection(mesh):
    one, two = mesh.guests
    for guest in mesh.guests:
        guest.serve(80)
    apply(mesh, document([one.member]))
    with pytest.raises(Refused, match="is in rotation"):
        drain.drain(DOMAIN, [one.address], 1, "cut", 0, directory=mesh.directory)
    lazy, brisk = (call_inside(mesh.client, lambda: socket.create_connection((PUBLIC, 80), timeout=3)) for _connection in range(2))
    apply(mesh, document([two.member], 2))
    assert drain.drain(DOMAIN, [one.address], 1, "give_up", 0, dry_run=True, directory=mesh.directory) == (2, 0, 0)
    assert drain.drain(DOMAIN, [one.address], 1, "cut", 0, dry_run=True, directory=mesh.directory) == (2, 0, 2), "a dry run says what it may come to"
    threading.Timer(0.3, brisk.close).start()
    with pytest.raises(DeadlineExceeded, match="1 of 2 connections") as failed:
        drain.drain(DOMAIN, [one.address], 1.5, "give_up", 0, directory=mesh.directory)
    assert failed.value.result == {"connections": 2, "ended": 1, "left": 1}
    lazy.sendall(b"still here\n")
    assert lazy.makefile().readline().split()[0] == one.instance, "giving up must not touch it"
    assert drain.drain(DOMAIN, [one.address], 0.2, "cut", 0, directory=mesh.directory).cut == 1
    with pytest.raises(OSError):
        for _again in range(3):
            lazy.sendall(b"and now\n")
            assert lazy.recv(100)
    lazy.close()
    assert drain.drain(DOMAIN, [one.address], 0.2, "give_up", 0, directory=mesh.directory) == (0, 0, 0)


def test_a_drain_that_waits_outlasts_its_deadline(mesh):
    one = mesh.guests[0]
    one.serve(80)
    apply(mesh, document([one.member]))
    sock = call_inside(mesh.client, lambda: socket.create_connection((PUBLIC, 80), timeout=3))
    apply(mesh, document([], 2))
    threading.Timer(0.5, sock.close).start()
    assert drain.drain(DOMAIN, [one.address], 0.1, "wait", 20, directory=mesh.directory) == (1, 1, 0)


def test_the_second_run_changes_nothing_and_check_mode_tells_what_a_run_does(mesh):
    desired = document([mesh.guests[0].member])
    foreseen = apply(mesh, desired, dry_run=True)
    assert not os.path.exists(f"/run/netns/router-{DOMAIN}") and state.load(DOMAIN, mesh.directory) is None
    assert foreseen == apply(mesh, desired)
    # As a tunnel that is down has it: a way that leads nowhere.
    sh("ip", "-n", f"router-{DOMAIN}", "route", "add", "unreachable", "10.9.9.0/24")
    again = apply(mesh, desired)
    assert not again.changed and again.before == again.after


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_older_document_is_refused_and_one_of_the_same_generation_is_not(mesh, dry_run):
    newer = document([mesh.guests[0].member], 7)
    apply(mesh, newer)
    before = state.load(DOMAIN, mesh.directory)
    with pytest.raises(Refused) as caught:
        apply(mesh, document([], 6), dry_run=dry_run)
    assert caught.value.message == (
        f"The document of generation 6 for the router of {DOMAIN} is older than the one in force, of generation 7: "
        f"either another operation of {DOMAIN} was faster (run this one again), or the registry was restored from a copy (rebuild it)."
    )
    assert caught.value.result == {"stale": True}
    with pytest.raises(Refused, match="older than the one in force"):
        router.remove(DOMAIN, lambda _bridge: mesh.switch, dry_run, mesh.directory, generation=6)
    assert state.load(DOMAIN, mesh.directory) == before
    assert not apply(mesh, newer, dry_run=dry_run).changed
    assert apply(mesh, document([], 7), dry_run=dry_run).changed
    assert router.remove(DOMAIN, lambda _bridge: mesh.switch, dry_run, mesh.directory, generation=7).changed


def members_of(mesh):
    known = state.load(DOMAIN, mesh.directory)
    return [member["instance"] for service in known.document["services"] for member in service["members"]] if known else None


def test_who_has_leased_an_instance_speaks_for_that_one_only(mesh):
    one, two = mesh.guests
    one.serve(80)
    apply(mesh, document([one.member], 1), leases={one.instance: 1})
    # The other one is on its way, and has not answered yet.
    report = apply(mesh, document([one.member, two.member], 3), leases={one.instance: 1}, answer_timeout=5)
    assert members_of(mesh) == [one.instance] and report.waited == []
    two.serve(80)
    apply(mesh, document([one.member, two.member], 2), leases={two.instance: 2}, answer_timeout=5)
    assert members_of(mesh) == [one.instance, two.instance], "an older document of his counts for him"
    assert state.load(DOMAIN, mesh.directory).document["generation"] == 3
    apply(mesh, document([two.member], 2), leases={one.instance: 3})
    assert members_of(mesh) == [two.instance]
    with pytest.raises(Refused, match=f"Another operation has come to {one.instance} since this one began .its lease is 3, this one's 1.; nothing was done"):
        apply(mesh, document([one.member, two.member], 9), leases={one.instance: 1})
    assert members_of(mesh) == [two.instance]


def test_a_router_stays_as_long_as_others_are_in_it(mesh):
    one, two = mesh.guests
    for guest in (one, two):
        guest.serve(80)
    apply(mesh, document([one.member, two.member], 5), leases={one.instance: 1, two.instance: 1})
    gone = {"switch_of": lambda _bridge: mesh.switch, "directory": mesh.directory}
    foreseen = router.remove(DOMAIN, generation=4, leases={one.instance: 2}, dry_run=True, **gone)
    assert foreseen.changed and members_of(mesh) == [one.instance, two.instance]
    assert router.remove(DOMAIN, generation=4, leases={one.instance: 2}, **gone).after == foreseen.after
    assert members_of(mesh) == [two.instance] and connect_from(mesh) == "open"
    with pytest.raises(Refused, match="Another operation has come"):
        router.remove(DOMAIN, generation=9, leases={one.instance: 1}, **gone)
    assert router.remove(DOMAIN, generation=6, leases={two.instance: 2}, **gone).after["router"] is None
    assert members_of(mesh) is None


def test_nobody_waits_for_the_answer_of_anothers_member(mesh):
    one, two = mesh.guests
    one.serve(80)
    with concurrent.futures.ThreadPoolExecutor(1, initializer=enter, initargs=(f"{MARK}-gw",)) as pool:
        waiting = pool.submit(apply, mesh, document([two.member], 1), leases={two.instance: 1}, answer_timeout=60)
        wait_for(lambda: members_of(mesh) == [], 10, "the network of the first is there")
        apply(mesh, document([one.member, two.member], 2), leases={one.instance: 2}, answer_timeout=5)
        assert members_of(mesh) == [one.instance] and not waiting.done()
        two.serve(80)
        assert [each.instance for each in waiting.result(timeout=30).waited] == [two.instance]
    assert members_of(mesh) == [one.instance, two.instance]
    assert not state.load(DOMAIN, mesh.directory) is None and router.drift(state.load(DOMAIN, mesh.directory), mesh.switch) == []


@pytest.mark.parametrize(
    ("by_hand", "part"),
    [
        (["ip", "netns", "exec", f"router-{DOMAIN}", "nft", "insert rule inet vmatrix forward accept"], "rules"),
        (["ip", "netns", "exec", f"router-{DOMAIN}", "nft", "flush ruleset"], "rules"),
        (["ip", "-n", f"router-{DOMAIN}", "addr", "del", "192.168.1.1/24", "dev", "guests"], "links"),
        (["ip", "-n", f"router-{DOMAIN}", "route", "del", "default"], "links"),
        (["ip", "neigh", "del", "proxy", PUBLIC, "dev", "wan0"], "links"),
        (["ip", "route", "del", PUBLIC], "links"),
        (["ip", "link", "set", namespace.names(DOMAIN).port, "nomaster"], "access port"),
        (["ip", "link", "del", namespace.names(DOMAIN).link], "links"),
        (["ip", "netns", "del", f"router-{DOMAIN}"], "rules"),
    ],
)
def test_what_was_changed_by_hand_is_found_and_repaired(mesh, by_hand, part):
    one = mesh.guests[0]
    one.serve(80)
    desired = document([one.member])
    apply(mesh, desired)
    sh(*by_hand)
    if by_hand[:3] == ["ip", "netns", "del"]:
        # The kernel takes a namespace's links away some time after the namespace itself.
        port = ["ip", "link", "show", "dev", namespace.names(DOMAIN).port]
        wait_for(lambda: run(port, check=False).returncode, 30, "the links of the namespace are gone")
    assert router.look(state.load(DOMAIN, mesh.directory), mesh.switch)["drift"]
    report = apply(mesh, desired)
    assert report.changed and part in report.before["drift"] and report.after["drift"] == []
    assert not apply(mesh, desired).changed
    assert call_inside(mesh.client, ask)[0] == one.instance


def nft(*words):
    return sh("ip", "netns", "exec", f"router-{DOMAIN}", "nft", *words)


def test_a_companion_is_called_once_before_new_members_are_published_else_at_the_end(mesh):
    one = mesh.guests[0]
    one.serve(80)
    seen = []

    def companion(_older=False):
        known = state.load(DOMAIN, mesh.directory)
        seen.append((connect_from(mesh), [member["instance"] for service in known.document["services"] for member in service["members"]]))
        return lambda: None

    apply(mesh, document([one.member], 1), companion=companion, answer_timeout=5)
    assert seen == [("refused", [])], "the network is there, and nobody is published yet"
    apply(mesh, document([one.member], 2), companion=companion, dry_run=True)
    apply(mesh, document([], 3), companion=companion)
    assert seen[1:] == [("open", [one.instance]), ("refused", [])]
    with pytest.raises(Refused, match="older than the one in force"):
        apply(mesh, document([one.member], 2), companion=companion)
    router.remove(DOMAIN, lambda _bridge: mesh.switch, directory=mesh.directory, companion=companion)
    assert seen[3:] == [("refused", [])]


def test_nobody_waits_for_what_a_companion_waits_for(mesh):
    """A tunnel of one service takes its time; meanwhile another operation of the domain changes the router, and what it has brought stays."""
    one, two = mesh.guests
    for guest in mesh.guests:
        guest.serve(80)
    waits, goes_on = threading.Event(), threading.Event()

    def companion(_older):
        return lambda: (waits.set(), goes_on.wait(20))

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(apply, mesh, document([two.member], 1), companion=companion, leases={two.instance: 1}, answer_timeout=5)
        try:
            assert waits.wait(10)
            apply(mesh, document([one.member, two.member], 2), leases={one.instance: 2}, answer_timeout=5)
            assert who_answers(mesh) == {one.instance} and not slow.done()
        finally:
            goes_on.set()
        slow.result(20)
    assert who_answers(mesh) == {one.instance, two.instance}


def connect_from(mesh):
    return call_inside(mesh.client, lambda: connect(PUBLIC, 80))


def test_a_companion_that_fails_leaves_the_rotation_as_it_was(mesh):
    one, two = mesh.guests[:2]
    one.serve(80)
    two.serve(80)
    apply(mesh, document([one.member], 1))

    def companion(_older):
        raise DeadlineExceeded("The tunnel did not come up.")

    with pytest.raises(DeadlineExceeded, match="The tunnel did not come up"):
        apply(mesh, document([two.member], 2), companion=companion, answer_timeout=5)
    assert call_inside(mesh.client, ask)[0] == one.instance
    assert state.load(DOMAIN, mesh.directory).document["services"][0]["members"] == [one.member]


def test_what_newer_engines_write_otherwise_comes_into_force(mesh):
    """With the next call, though the document is the same: an upgrade is worth nothing else."""
    apply(mesh, document([]))
    before = state.load(DOMAIN, mesh.directory)
    older = before._asdict()
    del older["written"]
    state.write_json(f"{mesh.directory}/{DOMAIN}.json", older)
    report = apply(mesh, document([]))
    assert report.changed and report.before["drift"] == ["rules"]
    assert state.load(DOMAIN, mesh.directory) == before and not apply(mesh, document([])).changed


def test_the_rules_of_others_in_the_router_stay(mesh):
    one = mesh.guests[0]
    one.serve(80)
    apply(mesh, document([one.member], 1))
    nft("add", "table", "inet", "tunnels")
    assert not apply(mesh, document([one.member], 1)).changed
    apply(mesh, document([], 2))
    assert "table inet tunnels" in nft("list", "tables")


def test_restore_gives_the_same_rules_and_service(mesh):
    one = mesh.guests[0]
    one.serve(80)
    apply(mesh, document([one.member]))
    known = state.load(DOMAIN, mesh.directory)
    rules = sh("ip", "netns", "exec", f"router-{DOMAIN}", "nft", "list", "ruleset")
    sh("ip", "neigh", "del", "proxy", PUBLIC, "dev", "wan0")
    namespace.remove(DOMAIN)
    mesh.switch.vlans.clear()
    router.restore(known, mesh.switch, mesh.directory)
    assert sh("ip", "netns", "exec", f"router-{DOMAIN}", "nft", "list", "ruleset") == rules
    assert state.load(DOMAIN, mesh.directory) == known
    assert router.drift(known, mesh.switch) == []
    assert call_inside(mesh.client, ask)[0] == one.instance


def test_removing_leaves_nothing_behind(mesh):
    apply(mesh, document([mesh.guests[0].member]))
    assert router.remove(DOMAIN, lambda _bridge: mesh.switch, dry_run=True, directory=mesh.directory).changed
    assert router.remove(DOMAIN, lambda _bridge: mesh.switch, directory=mesh.directory).changed
    assert not router.remove(DOMAIN, lambda _bridge: mesh.switch, directory=mesh.directory).changed
    assert not os.path.exists(f"/run/netns/router-{DOMAIN}")
    assert not {*namespace.names(DOMAIN)[1:]} & set(namespace.host_addresses())
    assert PUBLIC not in sh("ip", "neigh", "show", "proxy") + sh("ip", "route")
    assert os.listdir(mesh.directory) == []


def test_a_member_enters_when_it_answers(mesh):
    one, two = mesh.guests
    one.serve(80)
    apply(mesh, document([one.member]))
    late = threading.Timer(0.4, two.serve, [80])
    late.start()
    report = apply(mesh, document([one.member, two.member], 2), answer_timeout=10)
    late.join()
    assert [waited.instance for waited in report.waited] == [two.instance]
    assert 0.1 < report.waited[0].seconds < 3
    assert two.instance in call_inside(mesh.client, lambda: [ask()[0] for _call in range(60)])


def test_a_guest_that_appears_late_on_a_new_router_is_found(mesh):
    one = mesh.guests[0]
    sh("ip", "-n", one.namespace, "link", "set", "eth0", "down")

    def appear():
        sh("ip", "-n", one.namespace, "link", "set", "eth0", "up")
        sh("ip", "-n", one.namespace, "route", "replace", "default", "via", "192.168.1.1")
        one.serve(80)

    late = threading.Timer(0.7, appear)
    late.start()
    report = apply(mesh, document([one.member]), answer_timeout=10)
    late.join()
    assert 0.2 < report.waited[0].seconds < 3
    assert call_inside(mesh.client, ask)[0] == one.instance


def test_a_member_that_does_not_answer_stays_out(mesh):
    one, two = mesh.guests
    one.serve(80)
    apply(mesh, document([one.member]))
    before = state.load(DOMAIN, mesh.directory)
    with pytest.raises(DeadlineExceeded, match=rf"{two.instance} did not answer on {two.address} port 80 within 0.3 s \(connection refused\)"):
        apply(mesh, document([two.member], 2), answer_timeout=0.3)
    assert state.load(DOMAIN, mesh.directory) == before
    assert router.drift(before, mesh.switch) == []
    assert {answer[0] for answer in call_inside(mesh.client, lambda: [ask() for _call in range(10)])} == {one.instance}


def test_who_is_in_the_rotation_has_to_answer_too_if_that_is_asked(mesh):
    """Its RM has lost its power since, and nothing else tells that it does not serve again yet."""
    one, two = mesh.guests
    apply(mesh, document([one.member, two.member]))
    before = state.load(DOMAIN, mesh.directory)
    with pytest.raises(DeadlineExceeded, match=rf"{one.instance} did not answer on {one.address} port 80 within 0.3 s"):
        apply(mesh, document([one.member, two.member]), answer_timeout=0.3, asks=[one.instance])
    assert state.load(DOMAIN, mesh.directory) == before, "its rotation is what it was"
    assert not apply(mesh, document([one.member, two.member]), answer_timeout=0.3, asks=[one.instance], dry_run=True).waited
    one.serve(80)
    report = apply(mesh, document([one.member, two.member]), answer_timeout=10, asks=[one.instance])
    assert not report.changed and [waited.instance for waited in report.waited] == [one.instance]


def test_it_is_told_who_is_in_the_rotation_and_does_not_answer(mesh):
    one, two = mesh.guests
    one.serve(80)
    apply(mesh, document([one.member, two.member]))
    before = state.load(DOMAIN, mesh.directory)

    def late(*instances):
        return router.late(DOMAIN, instances, 0.3, mesh.directory)

    assert late(one.instance, two.instance, "gone-1.example.com") == [two.instance] and late(one.instance) == []
    assert state.load(DOMAIN, mesh.directory) == before and router.late("example.net", [one.instance], 0.3, mesh.directory) == []


def test_a_first_member_that_does_not_answer_leaves_a_refusing_service(mesh):
    with pytest.raises(DeadlineExceeded):
        apply(mesh, document([mesh.guests[0].member]), answer_timeout=0.2)
    assert call_inside(mesh.client, lambda: connect(PUBLIC, 80)) == "refused"
    mesh.guests[0].serve(80)
    assert apply(mesh, document([mesh.guests[0].member]), answer_timeout=5).changed
    assert call_inside(mesh.client, lambda: connect(PUBLIC, 80)) == "open"


def test_an_http_check_wants_http(mesh):
    one = mesh.guests[0]
    one.serve(80)
    with pytest.raises(DeadlineExceeded, match="not HTTP"):
        wanted = document([one.member])
        wanted["services"][0]["balance"] = {"check": "http"}
        apply(mesh, wanted, answer_timeout=0.3)


def test_what_belongs_to_somebody_else_is_refused(mesh):
    apply(mesh, document([]))
    for change, words in (
        ({"vlan": 102}, f"The public address {PUBLIC} belongs to the router of {DOMAIN}"),
        ({"services": []}, f"VLAN 101 belongs to the router of {DOMAIN}"),
    ):
        with pytest.raises(Refused, match=words):
            apply(mesh, {**document([]), "domain": f"other.{DOMAIN}", **change})
    own = document([])
    own["services"][0]["public_address"] = "198.18.0.1"
    with pytest.raises(Refused, match="the gateway's own on wan0"):
        apply(mesh, own)
    with pytest.raises(InvalidInput, match="no interface 'wan9'"):
        router.apply(document([]), lambda _bridge: mesh.switch, mesh.switch.bridge, "wan9", directory=mesh.directory)
    assert not apply(mesh, document([])).changed


def test_neighbours_learn_where_an_address_is_now(mesh):
    sh("ip", "-n", mesh.client, "neigh", "replace", PUBLIC, "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "stale")
    apply(mesh, document([]))
    assert call_inside(mesh.client, lambda: connect(PUBLIC, 80, 0.5)) == "refused"


def test_a_member_change_is_quick(mesh, record_property):
    one, two = mesh.guests
    apply(mesh, document([one.member]))
    start = time.monotonic()
    apply(mesh, document([one.member, two.member], 2))
    took = time.monotonic() - start
    record_property("seconds", took)
    # The goal is 0.15 s; this allows for a machine that is busy with other things.
    assert took < 1.0
