# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Address records on a real PowerDNS and a real BIND: compare and set, keys, replays, and asking every server."""

from __future__ import annotations

import concurrent.futures
import socket
import threading
import time

import dns.query
import dns.rcode
import dns.tsig
import dns.update
import pytest
from name_servers import free_port, key, lookup

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import confirm, exchange, record_set
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.shapes import Endpoint
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.zone import Zone


def put(zone, name, values, rdtype="A", ttl=30, servers=None, wait=5.0, check=False, **how):
    asked = record_set.wish(zone, name, rdtype, values, ttl, **how)
    return record_set.apply(zone, asked, servers or [zone.server], wait, check)


@pytest.mark.parametrize(("rdtype", "one", "other"), [("A", "192.0.2.1", "192.0.2.2"), ("AAAA", "2001:db8::1", "2001:db8::2")])
def test_check_apply_check_apply(zone, name, rdtype, one, other):
    wanted = {"name": name, "type": rdtype, "ttl": 30, "values": [one, other]}
    foreseen = put(zone, name, [other, one], rdtype, check=True)
    assert (foreseen.changed, foreseen.before, foreseen.after) == (True, None, wanted)
    assert lookup(zone.server, name, rdtype) == []
    done = put(zone, name, [other, one], rdtype)
    assert (done.changed, done.before, done.after) == (True, None, wanted)
    assert done.result["confirmed_by"] == [str(zone.server)]
    assert lookup(zone.server, name, rdtype) == [one, other]
    assert not put(zone, name, [one, other], rdtype, check=True).changed
    again = put(zone, name, [one, other], rdtype)
    assert (again.changed, again.before, again.after) == (False, wanted, wanted)


def test_a_ttl_changes_alone_and_is_kept_if_nothing_is_said(zone, name):
    put(zone, name, ["192.0.2.1", "192.0.2.2"], ttl=30)
    assert put(zone, name, ["192.0.2.1", "192.0.2.2"], ttl=7).changed
    assert record_set.look(zone, name, "A")["ttl"] == 7
    assert put(zone, name, ["192.0.2.3"], ttl=None).after == {"name": name, "type": "A", "ttl": 7, "values": ["192.0.2.3"]}


def test_addresses_are_added_and_taken_away_beside_others(zone, name):
    put(zone, name, ["192.0.2.1"])
    assert put(zone, name, ["192.0.2.2"], only=False).after["values"] == ["192.0.2.1", "192.0.2.2"]
    assert put(zone, name, ["192.0.2.1", "192.0.2.9"], there=False, only=False).after["values"] == ["192.0.2.2"]
    assert not put(zone, name, ["192.0.2.1"], there=False, only=False).changed
    assert put(zone, name, [], there=False).after is None
    assert lookup(zone.server, name) == []
    assert not put(zone, name, [], there=False).changed


def test_many_adding_at_once_lose_nothing(zone, name):
    values = [f"192.0.2.{number}" for number in range(1, 9)]
    with concurrent.futures.ThreadPoolExecutor(len(values)) as pool:
        list(pool.map(lambda value: put(zone, name, [value], only=False, wait=0), values))
    assert lookup(zone.server, name) == sorted(values)


def in_between(monkeypatch, act):
    """Have *act* happen between reading and writing, once."""
    send, pending = exchange.send, [act]

    def late(*args):
        if pending:
            pending.pop()()
        return send(*args)

    monkeypatch.setattr(exchange, "send", late)


def test_who_is_late_changes_nothing_and_says_so(zone, name, monkeypatch):
    put(zone, name, ["192.0.2.1"])
    in_between(monkeypatch, lambda: put(zone, name, ["192.0.2.7"]))
    with pytest.raises(Refused, match=f"Somebody else changed {name} .* nothing was changed"):
        put(zone, name, ["192.0.2.2"])
    assert lookup(zone.server, name) == ["192.0.2.7"]


