# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A tunnel between real IKE daemons in real network namespaces: what a guest, a back-end and somebody on the wire see."""

from __future__ import annotations

import contextlib
import datetime
import glob
import os
import shutil
import socket
import socketserver
import threading

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import authority, certificates, keeper, observe, pki, tunnel, wrapping
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.document import RESPONDER
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.session import opened


class WhoCalls(socketserver.StreamRequestHandler):
    """A back-end that tells its callers who they are to it."""

    def handle(self):
        for line in self.rfile:
            self.wfile.write(f"{self.client_address[0]} {line.decode()}".encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


@contextlib.contextmanager
def serving(mesh, namespace, address, *ports):
    servers = [mesh.inside(namespace, lambda port=port: Server((address, port), WhoCalls)) for port in ports]
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@pytest.fixture(scope="module")
def backend(mesh):
    with serving(mesh, mesh.backend, mesh.server, 5432, 22):
        yield


@pytest.fixture
def up(mesh, backend):
    """The tunnel with one instance, in whatever state the test before left it."""
    mesh.open()
    return mesh


def ask(address, port, source=None, timeout=3.0):
    """Return whom the server at *address* sees, or how the attempt ended."""
    try:
        with socket.create_connection((address, port), timeout=timeout, source_address=(source, 0) if source else None) as sock:
            sock.sendall(b"hello\n")
            return sock.makefile().readline().split()[0]
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "silent"


def ping(address, timeout=2.0):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(timeout)
        # Type 8, identifier 1, sequence 1; the checksum of these is 0xF7FD.
        sock.sendto(bytes.fromhex("0800f7fd00010001"), (address, 0))
        try:
            while True:
                reply = sock.recv(1500)
                if reply[20] == 0 and reply[24:28] == bytes.fromhex("00010001"):
                    return True
        except OSError:
            return False


def ike_sas(endpoint):
    with opened(endpoint.socket, endpoint.namespace) as session:
        return [one["uniqueid"] for one in session.tunnels()]


class Tap(threading.Thread):
    """Somebody who reads along on an interface: every IPv4 packet as (protocol, source, destination, destination port)."""

    def __init__(self, mesh, namespace, interface):
        super().__init__(daemon=True)
        self.sock = mesh.inside(namespace, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003)))
        self.sock.bind((interface, 0x0003))
        self.sock.settimeout(0.1)
        self.seen, self.raw, self.stopped = set(), bytearray(), threading.Event()
        self.start()

    def run(self):
        while not self.stopped.is_set():
            with contextlib.suppress(socket.timeout):
                frame = self.sock.recv(65535)
                if frame[12:14] == b"\x08\x00":
                    head = 14 + 4 * (frame[14] & 15)
                    self.raw += frame[head:]
                    self.seen.add(
                        (frame[23], socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34]), int.from_bytes(frame[head + 2 : head + 4], "big"))
                    )

    def stop(self):
        self.stopped.set()
        self.join()
        self.sock.close()


def applied(*what):
    """Make the tunnels of a domain what is said, wait until they are up, and return the report."""
    report, wait = tunnel.begin_tunnels(*what)
    return report._replace(waited=wait())


def test_the_back_end_sees_the_intranet_address(up):
    assert up.inside(up.guest, lambda: ask(up.server, 5432, up.guests[0])) == up.pool[0]
    assert up.inside(up.guest, lambda: ping(up.server))
    assert up.established(up.gateway) and up.established(up.owner)


def test_a_second_run_changes_nothing_and_a_dry_run_touches_nothing(up):
    assert not tunnel.apply_tunnel(up.gateway, up.tunnel(), 15).changed
    assert not tunnel.apply_responder(up.owner, up.responder()).changed
    assert tunnel.apply_tunnel(up.gateway, up.tunnel(2), 15, dry_run=True).changed
    assert observe.drift(up.gateway, {"shop": observe.state.load(up.gateway)["shop"]}) == []
    assert len(observe.look(up.gateway)[0]["instances"]) == 1


def test_only_declared_back_ends_and_ports_are_reached(up):
    assert up.inside(up.guest, lambda: [ask(up.server, port, up.guests[0], 0.5) for port in (22, 5433)]) == ["silent"] * 2
    assert up.inside(up.guest, lambda: ask("172.21.162.1", 5432, up.guests[0], 0.5)) == "silent"
    # The second guest is no instance of the service.
    assert up.inside(up.guest, lambda: ask(up.server, 5432, up.guests[1], 0.5)) == "silent"


