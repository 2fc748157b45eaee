# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reserving, changing and giving back, on a real registry."""

from __future__ import annotations

import datetime
import tempfile

import pytest
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import (
    agreement,
    instances,
    journal,
    leases,
    overview,
    registry,
    reservations,
    rms,
    runs,
    several,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHOP = "shop-1.example.com"


def fails(call, *arguments):
    """Return the sentence that *call* fails with."""
    with pytest.raises(MeshError) as caught:
        call(*arguments)
    return caught.value.message


def reserve(url, wanted):
    return reservations.reserve(url, wanted).result["record"]


def update(url, instance=SHOP, **wanted):
    return instances.update(url, {"instance": instance, **wanted})


def test_a_reservation_is_predicted_made_and_kept(url, ask, need):
    before = overview.overview(url)
    predicted = reservations.reserve(url, ask(), dry_run=True)
    assert overview.overview(url) == before
    done = reservations.reserve(url, ask())
    assert done == predicted and done.changed
    assert done.result["record"] == {
        "instance": SHOP,
        "service": "shop",
        "domain": "example.com",
        "capsule": "1.0.0",
        "rm": "rm-east-1",
        "moves_to": None,
        "epoch": 1,
        "state": "reserved",
        "in_rotation": False,
        "guest": ask()["guest"],
        "fabric_address": "192.168.1.10",
        "intranet_address": None,
        "vlan": 100,
        "public_address": "198.18.1.1",
        "forward_to": None,
        "ports": [{"protocol": "tcp", "port": 80}],
        "balance": {},
        "requirements": need(),
    }
    assert done.result["router"]["services"][0]["members"] == []
    again = reservations.reserve(url, ask())
    assert not again.changed and again.result == done.result and again.before == again.after


def test_one_change_raises_the_generation_by_one(url, ask):
    start = overview.overview(url)["hn"]["generation"]
    assert reservations.reserve(url, ask()).result["router"]["generation"] == start + 1
    assert update(url, state="running", in_rotation=True).result["router"]["generation"] == start + 2
    assert update(url, state="running", in_rotation=True).result["router"]["generation"] == start + 2
    assert update(url, step="a word for the journal").result["router"]["generation"] == start + 2
    assert update(url, state="absent").result["router"]["generation"] == start + 3


def test_instances_of_a_service_share_its_address_and_those_of_a_domain_its_vlan(url, ask):
    one, two, mail = (reserve(url, ask(name, host)) for name, host in ((SHOP, 10), ("shop-2.example.com", 11), ("mail-1.example.com", 12)))
    other = reserve(url, ask("shop-1.example.org", 10))
    assert one["public_address"] == two["public_address"] == "198.18.1.1"
    assert mail["public_address"] == "198.18.1.2" and other["public_address"] == "198.18.1.3"
    assert one["vlan"] == two["vlan"] == mail["vlan"] == 100 and other["vlan"] == 101
    assert other["fabric_address"] == one["fabric_address"]


def test_clones_share_all_but_the_fabric_address_and_spread_over_rms(url, ask):
    clones = [reserve(url, ask(f"shop-{ordinal}.example.com", 10)) for ordinal in range(1, 5)]
    assert [clone["fabric_address"] for clone in clones] == ["192.168.1.10", "192.168.1.254", "192.168.1.253", "192.168.1.252"]
    assert len({(clone["public_address"], clone["vlan"], clone["guest"]["address"], clone["guest"]["mac"]) for clone in clones}) == 1
    assert [clone["rm"] for clone in clones] == ["rm-east-1", "rm-east-2"] * 2
    for clone in clones:
        members = update(url, clone["instance"], state="running", in_rotation=True).result["router"]["services"][0]["members"]
    assert [member["address"] for member in members] == [clone["fabric_address"] for clone in clones]
    update(url, state="absent")
    assert reserve(url, ask("shop-9.example.com", 10))["fabric_address"] == "192.168.1.10"


def test_room_is_given_once(make, ask, need):
    url = make(memory_mib=256)
    for ordinal in range(1, 5):
        reserve(url, ask(f"shop-{ordinal}.example.com", 10 + ordinal))
    before = overview.overview(url)
    assert fails(reservations.reserve, url, ask("shop-5.example.com", 50, requirements=need(memory_mib=64))) == (
        "hn-east has no room for shop-5.example.com: rm-east-1 lacks 64 MiB of memory, rm-east-2 lacks 64 MiB of memory."
    )
    assert overview.overview(url) == before
    assert [rm["memory_mib_left"] for rm in before["rms"]] == [0, 0]


@pytest.mark.parametrize(
    ("different", "sentence"),
    [
        (
            {"instance": "../shop-1.example.com"},
            "'../shop-1.example.com' is not an instance: it must look like 'shop-1.example.com' (service, ordinal, domain).",
        ),
        ({"capsule": "../1.0"}, "'../1.0' is not a version: it must look like '1.0.0'."),
        ({"rm": "rm-west-1"}, "hn-east has no room for shop-1.example.com: rm-west-1 is not one of its RMs."),
        ({"exclude_rms": ["rm-east-1", "rm-east-2"]}, "hn-east has no room for shop-1.example.com: rm-east-1 is excluded, rm-east-2 is excluded."),
        ({"public_address": "198.18.2.1"}, "The public address 198.18.2.1 is outside the pools of hn-east (198.18.1.0/28)."),
        ({"public_address": "198.18.1.1"}, "The public address 198.18.1.1 is taken by the service mail of example.com."),
        ({"epoch_above": -1}, "epoch_above must not be negative, as -1 is."),
        ({"ports": []}, "The service shop declares no port, so nobody could reach it."),
    ],
)
def test_what_cannot_be_reserved_changes_nothing(url, ask, different, sentence):
    reserve(url, ask("mail-1.example.com", 77))
    before = overview.overview(url)
    assert fails(reservations.reserve, url, ask(**different)) == sentence
    assert overview.overview(url) == before


def test_an_explicit_address_is_kept(url, ask):
    assert reserve(url, ask(public_address="198.18.1.7"))["public_address"] == "198.18.1.7"
    assert reserve(url, ask("shop-2.example.com", 11))["public_address"] == "198.18.1.7"
    assert fails(reservations.reserve, url, ask("shop-3.example.com", 12, public_address="198.18.1.8")) == (
        "The service shop of example.com has the public address 198.18.1.7 in hn-east already, so it cannot have 198.18.1.8 too."
    )


def test_a_mere_reservation_that_does_not_fit_is_made_anew(url, ask):
    first = reserve(url, ask())
    second = reserve(url, ask(exclude_rms=[first["rm"]]))
    assert (second["rm"], second["epoch"]) == ("rm-east-2", 2)
    assert second["public_address"] == first["public_address"] and second["vlan"] == first["vlan"]
    assert reserve(url, ask(epoch_above=9))["epoch"] == 10


def test_what_is_here_gets_an_epoch_above_what_others_have_granted_and_taken_back(url, ask):
    first = reserve(url, ask())
    update(url, state="running")
    assert reserve(url, ask(epoch_above=4)) == {**first, "state": "running", "epoch": 5}
    assert not reservations.reserve(url, ask(epoch_above=4)).changed


def test_what_is_more_than_reserved_stays_as_it_is(url, ask):
    reserve(url, ask())
    update(url, state="running")
    assert not reservations.reserve(url, ask()).changed
    assert fails(reservations.reserve, url, ask(capsule="1.1.0", epoch_above=1)) == (
        "shop-1.example.com is running in hn-east already, but not as asked: its capsule and epoch would be other."
    )
    assert fails(reservations.undo, url, SHOP) == "shop-1.example.com is running in hn-east, not merely reserved: vma_instance removes its record."


def test_undo_gives_everything_back_but_the_epoch(url, ask):
    reserve(url, ask())
    assert reservations.undo(url, SHOP, dry_run=True) == reservations.undo(url, SHOP)
    assert not reservations.undo(url, SHOP).changed
    seen = overview.overview(url)
    assert seen["records"] == [] and seen["routers"] == {} and all(operation["closed"] for operation in seen["operations"])
    assert reserve(url, ask())["epoch"] == 2


def test_a_released_address_rests_while_others_are_free(make, ask):
    url = make(pools=("198.18.1.0/29",))
    for number, service in enumerate(("one", "two", "three"), start=1):
        assert reserve(url, ask(f"{service}-1.example.com", number + 10))["public_address"] == f"198.18.1.{number}"
    for service in ("two", "one"):
        update(url, f"{service}-1.example.com", state="absent")
    given_out = [reserve(url, ask(f"new{number}-1.example.com", 50 + number))["public_address"] for number in range(5)]
    assert given_out == ["198.18.1.4", "198.18.1.5", "198.18.1.6", "198.18.1.2", "198.18.1.1"]
    assert fails(reservations.reserve, url, ask("last-1.example.com", 90)) == "hn-east has no free public address: all of 198.18.1.0/29 are in use."


def test_a_service_that_comes_back_gets_its_own_address_and_vlan(url, ask):
    before = reserve(url, ask())
    update(url, state="absent")
    reserve(url, ask("mail-1.example.org", 10))
    after = reserve(url, ask())
    assert (after["public_address"], after["vlan"]) == (before["public_address"], before["vlan"])


def test_the_public_address_goes_with_the_last_instance(url, ask):
    reserve(url, ask())
    reserve(url, ask("shop-2.example.com", 11))
    document = update(url, state="absent").result["router"]
    assert [service["name"] for service in document["services"]] == ["shop"]
    document = update(url, "shop-2.example.com", state="absent").result["router"]
    assert document["services"] == [] and document["gateways"] == [] and document["vlan"] == 100
    assert not update(url, "shop-2.example.com", state="absent").changed


def test_vlans_run_out_in_one_sentence(make, ask):
    url = make(vlan_last=101)
    reserve(url, ask("shop-1.example.com"))
    reserve(url, ask("shop-1.example.org"))
    assert fails(reservations.reserve, url, ask("shop-1.example.net")) == "hn-east has no free VLAN: all of 100 to 101 are in use."
    update(url, "shop-1.example.org", state="absent")
    assert reserve(url, ask("shop-1.example.net"))["vlan"] == 101


def test_publish_suspend_and_refuse_what_contradicts_itself(url, ask):
    reserve(url, ask())
    members = update(url, state="running", in_rotation=True).result["router"]["services"][0]["members"]
    assert members == [{"instance": SHOP, "address": "192.168.1.10"}]
    for state in ("suspended", "absent"):
        assert fails(instances.update, url, {"instance": SHOP, "state": state, "in_rotation": True}) == (
            f"shop-1.example.com cannot be in rotation while it is {state}: only what is running can."
        )
    done = update(url, state="suspended")
    assert done.result["router"]["services"][0]["members"] == [] and done.result["record"]["in_rotation"] is False


def test_an_unknown_instance(url):
    assert fails(instances.update, url, {"instance": SHOP, "state": "running"}) == (
        "shop-1.example.com has no record in hn-east: a reservation (vma_reservation) comes first."
    )


def test_a_move_inside_the_hn_needs_room_on_both_rms_and_leaves_it_on_one(url, ask):
    reserve(url, ask())
    rms.subscribe(url, "rm-east-2", {"memory_mib": 64})
    begin = {"instance": SHOP, "move": "begin", "rm": "rm-east-2"}
    assert fails(instances.update, url, begin) == "hn-east has no room for shop-1.example.com: rm-east-2 lacks 64 MiB of memory."
    assert fails(instances.update, url, {**begin, "rm": "rm-east-1"}) == "hn-east has no room for shop-1.example.com: rm-east-1 is excluded."
    rms.subscribe(url, "rm-east-2", {"memory_mib": 128})
    assert not update(url, move="end").changed
    for unused in range(2):
        record = update(url, move="begin", rm="rm-east-2", epoch_above=1).result["record"]
        assert (record["rm"], record["moves_to"], record["epoch"]) == ("rm-east-1", "rm-east-2", 2)
        assert [rm["memory_mib_left"] for rm in overview.overview(url)["rms"]] == [896, 0]
    assert update(url, move="give_up").result["record"]["moves_to"] is None
    assert [rm["memory_mib_left"] for rm in overview.overview(url)["rms"]] == [896, 128]
    update(url, move="begin", rm="rm-east-2")
    record = update(url, move="end").result["record"]
    assert (record["rm"], record["moves_to"]) == ("rm-east-2", None) and not update(url, move="end").changed
    assert [rm["memory_mib_left"] for rm in overview.overview(url)["rms"]] == [1024, 0]


def test_who_leaves_says_where_late_comers_are_served(url, ask):
    reserve(url, ask())
    update(url, state="running", in_rotation=True)
    assert fails(instances.update, url, {"instance": SHOP, "forward_to": "198.18.2.1"}) == (
        "shop-1.example.com is running, not leaving: only an instance that is leaving has late-comers to forward."
    )
    (service,) = update(url, state="leaving", forward_to="198.18.2.1").result["router"]["services"]
    assert service["forward_to"] == "198.18.2.1" and service["members"] == []
    assert "not an IPv4 address" in fails(instances.update, url, {"instance": SHOP, "state": "leaving", "forward_to": "shop"})
    reserve(url, ask("shop-2.example.com", 11))
    (service,) = instances.update(url, {"instance": "shop-2.example.com", "state": "running", "in_rotation": True}).result["router"]["services"]
    assert "forward_to" not in service, "there is somebody who serves"
    assert update(url, state="running").result["record"]["forward_to"] is None


def test_an_epoch_is_raised_once(url, ask):
    reserve(url, ask())
    assert update(url, epoch_above=4).result["record"]["epoch"] == 5
    assert not update(url, epoch_above=4).changed
    update(url, state="absent")
    assert reserve(url, ask(epoch_above=2))["epoch"] == 6


def test_the_journal_tells_what_is_open(url, ask):
    reservations.reserve(url, ask(operation="move"))
    update(url, state="running", step="take over")
    update(url, state="running", step="take over")
    [operation] = overview.overview(url)["operations"]
    assert operation["kind"] == "move" and operation["closed"] is None
    assert [entry["step"] for entry in operation["steps"]] == ["reserved on rm-east-1 with epoch 1", "take over"]
    assert update(url, operation_done=True).changed and not update(url, operation_done=True).changed
    update(url, state="suspended", step="suspend", operation="suspend")
    assert not update(url, state="suspended", step="suspend", operation="suspend").changed
    update(url, operation_done=True)
    assert not update(url, state="suspended", step="suspend", operation="suspend").changed
    update(url, state="leaving", step="withdraw")
    kinds = [(entry["kind"], entry["closed"] is not None) for entry in overview.overview(url)["operations"]]
    assert kinds == [("move", True), ("suspend", True), ("change", True)]
    assert [entry["kind"] for entry in overview.overview(url, last=1)["operations"]] == ["change"]
    assert overview.overview(url, domain="example.org")["operations"] == []


@pytest.mark.parametrize("step", ["", "  ", "two\nlines"])
def test_a_step_is_one_line(url, step):
    assert fails(instances.update, url, {"instance": SHOP, "step": step}) == "A step of the journal must be one line of text."


def test_info_looks_where_it_is_told(url, ask):
    for name, host in ((SHOP, 10), ("shop-2.example.com", 11), ("mail-1.example.org", 10)):
        reserve(url, ask(name, host))
    everything = overview.overview(url)
    assert len(everything["records"]) == 3 and sorted(everything["routers"]) == ["example.com", "example.org"]
    one = overview.overview(url, instance=SHOP)
    assert [record["instance"] for record in one["records"]] == [SHOP]
    assert one["routers"] == {"example.com": everything["routers"]["example.com"]}
    assert [record["domain"] for record in overview.overview(url, domain="example.org")["records"]] == ["example.org"]
    assert fails(overview.overview, url, None, "../x").startswith("'../x' is not a domain")


NAMES = [f"{service}-{ordinal}.{domain}" for domain in ("example.com", "example.org") for service in ("shop", "mail") for ordinal in (1, 2, 3)]
CALLS = st.tuples(st.sampled_from(["reserve", "undo", "running", "suspended", "absent", "raise"]), st.sampled_from(NAMES), st.integers(10, 13))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CALLS, min_size=5, max_size=30))
def test_whatever_is_called_nothing_is_given_twice(make_at, ask, calls):
    with tempfile.TemporaryDirectory() as directory:
        url, highest = make_at(f"sqlite:///{directory}/registry.db", memory_mib=300, pools=("198.18.1.0/30",)), {}
        for what, name, host in calls:
            before = overview.overview(url)
            try:
                if what == "reserve":
                    done = reservations.reserve(url, ask(name, host))
                elif what == "undo":
                    done = reservations.undo(url, name)
                elif what == "raise":
                    done = update(url, name, epoch_above=highest.get(name, 0))
                else:
                    done = update(url, name, state=what)
            except MeshError:
                assert overview.overview(url) == before
                continue
            after = overview.overview(url)
            assert (after == before) == (not done.changed)
            _check(after)
            record = done.result["record"]
            if record and (what == "raise" or (what == "reserve" and done.changed)):
                assert record["epoch"] > highest.get(name, 0)
                highest[name] = record["epoch"]


