# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is asked for, and whatever step of it fails in whatever way: an instance has one life, all of it is taken back or ends well when it is run again.

Every plan is carried out on simulated devices, again and again, with a fault at another step each time, and then once more without.
"""

from __future__ import annotations

import copy

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import (
    clone,
    drain,
    move,
    place,
    recover,
    remove,
    rescue,
    resume,
    scale,
    standby,
    suspend,
    update,
)
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.devices import AFTER, BEFORE, CUT_BEFORE, LOST, MIDDLE, SILENT, UNHEARD
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import DIED_BEFORE, PARTS, Died, Fault, World

SHOP, DB, STORE = mesh.SHOP, mesh.DB, mesh.STORE
TWO, THREE = "shop-2.example.com", "shop-3.example.com"
CAPSULES = [mesh.manifest(), mesh.manifest(version="2.0.0"), mesh.manifest(version="warm", memory=True), mesh.manifest("db"), mesh.manifest("store")]
PLACE = {"capsule": "1.0.0", "to_hn": "hn-east", "to_rm": None, "public_address": None, "answer_timeout": 60}
MOVE = {"instances": [SHOP], "strategy": "best", "to_hn": "hn-west", "to_rm": None, "public_address": None, "timeout": 60, **mesh.WAITING}
WITHIN = {**MOVE, "to_hn": None, "to_rm": "rm-east-2"}
SCALE = {**mesh.SERVICE, **mesh.WAITING, "surplus": "suspended", "answer_timeout": 60}
CLONE = {"instances": [SHOP], "clones": [TWO], "capsule": "warmer", "to_hn": None, "answer_timeout": 60}
RESCUE = {"rm": "rm-east-2", "fence": None, "fence_host": "localhost", "dead": True, "answer_timeout": 60}
UPDATE = {**mesh.SERVICE, **mesh.WAITING, "capsule": "2.0.0", "at_failure": "stop", "answer_timeout": 60, "stop_timeout": 30}


def placed(instance=SHOP, **more):
    return (place, {"instance": instance, **PLACE, **more})


ONE = [placed()]
BOTH = [placed(to_rm="rm-east-1"), placed(TWO, to_rm="rm-east-2")]
CLUSTER = [placed(to_rm="rm-east-1"), placed(DB, to_rm="rm-east-2")]
ON_LOST = [placed(to_rm="rm-east-2"), placed(TWO, to_rm="rm-east-1"), placed(DB, to_rm="rm-east-2"), placed(STORE, to_rm="rm-east-2")]
RESTS = [placed(), (suspend, {"instance": SHOP})]
#: What is there before, and what is wished for then.
WISHES = {
    "place": ([], placed()),
    "place beside another": (ONE, placed(TWO)),
    "place with a tunnel": ([], placed(STORE)),
    "place to be kept": ([], placed(keep_failed=True)),
    "resume": (RESTS, (resume, {"instance": SHOP, "answer_timeout": 60})),
    "suspend": (ONE, (suspend, {"instance": SHOP})),
    "suspend one of two": (BOTH, (suspend, {"instance": SHOP})),
    "drain": (ONE, (drain, {"instance": SHOP, "then": "leave", **mesh.DRAIN})),
    "drain and suspend": (ONE, (drain, {"instance": SHOP, "then": "suspend", **mesh.DRAIN})),
    "drain and remove": (BOTH, (drain, {"instance": SHOP, "then": "remove", **mesh.DRAIN})),
    "remove": (ONE, (remove, {"instance": SHOP})),
    "scale up": (BOTH + [(suspend, {"instance": TWO})], (scale, {**SCALE, "count": 3, "capsule": "warm"})),
    "scale down": (BOTH, (scale, {**SCALE, "count": 1, "capsule": None})),
    "scale to none": (BOTH, (scale, {**SCALE, "count": 0, "capsule": None, "surplus": "absent"})),
    "standby": (ONE, (standby, {**mesh.SERVICE, "count": 1, "capsule": "warm"})),
    "fewer standbys": (BOTH + [(suspend, {"instance": TWO})], (standby, {**mesh.SERVICE, "count": 0, "capsule": None})),
    "clone": (ONE, (clone, CLONE)),
    "clone a cluster": (CLUSTER, (clone, {**CLONE, "instances": [SHOP, DB], "clones": [TWO, "db-2.example.com"], "to_hn": "hn-west"})),
    "move": (ONE, (move, MOVE)),
    "move what rests": (RESTS, (move, MOVE)),
    "move what is served elsewhere": (ONE + [placed(TWO, to_hn="hn-west")], (move, MOVE)),
    "move with a tunnel": ([placed(STORE)], (move, {**MOVE, "instances": [STORE]})),
    "move alive": (ONE, (move, {**MOVE, "strategy": "live"})),
    "move a cluster": (CLUSTER, (move, {**MOVE, "instances": [SHOP, DB]})),
    "move clone first": (ONE, (move, {**MOVE, "strategy": "clone_first"})),
    "move within alive": (ONE, (move, WITHIN)),
    "move within": (ONE, (move, {**WITHIN, "strategy": "suspend"})),
    "move within what rests": (RESTS, (move, WITHIN)),
    "update": (BOTH, (update, UPDATE)),
    "update or roll back": (BOTH, (update, {**UPDATE, "at_failure": "roll_back"})),
    "rescue": (ON_LOST, (rescue, RESCUE)),
    "rescue what waits": ([placed(to_rm="rm-east-1"), (standby, {**mesh.SERVICE, "count": 1, "capsule": "warm"})], (rescue, RESCUE)),
    "restart": (BOTH, (update, {**UPDATE, "capsule": None})),
}

#: These say how many run or wait, and not which.
BY_NUMBER = (scale, standby, update)
#: After these it may be that nobody runs any more; an update puts others into the place of those that ran.
MAY_END = (remove, suspend, drain, scale, standby, update)


def planned(world, wish):
    """Plan a wish, after what was cut off was recovered, if one is told to."""
    try:
        return world.plan(*wish)
    except Refused as exc:
        if "The playbook recover takes that up" not in exc.message:
            raise
    for unused in range(4):
        if world.walk(world.plan(recover, {"instance": None})).result["outcome"] == "nothing":
            break
    return world.plan(*wish)


class Trial:
    """A wish that is carried out again and again.

    Attributes:
        start: the mesh before.
        plan: how the wish is fulfilled in it.
        ended: what of the mesh is the same whenever it was fulfilled.
        steps: the ids of the steps that are carried out when nothing fails, in order.
    """

    def __init__(self, name, groups=None):
        groups = groups or mesh.GROUPS
        self._halts = {}
        rms = dict(zip(mesh.GROUPS["rms"], groups["rms"]))
        before, wish = WISHES[name]
        *before, self.wish = [
            (verb, {key: rms.get(value, value) if key in ("to_rm", "rm") else value for key, value in said.items()}) for verb, said in [*before, wish]
        ]
        self.start = World(groups, CAPSULES)
        for each in before:
            report = self.start.walk(planned(self.start, each))
            assert not report.failed and not self.start.problems(), report.message
            assert not self.start.unlike_recorded()
        if self.wish[0] is rescue:
            self.start.switch_off(self.wish[1]["rm"])
        self.start.copies = self.wish[1].get("strategy") == "clone_first"
        self.plan = planned(self.start, self.wish)
        world = copy.deepcopy(self.start)
        report = world.walk(self.plan, halt=self._keep)
        assert not report.failed and not world.problems(), (report.message, world.problems())
        # What is not recorded is not looked for, and what is recorded is asked for.
        assert not world.unlike_recorded(), world.unlike_recorded()
        self.ended, self.steps = essence(world, self.wish), list(dict.fromkeys(world.done))

    def _keep(self, halt):
        kept = halt._replace(world=copy.deepcopy(halt.world), hostvars=copy.deepcopy(halt.hostvars))
        steps = [stage for part in PARTS for stage in self.plan.part(part)][halt.number].steps
        follow_ups = self.plan.follow_ups if halt.part == "cut_over" else ()
        self._halts.update(dict.fromkeys([step.id for step in (*steps, *(each.step for each in follow_ups))], kept))

    def attempt(self, fault, *more):
        """Carry the wish out with these faults, of which none befalls a step before the first; return the mesh, the report, and what was done since then."""
        since = self._halts[fault.step]
        world = copy.deepcopy(since.world)
        return world, world.walk(self.plan, fault, *more, since=since), list(dict.fromkeys(world.done))


def essence(world, wish):
    """Return what is the same whenever a wish was fulfilled."""
    picture, found = world.picture(), {}
    for (hn, name), record in picture["records"].items():
        who = name.split("-")[0] if wish[0] in BY_NUMBER else name
        found.setdefault((hn, who), []).append((record["state"], record["in_rotation"], record["capsule"].partition("-moved-")[0]))
    return {"instances": {key: sorted(each) for key, each in found.items()}, "names": picture["names"]}


def differences(wanted, found):
    return [
        f"{key} {item} is {found[key].get(item)}, not {wanted[key].get(item)}"
        for key in wanted
        for item in sorted({*wanted[key], *found[key]})
        if wanted[key].get(item) != found[key].get(item)
    ]


def lacking(wanted, found):
    """Return which of the instances that are wanted are not there; there may be more."""
    return [
        f"{key} {each} is not there"
        for key, wished in wanted["instances"].items()
        for each in wished
        if wished.count(each) > found["instances"].get(key, []).count(each)
    ]


def highest(world):
    """Return the highest epoch of each instance that any VMA knows of."""
    known = [each["epochs"] for each in world.registries().values()]
    return {name: max(each.get(name, 0) for each in known) for epochs in known for name in epochs}


def broken_promises(trial, world, report):
    """Return what is not as the report of a first run says."""
    lives, outcome, again = world.lives(), report.result["outcome"], "again" in report.message
    wrong = []
    if outcome == "undone" and not again:
        wrong += differences(trial.start.picture(), world.picture())
    elif outcome == "kept" and not again:
        wrong += [*world.problems(), *(f"{name} is in rotation" for name in world.serving("198.18.1.1"))]
        wrong += [] if [*lives] == [trial.wish[1]["instance"]] else [f"{lives} is what lives"]
    elif outcome == "done":
        wrong += [*world.problems(), *differences(trial.ended, essence(world, trial.wish))]
    elif not again:
        wrong.append("nobody is told to run it again")
    if not again and outcome != "done" and trial.wish[0] not in MAY_END:
        wrong += [f"{name} does not run any more" for name in trial.start.lives() if name not in lives]
    if trial.wish[0] is update and not any(member in lives for member in world.serving("198.18.1.1")):
        wrong.append("nobody serves any more")
    return [f"{each}: {report.message}" for each in wrong]


def judged(trial, *faults, runs=1, compare=differences):
    """Carry a wish out with faults, and then without, at most so many times; return what is wrong with that, also how *compare* finds that it ended."""
    try:
        world, report, unused = trial.attempt(*faults)
        wrong, epochs = broken_promises(trial, world, report), highest(world)
        for unused in range(runs):
            last = world.walk(planned(world, trial.wish))
            if not last.failed:
                break
    except MeshError as exc:
        return [f"run again it is refused: {exc.message}"]
    except AssertionError as exc:
        return [str(exc).partition("\n")[0]]
    wrong += [f"run again it failed: {last.message} (after {report.message!r})"] if last.failed else []
    wrong += [f"run again {each}" for each in [*world.problems(), *compare(trial.ended, essence(world, trial.wish))]]
    return wrong + [f"the epoch of {name} went down" for name, epoch in highest(world).items() if epoch < epochs.get(name, 0)]


def told(wrong):
    return "\n" + "\n".join(f"{fault}:\n    " + "\n    ".join(found) for fault, found in wrong.items() if found)


def modes(step):
    """Return what can befall a step; in a cut-over, where others wait for it, it also matters whether anything was done before a device fell silent."""
    handing = (MIDDLE, UNHEARD) if "cut_over.source" in step or "cut_over.target" in step else ()
    return (BEFORE, AFTER, LOST, *((SILENT,) if "cut_over" in step else ()), *handing)


@pytest.mark.parametrize("name", ["clone", "clone a cluster"])
def test_what_was_made_and_removed_again_is_not_recorded(name):
    trial = Trial(name)
    last = [step for step in trial.steps if step.startswith("follow")][-1]
    world, report, unused = trial.attempt(Fault(last, BEFORE))
    assert report.result["outcome"] == "undone" and ("shop", "warmer") not in world.rms["rm-east-1"].capsules
    assert not [each for each in world.unlike_recorded() if each.endswith("recorded only")]


#: Who holds what the wish needs, as VMAs were told, though it is not there any more.
STALE = {"place": "rm-east-1", "scale up": "rm-east-1", "standby": "rm-east-1", "move": "rm-east-2", "update": "rm-east-1"}


@pytest.mark.parametrize("name", STALE)
def test_a_holder_that_holds_nothing_any_more_is_passed_over(name):
    """Another one holds all of it, in another HN."""
    trial = Trial(name)
    world = copy.deepcopy(trial.start)
    told = [{"manifest": each, "rms": ["rm-west-2"]} for each in CAPSULES]
    world.vmas["gw-west"].hold({"held": told}, False)
    world.rms["rm-west-2"].capsules = {(each["name"], each["version"]): each for each in CAPSULES}
    world.vmas["gw-east"].hold({"held": [{"manifest": each, "rms": [STALE[name]]} for each in CAPSULES]}, False)
    used = {guest.capsule for guest in world.rms[STALE[name]].guests.values()}
    world.rms[STALE[name]].capsules = {key: each for key, each in world.rms[STALE[name]].capsules.items() if key[1] in used}
    plan = planned(world, trial.wish)
    told = [each for stage in plan.stages for step in stage.steps if step.call == "hold" for each in step.arguments.get("gone", ())]
    report = world.walk(plan)
    assert not report.failed and not world.problems() and not differences(trial.ended, essence(world, trial.wish)), report.message
    wrong = [each for each in world.unlike_recorded() if each.endswith("recorded only")]
    assert told and not [each for each in wrong if f"{told[0]['name']} {told[0]['version']} " in each], "its VMA knows now"


@pytest.mark.parametrize("name", ["place", "scale up", "standby", "clone", "move", "move clone first", "move within", "update"])
def test_vmas_that_were_told_nothing_do(name):
    """As those whose registries are older than what they are told now."""
    trial = Trial(name)
    world = copy.deepcopy(trial.start)
    for vma in world.vmas.values():
        vma.forget_capsules()
    report = world.walk(planned(world, trial.wish))
    assert not report.failed and not world.problems() and not differences(trial.ended, essence(world, trial.wish)), report.message


def test_an_rm_that_is_down_and_whose_turn_it_would_be_is_left_out():
    trial = Trial("place")
    world = copy.deepcopy(trial.start)
    world.vmas["gw-east"].hold({"held": [{"manifest": each, "rms": ["rm-east-2"]} for each in CAPSULES]}, False)
    world.rms["rm-east-2"].capsules = dict(world.rms["rm-east-1"].capsules)
    world.silent.add("rm-east-1")
    report = world.walk(planned(world, trial.wish))
    assert not report.failed and world.lives() == {SHOP: [("rm-east-2", 1)]}


@pytest.mark.parametrize("name", WISHES)
def test_each_step_may_fail(name):
    trial = Trial(name)
    wrong = {f"{mode} {step}": judged(trial, Fault(step, mode)) for step in trial.steps for mode in modes(step)}
    assert not any(wrong.values()), told(wrong)


#: The step whose failure has most taken back.
LATEST = {
    "place": "cut_over.publish",
    "place to be kept": "cut_over.publish",
    "resume": "cut_over.publish",
    "drain and suspend": "rest",
    "scale up": "cut_over.publish",
    "standby": "close",
    "clone a cluster": "follow.db",
    "move": "cut_over.publish",
    "move alive": "cut_over.target.shop-1.example.com",
    "move a cluster": "cut_over.publish",
    "move clone first": "cut_over.publish",
    "move within": "cut_over.target",
    "update or roll back": "shop-4.example.com.cut_over.publish",
    "rescue": f"start.{SHOP}",
    "rescue what waits": f"start.{TWO}",
    "restart": "shop-2.example.com.drain",
}


@pytest.mark.parametrize("name", LATEST)
def test_taking_it_back_may_fail(name):
    """Inside an HN a second run may end with all taken back, and the third one well: one record cannot say whether the other RM was cleared.

    What a roll-back has brought back beside its successor is one more that a second run replaces.
    """
    trial, first = Trial(name), Fault(LATEST[name], BEFORE)
    unused, report, done = trial.attempt(first)
    back = [step for step in done if step not in trial.steps and not step.endswith("call_off")]
    assert report.failed and back
    how = {"runs": 2 if name == "move within" else 1, "compare": lacking if name == "update or roll back" else differences}
    wrong = {f"{mode} {step}": judged(trial, first, Fault(step, mode), **how) for step in back for mode in (BEFORE, LOST)}
    assert not any(wrong.values()), told(wrong)


@pytest.mark.parametrize(
    "name", ["place with a tunnel", "drain and suspend", "scale up", "scale to none", "clone", "move", "move a cluster", "move within", "rescue", "update"]
)
@pytest.mark.parametrize("groups", [mesh.APART, mesh.ALL_IN_ONE], ids=["a VMA of its own", "all in one"])
def test_where_an_hn_has_its_parts_does_not_matter(name, groups):
    trial = Trial(name, groups)
    wrong = {f"{mode} {step}": judged(trial, Fault(step, mode), runs=2 if name == "move within" else 1) for step in trial.steps for mode in (AFTER, LOST)}
    assert not any(wrong.values()), told(wrong)


@pytest.mark.parametrize(("name", "target"), [("move alive", "cut_over.target.shop-1.example.com"), ("move within alive", "cut_over.target")])
@pytest.mark.parametrize("recovers", [False, True])
def test_what_was_lost_with_the_power_of_its_target_runs_again_where_its_disk_is(name, target, recovers):
    trial = Trial(name)
    if recovers:
        world = copy.deepcopy(trial.start)
        with pytest.raises(Died):
            world.walk(trial.plan, Fault(target, DIED_BEFORE))
        world.forsaken()
        plan = world.plan(recover, {"instance": None})
        next(rm for rm in world.rms.values() if rm.name != "rm-east-1" and SHOP in rm.guests).cut()
    else:
        world, report, unused = trial.attempt(Fault(target, CUT_BEFORE))
        assert report.result["outcome"] == "unknown" and "run the move again" in report.message
        plan = planned(world, trial.wish)
    report = world.walk(plan)
    assert report.result["outcome"] == "undone" and "memory alone is lost" in report.message and f"{SHOP} is running" in report.message
    assert world.lives() == {SHOP: [("rm-east-1", 3)]} and not world.problems()
    report = world.walk(planned(world, trial.wish))
    assert not report.failed and not world.problems()


#: What hinders a first run from forgetting the source when it has removed the instance there, and a second one when it would take back.
REMOVED = {
    "move": (Fault("release", BEFORE), Fault("cut_over.publish", BEFORE)),
    "move what rests": (Fault("cut_over.withdraw", SILENT), Fault("cut_over.target.shop-1.example.com", LOST)),
    "move alive": (Fault("release", BEFORE), Fault("cut_over.publish", BEFORE)),
    "move a cluster": (Fault("release", BEFORE), Fault("cut_over.publish", BEFORE)),
    "move within": (Fault("close", BEFORE), Fault("cut_over.target", BEFORE)),
    "move within alive": (Fault("close", BEFORE), Fault("cut_over.target", LOST)),
}


@pytest.mark.parametrize("name", REMOVED)
def test_what_is_at_the_target_alone_is_not_taken_back(name):
    trial, (first, second) = Trial(name), REMOVED[name]
    world = trial.attempt(first)[0]
    for fault in (second, second):
        report = world.walk(planned(world, trial.wish), fault)
        # A recovery that came first has brought it to its end.
        assert report.result["outcome"] == "done" or report.result["outcome"] == "unknown" and "run the move again" in report.message
    report = world.walk(planned(world, trial.wish))
    assert not report.failed and not world.problems() and not differences(trial.ended, essence(world, trial.wish))


@pytest.mark.parametrize(
    "wish",
    [
        (suspend, {"instance": SHOP}),
        (drain, {"instance": SHOP, "then": "leave", **mesh.DRAIN}),
        (scale, {**SCALE, "count": 0, "capsule": None}),
        (update, UPDATE),
        (move, MOVE),
    ],
    ids=lambda wish: wish[0].__name__.rpartition(".")[2],
)
def test_what_is_on_its_way_inside_its_hn_is_left_to_that_move(wish):
    world, report, unused = Trial("move within alive").attempt(Fault("cut_over.target", CUT_BEFORE))
    assert report.result["outcome"] == "unknown"
    with pytest.raises(Refused, match=f"{SHOP} is on its way from rm-east-1 to rm-east-2; finish that move first"):
        world.plan(*wish)


def test_no_name_leads_to_what_is_recorded_as_resting():
    """Its VMA did not answer in the end, so it could not be told that it stays."""
    world, report, unused = Trial("suspend").attempt(Fault("close", LOST))
    assert report.failed and world.registries()["hn-east"]["records"][0]["state"] == "suspended"
    assert not world.names.names["shop.example.com"]


def test_what_is_being_removed_is_not_moved():
    world, report, unused = Trial("remove").attempt(Fault("clear", LOST))
    assert report.result["outcome"] == "stopped"
    with pytest.raises(Refused, match=f"{SHOP} cannot be moved out of hn-east: it is being removed"):
        world.plan(move, MOVE)
    assert not world.walk(world.plan(remove, {"instance": SHOP})).failed and not world.problems()


def test_what_takes_the_place_of_the_last_one_that_was_drained_has_the_name_follow():
    world = copy.deepcopy(Trial("drain").start)
    for wish in (WISHES["drain"][1], (update, UPDATE)):
        assert not world.walk(planned(world, wish)).failed and not world.problems()
