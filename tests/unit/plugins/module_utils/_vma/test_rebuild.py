# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A registry made anew from what runs."""

from __future__ import annotations

import os

import pytest
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import hn, instances, overview, rebuild, reservations, rms


DOUBLED = (
    "shop-1.example.com runs on rm-east-1 and on rm-east-2: remove one of them first, by the playbook remove with remove_instance=shop-1.example.com and "
    "remove_rm."
)


def fails(call, *arguments):
    """Return the sentence that *call* fails with."""
    with pytest.raises(MeshError) as caught:
        call(*arguments)
    return caught.value.message


def observed(seen):
    """Return what RMs and the gateway would tell, if they did what the registry says."""
    found = [
        {"name": record["instance"], "state": record["state"], "epoch": record["epoch"], "record": record, "rm": record["rm"], "memory_mib": 128}
        for record in seen["records"]
        if record["state"] != "reserved"
    ]
    return found, [{**router, "connections": 3} for router in seen["routers"].values()]


@pytest.fixture(name="lived")
def _lived(url, ask):
    """A registry in which some things have happened."""
    wishes = [("shop-1.example.com", 10), ("shop-2.example.com", 11), ("mail-1.example.com", 12), ("shop-1.example.org", 10), ("gone-1.example.org", 13)]
    for name, host in wishes:
        reservations.reserve(url, ask(name, host, intranet_address="172.21.162.9" if name.startswith("shop-1") else None))
    states = {"shop-1.example.com": "running", "shop-2.example.com": "suspended", "shop-1.example.org": "running", "gone-1.example.org": "absent"}
    for name, state in states.items():
        instances.update(url, {"instance": name, "state": state, "in_rotation": True if state == "running" else None, "operation_done": True})
    instances.update(url, {"instance": "shop-1.example.com", "epoch_above": 6})
    return url


def lose(url, machine):
    """Lose the registry's file and set the HN up again."""
    os.unlink(url[len("sqlite:///") :])
    hn.declare(url, "hn-east", ["198.18.1.0/28"], 100, 4000, 8)
    for name in ("rm-east-1", "rm-east-2"):
        rms.subscribe(url, name, machine())


def test_what_is_true_already_stays_untouched(lived):
    before = overview.overview(lived)
    done = rebuild.rebuild(lived, *observed(before))
    assert not done.changed and done.before == done.after
    assert overview.overview(lived) == before
    assert done.result["records"] == before["records"] and done.result["routers"] == before["routers"]


def test_a_lost_registry_comes_back(lived, machine, ask):
    before = overview.overview(lived)
    found = observed(before)
    lose(lived, machine)
    empty = overview.overview(lived)
    predicted = rebuild.rebuild(lived, *found, True)
    assert overview.overview(lived) == empty
    done = rebuild.rebuild(lived, *found)
    assert done == predicted and done.changed
    after = overview.overview(lived)
    assert after["records"] == [record for record in before["records"] if record["state"] != "reserved"]
    assert after["hn"]["generation"] > before["hn"]["generation"]
    assert not rebuild.rebuild(lived, *found).changed
    # What was given before is taken: a new service gets another address and another domain another VLAN.
    assert reservations.reserve(lived, ask("new-1.example.net", 10)).result["record"]["vlan"] == 102
    assert reservations.reserve(lived, ask("shop-3.example.com", 30)).result["record"]["public_address"] == "198.18.1.1"
    instances.update(lived, {"instance": "shop-1.example.com", "state": "absent"})
    assert reservations.reserve(lived, ask()).result["record"]["epoch"] == 8


def test_what_no_rm_holds_is_forgotten_but_reservations_stay(lived):
    done = rebuild.rebuild(lived, [], [])
    assert done.changed and [record["instance"] for record in done.result["records"]] == ["mail-1.example.com"]
    assert rebuild.rebuild(lived, [], []).changed is False
    assert sorted(done.result["routers"]) == ["example.com"]


def test_what_really_is_wins_over_what_was_recorded(lived):
    found, routers = observed(overview.overview(lived))
    [shop] = [item for item in found if item["name"] == "shop-1.example.com"]
    shop.update(rm="rm-east-2" if shop["rm"] == "rm-east-1" else "rm-east-1", epoch=11, state="paused")
    done = rebuild.rebuild(lived, found, routers)
    [record] = [record for record in done.result["records"] if record["instance"] == "shop-1.example.com"]
    assert (record["rm"], record["epoch"], record["state"], record["in_rotation"]) == (shop["rm"], 11, "stopped", False)


def test_the_rotation_is_the_routers(lived):
    found, routers = observed(overview.overview(lived))
    for router in routers:
        for service in router["services"]:
            service["members"] = []
    assert not any(record["in_rotation"] for record in rebuild.rebuild(lived, found, routers).result["records"])


def test_two_records_may_have_swapped_addresses(lived):
    found, routers = observed(overview.overview(lived))
    one, two = (next(item for item in found if item["name"] == f"shop-{ordinal}.example.com") for ordinal in (1, 2))
    keys = ("guest", "fabric_address")
    one["record"], two["record"] = ({**mine["record"], **{key: other["record"][key] for key in keys}} for mine, other in ((one, two), (two, one)))
    done = rebuild.rebuild(lived, found, routers)
    assert {record["instance"]: record["fabric_address"] for record in done.result["records"]}["shop-1.example.com"] == "192.168.1.11"


