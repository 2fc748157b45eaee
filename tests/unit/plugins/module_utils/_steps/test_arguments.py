# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is None is as what is omitted, so that a module's options and a step's sparse arguments are the same to a call; the engines are simulated."""

from __future__ import annotations

import types

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.order import Handed
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.instance import Done, Wanted
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import answers, capsules, cutovers, instances, names, publishing, router, transfers, vma

SHOP, DB = "shop-1.example.com", "db-1.example.com"
PEER = {"name": "rm-west-1", "address": "10.77.2.11"}
HOST = object()


class Recorder:
    """Stands in for an engine's function: records how it was called, and returns (or raises, if that is an error) what it was told to."""

    def __init__(self, answer=None):
        self.calls = []
        self._answer = answer

    def __call__(self, *args, **kwargs):
        self.calls.append((args, kwargs))
        answer = self._answer(*args, **kwargs) if callable(self._answer) else self._answer
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def engine(monkeypatch):
    """Return what puts a recorder in an engine's place."""

    def stand_in(module, name, answer=None):
        recorder = Recorder(answer)
        monkeypatch.setattr(module, name, recorder)
        return recorder

    for module in (instances, cutovers, publishing):
        monkeypatch.setattr(module, "this_host", lambda: HOST)
    return stand_in


def padded(arguments, *more):
    """Return the arguments as a module passes them: with all of the other options as None."""
    return {**dict.fromkeys(more), **arguments}


def twice(call, arguments, *more, check=False):
    """Make a call as a step and as a module; they must return the same."""
    once = call(arguments, check)
    assert call(padded(arguments, *more), check) == once
    return once


def test_what_is_none_is_not_given():
    assert answers.given({"a": None, "b": 0, "c": False, "d": []}) == {"b": 0, "c": False, "d": []}


def ensured(host, wanted, check):
    return Done(True, "started", {"state": "absent"}, {"name": wanted.name, "state": wanted.state}, 0.12345, None)


def of_each(result):
    def ensure_all(host, wanted, check):
        return answers_of(wanted, lambda one: result(host, one, check))

    return ensure_all


def answers_of(wanted, act):
    told = []
    for one in wanted:
        try:
            told.append(instances.Told(one.name, act(one), None))
        except MeshError as exc:
            told.append(instances.Told(one.name, None, exc))
    return told


def test_instances_are_ensured_within_the_usual_limits(engine):
    ensure_all = engine(instances.several, "ensure_all", of_each(ensured))
    order = {"name": SHOP, "state": "running", "epoch": 1}
    told = twice(instances.ensure, {"instances": [order]}, "timeout", "stop_timeout", "stop_force", "may_be_outdated", check=True)
    assert told.changed and told.after == {SHOP: {"name": SHOP, "state": "running"}}
    assert told.result["instances"] == [
        {
            "name": SHOP,
            "action": "started",
            "anew": True,
            "instance": {"name": SHOP, "state": "running"},
            "seconds": 0.1235,
            "memory_bytes": None,
            "error": None,
        }
    ]
    assert [args for args, unused in ensure_all.calls] == [(HOST, [Wanted(SHOP, "running", 1)], True)] * 2
    instances.ensure({"instances": [order], "stop_timeout": 0, "stop_force": True}, False)
    assert ensure_all.calls[-1][0][1] == [Wanted(SHOP, "running", 1, stop_timeout=0, stop_force=True)]


def test_one_instance_that_fails_is_told_of_with_the_others(engine):
    def some(host, wanted, check):
        if wanted.name == DB:
            raise Refused("It is outdated.", {"known_epoch": 4})
        return ensured(host, wanted, check)

    engine(instances.several, "ensure_all", of_each(some))
    orders = {"instances": [{"name": name, "state": "absent"} for name in (SHOP, DB)]}
    with pytest.raises(MeshError, match="It is outdated.") as failed:
        instances.ensure(orders, False)
    done, wrong = failed.value.result["instances"]
    assert done["error"] is None and (wrong["error"], wrong["known_epoch"], wrong["instance"]) == ("It is outdated.", 4, {"name": DB})
    told = instances.ensure({**orders, "may_be_outdated": True}, False)
    assert [(each["name"], each["action"], each["error"]) for each in told.result["instances"]] == [(SHOP, "started", None), (DB, None, None)]
    assert list(told.after) == [SHOP], "an order that was outdated changed nothing"


HANDED = Handed(True, {"state": "running"}, {"state": "suspended"}, {"handed_over": "yes"})


