# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How VMAs learn who holds what: by which step, and where in a plan it is."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import concern, holders, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Plan, Step, Unless, check
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh

COLD = mesh.manifest()
CHOSEN, OTHER, MADE = (Answer("tell", ("records", number, "rm")) for number in (0, 1, 2))


def seen(held=None, asked=tuple(mesh.GROUPS["rms"]), says=None):
    """Return a mesh; *says* is what RMs hold where that is not what VMAs say."""
    known = mesh.hostvars(held={"rm-east-1": [COLD]} if held is None else held)
    for rm, capsules in (says or {}).items():
        known[rm].update(mesh.looked("capsules", {"capsules": [{"manifest": each, "complete": True, "problems": []} for each in capsules]}))
    return mesh_view(mesh.GROUPS, known, asked)


def stage(name, *devices):
    return parts.stage(name, name, *(Step(f"{name}.{device}" if name != "tell" else "tell", device, "record", {}, name) for device in devices))


def plan(**more):
    usual = {
        "prepare": (stage("tell", "gw-east"),),
        "cut_over": stage("cut_over", "rm-east-1", "gw-east"),
        "settle": (stage("close", "gw-east"), stage("end", "rm-east-1")),
    }
    return Plan("place", "it", **{**usual, **more})


def told(made):
    """Return the steps that tell VMAs, by the stages that they are in."""
    return {each.id: step for each in made.stages for step in each.steps if step.call == "hold"}


def recorded(view, *rms, made=None, manifest=None, hn="hn-east", gone=()):
    whole = holders.recorded(made or plan(), view, [holders.Holding(view.sites[hn], manifest or COLD, rms)], gone)
    check(whole)
    return whole


def test_it_is_the_last_that_its_vma_does():
    made = recorded(seen(), "rm-east-2")
    ((where, step),) = told(made).items()
    assert where == "close" and made.stages[2].steps[-1] is step and step.optional
    assert (step.id, step.device, step.arguments) == ("holders.hn-east", "gw-east", {"held": [{"manifest": COLD, "rms": ["rm-east-2"]}]})


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"settle": ()}, "cut_over"),
        ({"settle": (), "cut_over": None}, "tell"),
        ({"settle": (), "cut_over": stage("cut_over", "rm-east-1")}, "tell"),
    ],
)
def test_it_comes_with_what_its_vma_does_anyway(more, where):
    assert list(told(recorded(seen(), "rm-east-2", made=plan(**more)))) == [where]


def test_a_vma_that_does_nothing_else_is_told_beside_the_last_stage():
    made = recorded(seen(), "rm-west-1", hn="hn-west")
    assert [(where, step.device) for where, step in told(made).items()] == [("end", "gw-west")]


def test_what_is_known_is_not_told():
    assert recorded(seen(), "rm-east-1") == plan()
    (step,) = told(recorded(seen(), "rm-east-1", "rm-east-2")).values()
    assert step.arguments["held"] == [{"manifest": COLD, "rms": ["rm-east-2"]}]


def test_of_an_rm_that_is_chosen_on_the_way_it_is_told_unless_it_is_known():
    (step,) = told(recorded(seen(), CHOSEN)).values()
    assert step.unless == Unless(CHOSEN, ("rm-east-1",))
    (step,) = told(recorded(seen(), CHOSEN, OTHER, CHOSEN)).values()
    assert step.unless is None and step.arguments["held"][0]["rms"] == [CHOSEN, OTHER]


def test_what_is_made_on_the_way_is_told_whatever_is_known():
    (step,) = told(recorded(seen(), "rm-east-1", manifest=MADE)).values()
    assert step.arguments["held"] == [{"manifest": MADE, "rms": ["rm-east-1"]}] and step.unless is None


def test_an_rm_that_says_that_it_does_not_hold_it_is_forgotten():
    made = recorded(seen({"rm-east-1": [COLD], "rm-west-2": [COLD]}, says={"rm-west-2": []}), "rm-east-2")
    steps = {step.id: step for each in made.stages for step in each.steps}
    assert "gone" not in steps["holders.hn-east"].arguments
    assert steps["holders.hn-west"].arguments["gone"] == [{"domain": "example.com", "name": "shop", "version": "1.0.0", "rms": ["rm-west-2"]}]


def test_what_was_forgotten_and_comes_back_is_told_in_one_call():
    (step,) = told(recorded(seen(says={"rm-east-1": []}), CHOSEN)).values()
    assert step.arguments["held"][0]["rms"] == [CHOSEN] and step.arguments["gone"][0]["rms"] == ["rm-east-1"] and step.unless is None


def test_who_was_not_asked_or_did_not_answer_stays_recorded():
    assert "gone" not in told(recorded(seen(asked=["rm-east-2"], says={"rm-east-1": []}), "rm-east-2"))["close"].arguments


def test_what_is_removed_is_told_where_it_was_recorded():
    capsule = concern.Capsule("example.com", "shop", "1.0.0")
    gone = [holders.Gone(capsule, rm) for rm in ("rm-east-1", "rm-east-2")]
    (step,) = told(recorded(seen(), gone=gone)).values()
    assert step.arguments == {"held": [], "gone": [{**capsule._asdict(), "rms": ["rm-east-1"]}]}


def test_what_was_told_is_taken_back_when_it_was_news():
    view = seen()
    step = holders.forgotten(view.sites["hn-east"], [(concern.Capsule("example.com", "shop", "warm"), ("rm-east-1", CHOSEN))], ("undo",))
    assert (step.undoes, step.if_changed, step.needs, step.optional) == (("holders.hn-east",), "holders.hn-east", ("undo",), True)
    assert step.arguments["gone"][0]["rms"] == ["rm-east-1", CHOSEN]
