# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One operation at a time has an instance; whoever comes too late, or sleeps too long, is refused."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
from postgresql import BOTH

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import wait
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import hn, instances, leases, overview, rebuild, registry, reservations, several

pytestmark = BOTH

SHOP, TWO = "shop-1.example.com", "shop-2.example.com"
CONTROLLER = {"where": "boot/1", "process": 7, "started": "3"}


@dataclasses.dataclass
class Clock:
    """A VMA's clock."""

    now: float = 1000.0


@pytest.fixture(name="clock")
def _clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(leases, "_now", lambda: clock.now)
    return clock


def operation(run, **different):
    return leases.Lease(**{"run": run, "operation": "move", "who": "ada@ctl", "controller": CONTROLLER, "seconds": 600.0, **different})


def taken(url, lease, *names):
    with registry.transaction(url) as tx:
        return leases.take(tx, lease, names or [SHOP])


def released(url, run, names=None):
    with registry.transaction(url) as tx:
        return leases.release(tx, operation(run), names)


def leased(url):
    return {each["instance"]: (each["run"], each["number"]) for each in overview.overview(url)["leases"]}


def test_one_operation_has_an_instance_until_it_gives_it_back(url, clock):
    assert taken(url, operation("a")) == {SHOP: 1} == taken(url, operation("a"))
    clock.now += 100
    assert taken(url, operation("c"), TWO) == {TWO: 2}, "another one is free"
    with pytest.raises(leases.Busy) as caught:
        taken(url, operation("b", above=9))
    assert caught.value.message == (
        f"{SHOP} is busy in hn-east: move by ada@ctl since 1970-01-01T00:16:40Z. Run this again when that has ended. If it is dead, say so with "
        "-e operation_take_over=true, or wait until its lease ends in 500 s; the playbook recover takes up what it did."
    )
    assert leased(url) == {SHOP: ("a", 1), TWO: ("c", 2)}
    assert released(url, "a") == [SHOP] and released(url, "a") == []
    assert taken(url, operation("b", above=2)) == {SHOP: 3}


def test_all_of_several_are_leased_or_none(url, clock):
    taken(url, operation("a"), TWO)
    with pytest.raises(leases.Busy):
        taken(url, operation("b"), SHOP, TWO)
    assert leased(url) == {TWO: ("a", 1)}


def test_some_of_its_leases_can_be_given_back(url, clock):
    taken(url, operation("a"), SHOP, TWO)
    assert released(url, "a", [TWO, "shop-3.example.com"]) == [TWO] and leased(url) == {SHOP: ("a", 1)}


def test_a_lease_that_is_not_renewed_ends_by_itself(url, clock):
    taken(url, operation("a"))
    clock.now += 599
    taken(url, operation("a"))
    clock.now += 599
    with pytest.raises(leases.Busy):
        taken(url, operation("b", above=1))
    clock.now += 2
    assert not leased(url)
    assert taken(url, operation("b", above=1)) == {SHOP: 2}
    # The first one wakes up.
    with pytest.raises(leases.Busy):
        taken(url, operation("a", numbers={SHOP: 1}))
    released(url, "b")
    with pytest.raises(Refused, match=f"Another operation came to {SHOP} in hn-east since this one looked there; run this again"):
        taken(url, operation("a", numbers={SHOP: 1}))


def test_one_that_ended_goes_on_where_nobody_came_in_between(url, clock):
    taken(url, operation("a"))
    clock.now += 3600
    assert taken(url, operation("a", numbers={SHOP: 1})) == {SHOP: 1}


def test_who_looked_before_another_operation_has_to_look_again(url, clock):
    taken(url, operation("a"))
    released(url, "a")
    with pytest.raises(Refused, match="since this one looked there"):
        taken(url, operation("b", above=0))
    assert taken(url, operation("b", above=1)) == {SHOP: 2}


def test_numbers_grow_with_what_is_known_from_elsewhere(url, clock):
    assert taken(url, operation("a", above=41)) == {SHOP: 42}
    assert taken(url, operation("a", numbers={SHOP: 50})) == {SHOP: 50}, "another VMA has granted more"
    assert overview.overview(url)["hn"]["lease"] == 50
    assert taken(url, operation("c", above=42), TWO) == {TWO: 51}


def test_a_dead_one_is_replaced_if_it_is_the_one_that_was_seen(url, clock):
    taken(url, operation("a"))
    with pytest.raises(leases.Busy):
        taken(url, operation("b", above=1, over={SHOP: [7]}))
    assert taken(url, operation("b", above=1, over={SHOP: [1]})) == {SHOP: 2}
    with pytest.raises(leases.Busy):
        taken(url, operation("a"))
    with pytest.raises(leases.Busy):
        taken(url, operation("c", above=1, over={SHOP: [1]}))


#: Calls that belong to no operation.
SINGLE = {
    "reserve": lambda url, ask: reservations.reserve(url, ask(capsule="2.0.0")),
    "undo": lambda url, ask: reservations.undo(url, SHOP),
    "change": lambda url, ask: instances.update(url, {"instance": SHOP, "state": "running"}),
    "change several": lambda url, ask: several.update_all(url, [{"instance": SHOP, "state": "running"}]),
    "rebuild": lambda url, ask: rebuild.rebuild(url, [{**LIVES, "record": ask(TWO, 11) | PLACED}], []),
}
LIVES = {"name": TWO, "state": "running", "epoch": 3, "rm": "rm-east-1"}
PLACED = {"fabric_address": "192.168.1.11", "vlan": 100, "public_address": "198.18.1.1", "balance": {}}


