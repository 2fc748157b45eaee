# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steering by a real PowerDNS: who gets what, what a dead HN changes, and who may touch it."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.tsig
import dns.update
import dns.xfr
import dns.zone
import pytest
from name_servers import lookup

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import ledger, lua, policy, steering, zone
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import powerdns as engine

ZONE = "steer.test"
EAST, WEST = "127.81.0.1", "127.82.0.1"
#: Where clients call from; all of 127/8 is this machine.
CLIENT_EAST, CLIENT_WEST, CLIENT_ELSEWHERE = "127.1.0.9", "127.2.0.9", "127.3.0.9"
REGIONS = [
    {"name": "east", "prefixes": ["127.1.0.0/16", "10.1.0.0/16", "2001:db8:1::/48"], "order": ["hn-east", "hn-west"]},
    {"name": "west", "prefixes": ["127.2.0.0/16", "10.2.0.0/16", "2001:db8:2::/48"], "order": ["hn-west", "hn-east"]},
]
SITES = [{"hn": "hn-east", "addresses": [EAST, "2001:db8:e::1"]}, {"hn": "hn-west", "addresses": [WEST, "2001:db8:f::1"]}]


def document(name, **more):
    return policy.document(**{"name": name, "zone": ZONE, "sites": SITES, "order": ["hn-east", "hn-west"], "regions": REGIONS, **more})


@pytest.fixture
def driver(powerdns, keyring):
    return engine.PowerDns(zone.Zone(ZONE, powerdns.endpoint, keyring.platform), [powerdns.endpoint])


def test_check_apply_check_apply(driver, powerdns, steered):
    wanted = document(steered)
    foreseen = steering.apply(driver, steered, wanted, check=True)
    assert (foreseen.changed, foreseen.before, foreseen.after) == (True, {"steering": None}, {"steering": wanted})
    assert lookup(powerdns.endpoint, steered) == []
    done = steering.apply(driver, steered, wanted)
    assert (done.changed, done.before, done.after) == (True, {"steering": None}, {"steering": wanted})
    assert done.result["confirmed_by"] == [str(powerdns.endpoint)]
    for check in (True, False):
        again = steering.apply(driver, steered, wanted, check=check)
        assert (again.changed, again.before) == (False, {"steering": wanted})
    assert driver.look(steered) == steering.Found(wanted, [])
    assert steering.apply(driver, steered, None, check=True).changed
    assert lookup(powerdns.endpoint, steered) == [EAST]
    assert steering.apply(driver, steered, None).changed
    assert lookup(powerdns.endpoint, steered) == [] == lookup(powerdns.endpoint, steered, "AAAA")
    assert not steering.apply(driver, steered, None).changed


@pytest.mark.parametrize(
    ("how", "address"),
    [
        ({"source": CLIENT_EAST}, "e"),
        ({"source": CLIENT_WEST}, "w"),
        ({"source": CLIENT_ELSEWHERE}, "e"),
        # What the resolver tells of its client counts more than where the resolver is.
        ({"source": CLIENT_EAST, "subnet": "10.2.3.0/24"}, "w"),
        ({"source": CLIENT_WEST, "subnet": "10.1.3.0/24"}, "e"),
        ({"source": CLIENT_EAST, "subnet": "2001:db8:2:3::/56"}, "w"),
        ({"source": CLIENT_WEST, "subnet": "2001:db8:1:3::/56"}, "e"),
        ({"source": CLIENT_WEST, "subnet": "10.9.9.0/24"}, "e"),
    ],
)
def test_each_client_gets_its_nearest_hn(driver, powerdns, how, address):
    name = f"near.{ZONE}"
    steering.apply(driver, name, document(name))
    expected = {"e": (EAST, "2001:db8:e::1"), "w": (WEST, "2001:db8:f::1")}[address]
    assert tuple(lookup(powerdns.endpoint, name, rdtype, **how) for rdtype in ("A", "AAAA")) == tuple([one] for one in expected)


def test_the_answer_says_for_which_clients_it_is(driver, powerdns, steered):
    steering.apply(driver, steered, document(steered, ttl=7))
    query = dns.message.make_query(f"{steered}.", "A", use_edns=0, options=[dns.edns.ECSOption.from_text("10.2.3.0/24")])
    answer = dns.query.udp(query, powerdns.endpoint.address, 3, powerdns.endpoint.port)
    (told,) = [option for option in answer.options if isinstance(option, dns.edns.ECSOption)]
    assert (told.address, told.scopelen) == ("10.2.3.0", 24), "a cache must not give it to anybody else"
    assert answer.answer[0].ttl == 7