def test_nobody_calls_an_instance_unless_declared(up):
    with serving(up, up.guest, up.guests[0], 8080):
        assert up.inside(up.backend, lambda: ask(up.pool[0], 8080, timeout=0.5)) in ("silent", "refused")
        up.open(inbound=[{"protocol": "tcp", "port": 8080}])
        assert up.inside(up.backend, lambda: ask(up.pool[0], 8080)) == up.server
        assert up.inside(up.backend, lambda: ask(up.pool[0], 5432, timeout=0.5)) in ("silent", "refused")


def test_a_lot_of_data_passes_whole_and_only_encrypted(up):
    tap = Tap(up, up.wire, "hn")

    def talk():
        with socket.create_connection((up.server, 5432), timeout=10, source_address=(up.guests[0], 0)) as sock:
            reader, line = sock.makefile("rb"), b"x" * 30_000 + b"\n"
            for _again in range(10):
                sock.sendall(line)
                assert reader.readline().endswith(line)

    def whisper():
        with socket.create_connection((up.server, 5432), timeout=10, source_address=(up.guests[0], 0)) as sock:
            sock.sendall(b"secretword\n")
            assert b"secretword" in sock.makefile("rb").readline()

    up.inside(up.guest, talk)
    up.inside(up.guest, whisper)
    tap.stop()
    # ESP as it is where the kernel does it, in UDP where charon does; IKE itself moved to port 4500 before.
    assert {port for protocol, _source, _destination, port in tap.seen if protocol == socket.IPPROTO_UDP} <= {4500}
    assert {protocol for protocol, *_rest in tap.seen} <= {socket.IPPROTO_UDP, socket.IPPROTO_ESP}
    assert {frozenset(ends) for _protocol, *ends, _port in tap.seen} == {frozenset((up.public, up.peer))}
    assert len(tap.raw) > 100_000
    # Where the same kernel decrypts for the other end, it does so in the very pages that this tap reads later.
    assert observe.kernel(up.gateway) or b"secretword" not in tap.raw


def test_without_a_tunnel_nothing_leaves_in_the_clear(up):
    tap = Tap(up, up.wire, "hn")
    up.gateway.daemon.stop(up.domain)
    assert up.inside(up.guest, lambda: ask(up.server, 5432, up.guests[0], 0.5)) == "silent"
    # Even a wrong route does not let it out.
    os.system(f"ip -n {up.router} route replace {up.server} via 169.254.76.1 dev outside onlink")
    assert up.inside(up.guest, lambda: ask(up.server, 5432, up.guests[0], 0.5)) == "silent"
    os.system(f"ip -n {up.router} route del {up.server} dev outside")
    tap.stop()
    assert [packet for packet in tap.seen if up.server in packet] == []
    assert keeper.keep(up.gateway) != []
    up.until(lambda: up.established(up.gateway), "the tunnel is back")


def test_each_instance_has_a_way_of_its_own(up):
    with up.inside(up.guest, lambda: socket.create_connection((up.server, 5432), timeout=5, source_address=(up.guests[0], 0))) as sock:
        up.open(2)
        assert up.inside(up.guest, lambda: ask(up.server, 5432, up.guests[1])) == up.pool[1]
        first = ike_sas(up.gateway)
        up.open(1)
        # The first instance's connection did not notice that another one came and went.
        sock.sendall(b"still\n")
        assert sock.makefile().readline().split() == [up.pool[0], "still"]
        assert ike_sas(up.gateway) == first
    assert up.inside(up.guest, lambda: ask(up.server, 5432, up.guests[1], 0.5)) == "silent"


def test_a_gateway_that_died_is_back_at_once(up):
    up.gateway.daemon.kill()
    tunnel.apply_tunnel(up.gateway, up.tunnel(), 15)
    assert up.inside(up.guest, lambda: ask(up.server, 5432, up.guests[0])) == up.pool[0]
    keeper.keep(up.owner)
    assert len(ike_sas(up.owner)) == 1


def test_the_tunnel_returns_by_itself_when_its_peer_was_dead(up):
    up.owner.daemon.kill()
    up.until(lambda: not up.established(up.gateway), "the gateway notices that its peer is dead")
    with up.kept():
        up.until(lambda: up.established(up.gateway), "the tunnel is back")
    assert up.inside(up.guest, lambda: ask(up.server, 5432, up.guests[0])) == up.pool[0]


def test_what_was_changed_by_hand_is_repaired(up):
    os.system(f"ip netns exec {up.router} nft add rule inet vmatrix_vpn forward accept; ip -n {up.router} route del {up.server} dev ipsec0")
    report = tunnel.apply_tunnel(up.gateway, up.tunnel(), 15)
    assert report.changed and report.before["drift"] == ["links", "rules"]
    assert not tunnel.apply_tunnel(up.gateway, up.tunnel(), 15).changed