@pytest.mark.parametrize("call", SINGLE)
def test_a_single_call_does_not_disturb_an_operation_and_is_noticed_by_the_next(url, ask, clock, call):
    reservations.reserve(url, ask())
    name = TWO if call == "rebuild" else SHOP
    seen = overview.overview(url)["hn"]["lease"]
    taken(url, operation("a", above=seen), name)
    before = overview.overview(url)
    with pytest.raises(leases.Busy):
        SINGLE[call](url, ask)
    assert overview.overview(url) == before
    released(url, "a")
    seen = overview.overview(url)["hn"]["lease"]
    with contextlib.suppress(MeshError):
        taken(url, operation("b", above=seen), "shop-9.example.com")
    assert SINGLE[call](url, ask).changed
    with pytest.raises(Refused, match="since this one looked there"):
        taken(url, operation("c", above=seen), name)


def test_what_is_recorded_for_an_operation_is_leased_in_passing(url, ask, clock):
    asked = [{"instance": SHOP, "operation": "place", "reservation": ask()}]
    told = several.update_all(url, asked, lease=operation("a"))
    assert told.result["leased"] == {SHOP: 2} and leased(url) == {SHOP: ("a", 2)}, "what is said then is newer than what was said before"
    running = [{"instance": SHOP, "state": "running"}]
    with pytest.raises(leases.Busy):
        several.update_all(url, running, lease=operation("b", above=9))
    several.update_all(url, running, lease=operation("a"), last=True)
    assert not leased(url) and overview.overview(url)["records"][0]["state"] == "running"


def test_who_serves_here_is_said_with_each_record_and_when_that_was(url, ask, clock):
    asked = [{"instance": name, "operation": "place", "reservation": ask()} for name in (SHOP, TWO)]
    numbers = []
    both = [{"instance": name, "state": "running", "in_rotation": True} for name in (SHOP, TWO)]
    for told, served, enters in (
        (asked, False, False),
        (both, True, True),
        (both, True, False),
        ([{"instance": SHOP, "in_rotation": False}], True, False),
        ([{"instance": TWO, "in_rotation": False}], False, False),
    ):
        found = several.update_all(url, told, lease=operation("a")).result["serving"]["shop"]
        assert (found["served"], bool(found["addresses"])) == (served, served)
        assert found["since"] == (found["number"] if enters else 0), "a second run changes no name"
        numbers.append(found["number"])
    assert numbers == sorted(set(numbers)), "the newer one can be told"


def test_check_mode_leases_nothing(url, ask, clock):
    told = several.update_all(url, [{"instance": SHOP, "operation": "place", "reservation": ask()}], True, operation("a"))
    assert told.changed and not leased(url)


def test_a_rebuilt_registry_grants_no_number_that_devices_know(url, ask, clock):
    found = {**LIVES, "record": ask(TWO, 11) | PLACED, "lease": 41}
    assert rebuild.rebuild(url, [found], []).changed
    assert not rebuild.rebuild(url, [found], []).changed
    assert taken(url, operation("a", above=41)) == {SHOP: 42}
    with pytest.raises(Refused, match="since this one looked there"):
        taken(url, operation("b"), TWO)


def test_a_registry_that_was_lost_grants_later_numbers(url, tmp_path, clock, by_clock, monkeypatch):
    monkeypatch.setattr(leases, "_milliseconds", by_clock)
    clock.now = 1000.5
    before = taken(url, operation("a"), SHOP)[SHOP]
    other = f"sqlite:///{tmp_path}/lost.db"
    hn.declare(other, "hn-east", ["198.18.1.0/28"], 100, 150, 8)
    clock.now += 0.002
    assert taken(other, operation("b"), SHOP)[SHOP] > before > 1000000
    clock.now = 0
    assert taken(other, operation("b"), SHOP)[SHOP] > before, "whatever the clock does"


def test_whoever_takes_a_run_up_gets_what_nobody_else_has_come_to(url, clock):
    taken(url, operation("aa"), SHOP, TWO)
    released(url, "aa")
    assert taken(url, operation("bb", above=2), TWO) == {TWO: 3}
    released(url, "bb")
    again = operation("aa.cc", above=3, resumes="aa")
    with registry.transaction(url) as tx:
        assert leases.take_up(tx, again, [SHOP, TWO]) == {SHOP: 4}
    with pytest.raises(leases.Followed, match="since this one was cut off"):
        taken(url, again, TWO)
    gone = [{"instance": SHOP, "state": "absent", "expected": ["reserved"]}, {"instance": TWO, "state": "absent", "expected": ["reserved"]}]
    assert list(several.update_all(url, gone, lease=again).result["leased"]) == [SHOP], "what it would give back may be another one's"


def test_what_came_before_the_run_looked_is_no_matter(url, clock):
    taken(url, operation("bb"), SHOP)
    released(url, "bb")
    assert taken(url, operation("aa.cc", above=1, resumes="aa", looked=1), SHOP) == {SHOP: 2}


def test_who_waits_is_told_when_a_lease_has_ended_and_not_after_the_deadline(url, clock, monkeypatch):
    paused = []

    def pause(seconds):
        paused.append(seconds)
        if len(paused) == 3:
            released(url, "a")

    taken(url, operation("a"))
    taken(url, operation("b"), TWO)
    monkeypatch.setattr(wait.time, "sleep", pause)
    overview.wait(url, {SHOP: 1}, 60)
    assert len(paused) == 3
    overview.wait(url, {SHOP: 1, TWO: 9}, 60)
    assert len(paused) == 3, "these leases are no more"
    ticks = iter(range(100))
    monkeypatch.setattr(wait.time, "monotonic", lambda: float(next(ticks)))
    overview.wait(url, {TWO: 2}, 5)
    assert len(paused) > 3, "it gives up in the end"
