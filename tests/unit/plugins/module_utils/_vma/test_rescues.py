# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was on an RM that is lost gets room and an epoch on another one, or is given back; the lost RM is never told to start it again."""

from __future__ import annotations

import pytest
from postgresql import BOTH

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import instances, leases, overview, registry, reservations, restarts, rms, several, witness

SHOP, TWO, LOST, OTHER = "shop-1.example.com", "shop-2.example.com", "rm-east-1", "rm-east-2"
OPERATION = leases.Lease("0f" * 16, "place", "ada@ctl", {}, 600.0)


@pytest.fixture(name="there")
def _there(url, ask):
    """The URL of a registry by which two instances of the shop run on an RM, to which an operation has come since its host started."""
    with registry.transaction(url) as tx:
        leases.release(tx, OPERATION, leases.take(tx, OPERATION, ["other-1.example.com"]))
    for number, name in ((10, SHOP), (11, TWO)):
        reservations.reserve(url, ask(name, number, rm=LOST))
        instances.update(url, {"instance": name, "state": "running", "in_rotation": True, "operation_done": True})
    return url


def records(url):
    return {record["instance"]: record for record in overview.overview(url)["records"]}


def rescue(url, *names, lost=LOST, rm=OTHER, above=None, dry_run=False, **more):
    known = records(url)
    orders = []
    for name in names or (SHOP, TWO):
        wanted = {"lost": lost, "rm": rm, "epoch_above": known[name]["epoch"] if above is None else above}
        orders.append({"instance": name, "operation": "rescue", "step": "rescue it", "rescue": wanted, **more})
    return several.update_all(url, orders, dry_run)


def ended(url, *names):
    return several.update_all(url, [{"instance": name, "move": "end", "operation_done": True} for name in names])


def asked(url, rm, **epochs):
    return restarts.begin(url, rm, epochs)


@BOTH
def test_all_of_them_get_room_and_an_epoch_elsewhere_or_none_does(there):
    before = records(there)
    assert rescue(there, dry_run=True).result["records"] and records(there) == before
    rescue(there)
    after = records(there)
    for name in (SHOP, TWO):
        changed = {key for key in after[name] if after[name][key] != before[name][key]}
        assert changed == {"moves_to", "epoch"} and after[name]["moves_to"] == OTHER and after[name]["epoch"] == before[name]["epoch"] + 1
    ended(there, SHOP, TWO)
    assert {record["rm"] for record in records(there).values()} == {OTHER}
    assert [(each["kind"], each["closed"] is None) for each in overview.overview(there)["operations"] if each["kind"] == "rescue"] == [("rescue", False)] * 2


@BOTH
def test_one_without_room_has_none_of_them_rescued(there):
    rms.subscribe(there, OTHER, {"memory_mib": 128})
    before = records(there)
    with pytest.raises(Refused, match=f"hn-east has no room for {TWO}: {OTHER} lacks"):
        rescue(there)
    assert records(there) == before


def test_the_lost_rm_is_never_told_to_start_it_again(there):
    epochs = {name: record["epoch"] for name, record in records(there).items()}
    rescue(there)
    told = asked(there, LOST, **epochs)
    assert set(told["never"]) == {SHOP, TWO} and not told["granted"]
    assert set(asked(there, OTHER, **{SHOP: epochs[SHOP] + 1})["never"]) == {SHOP}, "what could not be brought to its end is not started by itself either"
    given_back = {"instance": TWO, "state": "stopped", "in_rotation": False, "move": "give_up", "epoch_above": epochs[TWO] + 1}
    several.update_all(there, [given_back])
    assert (records(there)[TWO]["rm"], records(there)[TWO]["moves_to"], records(there)[TWO]["epoch"]) == (LOST, None, epochs[TWO] + 2)
    ended(there, SHOP)
    for later in (0, 1):
        assert set(asked(there, LOST, **{name: epoch + later for name, epoch in epochs.items()})["never"]) == {SHOP, TWO}
    assert "stopped by the registry" in asked(there, LOST, **{TWO: epochs[TWO] + 2})["never"][TWO]


def test_what_a_rescue_has_begun_goes_on_where_that_led(there):
    rescue(there, SHOP)
    epoch = records(there)[SHOP]["epoch"]
    rescue(there, SHOP, above=epoch - 1)
    assert records(there)[SHOP]["epoch"] == epoch, "what was asked for is there"
    rms.subscribe(there, OTHER, {"memory_mib": 1})
    rescue(there, SHOP)
    assert (records(there)[SHOP]["moves_to"], records(there)[SHOP]["epoch"]) == (OTHER, epoch + 1), "its room was taken before"
    with pytest.raises(Refused, match=f"{SHOP} is on its way from {LOST} to {OTHER} by a rescue that has not ended"):
        rescue(there, SHOP, rm="rm-east-3")


def test_an_rm_that_is_lost_in_the_middle_of_a_rescue_is_passed_over(there, machine):
    rms.subscribe(there, "rm-east-3", machine())
    rescue(there, SHOP)
    rescue(there, SHOP, lost=OTHER, rm="rm-east-3")
    assert records(there)[SHOP]["moves_to"] == "rm-east-3"
    with pytest.raises(Refused, match=f"hn-east has no room for {SHOP}: {LOST} is excluded"):
        rescue(there, SHOP, lost="rm-east-3", rm=LOST)


def test_an_operation_that_had_not_ended_is_followed_by_the_rescue(there):
    instances.update(there, {"instance": SHOP, "in_rotation": False, "operation": "drain", "step": "withdraw"})
    rescue(there, SHOP)
    assert [(each["kind"], each["closed"] is None) for each in overview.overview(there)["operations"]][-2:] == [("drain", False), ("rescue", True)]


@pytest.mark.parametrize(
    "change, lost, error, why",
    [
        ({"move": "begin", "rm": OTHER, "operation": "move"}, LOST, Refused, f"{SHOP} is on its way from {LOST} to {OTHER}; finish that move first"),
        ({"state": "leaving", "in_rotation": False}, LOST, Refused, f"{SHOP} is leaving in hn-east, so there is no life to rescue"),
        ({"state": "reserved", "operation": "place"}, LOST, Refused, f"{SHOP} is reserved in hn-east, so there is no life to rescue"),
        ({"step": "look"}, OTHER, Refused, f"{SHOP} is on {LOST} in hn-east by now, not on {OTHER}; run this again"),
    ],
)
def test_what_has_no_life_to_be_rescued_is_refused(there, change, lost, error, why):
    instances.update(there, {"instance": SHOP, **change})
    before = records(there)
    with pytest.raises(error, match=why):
        rescue(there, SHOP, lost=lost, rm="rm-east-3" if lost == OTHER else OTHER)
    assert records(there) == before


def test_what_is_unknown_or_malformed_is_refused(there):
    with pytest.raises(InvalidInput, match="epoch_above must not be negative"):
        rescue(there, SHOP, above=-1)
    several.update_all(there, [{"instance": SHOP, "state": "absent"}])
    with pytest.raises(NotFound, match=f"{SHOP} has no record in hn-east"):
        several.update_all(there, [{"instance": SHOP, "rescue": {"lost": LOST, "rm": OTHER, "epoch_above": 1}}])


def test_nothing_is_rescued_while_an_rm_may_run_what_is_not_known(there):
    witness.DIRECTORY += "-after-the-start"
    with pytest.raises(Refused, match="has not heard what rm-east-1 and rm-east-2 runs"):
        rescue(there)