def test_an_answer_can_hold_several_hns(driver, powerdns, steered):
    steering.apply(driver, steered, document(steered, answers=2))
    assert lookup(powerdns.endpoint, steered, source=CLIENT_WEST) == [EAST, WEST]


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_a_dead_hn_leaves_the_answers_and_comes_back(driver, powerdns, sites, steered, kind):
    east, west = sites["hn-east"], sites["hn-west"]
    check = {"type": kind, "port": west.port, **({"path": "/health", "host": "shop.example"} if kind == "http" else {})}

    def answers(for_east, for_west):
        return lambda: (lookup(powerdns.endpoint, steered, source=CLIENT_EAST), lookup(powerdns.endpoint, steered, source=CLIENT_WEST)) == (
            [for_east],
            [for_west],
        )

    def told(site, state):
        """How often the server has said so of a site."""
        named = f"{site.address} {state} for URL" if kind == "http" else f"TCP/IP {site.address}:{site.port} {state}"
        return powerdns.log().count(f"declaring {named}")

    alone = [{"hn": hn, "addresses": [site.address]} for hn, site in sites.items()]
    before = told(east, "UP"), told(west, "UP")
    steering.apply(driver, steered, document(steered, sites=alone, check=check))
    assert answers(EAST, WEST)(), "before the first round of checks everybody gets the nearest"
    wait_for(lambda: told(east, "UP") > before[0] and told(west, "UP") > before[1], 5, "both are known as alive")
    if kind == "http":
        assert set(west.paths) == {(f"shop.example:{west.port}", "/health")}
    west.stop()
    wait_for(answers(EAST, EAST), 5, "the dead HN leaves")
    west.start()
    wait_for(answers(EAST, WEST), 5, "the HN comes back")
    before = told(east, "DOWN"), told(west, "DOWN")
    for site in sites.values():
        site.stop()
    wait_for(lambda: told(east, "DOWN") > before[0] and told(west, "DOWN") > before[1], 5, "both are known as dead")
    assert answers(EAST, WEST)(), "with all dead everybody gets the nearest: the check may be what is broken"


def test_who_is_late_changes_nothing_and_says_so(driver, powerdns, steered, monkeypatch):
    steering.apply(driver, steered, document(steered))
    tried = driver._try_out

    def late(wanted):
        tried(wanted)
        monkeypatch.undo()
        steering.apply(driver, steered, document(steered, ttl=9))

    monkeypatch.setattr(driver, "_try_out", late)
    with pytest.raises(Refused, match=f"Somebody else changed .*{steered} .*nothing was changed"):
        steering.apply(driver, steered, document(steered, ttl=3))
    assert driver.look(steered) == steering.Found(document(steered, ttl=9), [])


def test_records_that_were_changed_past_us_are_found_and_mended(driver, powerdns, steered):
    wanted = document(steered)
    steering.apply(driver, steered, wanted)
    stray = dns.rdataset.Rdataset(dns.rdataclass.IN, lua.LUA, ttl=5)
    stray.add(lua.rdata(document(steered, regions=[]), 4))
    zone.change(driver.zone, lambda: ([zone.Edit(steered, engine._TYPE, zone.ANY, stray)], None))
    assert lookup(powerdns.endpoint, steered, source=CLIENT_WEST) == [EAST]
    assert driver.look(steered) == steering.Found(wanted, ["records"])
    assert steering.apply(driver, steered, wanted, check=True).changed
    done = steering.apply(driver, steered, wanted)
    assert done.changed and done.before == {"steering": wanted, "drift": ["records"]}
    assert lookup(powerdns.endpoint, steered, source=CLIENT_WEST) == [WEST]
    assert driver.look(steered).drift == []


def test_a_long_table(driver, powerdns, steered):
    prefixes = [[f"{first}.{number}.7.0/24" for first in (10, 127, 172, 192, 198)] for number in range(4, 204)]
    regions = [{"name": f"r{number}", "prefixes": found, "order": ["hn-west"]} for number, found in enumerate(prefixes)]
    steering.apply(driver, steered, document(steered, regions=regions, ttl=9))
    steering.apply(driver, steered, document(steered, regions=regions))
    assert lookup(powerdns.endpoint, steered, source="127.200.7.1") == [WEST]
    assert lookup(powerdns.endpoint, steered, source="127.204.7.1") == [EAST]
    assert driver.look(steered).drift == []
    # With many such names the zone could not be copied: the server puts 100 records into each message, whatever their size.
    assert steering.apply(driver, steered, None).changed


def test_bad_lua_never_gets_under_a_name_that_clients_ask_for(driver, powerdns, steered, monkeypatch):
    steering.apply(driver, steered, document(steered))
    monkeypatch.setattr(lua, "_SCRIPT", lua._SCRIPT + " nonsense(")
    with pytest.raises(CommandFailed, match="SERVFAIL|cannot steer"):
        steering.apply(driver, steered, document(steered, ttl=9))
    monkeypatch.undo()
    assert lookup(powerdns.endpoint, steered, source=CLIENT_WEST) == [WEST]
    assert driver.look(steered) == steering.Found(document(steered), [])
    assert not scratches(powerdns, driver)