@pytest.mark.parametrize("side, live", [("source", False), ("source", True), ("target", False), ("target", True)])
def test_each_side_of_a_hand_over_is_made_by_its_engine(engine, side, live):
    engines = {
        (name, is_live): engine(cutovers.live if is_live else getattr(cutovers, name), act, HANDED)
        for name, act in (("source", "give"), ("target", "take"))
        for is_live in (False, True)
    }
    one = {"name": SHOP, "epoch": 2, "peer": PEER, "vlan": 201}
    told = twice(cutovers.hand_over, {"side": side, "instances": [padded(one, "state", "record")], "live": live}, "timeout")
    assert told.result == {"instances": [{"name": SHOP, "instance": {"state": "suspended"}, "handed_over": "yes", "error": None}]}
    assert told.after == {SHOP: {"state": "suspended"}}
    assert [where for where, recorder in engines.items() if recorder.calls] == [(side, live)]
    host, order, *rest = engines[side, live].calls[0][0]
    assert host is HOST and order == cutovers.Order(SHOP, 2, "running", 201, None, 120.0)
    assert rest == ([False] if (side, live) == ("target", False) else [cutovers.Peer("rm-west-1", "10.77.2.11"), False])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"side": "source", "instances": [{"name": SHOP, "epoch": 2}]}, f"{SHOP} needs a peer at the source."),
        ({"side": "target", "instances": [{"name": SHOP, "epoch": 2, "vlan": None}]}, f"{SHOP} needs a vlan at the target."),
        ({"side": "target", "live": True, "instances": [{"name": SHOP, "epoch": 2, "vlan": 201}]}, f"{SHOP} needs a peer at the target."),
        ({"side": "target", "live": True, "instances": [{"name": SHOP, "epoch": 2, "peer": PEER}]}, f"{SHOP} needs a vlan at the target."),
        ({"side": "source", "live": True, "instances": [{"name": name, "epoch": 2, "peer": PEER} for name in (SHOP, DB)]}, "One instance at a time"),
        ({"side": "source", "live": True, "instances": [{"name": SHOP, "epoch": 2, "peer": PEER, "state": "suspended"}]}, "One instance at a time"),
        ({"side": "source", "instances": [{"name": SHOP, "epoch": 2, "peer": PEER}] * 2}, f"{SHOP} is there more than once."),
    ],
)
def test_a_hand_over_that_lacks_something_is_refused(engine, arguments, message):
    with pytest.raises(InvalidInput, match=message):
        cutovers.hand_over(arguments, False)


def test_a_hand_over_that_fails_says_where_the_instance_is(engine):
    engine(cutovers.source, "give", Refused("It does not answer.", {"handed_over": "unknown"}))
    with pytest.raises(MeshError, match="It does not answer.") as failed:
        cutovers.hand_over({"side": "source", "instances": [{"name": SHOP, "epoch": 2, "peer": PEER}]}, False)
    assert failed.value.result == {"instances": [{"name": SHOP, "handed_over": "unknown", "error": "It does not answer."}]}


def test_capsules_are_made_of_several(engine):
    engine(publishing.store, "Store", lambda: "store")
    engine(publishing.manifest, "requirements", {"vcpus": 1})
    made = types.SimpleNamespace(changed=True, manifest={"version": "warm"}, outage=0.2)
    publish_all = engine(publishing, "publish_all", lambda *unused: [publishing.Told(SHOP, made, None)])
    told = twice(publishing.publish, {"instances": [{"instance": SHOP, "version": "warm"}]}, "timeout")
    assert publish_all.calls[0][0] == publish_all.calls[1][0] == (HOST, "store", [(SHOP, "warm")], None, False)
    assert told.changed and (told.before, told.after) == ({SHOP: None}, {SHOP: {"version": "warm"}})
    (capsule,) = told.result["capsules"]
    shown = {"capsule": {"version": "warm"}, "requirements": {"vcpus": 1}, "made": True, "outage": 0.2, "error": None}
    assert capsule == {"instance": SHOP, "version": "warm", **shown}


def test_a_capsule_that_cannot_be_made_is_told_of(engine):
    engine(publishing.store, "Store")
    engine(publishing, "publish_all", lambda *unused: [publishing.Told(SHOP, None, Refused("It is stopped."))])
    with pytest.raises(MeshError, match="It is stopped.") as failed:
        publishing.publish({"instances": [{"instance": SHOP, "version": "warm"}]}, False)
    (wrong,) = failed.value.result["capsules"]
    assert (wrong["capsule"], wrong["requirements"], wrong["made"], wrong["error"]) == (None, None, False, "It is stopped.")


def test_a_transfer_has_its_usual_patience(engine):
    engine(transfers.store, "Store", lambda: types.SimpleNamespace(get=lambda *identity: identity))
    figures = {"bytes_total": 9, "bytes_skipped": 0, "bytes_wire": 3, "seconds": 0.1, "resumed": False}
    deliver = engine(transfers.delivery, "deliver", types.SimpleNamespace(present=False, missing=["root"], **figures))
    told = twice(transfers.bring, {"domain": "example.com", "name": "shop", "version": "1", "to": PEER}, "timeout", "retries", check=True)
    assert told.changed and told.result == figures
    assert [(args[3:], kwargs) for args, kwargs in deliver.calls] == [((3600, 5), {"dry": True})] * 2


def test_capsules_are_looked_at_without_reading_them(engine):
    problems = Recorder([])
    engine(capsules.store, "Store", lambda: types.SimpleNamespace(list=lambda *asked: [asked], problems=problems))
    engine(capsules.manifest, "requirements", {})
    engine(capsules.progress, "transfers", [])
    told = twice(capsules.look, {"domain": "example.com"}, "name", "version", "verify")
    assert [each["manifest"] for each in told.result["capsules"]] == [("example.com", None, None)]
    assert [kwargs for unused, kwargs in problems.calls] == [{"full": False}] * 2


