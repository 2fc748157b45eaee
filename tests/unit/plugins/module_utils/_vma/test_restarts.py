# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An RM that has started may start again what is to run there, and nothing else; meanwhile nobody else comes to that."""

from __future__ import annotations

import contextlib

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import instances, leases, overview, registry, reservations, restarts, witness

SHOP, TWO, RM = "shop-1.example.com", "shop-2.example.com", "rm-east-1"
OPERATION = leases.Lease("0f" * 16, "move", "ada@ctl", {"where": "boot/1", "process": 7, "started": "3"}, 600.0)


def taken(tx, name, **different):
    """Lease an instance for an operation that has just looked."""
    return leases.take(tx, OPERATION._replace(above=leases.highest(tx), **different), [name])


@pytest.fixture(name="running")
def _running(url, ask):
    """The URL of a registry by which the shop runs, to which an operation has come since its host started."""
    with registry.transaction(url) as tx:
        leases.release(tx, OPERATION, taken(tx, "other-1.example.com"))
    for number, name in ((10, SHOP), (11, TWO)):
        reservations.reserve(url, ask(name, number, rm=RM))
        instances.update(url, {"instance": name, "state": "running", "operation_done": True})
    return url


def epoch(url, name=SHOP):
    return next(record["epoch"] for record in overview.overview(url)["records"] if record["instance"] == name)


def asked(url, rm=RM, **different):
    return restarts.begin(url, rm, different or {SHOP: epoch(url)})


def test_what_is_to_run_may_be_started_and_nobody_else_comes_to_it_meanwhile(running):
    told = asked(running)
    assert (list(told["granted"]), told["later"], told["never"]) == ([SHOP], {}, {})
    with pytest.raises(leases.Busy, match=f"{SHOP} is busy in hn-east: restart by {RM}, which has started since"), registry.transaction(running) as tx:
        taken(tx, SHOP)
    restarts.end(running, "rm-east-2", told["run"])
    assert [each["instance"] for each in overview.overview(running)["leases"]] == [SHOP], "only the RM itself is done with it"
    restarts.end(running, RM, told["run"])
    assert not overview.overview(running)["leases"]
    with registry.transaction(running) as tx:
        assert taken(tx, SHOP)[SHOP] > told["granted"][SHOP]


def test_an_operation_that_has_it_comes_first(running):
    with registry.transaction(running) as tx:
        taken(tx, SHOP)
    told = asked(running, **{SHOP: epoch(running), TWO: epoch(running, TWO)})
    assert list(told["granted"]) == [TWO] and told["later"][SHOP].startswith(f"{SHOP} is busy in hn-east: move by ada@ctl")


def test_what_an_operation_has_left_half_done_waits_for_its_recovery(running):
    instances.update(running, {"instance": SHOP, "in_rotation": True, "operation": "move", "step": "hand over"})
    assert asked(running)["later"][SHOP].startswith(f"The move of {SHOP} that began at ")
    plan = {"operation": "drain", "subject": TWO, "who": "ada@ctl", "instances": [TWO], "plan": "{}"}
    with registry.transaction(running) as tx:
        leases.release(tx, OPERATION, taken(tx, TWO, opening=plan))
    assert asked(running, **{TWO: epoch(running, TWO)})["later"] == {TWO: f"{TWO} is a part of the drain of {TWO}, which has not ended."}


@pytest.mark.parametrize(
    "rm, later, change, why",
    [
        ("rm-east-2", 0, {}, f"{SHOP} does not live on rm-east-2 any more, says the registry of hn-east."),
        (RM, 0, {"state": "suspended", "in_rotation": False, "operation_done": True}, f"{SHOP} is suspended by the registry of hn-east, so it is not started."),
        (RM, 1, {}, f"{SHOP} is known to {RM} in the epoch {{}} and to the registry of hn-east in {{}}, so it is not started."),
    ],
)
def test_what_is_not_to_run_there_is_never_started(running, rm, later, change, why):
    if change:
        instances.update(running, {"instance": SHOP, **change})
    known = epoch(running)
    told = restarts.begin(running, rm, {SHOP: known - later})
    assert told["never"] == {SHOP: why.format(known - later, known)} and not told["granted"]


def test_an_rm_that_lost_its_power_once_more_takes_its_own_place(running):
    first = asked(running)["granted"][SHOP]
    assert asked(running)["granted"][SHOP] > first


def test_a_vma_that_may_have_been_given_up_lets_nothing_start(running):
    witness.DIRECTORY += "-after-the-start"
    with pytest.raises(Refused, match="has started, too, and no operation has come to it since"):
        asked(running)
    assert not overview.overview(running)["hn"]["attended"]
    assert restarts.begin(running, RM, {SHOP: epoch(running)}, alone=True)["granted"], "nobody else could have given it up"


def test_it_does_when_it_was_vouched_for(running):
    witness.DIRECTORY += "-after-the-start"
    with registry.transaction(running) as tx:
        witness.vouch(tx)
    assert overview.overview(running)["hn"]["attended"] and asked(running)["granted"]


@pytest.mark.parametrize("rm, wanted", [("../rm", {SHOP: 1}), (RM, {"../shop": 1})])
def test_what_is_no_name_is_refused(running, rm, wanted):
    with pytest.raises(InvalidInput):
        restarts.begin(running, rm, wanted)
    with contextlib.suppress(InvalidInput):
        assert not overview.overview(running)["leases"]
