# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom an operation asks before it is planned, and what becomes of the plan when they say something else than their VMAs."""

from __future__ import annotations

import copy
import json
import random

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import placement
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import choice, concern
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import (
    clone,
    drain,
    move,
    place,
    remove,
    resume,
    rm_service,
    scale,
    standby,
    suspend,
    update,
)
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh

SHOP, TWO = mesh.SHOP, "shop-2.example.com"
COLD, WARM = mesh.manifest(), mesh.manifest(version="warm", memory=True)
#: An inventory of 200 RMs.
MANY = {**mesh.GROUPS, "rms": [f"rm-{side}-{number}" for side in ("east", "west") for number in range(1, 101)]}
PLACE = {"instance": SHOP, "capsule": "1.0.0", "to_hn": "hn-east", "to_rm": None, "public_address": None, "answer_timeout": 60}
MOVE = {"instances": [SHOP], "strategy": "best", "to_hn": "hn-west", "to_rm": None, "public_address": None, "timeout": 60, **mesh.WAITING}
SCALE = {**mesh.SERVICE, **mesh.WAITING, "count": 2, "capsule": "warm", "surplus": "suspended", "answer_timeout": 60}
STANDBY = {**mesh.SERVICE, "count": 1, "capsule": "warm"}
CLONE = {"instances": [SHOP], "clones": [TWO], "capsule": "warm", "to_hn": None, "answer_timeout": 60}
UPDATE = {**mesh.SERVICE, **mesh.WAITING, "capsule": "warm", "at_failure": "stop", "answer_timeout": 60, "stop_timeout": 30}


class Mesh:
    """A mesh whose RMs may say something else than the VMAs were told; *changes* are what RMs have registered."""

    def __init__(self, *records, groups=None, **how):
        self.groups = groups or mesh.GROUPS
        self.hostvars = mesh.hostvars(*records, groups=self.groups, **how)

    def asked(self, verb, **wish):
        seen = mesh_view({**self.groups, "rms": []}, self.hostvars)
        return concern.of(verb, seen, wish)

    def view(self, verb, **wish):
        return mesh_view(self.groups, self.hostvars, self.asked(verb, **wish).rms)

    def plan(self, verb, **wish):
        seen = self.view(verb, **wish)
        return verb.plan(seen, mesh.naming(seen, ""), **wish)

    def says(self, rm, *capsules, problem=None):
        """Have an RM say that it holds these capsules and no others, or what is wrong with them."""
        problems = [problem] if problem else []
        self.hostvars[rm].update(
            mesh.looked("capsules", {"capsules": [{"manifest": copy.deepcopy(each), "complete": not problem, "problems": problems} for each in capsules]})
        )

    def silence(self, *rms):
        for rm in rms:
            self.hostvars[rm].update(mesh.silent())

    def offers(self, rm, **more):
        """Have the VMA say something else of an RM."""
        for vma in self.groups["vmas"]:
            for each in self.hostvars[vma]["observe_look"]["answers"]["look"]["result"]["rms"]:
                if each["name"] == rm:
                    each.update(more)


def steps(plan):
    return {step.id: step for stage in plan.stages for step in stage.steps}


def reservation(plan):
    return steps(plan)["reserve"].arguments["instances"][0]["reservation"]


def sent_by(plan):
    return steps(plan)["bring"].device