def _check(seen):
    """Nothing is overfull, and nothing has two owners."""
    records = seen["records"]
    assert all(rm[key] >= 0 for rm in seen["rms"] for key in ("memory_mib_left", "vcpus_left", "disk_bytes_left"))
    assert len({(record["domain"], record["fabric_address"]) for record in records}) == len(records)
    services = {(record["domain"], record["service"]) for record in records}
    assert len({record["public_address"] for record in records}) == len(services)
    assert len({(*service, record["public_address"]) for record in records for service in [(record["domain"], record["service"])]}) == len(services)
    domains = {record["domain"] for record in records}
    assert len({record["vlan"] for record in records}) == len(domains) == len(seen["routers"])
    assert all(router["generation"] == seen["hn"]["generation"] for router in seen["routers"].values())
    assert len([operation for operation in seen["operations"] if operation["closed"] is None]) <= len(NAMES)


def test_an_intranet_address_is_kept_and_of_one_instance_of_a_domain_only(url, ask):
    assert reserve(url, ask(intranet_address="172.21.162.9"))["intranet_address"] == "172.21.162.9"
    assert reserve(url, ask("shop-1.example.org", 10, intranet_address="172.21.162.9"))["intranet_address"] == "172.21.162.9"
    taken = ask("mail-1.example.com", 12, intranet_address="172.21.162.9")
    assert fails(reservations.reserve, url, taken) == "mail-1.example.com cannot be 172.21.162.9 in the intranet: shop-1.example.com is that already."
    wrong = ask("mail-1.example.com", 12, intranet_address="172.21.162.0/24")
    assert fails(reservations.reserve, url, wrong).startswith("The intranet address '172.21.162.0/24' is not an IPv4 address")


