# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service's name on a real PowerDNS: published last, retired first, merged with what others do."""

from __future__ import annotations

import threading
import time

import dns.query
import dns.update
import pytest
from name_servers import lookup

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import powerdns as engine
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import service, steering, zone
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.options import seen

ZONE = "steer.test"
EAST, WEST = "127.81.0.1", "127.82.0.1"
CLIENT_EAST, CLIENT_WEST = "127.1.0.9", "127.2.0.9"
REGIONS = [{"name": "west", "prefixes": ["127.2.0.0/16"], "order": ["hn-west", "hn-east"]}]
SHAPE = {"order": ["hn-east", "hn-west"], "regions": REGIONS, "ttl": 1, "answers": 1, "check": {"type": "none"}}


@pytest.fixture
def driver(powerdns, keyring):
    return engine.PowerDns(zone.Zone(ZONE, powerdns.endpoint, keyring.platform), [powerdns.endpoint])


@pytest.fixture
def change(steered, sites):
    """Makes changes of one name; the HNs are named, and every address has to answer a request."""
    addresses = {"hn-east": EAST, "hn-west": WEST}

    def make(publish=(), retire=(), only=False, **more):
        ask = {"type": "http", "port": sites["hn-east"].port, "path": "/", "host": "shop.example.test"}
        arriving = [{"hn": hn, "addresses": [addresses[hn]]} for hn in publish]
        settings = {"name": steered, "zone": ZONE, "shape": SHAPE, "ask": ask, "ask_timeout": 5.0, **more}
        return service.Change(**settings, publish=arriving, retire=list(retire), only=only)

    return make


def test_an_hn_that_began_to_serve_after_that_was_said_is_not_retired():
    common = {"name": f"shop.{ZONE}", "zone": ZONE, "shape": SHAPE, "ask": {"type": "none"}, "only": False}

    def entering(number, address=EAST, **more):
        return service.Change(**{**common, **more}, publish=[{"hn": "hn-east", "addresses": [address], "number": number}], retire=[])

    def leaving(number):
        return service.Change(**common, publish=[], retire=["hn-east"], numbers={"hn-east": number} if number else {})

    found = entering(5).document(None)
    assert found["sites"] == [{"hn": "hn-east", "addresses": [EAST], "number": 5}]
    assert leaving(4).document(found) == found and leaving(5).document(found) is leaving(None).document(found) is None
    assert entering(3).document(found) == entering(0).document(found) == entering(0, only=True).document(found) == found, "it was said later before"


def test_check_apply_check_apply(driver, powerdns, change, steered, sites):
    for publish, retire, expected in ((["hn-east"], [], [EAST]), (["hn-west"], [], [EAST]), ([], ["hn-east"], [WEST]), ([], ["hn-west"], [])):
        turns = [service.follow(driver, change(publish, retire), check=check) for check in (True, False, True, False)]
        assert [turn.changed for turn in turns] == [True, True, False, False]
        assert turns[0].after == turns[1].after and turns[0].before == turns[1].before
        assert lookup(powerdns.endpoint, steered, source=CLIENT_EAST) == expected
    assert sites["hn-west"].paths == [("shop.example.test", "/")] * 2, "asked by check mode and before it was published, not when it was there"