def test_a_revoked_certificate_is_refused_and_its_tunnel_closed(up, tmp_path):
    directory = str(tmp_path / "authority")
    shutil.copytree(up.pki.directory, directory)
    crl = certificates.absent(f"shop.{up.domain}", 365, directory).result["crl"]
    tunnel.apply_responder(up.owner, up.responder(crl=crl))
    with opened(up.owner.socket, up.owner.namespace) as session:
        up.until(lambda: not session.tunnels(), "the owner's gateway closes the tunnel")
    with pytest.raises(DeadlineExceeded, match="AUTHENTICATION_FAILED"):
        tunnel.apply_tunnel(up.gateway, up.tunnel(), 2)
    assert up.inside(up.guest, lambda: ask(up.server, 5432, up.guests[0], 0.5)) == "silent"
    # The list of the other tests is an older one; charon would keep the newer, were it not started anew.
    tunnel.remove(up.owner, RESPONDER)


def issued_elsewhere(mesh, directory, moment=None, monkeypatch=None):
    """Return a certificate of service shop by an authority of its own, issued at *moment*, with an envelope for the gateway."""
    with monkeypatch.context() if monkeypatch else contextlib.nullcontext() as patch:
        if moment:
            patch.setattr(pki, "now", lambda: moment)
        root = authority.present(mesh.domain, 3650, 365, directory).result
        shop = certificates.present(f"shop.{mesh.domain}", 90, 30, recipients=[mesh.pki.reader], directory=directory).result
    return root, {"address": mesh.public, "certificate": shop["certificate"], "envelope": next(iter(shop["envelopes"].values()))}


def test_a_certificate_of_a_stranger_is_refused_and_nothing_of_it_stays(up, tmp_path):
    before = observe.state.load(up.gateway)
    _root, local = issued_elsewhere(up, str(tmp_path))
    with pytest.raises(DeadlineExceeded, match="AUTHENTICATION_FAILED"):
        tunnel.apply_tunnel(up.gateway, up.tunnel(local=local), 2)
    assert observe.state.load(up.gateway) == before
    up.until(lambda: up.established(up.gateway) and not observe.drift(up.gateway, before), "the tunnel is as it was before")


def test_an_expired_certificate_is_refused_at_both_ends(up, tmp_path, monkeypatch):
    directory = str(tmp_path)
    root, local = issued_elsewhere(up, directory, pki.now() - datetime.timedelta(days=100), monkeypatch)
    with pytest.raises(Refused, match="expired at"):
        tunnel.apply_tunnel(up.gateway, up.tunnel(local=local), 2)
    # Even if this end did not look, the other one would.
    monkeypatch.setattr(tunnel.plan, "refuse_expired", lambda _local: None)
    own = certificates.present(f"vpn.{up.domain}", 90, 30, directory=directory).result
    ends = {"address": up.peer, "identity": f"vpn.{up.domain}", "certificate": own["certificate"], "key": own["key_path"]}
    tunnel.remove(up.owner, RESPONDER)
    tunnel.apply_responder(up.owner, up.responder(local=ends, authority=root["certificate"], crl=root["crl"]))
    peer = {"address": up.peer, "identity": f"vpn.{up.domain}", "authority": root["certificate"]}
    with pytest.raises(DeadlineExceeded, match="AUTHENTICATION_FAILED"):
        tunnel.apply_tunnel(up.gateway, up.tunnel(local=local, peer=peer), 2)
    tunnel.remove(up.owner, RESPONDER)


def test_a_peer_with_another_name_is_refused(up):
    peer = {"address": up.peer, "identity": f"blog.{up.domain}", "authority": up.pki.root["certificate"]}
    with pytest.raises(DeadlineExceeded):
        tunnel.apply_tunnel(up.gateway, up.tunnel(peer=peer), 1)


def test_a_service_cannot_claim_anothers_intranet_address(up):
    mapping = {"instance": f"shop-1.{up.domain}", "fabric_address": up.guests[0], "intranet_address": "172.21.162.200"}
    with pytest.raises(DeadlineExceeded, match="TS_UNACCEPTABLE"):
        tunnel.apply_tunnel(up.gateway, up.tunnel(mappings=[mapping]), 1)