def test_of_copies_the_running_one_counts_and_every_epoch_is_remembered(lived, ask):
    found, routers = observed(overview.overview(lived))
    [shop] = [item for item in found if item["name"] == "shop-1.example.com"]
    other = "rm-east-2" if shop["rm"] == "rm-east-1" else "rm-east-1"
    done = rebuild.rebuild(lived, [{**shop, "rm": other, "state": "suspended", "epoch": 20}, *found], routers)
    [record] = [record for record in done.result["records"] if record["instance"] == "shop-1.example.com"]
    assert (record["rm"], record["epoch"], record["state"]) == (shop["rm"], 7, "running")
    instances.update(lived, {"instance": "shop-1.example.com", "state": "absent"})
    assert reservations.reserve(lived, ask()).result["record"]["epoch"] == 21


def test_of_what_is_absent_the_epoch_counts(lived, ask):
    found, routers = observed(overview.overview(lived))
    done = rebuild.rebuild(lived, [*found, {"name": "gone-1.example.org", "state": "absent", "epoch": 30, "rm": "rm-east-1"}], routers)
    assert done.changed and "gone-1.example.org" not in [record["instance"] for record in done.result["records"]]
    assert reservations.reserve(lived, ask("gone-1.example.org", 13)).result["record"]["epoch"] == 31


def test_what_was_handed_over_is_kept_if_it_is_recorded_and_not_made_anew(lived, machine):
    instances.update(lived, {"instance": "shop-1.example.com", "state": "leaving"})
    before = overview.overview(lived)
    found, routers = observed(before)
    [shop] = [item for item in found if item["name"] == "shop-1.example.com"]
    shop.update(state="suspended", epoch=8, here=False)
    assert rebuild.rebuild(lived, found, routers).result["records"] == before["records"]
    lose(lived, machine)
    assert "shop-1.example.com" not in [record["instance"] for record in rebuild.rebuild(lived, found, routers).result["records"]]


def _changed(name, **different):
    def change(found, _routers):
        item = next(item for item in found if item["name"] == name)
        item["record"] = {**item["record"], **different}

    return change


def _doubled(**different):
    def change(found, _routers):
        item = next(item for item in found if item["name"] == "shop-1.example.com")
        item["rm"] = "rm-east-1"
        found.append({**item, "rm": "rm-east-2", **different})

    return change


def _suspended_twice(found, routers):
    item = next(item for item in found if item["name"] == "shop-1.example.com")
    item.update(rm="rm-east-1", state="suspended")
    _doubled(state="suspended")(found, routers)


def _elsewhere(found, _routers):
    found[0]["rm"] = "rm-west-1"


def _without_record(found, _routers):
    found.append({"name": "new-1.example.com", "rm": "rm-east-1", "state": "running", "epoch": 1, "record": None})


def _without_rm(found, _routers):
    del found[0]["rm"]


def _without_generation(_found, routers):
    del routers[0]["generation"]


def _epoch_zero(found, _routers):
    found[0]["epoch"] = 0


def _other_vlan(_found, routers):
    routers[0]["vlan"] = 555


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_doubled(), DOUBLED),
        (_doubled(epoch=99), DOUBLED),
        (_suspended_twice, "shop-1.example.com lies on rm-east-1 and on rm-east-2 with the same epoch 7: one of them must be removed first."),
        (_elsewhere, "shop-1.example.com is on rm-west-1, which has not subscribed to hn-east (vma_rm does that)."),
        (
            _without_record,
            "new-1.example.com on rm-east-1 cannot be recorded: nobody knows its capsule, guest, fabric_address, vlan, public_address, ports, requirements.",
        ),
        (_without_rm, "An instance that the registry is rebuilt from lacks rm."),
        (_without_generation, "A router that the registry is rebuilt from lacks generation."),
        (_epoch_zero, "shop-1.example.com on rm-east-1 cannot have the epoch 0: epochs begin with 1."),
        (_other_vlan, "example.com has two of what it can have only one of: the VLAN 555 and 100."),
        (
            _changed("shop-1.example.org", public_address="203.0.113.9"),
            "shop-1.example.org has the public address 203.0.113.9, which is outside the pools of hn-east.",
        ),
        (_changed("shop-1.example.org", vlan=50), "shop-1.example.org has the VLAN 50, which is outside 100 to 4000."),
        (_changed("shop-1.example.org", vlan=100), "example.com and example.org both have the VLAN 100."),
        (
            _changed("shop-1.example.org", public_address="198.18.1.1"),
            "shop of example.com and shop of example.org both have the public address 198.18.1.1.",
        ),
        (
            _changed("shop-2.example.com", fabric_address="192.168.1.10"),
            "shop-1.example.com and shop-2.example.com both have the fabric address 192.168.1.10.",
        ),
        (
            _changed("shop-2.example.com", public_address="198.18.1.9"),
            "shop of example.com has two of what it can have only one of: the public address 198.18.1.1 and 198.18.1.9.",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(lived, change, sentence):
    before = overview.overview(lived)
    found, routers = observed(before)
    change(found, routers)
    assert fails(rebuild.rebuild, lived, found, routers) == sentence
    assert overview.overview(lived) == before