REPORT = types.SimpleNamespace(changed=True, before={}, after={"router": None, "tunnels": {}}, waited=[], warnings=())


@pytest.mark.parametrize("services", [[], [{"name": "shop"}]])
def test_a_router_without_services_goes(engine, services):
    apply, remove = engine(router.gatehouse, "apply", REPORT), engine(router.gatehouse, "remove", REPORT)
    document = {"domain": "example.com", "vlan": 101, "generation": 7, "services": services}
    options = ("tunnels", "tunnel_timeout", "answer_timeout", "close_connections", "wan_interface", "bridge")
    assert twice(router.apply, {"document": document}, *options).result == {"router": None, "tunnels": {}, "waited": [], "warnings": []}
    place = router.gatehouse.Place(router.switch.find, "br-mesh", "wan0")
    if services:
        assert apply.calls[0] == apply.calls[1] and not remove.calls
        args, waits = apply.calls[0]
        assert args == (document, [], place, 20, False, None)
        assert (waits["answer_timeout"], waits["close_connections"]) == (0, False)
    else:
        assert remove.calls == [(("example.com", place, False, 7, None), {})] * 2 and not apply.calls


def test_a_drain_has_its_usual_patience(engine):
    drained = router.drains.Drained(2, 1, 1)
    drain = engine(router.drains, "drain", drained)
    told = twice(router.drain, {"domain": "example.com", "addresses": ["192.168.1.10"]}, "timeout", "at_deadline", "patience")
    assert told.changed and told.result == drained._asdict()
    assert [args for args, unused in drain.calls] == [("example.com", ["192.168.1.10"], 60, "give_up", 3600, False)] * 2


def test_check_mode_spares_nobody(engine):
    spare = engine(router.state, "spare", None)
    arguments = {"domain": "example.com", "instances": [SHOP], "seconds": 60}
    assert not router.spare(arguments, True).changed and spare.calls == []
    router.spare(arguments, False)
    assert [args for args, unused in spare.calls] == [("example.com", [SHOP], 60)]


def test_it_is_told_who_does_not_answer(engine):
    late = engine(router.routers, "late", [SHOP])
    told = twice(router.answers, {"domain": "example.com", "instances": [SHOP], "timeout": 3})
    assert not told.changed and told.result == {"late": [SHOP]}
    assert [args for args, unused in late.calls] == [("example.com", [SHOP], 3)] * 2


def test_a_registry_is_where_it_usually_is(engine):
    update_all, overview = engine(vma.several, "update_all", (True, {}, {}, {"records": []})), engine(vma.overview, "overview", {"hn": {}})
    assert twice(vma.record, {"instances": [{"instance": SHOP}]}, "registry", "lease", "last").result == {"records": []}
    assert twice(vma.look, {"instance": SHOP}, "registry", "domain", "operations").result == {"hn": {}}
    usual = vma.OPTION["default"]
    assert [args for args, unused in update_all.calls] == [(usual, [{"instance": SHOP}], False, None, False)] * 2
    assert [args for args, unused in overview.calls] == [(usual, SHOP, None, 20)] * 2
    vma.record({"instances": [], "registry": "sqlite:///elsewhere"}, True)
    assert update_all.calls[-1][0] == ("sqlite:///elsewhere", [], True, None, False)


def test_a_name_follows_in_the_usual_way(engine):
    engine(names.options, "driver", "driver")
    follow = engine(names.service, "follow", (False, {}, {}, {}))
    told = {"zone": "steer.example.net", "server": "198.18.0.4", "name": "shop.example.com.steer.example.net", "order": ["hn-east"]}
    options = ("key_file", "servers", "timeout", "confirm_timeout", "driver", "views", "alias", "publish", "retire", "only", "regions")
    twice(names.follow, told, *options, "answers", "ttl", "check", "ask", "ask_timeout", "hold")
    assert follow.calls[0] == follow.calls[1]
    driver, change, alias, confirm_timeout, check = follow.calls[0][0]
    assert (driver, alias, confirm_timeout, check) == ("driver", None, 30, False)
    assert (change.publish, change.retire, change.only, change.hold) == ((), [], False, None)
    assert change.ask == {"type": "none", "path": "/", "host": told["name"]}
    serving = [{"hn": hn, "serving": {"served": hn == "hn-east", "addresses": [], "number": 7}} for hn in ("hn-east", "hn-west")]
    names.follow({**told, "leaves": serving}, False)
    change = follow.calls[-1][0][1]
    assert (change.retire, change.numbers) == (["hn-west"], {"hn-west": 7}), "others serve in the east"
    names.follow({**told, "ask": {"type": "http", "port": 80, "path": None, "host": "shop.example.com"}}, False)
    assert follow.calls[-1][0][1].ask == {"type": "http", "port": 80, "path": "/", "host": "shop.example.com"}
