# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steering by a real BIND: one view for each region, chosen by the client's address or the writer's key."""

from __future__ import annotations

import pytest
from name_servers import lookup

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import bind_views, ledger, policy, steering, zone

ZONE = "steer.test"
EAST, WEST = "192.0.2.1", "192.0.2.2"
CLIENT_WEST, CLIENT_ELSEWHERE = "127.2.0.9", "127.3.0.9"
SITES = [{"hn": "hn-east", "addresses": [EAST, "2001:db8:e::1"]}, {"hn": "hn-west", "addresses": [WEST, "2001:db8:f::1"]}]
REGIONS = [{"name": "west", "prefixes": ["127.2.0.0/16"], "order": ["hn-west"]}]


def document(name, **more):
    return policy.document(**{"name": name, "zone": ZONE, "sites": SITES, "order": ["hn-east"], "regions": REGIONS, **more})


@pytest.fixture
def driver(bind, keyring):
    views = {"west": zone.Zone(ZONE, bind.endpoint, keyring.view_west), "rest": zone.Zone(ZONE, bind.endpoint, keyring.view_rest)}
    return bind_views.BindViews(views, [bind.endpoint])


def test_check_apply_check_apply(driver, bind, steered):
    wanted = document(steered)
    foreseen = steering.apply(driver, steered, wanted, check=True)
    assert (foreseen.changed, foreseen.before, foreseen.after) == (True, {"steering": None}, {"steering": wanted})
    assert lookup(bind.endpoint, steered) == []
    done = steering.apply(driver, steered, wanted)
    assert (done.changed, done.result["confirmed_by"]) == (True, [str(bind.endpoint)])
    for check in (True, False):
        again = steering.apply(driver, steered, wanted, check=check)
        assert (again.changed, again.before) == (False, {"steering": wanted})
    assert steering.apply(driver, steered, None).changed
    assert lookup(bind.endpoint, steered) == [] == lookup(bind.endpoint, steered, source=CLIENT_WEST)
    assert not steering.apply(driver, steered, None).changed


def test_each_client_gets_its_nearest_hn(driver, bind, steered):
    steering.apply(driver, steered, document(steered))
    assert lookup(bind.endpoint, steered, source=CLIENT_WEST) == [WEST]
    assert lookup(bind.endpoint, steered, "AAAA", source=CLIENT_WEST) == ["2001:db8:f::1"]
    assert lookup(bind.endpoint, steered, source=CLIENT_ELSEWHERE) == [EAST]
    steering.apply(driver, steered, document(steered, answers=2, sites=[SITES[0], {"hn": "hn-west", "addresses": [WEST]}]))
    assert lookup(bind.endpoint, steered, source=CLIENT_WEST) == [EAST, WEST]
    assert lookup(bind.endpoint, steered, "AAAA", source=CLIENT_WEST) == ["2001:db8:e::1"]


def test_who_is_sent_where_now(driver, steered):
    steering.apply(driver, steered, document(steered))
    assert driver.told(document(steered)) == {"west": {"A": [WEST], "AAAA": ["2001:db8:f::1"]}, "rest": {"A": [EAST], "AAAA": ["2001:db8:e::1"]}}


def test_a_view_that_was_changed_past_us_is_found_and_mended(driver, bind, steered):
    wanted = document(steered)
    steering.apply(driver, steered, wanted)
    stray = zone.Edit(steered, "A", zone.ANY, zone.rdataset("A", 5, [EAST]))
    zone.change(driver.views["west"], lambda: ([stray], None))
    assert driver.look(steered) == steering.Found(wanted, ["west"])
    assert steering.apply(driver, steered, wanted, check=True).changed
    done = steering.apply(driver, steered, wanted)
    assert done.changed and done.before == {"steering": wanted, "drift": ["west"]}
    assert lookup(bind.endpoint, steered, source=CLIENT_WEST) == [WEST]


def late(monkeypatch, driver, act, region):
    """Have *act* happen once, after all has been read and before the view of *region* is written."""
    change, pending = bind_views.change, [act]

    def changed(zone_, *args, **kwargs):
        if zone_ is driver.views[region] and pending:
            pending.pop()()
        return change(zone_, *args, **kwargs)

    monkeypatch.setattr(bind_views, "change", changed)


@pytest.mark.parametrize("region", ["rest", "west"])
def test_who_is_late_leaves_the_others_work_whole(driver, bind, steered, monkeypatch, region):
    """Also when it finds out in the second view only: then it takes back what it did in the first."""
    steering.apply(driver, steered, document(steered))
    other = zone.Edit(steered, "A", zone.ANY, zone.rdataset("A", 5, ["192.0.2.77"]))
    late(monkeypatch, driver, lambda: zone.change(driver.views[region], lambda: ([other], None)), region)
    with pytest.raises(Refused, match=f"Somebody else changed .*{steered} .*nothing was changed"):
        steering.apply(driver, steered, document(steered, ttl=9, order=["hn-west"]))
    answers = {"rest": lookup(bind.endpoint, steered), "west": lookup(bind.endpoint, steered, source=CLIENT_WEST)}
    assert answers == {"rest": [EAST], "west": [WEST], region: ["192.0.2.77"]}
    assert ledger.document(steered, driver.views["rest"].read(ledger.name(steered), "TXT")) == document(steered)


def test_only_a_views_own_key_changes_it(driver, bind, keyring, steered):
    steering.apply(driver, steered, document(steered))
    # The customer's key leads to the view rest, where it may not change the steering zone.
    theirs = bind_views.BindViews({"rest": driver.views["rest"]._replace(key=keyring.customer)}, [bind.endpoint])
    with pytest.raises(Refused, match="refused an update of steer.test signed with the key customer; nothing was changed"):
        steering.apply(theirs, steered, None)
    assert driver.look(steered) == steering.Found(document(steered), [])


def test_what_views_cannot_do_is_refused(driver, keyring, bind):
    name = f"impossible.{ZONE}"
    with pytest.raises(InvalidInput, match="no health checks"):
        steering.apply(driver, name, document(name, check={"type": "tcp", "port": 80}))
    regions = [*REGIONS, {"name": "south", "prefixes": ["127.4.0.0/16"], "order": []}]
    with pytest.raises(InvalidInput, match="The region south has no view; known are: rest, west"):
        steering.apply(driver, name, document(name, regions=regions))
    with pytest.raises(InvalidInput, match="no view for the region rest"):
        bind_views.BindViews({"west": zone.Zone(ZONE, bind.endpoint, keyring.view_west)})