@pytest.mark.parametrize(
    ("verb", "records", "wish", "rms", "versions"),
    [
        (place, [], PLACE, ["rm-east-1", "rm-east-2"], ["1.0.0"]),
        (place, [], {**PLACE, "to_rm": "rm-east-1"}, ["rm-east-1"], ["1.0.0"]),
        (place, [], {**PLACE, "to_hn": "hn-west"}, ["rm-west-1", "rm-west-2", "rm-east-1"], ["1.0.0"]),
        (place, [mesh.record(rm="rm-east-2")], {**PLACE, "to_rm": "rm-east-1"}, ["rm-east-2", "rm-east-1"], ["1.0.0"]),
        (scale, [mesh.record()], {**SCALE, "capsule": None, "count": 0}, ["rm-east-1"], ["1.0.0"]),
        (scale, [mesh.record(rm="rm-east-2")], SCALE, ["rm-east-2", "rm-east-1"], ["warm"]),
        (scale, [mesh.record(TWO, "reserved")], {**SCALE, "count": 1}, ["rm-east-1", "rm-east-2"], ["1.0.0", "warm"]),
        (scale, [], {**SCALE, "count": 0}, ["rm-east-1", "rm-east-2"], ["warm"]),
        (scale, [], {**SCALE, "count": 0, "capsule": None}, [], []),
        (standby, [mesh.record()], STANDBY, ["rm-east-1", "rm-east-2"], ["warm"]),
        (clone, [mesh.record()], CLONE, ["rm-east-1", "rm-east-2"], ["warm", "1.0.0"]),
        (
            clone,
            [mesh.record(rm="rm-east-2")],
            {**CLONE, "capsule": "warmer", "to_hn": "hn-west"},
            ["rm-east-2", "rm-west-1", "rm-west-2", "rm-east-1"],
            ["warmer", "1.0.0"],
        ),
        (clone, [mesh.record(), mesh.record(TWO, rm="rm-east-2", capsule="warm")], CLONE, ["rm-east-1", "rm-east-2"], ["warm", "1.0.0"]),
        (move, [mesh.record()], MOVE, ["rm-east-1", "rm-west-1", "rm-west-2"], ["1.0.0"]),
        (move, [mesh.record()], {**MOVE, "to_rm": "rm-west-2"}, ["rm-east-1", "rm-west-2"], ["1.0.0"]),
        (move, [mesh.record(rm="rm-east-2")], {**MOVE, "to_hn": None, "to_rm": "rm-east-1"}, ["rm-east-2", "rm-east-1"], ["1.0.0"]),
        (move, [mesh.record(moves_to="rm-east-2")], {**MOVE, "to_hn": None, "to_rm": "rm-east-2"}, ["rm-east-1", "rm-east-2"], ["1.0.0"]),
        (move, [mesh.record()], {**MOVE, "strategy": "clone_first"}, ["rm-east-1", "rm-west-1", "rm-west-2"], [None]),
        (update, [mesh.record()], UPDATE, ["rm-east-1", "rm-east-2"], ["warm"]),
        (update, [mesh.record()], {**UPDATE, "capsule": None}, ["rm-east-1"], ["1.0.0"]),
    ],
)
def test_a_verb_asks_whom_it_concerns(verb, records, wish, rms, versions):
    asked = Mesh(records, held={"rm-east-1": [COLD, WARM]}).asked(verb, **wish)
    assert (list(asked.rms), [each.version for each in asked.capsules]) == (rms, versions)


@pytest.mark.parametrize("verb", [drain, remove, resume, rm_service, suspend])
def test_other_verbs_ask_nobody(verb):
    assert Mesh([mesh.record()]).asked(verb, instance=SHOP) == concern.Concern()


@pytest.mark.parametrize(
    ("verb", "wish"),
    [
        (place, {**PLACE, "instance": "shop"}),
        (place, {**PLACE, "capsule": "../1"}),
        (place, {**PLACE, "to_hn": "hn-north"}),
        (place, {**PLACE, "capsule": "9.9.9", "instance": "blog-1.example.com"}),
        (scale, {**SCALE, "to_hn": ""}),
        (standby, {**STANDBY, "to_hn": "hn-north"}),
        (clone, {**CLONE, "instances": ["blog-1.example.com"]}),
        (clone, {**CLONE, "instances": []}),
        (move, {**MOVE, "instances": ["blog-1.example.com"]}),
        (update, {**UPDATE, "to_hn": "hn-north"}),
    ],
)
def test_for_what_cannot_be_nobody_is_asked(verb, wish):
    asked = Mesh([mesh.record()]).asked(verb, **wish)
    assert asked.rms == ()