def test_keys_are_neither_in_process_lists_nor_in_files_that_others_can_read(up):
    with open(up.pki.issued["vpn"]["key_path"], encoding="ascii") as handle:
        owners = handle.read()
    shop = wrapping.read_key(up.pki.issued["shop"]["key_path"], pki.load_certificate(up.pki.issued["shop"]["certificate"], "certificate")).decode()
    secrets = [key.splitlines()[1] for key in (owners, shop)]
    for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
        with contextlib.suppress(OSError), open(path, "rb") as handle:
            text = handle.read()
            assert not any(secret.encode() in text for secret in secrets)
    for endpoint in (up.gateway, up.owner):
        for parent in (endpoint.home, endpoint.run):
            assert os.stat(parent).st_mode & 0o077 == 0
        for name in os.listdir(endpoint.home):
            path = os.path.join(endpoint.home, name)
            assert os.stat(path).st_mode & 0o077 == 0
            with open(path, encoding="utf-8") as handle:
                text = handle.read()
            assert not any(secret in text for secret in secrets)


def test_ends_get_to_know_each_other_before_there_is_an_instance(mesh, backend):
    tunnel.apply_responder(mesh.owner, mesh.responder())
    tunnel.remove(mesh.gateway, "shop")
    empty = {**mesh.tunnel(), "mappings": []}
    report = applied(mesh.gateway, [empty], ["shop"], 15)
    assert report.changed and report.after["tunnels"]["shop"]["mappings"] == []
    assert ike_sas(mesh.gateway) and not mesh.inside(mesh.guest, lambda: ask(mesh.server, 5432, timeout=1)) == mesh.pool[0]
    assert not applied(mesh.gateway, [empty], ["shop"], 15).changed
    later = applied(mesh.gateway, [mesh.tunnel()], (), 15)
    assert later.changed and later.waited < 5
    assert mesh.inside(mesh.guest, lambda: ask(mesh.server, 5432)) == mesh.pool[0]


def test_an_end_that_nobody_answers_is_told_before_there_is_an_instance(up):
    before = (tunnel.state.load(up.gateway), observe.drift(up.gateway, tunnel.state.load(up.gateway)))
    nobody = {**up.tunnel(), "mappings": [], "peer": {**up.tunnel()["peer"], "address": "198.18.9.77"}}
    with pytest.raises(DeadlineExceeded, match="did not come up within 3 s"):
        applied(up.gateway, [nobody], ["shop"], 3)
    assert (tunnel.state.load(up.gateway), observe.drift(up.gateway, tunnel.state.load(up.gateway))) == before
    assert up.inside(up.guest, lambda: ask(up.server, 5432)) == up.pool[0]


def test_what_goes_goes_also_when_the_peer_is_dead(up):
    applied(up.gateway, [up.tunnel(2)], (), 15)
    up.owner.daemon.kill()
    try:
        report = applied(up.gateway, [up.tunnel(1)], (), 15)
        assert report.changed and report.waited < 10
        assert applied(up.gateway, [], (), 15).after["tunnels"] == {}
        assert not os.path.exists(up.gateway.home)
    finally:
        tunnel.apply_responder(up.owner, up.responder())


def test_a_new_certificate_takes_the_place_of_the_old_one(up, tmp_path):
    old = up.tunnel()["local"]["certificate"]
    shutil.copytree(up.pki.directory, tmp_path / "authority")
    issued = certificates.present(f"shop.{up.domain}", 90, 30, True, [up.pki.reader], str(tmp_path / "authority")).result
    parcel = {"certificate": issued["certificate"], "envelope": next(iter(issued["envelopes"].values())), "crl": None}
    assert tunnel.renew(up.gateway, "shop", parcel, 15, dry_run=True).changed
    assert tunnel.renew(up.gateway, "shop", parcel, 15).changed and not tunnel.renew(up.gateway, "shop", parcel, 15).changed
    assert tunnel.state.load(up.gateway)["shop"]["local"]["certificate"] == issued["certificate"] != old
    assert up.inside(up.guest, lambda: ask(up.server, 5432)) == up.pool[0]
    # The next time its end shows the new one.
    with opened(up.gateway.socket, up.gateway.namespace) as session:
        session.terminate({"ike": "shop"})
    with up.kept():
        up.until(lambda: up.established(up.gateway), "the tunnel is up with the new certificate")
    assert not tunnel.renew(up.gateway, "blog", parcel, 15).changed, "a service without a tunnel here is left alone"


def test_a_tunnel_goes_without_a_trace(up):
    report = tunnel.remove(up.gateway, "shop")
    assert report.changed and not tunnel.remove(up.gateway, "shop").changed
    assert not os.path.exists(up.gateway.home) and not os.path.exists(up.gateway.socket)
    assert "vmatrix_vpn" not in os.popen(f"ip netns exec {up.router} nft list tables").read()
    assert "172.21" not in os.popen(f"ip -n {up.router} route show table all").read()
    assert tunnel.remove(up.owner, RESPONDER).changed
    assert "172.21.162.9" not in os.popen(f"ip -n {up.peers} route show table all; ip -n {up.peers} neigh show proxy").read()