def test_a_change_elsewhere_in_the_zone_is_no_race(zone, name, monkeypatch):
    in_between(monkeypatch, lambda: put(zone, f"other.{name}", ["192.0.2.7"]))
    assert put(zone, name, ["192.0.2.2"]).changed
    assert lookup(zone.server, name) == ["192.0.2.2"]


def test_whoever_wants_the_same_has_it(zone, name, monkeypatch):
    in_between(monkeypatch, lambda: put(zone, name, ["192.0.2.2"]))
    put(zone, name, ["192.0.2.2"])
    assert lookup(zone.server, name) == ["192.0.2.2"]


def test_a_recorded_update_changes_nothing_even_if_all_is_as_it_was(zone, name, monkeypatch):
    recorded = []
    send = socket.create_connection

    class Tap:
        """A connection that is listened to."""

        def __init__(self, *args):
            self.connection = send(*args)

        def __enter__(self):
            return self

        def __exit__(self, *unused):
            self.connection.close()

        def sendall(self, wire):
            recorded.append(wire)
            self.connection.sendall(wire)

        def __getattr__(self, attribute):
            return getattr(self.connection, attribute)

    put(zone, name, ["192.0.2.1"])
    monkeypatch.setattr(exchange.socket, "create_connection", Tap)
    put(zone, name, ["192.0.2.2"])
    monkeypatch.undo()
    put(zone, name, ["192.0.2.1"])
    (wire,) = recorded
    with socket.create_connection(zone.server, 5) as connection:
        connection.sendall(wire)
        answer = connection.recv(65535)
    # The code in the fourth byte of the message; two bytes of length come before it.
    assert answer[5] & 0xF == dns.rcode.NXRRSET
    assert lookup(zone.server, name) == ["192.0.2.1"]


def test_a_key_that_the_server_does_not_know(zone, name, keyring):
    with pytest.raises(Refused, match="does not know the key unknown.*nothing was changed"):
        put(zone._replace(key=keyring.unknown), name, ["192.0.2.1"])
    assert lookup(zone.server, name) == []


def test_a_key_with_another_secret(zone, name, tmp_path):
    with pytest.raises(Refused, match="has another secret.*nothing was changed"):
        put(zone._replace(key=key(tmp_path, "customer")), name, ["192.0.2.1"])
    assert lookup(zone.server, name) == []


def test_a_key_that_may_do_other_things(zone, name, keyring):
    with pytest.raises(Refused, match="refused an update of example.test signed with the key platform; nothing was changed"):
        put(zone._replace(key=keyring.platform), name, ["192.0.2.1"])
    assert lookup(zone.server, name) == []


def test_an_unsigned_update(zone, name):
    with pytest.raises(Refused, match="refused an update of example.test that was not signed; nothing was changed"):
        put(zone._replace(key=None), name, ["192.0.2.1"])
    assert lookup(zone.server, name) == []


def test_a_clock_that_is_wrong(zone, name, monkeypatch):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 4000)
    with pytest.raises(Refused, match="clocks|another time"):
        put(zone, name, ["192.0.2.1"])
    monkeypatch.undo()
    assert lookup(zone.server, name) == []


def test_an_alias_is_left_alone(zone, name):
    update = dns.update.UpdateMessage(f"{zone.name}.", keyring=dns.tsig.Key("customer.", zone.key.secret, "hmac-sha256."))
    update.add(f"{name}.", 60, "CNAME", "elsewhere.test.")
    assert dns.query.tcp(update, zone.server.address, 5, zone.server.port).rcode() == dns.rcode.NOERROR
    with pytest.raises(Refused, match="is an alias of elsewhere.test"):
        put(zone, name, ["192.0.2.1"])


def test_a_zone_that_is_not_there(zone):
    with pytest.raises((Refused, CommandFailed), match="elsewhere.test"):
        put(zone._replace(name="elsewhere.test"), "www.elsewhere.test", ["192.0.2.1"])


def test_a_server_that_is_not_there(zone, name):
    nobody = Endpoint("127.0.0.1", free_port())
    with pytest.raises((CommandFailed, DeadlineExceeded), match=f"{nobody}"):
        put(zone._replace(server=nobody, timeout=1.0), name, ["192.0.2.1"])