@pytest.mark.parametrize(
    ("verb", "wish", "most"),
    [(place, PLACE, 6), (scale, {**SCALE, "count": 5}, 10), (standby, STANDBY, 7), (clone, CLONE, 7), (move, MOVE, 7), (update, UPDATE, 7)],
)
def test_of_200_rms_few_are_asked(verb, wish, most):
    everywhere = {rm: [COLD, WARM] for rm in MANY["rms"]}
    asked = Mesh([mesh.record()], groups=MANY, held=everywhere).asked(verb, **wish)
    assert 3 <= len(asked.rms) <= most


def test_a_verb_asks_at_once_for_all_that_matters():
    calls = Mesh([mesh.record(), mesh.record(mesh.DB)]).asked(move, **{**MOVE, "instances": [SHOP, mesh.DB]}).calls()
    assert calls == [
        {"ids": [f"example.com {name} 1.0.0"], "call": "capsules", "arguments": {"domain": "example.com", "name": name, "version": "1.0.0"}}
        for name in ("shop", "db")
    ]
    (every,) = Mesh([mesh.record()]).asked(move, **{**MOVE, "strategy": "clone_first"}).calls()
    assert every["arguments"] == {"domain": "example.com", "name": "shop"}


def test_holders_in_the_hn_come_first_but_not_all_from_one():
    held = {rm: [COLD] for rm in MANY["rms"] if rm.endswith(("7", "8"))}
    capsule = concern.Capsule("example.com", "shop", "1.0.0")
    seen = mesh_view(MANY, mesh.hostvars(groups=MANY, held=held))
    assert concern.some_holders(seen, seen.sites["hn-west"], capsule) == ["rm-west-17", "rm-west-18", "rm-east-17"]
    seen = mesh_view(MANY, mesh.hostvars(groups=MANY, held={rm: each for rm, each in held.items() if "west" in rm}))
    assert concern.some_holders(seen, seen.sites["hn-west"], capsule) == ["rm-west-17", "rm-west-18", "rm-west-27"]
    assert concern.some_holders(seen, seen.sites["hn-east"], capsule) == ["rm-west-17", "rm-west-18", "rm-west-27"]
    assert concern.some_holders(seen, seen.sites["hn-east"], capsule._replace(version="2")) == []


def test_the_rms_of_a_cut_off_clone_first_and_those_of_earlier_ones_are_asked():
    passed = mesh.manifest(version="1.0.0-moved-2", memory=True)
    used = mesh.manifest(version="1.0.0-moved-3", memory=True)
    held = {"rm-east-2": [COLD, passed], "rm-west-2": [used]}
    there = [mesh.record(TWO, rm="rm-west-2", capsule="1.0.0-moved-3")]
    seen = mesh_view({**mesh.GROUPS, "rms": []}, mesh.hostvars([mesh.record()], there, held=held))
    assert move.concerned(seen, **{**MOVE, "strategy": "clone_first", "to_rm": "rm-west-1"}).rms[:3] == ("rm-east-1", "rm-east-2", "rm-west-1")


def test_what_never_told_what_it_holds_is_asked_for_it():
    """As in a registry that is older than that: then all are asked, as it was before."""
    old = Mesh(groups=MANY, held={"rm-west-7": [COLD]})
    for vma in MANY["vmas"]:
        known = old.hostvars[vma]["observe_look"]["answers"]["look"]["result"]
        known["capsules"] = []
        for rm in known["rms"]:
            rm["listed"] = False
    assert set(old.asked(place, **PLACE).rms) == set(MANY["rms"])
    assert sent_by(old.plan(place, **PLACE)) == "rm-west-7"
    assert old.asked(scale, **{**SCALE, "capsule": None}).rms == (), "where no capsule matters nobody is asked"


def test_a_stale_record_leads_to_another_holder():
    here = Mesh(held={"rm-east-1": [COLD], "rm-west-1": [COLD]})
    assert sent_by(here.plan(place, **PLACE)) == "rm-east-1"
    here.says("rm-east-1")
    assert sent_by(here.plan(place, **PLACE)) == "rm-west-1"
    here.says("rm-east-1", COLD, problem="The capsule shop 1.0.0 of example.com lacks the blob 00.")
    assert sent_by(here.plan(place, **PLACE)) == "rm-west-1"