def scratches(powerdns, driver):
    names = powerdns.api().call("GET", f"/zones/{ZONE}.")["rrsets"]
    return [rrset["name"] for rrset in names if rrset["name"].startswith("_scratch")]


def test_a_zone_without_lua_records_is_found_out(powerdns, keyring, monkeypatch):
    plain = engine.PowerDns(zone.Zone("example.test", powerdns.endpoint, keyring.customer), [powerdns.endpoint])
    wanted = policy.document("lua.example.test", "example.test", SITES, ["hn-east"])
    with pytest.raises(CommandFailed, match="nothing was changed.*LUA records switched on"):
        steering.apply(plain, wanted["name"], wanted)
    assert lookup(powerdns.endpoint, wanted["name"]) == []


def test_a_customers_key_cannot_touch_the_steering_zone(driver, powerdns, keyring, steered):
    steering.apply(driver, steered, document(steered))
    theirs = engine.PowerDns(driver.zone._replace(key=keyring.customer), [powerdns.endpoint])
    for wanted in (document(steered, ttl=9), None):
        with pytest.raises(Refused, match="refused an update of steer.test signed with the key customer; nothing was changed"):
            steering.apply(theirs, steered, wanted)
    assert driver.look(steered) == steering.Found(document(steered), [])


def test_a_customers_lua_is_not_run(powerdns, keyring, tmp_path):
    """A customer can write a LUA record into a zone of its own, but the server does not run it there."""
    mark = tmp_path / "mark"
    code = f";io.popen('touch {mark}'):close() return '192.0.2.66'".encode()
    rdata = dns.rdata.GenericRdata(dns.rdataclass.IN, lua.LUA, b"\x00\x01" + bytes([len(code)]) + code)
    update = dns.update.UpdateMessage("example.test.", keyring=dns.tsig.Key("customer.", keyring.customer.secret, "hmac-sha256."))
    update.add("evil.example.test.", 5, rdata)
    assert dns.query.tcp(update, powerdns.endpoint.address, 5, powerdns.endpoint.port).rcode() == dns.rcode.NOERROR
    assert lookup(powerdns.endpoint, "evil.example.test") == []
    assert not mark.exists()


@pytest.mark.parametrize("name", ["steer.test", "example.test"])
@pytest.mark.parametrize("who", ["nobody", "unknown", "wrong zone"])
def test_zone_transfers_are_refused_to_strangers(powerdns, keyring, name, who):
    wrong = keyring.customer if name == "steer.test" else keyring.platform
    key = {"nobody": None, "unknown": keyring.unknown, "wrong zone": wrong}[who]
    signing = {"keyring": dns.tsig.Key(f"{key.name}.", key.secret, "hmac-sha256.")} if key else {}
    with pytest.raises(dns.exception.DNSException):
        transfer(powerdns, name, **signing)


def test_a_zone_transfer_with_the_right_key(driver, powerdns, keyring, steered):
    steering.apply(driver, steered, document(steered))
    copied = transfer(powerdns, ZONE, keyring=dns.tsig.Key("platform.", keyring.platform.secret, "hmac-sha256."))
    assert dns.name.from_text(ledger.name(steered).removesuffix(f".{ZONE}"), None) in copied.nodes


def transfer(powerdns, name, **signing):
    copied = dns.zone.Zone(f"{name}.")
    query, serial = dns.xfr.make_query(copied, **signing)
    dns.query.inbound_xfr(powerdns.endpoint.address, copied, query, powerdns.endpoint.port, timeout=5, lifetime=5)
    return copied


def test_recursion_is_refused(powerdns):
    query = dns.message.make_query("www.elsewhere.example.", "A")
    assert query.flags & dns.flags.RD
    answer = dns.query.udp(query, powerdns.endpoint.address, 3, powerdns.endpoint.port)
    assert answer.rcode() == dns.rcode.REFUSED and not answer.flags & dns.flags.RA and not answer.answer


def test_every_server_is_asked(driver, powerdns, bind, steered):
    both = engine.PowerDns(driver.zone, [powerdns.endpoint, bind.endpoint])
    with pytest.raises(DeadlineExceeded, match=f"{bind.endpoint}: it has another steering document, or none"):
        steering.apply(both, steered, document(steered), confirm_timeout=0.3)


def test_what_is_not_ours_is_left_alone(driver, powerdns, steered):
    note = zone.rdataset("TXT", 60, ['"a note"'])
    zone.change(driver.zone, lambda: ([zone.Edit(ledger.name(steered), "TXT", None, note)], None))
    with pytest.raises(Refused, match="no steering document of this mesh"):
        steering.apply(driver, steered, document(steered))