class TestItEndsByItself:
    """A reservation that nobody comes for."""

    def later(self, monkeypatch, seconds):
        moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
        monkeypatch.setattr(journal, "_now", lambda: moment.strftime("%Y-%m-%dT%H:%M:%SZ"))

    def test_after_an_hour_it_is_nobodys(self, url, ask, monkeypatch):
        reservations.reserve(url, ask(SHOP, 10))
        self.later(monkeypatch, 3500)
        assert [record["instance"] for record in overview.overview(url)["records"]] == [SHOP]
        self.later(monkeypatch, 3700)
        assert overview.overview(url)["records"] == []
        agreement.consent(url, [{"instance": SHOP, "epoch": 2}])
        reservations.reserve(url, ask("mail-1.example.com", 12))
        seen = overview.overview(url)
        assert [record["instance"] for record in seen["records"]] == ["mail-1.example.com"] and seen["rms"][0]["memory_mib_left"] == 896
        assert [step["step"] for step in seen["operations"][0]["steps"]][-1] == "reservation ended by itself" and seen["operations"][0]["closed"]

    def test_what_lives_does_not(self, url, ask, monkeypatch):
        reservations.reserve(url, ask(SHOP, 10))
        instances.update(url, {"instance": SHOP, "state": "running"})
        self.later(monkeypatch, 3700)
        assert [record["instance"] for record in overview.overview(url)["records"]] == [SHOP]

    def test_what_an_operation_holds_or_was_cut_off_with_does_not(self, url, ask, monkeypatch):
        opening = {"operation": "place", "subject": SHOP, "who": "op@ctl", "instances": [SHOP], "plan": "{}"}
        lease = leases.Lease("run1", "place", "op@ctl", {}, 600.0, opening=opening)
        wanted = {"instance": SHOP, "reservation": {key: value for key, value in ask(SHOP, 10).items() if key != "instance"}}
        several.update_all(url, [wanted], lease=lease)
        self.later(monkeypatch, 3700)
        assert [record["instance"] for record in overview.overview(url)["records"]] == [SHOP], "somebody is at work on it"
        with registry.transaction(url) as tx:
            leases.release(tx, lease)
        assert [record["instance"] for record in overview.overview(url)["records"]] == [SHOP], "it may be taken up"
        with registry.transaction(url) as tx:
            runs.end(tx, "run1", "undone", [])
        assert overview.overview(url)["records"] == []