def test_each_hn_is_published_beside_the_others(driver, powerdns, change, steered):
    """Two operations at the same time, each of which knows of its own HN only."""
    failed = []

    def publish(hn):
        try:
            service.follow(driver, change([hn]))
        except Exception as exc:
            failed.append(exc)

    threads = [threading.Thread(target=publish, args=(hn,)) for hn in ("hn-east", "hn-west")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert [lookup(powerdns.endpoint, steered, source=client) for client in (CLIENT_EAST, CLIENT_WEST)] == [[EAST], [WEST]]


def test_who_is_overtaken_merges_again(driver, powerdns, change, steered, monkeypatch):
    service.follow(driver, change(["hn-east"]))
    original, overtakers = zone._update, [lambda: steering.apply(driver, steered, change(["hn-west"]).document(driver.look(steered).document))]

    def update(*args):
        message = original(*args)
        if overtakers and steered in str(args[2]):
            overtakers.pop()()
        return message

    monkeypatch.setattr(zone, "_update", update)
    service.follow(driver, change(retire=["hn-east"]))
    assert not overtakers
    assert [site["hn"] for site in driver.look(steered).document["sites"]] == ["hn-west"]


def test_what_does_not_answer_is_not_published(driver, powerdns, change, steered, sites):
    sites["hn-west"].stop()
    service.follow(driver, change(["hn-east"]))
    for ask, said in (({"type": "http"}, "the connection is refused"), ({"type": "tcp"}, "the connection is refused")):
        how = {**change().ask, **ask}
        with pytest.raises(DeadlineExceeded, match=rf"{WEST} did not answer a request from here .* \({said}\); it is not published"):
            service.follow(driver, change(["hn-west"], ["hn-east"], ask=how, ask_timeout=0.2))
    assert lookup(powerdns.endpoint, steered, source=CLIENT_WEST) == [EAST]
    foreseen = service.follow(driver, change(["hn-west"], ["hn-east"], ask_timeout=0.2), check=True)
    assert foreseen.changed, "in check mode a refusal shows that the address can be reached"
    sites["hn-west"].start()
    service.follow(driver, change(["hn-west"], ["hn-east"]))
    assert lookup(powerdns.endpoint, steered, source=CLIENT_EAST) == [WEST]


def test_what_is_retired_is_held_until_nobody_counts_on_it(driver, change):
    service.follow(driver, change(["hn-east", "hn-west"]))
    began = time.monotonic()
    assert service.follow(driver, change(retire=["hn-east"], hold=0.5), check=True).result["held"] == 1.5
    assert time.monotonic() - began < 1
    assert service.follow(driver, change(retire=["hn-east"], hold=0.5)).result["held"] == 1.5
    assert time.monotonic() - began >= 1.5
    # Whoever takes an operation up that was cut off cannot know when the address left.
    assert service.follow(driver, change(retire=["hn-east"], hold=0)).result["held"] == 1
    assert service.follow(driver, change(["hn-east"], hold=5)).result["held"] is None
    with pytest.raises(InvalidInput, match="-1 is not a number of seconds"):
        service.follow(driver, change(retire=["hn-west"], hold=-1))


def test_what_not_every_server_follows_is_changed_back(driver, powerdns, bind, change, steered):
    service.follow(driver, change(["hn-east"]))
    lagging = engine.PowerDns(driver.zone, [powerdns.endpoint, bind.endpoint])
    with pytest.raises(DeadlineExceeded, match="Not every authoritative server serves .* was changed back"):
        service.follow(lagging, change(["hn-west"], ["hn-east"]), confirm_timeout=0.5)
    assert lookup(powerdns.endpoint, steered, source=CLIENT_WEST) == [EAST]


def test_only_drops_what_nobody_knows_of(driver, change, steered):
    service.follow(driver, change(["hn-east", "hn-west"]))
    service.follow(driver, change(["hn-west"], only=True))
    assert [site["hn"] for site in driver.look(steered).document["sites"]] == ["hn-west"]


def test_the_owners_name_becomes_an_alias_unless_it_is_in_use(driver, powerdns, keyring, change, name):
    customers = zone.Zone("example.test", powerdns.endpoint, keyring.customer)
    alias = service.Alias(name, customers)
    turns = [service.follow(driver, change(["hn-east"]), alias, check=check) for check in (True, False, True, False)]
    assert [(turn.changed, turn.result["alias"]) for turn in turns] == [(True, "made"), (True, "made"), (False, "there"), (False, "there")]
    assert lookup(powerdns.endpoint, name) == [EAST]
    taken = f"taken-{name}"
    update = dns.update.UpdateMessage("example.test.")
    update.add(f"{taken}.", 5, "A", "192.0.2.66")
    update.use_tsig(dns.tsig.Key(f"{keyring.customer.name}.", keyring.customer.secret, f"{keyring.customer.algorithm}."))
    dns.query.tcp(update, powerdns.endpoint.address, 3, powerdns.endpoint.port)
    assert service.follow(driver, change(["hn-west"]), service.Alias(taken, customers)).result["alias"] == "foreign"
    assert lookup(powerdns.endpoint, taken) == ["192.0.2.66"]


def test_who_is_sent_where_now(driver, change, steered, sites):
    check = {"type": "http", "port": sites["hn-east"].port, "path": "/", "host": "shop.example.test"}
    service.follow(driver, change(["hn-east", "hn-west"], shape={**SHAPE, "check": check}))
    assert steered in driver.names()

    def now():
        return {row["region"]: row["now"] for row in seen(driver, steered)["table"]}

    assert now() == {"west": {"A": [WEST], "AAAA": []}, "rest": {"A": [EAST], "AAAA": []}}
    sites["hn-west"].stop()
    wait_for(lambda: now()["west"]["A"] == [EAST], 10, "the west is dead")