def test_who_was_not_asked_is_no_holder():
    everywhere = {rm: [COLD] for rm in MANY["rms"]}
    here = Mesh(groups=MANY, held=everywhere)
    seen = here.view(place, **PLACE)
    assert {rm.name for rm in seen.rms.values() if rm.capsules} == set(here.asked(place, **PLACE).rms)
    assert all(rm.problem is None for rm in seen.rms.values()), "nor silent"


def test_where_only_stale_records_are_left_it_is_said():
    here = Mesh(held={"rm-east-1": [COLD, WARM]})
    here.says("rm-east-1")
    with pytest.raises(NotFound) as caught:
        here.plan(place, **PLACE)
    assert caught.value.message == (
        "No RM that answers holds the capsule shop 1.0.0 of example.com; held are: shop warm of example.com; "
        "by the registry rm-east-1 should: see that what is down answers, or bring the registry up to date by the playbook site."
    )
    here.says("rm-east-1", COLD, problem="The capsule shop 1.0.0 of example.com lacks the blob 00.")
    with pytest.raises(Refused, match="^The capsule shop 1.0.0 of example.com lacks the blob 00.$"):
        here.plan(place, **PLACE)
    here.silence("rm-east-1")
    with pytest.raises(
        NotFound, match="No RM that answers holds the capsule shop 1.0.0 of example.com; held are: shop warm of example.com; by the registry rm-east-1 should"
    ):
        here.plan(place, **PLACE)


def test_what_is_said_to_be_published_but_is_gone_is_published_anew():
    here = Mesh([mesh.record()], held={"rm-east-1": [COLD], "rm-west-1": [WARM]})
    assert "publish.shop-1.example.com" not in steps(here.plan(clone, **CLONE))
    here.says("rm-west-1")
    assert "publish.shop-1.example.com" in steps(here.plan(clone, **CLONE))


def test_what_nobody_recorded_is_found_where_an_instance_is():
    """A run that was cut off may have published it."""
    here = Mesh([mesh.record()], held={"rm-east-1": [COLD]})
    here.says("rm-east-1", COLD, mesh.manifest(version="warmer", memory=True))
    assert "publish.shop-1.example.com" not in steps(here.plan(clone, **{**CLONE, "capsule": "warmer"}))


def test_a_silent_candidate_is_excluded_and_the_next_was_asked():
    here = Mesh(groups=MANY, held={"rm-west-1": [COLD]})
    first = choice.chosen(here.view(place, **PLACE).sites["hn-east"], [choice.Order(mesh.REQUIREMENTS)])[0]
    here.silence(first)
    assert reservation(here.plan(place, **PLACE))["exclude_rms"] == [first]


def test_what_nobody_asked_excludes_nobody():
    here = Mesh(groups=MANY, held={"rm-west-1": [COLD]})
    here.silence("rm-east-50", "rm-west-50")
    assert reservation(here.plan(place, **PLACE))["exclude_rms"] == []


def test_where_all_candidates_are_silent_it_is_said():
    here = Mesh(groups=MANY, held={"rm-west-1": [COLD]})
    silent = [rm for rm in here.asked(place, **PLACE).rms if "east" in rm]
    here.silence(*silent)
    with pytest.raises(Refused) as caught:
        here.plan(place, **PLACE)
    assert caught.value.message == (
        f"The RMs that the VMA of hn-east would choose do not answer ({', '.join(sorted(silent))}); "
        "take what is down out of service with rm_service, and run this again."
    )
    for rm in silent:
        here.offers(rm, in_service=False)
    assert reservation(here.plan(place, **PLACE))["exclude_rms"] == []
    small = Mesh(held={"rm-west-1": [COLD]})
    small.silence("rm-east-1", "rm-east-2")
    assert reservation(small.plan(place, **PLACE))["exclude_rms"] == ["rm-east-1", "rm-east-2"], "where there are no others the VMA says so"


def test_what_is_there_already_needs_no_choice():
    here = Mesh([mesh.record(rm="rm-east-9")], groups=MANY, held={"rm-east-9": [COLD]})
    here.silence(*(rm for rm in here.asked(place, **PLACE).rms if rm != "rm-east-9"))
    assert reservation(here.plan(place, **PLACE))["exclude_rms"]