def test_every_server_is_asked_until_all_serve_it(powerdns, bind, keyring, name):
    """The two servers stand for a primary and a secondary that gets its copy by other means."""
    primary, secondary = (Zone("example.test", one.endpoint, keyring.customer) for one in (powerdns, bind))
    servers = [powerdns.endpoint, bind.endpoint]
    with pytest.raises(DeadlineExceeded, match=f"{bind.endpoint}: it has none") as late:
        put(primary, name, ["192.0.2.1"], servers=servers, wait=0.3)
    assert late.value.result == {"changed": True, "unconfirmed": [str(bind.endpoint)]}
    copy = threading.Timer(0.4, lambda: put(secondary, name, ["192.0.2.1"]))
    copy.start()
    done = put(primary, name, ["192.0.2.1"], servers=servers)
    copy.join()
    assert (done.changed, done.result["confirmed_by"]) == (False, [str(one) for one in servers])
    assert lookup(bind.endpoint, name) == ["192.0.2.1"]


def test_the_servers_are_those_of_the_zone(bind, keyring):
    zone = Zone("example.test", bind.endpoint, keyring.customer)
    put(zone, "ns1.example.test", ["127.0.0.1", "127.0.0.7"])
    found = confirm.authorities(zone, bind.port)
    assert found == [bind.endpoint, Endpoint("127.0.0.7", bind.port)]
    survey = record_set.survey(zone, "ns1.example.test", [bind.endpoint])
    assert survey["agree"] and survey["answers"][0]["records"][0]["values"] == ["127.0.0.1", "127.0.0.7"]
    put(zone, "ns1.example.test", ["127.0.0.1"])


def test_a_survey_says_who_differs(powerdns, bind, keyring, name):
    put(Zone("example.test", powerdns.endpoint, keyring.customer), name, ["192.0.2.1"])
    nobody = Endpoint("127.0.0.1", free_port())
    zone = Zone("example.test", powerdns.endpoint, timeout=1.0)
    found = record_set.survey(zone, name, [powerdns.endpoint, bind.endpoint, nobody])
    assert not found["agree"]
    assert [len(one["records"]) for one in found["answers"]] == [1, 0, 0]
    assert str(nobody) in found["answers"][2]["problem"]


@pytest.mark.parametrize(
    ("name", "rdtype", "values", "ttl", "says"),
    [
        ("www.elsewhere.test", "A", ["192.0.2.1"], 30, "does not belong to the zone"),
        ("bad name.example.test", "A", ["192.0.2.1"], 30, "not a name in the DNS"),
        ("www.example.test", "A", ["2001:db8::1"], 30, "not an IPv4 address"),
        ("www.example.test", "AAAA", ["192.0.2.1"], 30, "not an IPv6 address"),
        ("www.example.test", "A", ["nonsense"], 30, "not an IP address"),
        ("www.example.test", "A", ["0.0.0.0"], 30, "cannot be the address of a server"),
        ("www.example.test", "AAAA", ["::ffff:192.0.2.1"], 30, "cannot be the address of a server"),
        ("www.example.test", "A", [], 30, "No addresses"),
        ("www.example.test", "A", ["192.0.2.1"], 0, "not a time to live"),
        ("www.example.test", "TXT", ["192.0.2.1"], 30, "not a type of address records"),
    ],
)
def test_bad_input_gets_one_sentence(name, rdtype, values, ttl, says):
    zone = Zone("example.test", Endpoint("127.0.0.1"))
    with pytest.raises(InvalidInput, match=says):
        record_set.wish(zone, name, rdtype, values, ttl)


def test_an_empty_server_has_no_zone(zone, monkeypatch):
    monkeypatch.setattr(exchange, "rdataset", lambda *unused: None)
    with pytest.raises(NotFound, match="has no zone"):
        put(zone, "www.example.test", ["192.0.2.1"])