def test_what_an_earlier_operation_of_the_run_has_heard_does_not_count():
    here = Mesh(groups=MANY, held={"rm-east-50": [COLD]})
    here.says("rm-east-60", mesh.manifest(version="2.0.0"))
    assert here.view(place, **PLACE).rms["rm-east-60"].capsules == []


def test_an_update_concerns_the_rms_that_may_be_chosen_on_the_way_and_no_others():
    records = [mesh.record(f"shop-{number}.example.com", rm=f"rm-east-{number}", fabric_address=f"192.168.1.{number}") for number in (1, 2, 3)]
    here = Mesh(records, groups=MANY, held={rm: [WARM] for rm in MANY["rms"]})
    asked = here.asked(update, **UPDATE).rms
    candidates = here.plan(update, **UPDATE).candidates
    assert set(candidates) <= set(asked) and {"rm-east-1", "rm-east-2", "rm-east-3"} < set(candidates) and len(candidates) < 12
    first = next(rm for rm in candidates if rm not in ("rm-east-1", "rm-east-2", "rm-east-3"))
    here.silence(first)
    assert first not in here.plan(update, **UPDATE).candidates


def test_packed_answers_are_read():
    plain, packed = mesh.hostvars([mesh.record()]), mesh.hostvars([mesh.record()])
    for vma in mesh.GROUPS["vmas"]:
        answer = packed[vma]["observe_look"]["answers"]["look"]
        answer["result"] = json.dumps(answer["result"])
    assert mesh_view(mesh.GROUPS, packed) == mesh_view(mesh.GROUPS, plain)


def test_an_rm_that_has_not_subscribed_stands_where_the_inventory_says():
    here = Mesh()
    here.hostvars["rm-east-3"] = {"hn": "hn-east", "rm_address": "10.0.0.99"}
    seen = mesh_view({**mesh.GROUPS, "rms": [*mesh.GROUPS["rms"], "rm-east-3"]}, here.hostvars)
    assert seen.rms["rm-east-3"][:3] == ("rm-east-3", "hn-east", "10.0.0.99")
    for vma in mesh.GROUPS["vmas"]:
        here.hostvars[vma]["observe_look"]["answers"]["look"]["result"]["rms"].append(mesh.offer("rm-east-3", "10.0.0.98"))
    seen = mesh_view({**mesh.GROUPS, "rms": [*mesh.GROUPS["rms"], "rm-east-3"]}, here.hostvars)
    assert seen.rms["rm-east-3"][:3] == ("rm-east-3", "hn-east", "10.0.0.99"), "so does one that was brought into another HN"


def test_the_choice_is_that_of_the_vma():
    """Whatever is placed in an HN: the controller foresees which RM its VMA gives each."""
    dice = random.Random(7)
    for unused in range(100):
        machines = [
            {
                **mesh.offer(f"rm-east-{number}"),
                "memory_mib": 128 * dice.randint(1, 8),
                "vcpus": dice.randint(1, 2),
                "disk_bytes": dice.choice([1 << 29, 1 << 40]),
                "in_service": dice.random() > 0.2,
                "accelerator": dice.choice(["kvm", "tcg"]),
            }
            for number in range(1, 7)
        ]
        used, wanted = {}, []
        for rm in machines:
            for taken in range(dice.randint(0, 2)):
                placement.count(used, {"rm": rm["name"], "requirements": mesh.REQUIREMENTS})
        for rm in machines:
            rm.update({f"{key}_left": room for key, room in placement.left(rm, used, 2).items()})
        orders = [choice.Order({**mesh.REQUIREMENTS, "accelerator": dice.choice([None, "tcg"])}) for taken in range(4)]
        seen = mesh.view().sites["hn-east"]._replace(rms=machines, vcpu_overcommit=2)
        for order in orders:
            try:
                wanted.append(placement.choose("hn-east", "it", order.requirements, machines, used, 2))
            except Refused:
                break
            placement.count(used, {"rm": wanted[-1], "requirements": order.requirements})
        assert choice.chosen(seen, orders) == wanted
