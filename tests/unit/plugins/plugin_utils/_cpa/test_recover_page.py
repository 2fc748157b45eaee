# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What docs/recover.md says is tried, row by row: operations end with its sentences, and what it says to type leads out."""

from __future__ import annotations

import itertools
import pathlib
import re
import typing as t
from unittest import mock

import pytest
import yaml

from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import leases
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import leases as planned_leases
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import drain, move, remove, rescue, resume, rm_service, suspend
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.desk import RECOVER, Mesh, Wish
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.devices import (
    AFTER,
    BEFORE,
    CUT_BETWEEN,
    LOST,
    MIDDLE,
    Guest,
    Rm,
    simulated,
)
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.state_machine import GROUPS
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.test_one_life import MOVE, ON_LOST, ONE, RESCUE, SHOP, TWO, WISHES, WITHIN, placed
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.world import DIED_AFTER, DIED_BEFORE, Fault

ROOT = pathlib.Path(__file__).resolve().parents[5]
#: What stands for anything in a sentence of the page.
ANY = re.compile(r"\.\.\.|\b(?:NAME|HN|RM|GATEWAY|DEVICE|OPERATION)\b")
PLAYBOOKS = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
WEST = {"to_hn": "hn-west"}
SUSPEND: Wish = (suspend, {"instance": SHOP})
RESUME: Wish = (resume, {"instance": SHOP, "answer_timeout": 60})
REMOVE: Wish = (remove, {"instance": SHOP})
MOVED: Wish = (move, MOVE)
MOVED_BACK: Wish = (move, {**MOVE, "to_hn": "hn-east"})
RESCUED: Wish = (rescue, RESCUE)
SOURCE, TARGET = f"cut_over.source.{SHOP}", f"cut_over.target.{SHOP}"


class Row(t.NamedTuple):
    """A row of the page: its sentences, and what it says to type."""

    sentences: list[str]
    type: str

    def playbooks(self) -> set[str]:
        """Return the playbooks that it says to type."""
        return {said.split()[0] for said in re.findall(r"`([^`]+)`", self.type)} & PLAYBOOKS


def rows() -> dict[str, Row]:
    """Return the rows of the page, by the first sentence of each."""
    found = {}
    for line in (ROOT / "docs" / "recover.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| **", "| ---", "| the sentence says")):
            said, unused, typed = (part.strip() for part in line.strip("|").split(" | "))
            sentences = re.findall(r"`([^`]+)`", said)
            found[sentences[0]] = Row(sentences, typed)
    return found


def pattern(sentence: str) -> str:
    """Return a sentence of the page as a regular expression."""
    return ".*?".join(re.escape(part.strip()) for part in ANY.split(sentence))


class Desk:
    """Where an operator sits.

    Attributes:
        told: the sentences that operations ended with.
        typed: the playbooks that were typed to lead out.
        meshes: those of the scenario.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.typed: set[str] = set()
        self.meshes: list[Mesh] = []

    def mesh(self, *before: Wish, copies: bool = False, groups: t.Mapping[str, list[str]] | None = None) -> Mesh:
        """Return a new mesh after some operations."""
        made = Mesh(groups or mesh.GROUPS)
        for wish in before:
            ended = made.operate(wish)
            assert not ended.failed, ended.message
        made.copies = copies
        self.meshes.append(made)
        return made

    def ends(self, made: Mesh, wish: Wish, *faults: Fault, **how: t.Any) -> str:
        """Have an operation end as it should not; return its sentence."""
        ended = made.operate(wish, *faults, **how)
        assert ended.failed or ended.result["outcome"] == "nothing", ended.message
        self.told.append(ended.message)
        return ended.message

    def types(self, made: Mesh, wish: Wish, **how: t.Any) -> str:
        """Type what leads out, which has to end well; return its sentence."""
        self.typed.add(wish[0].__name__.rpartition(".")[2])
        ended = made.operate(wish, **how)
        assert not ended.failed, ended.message
        return ended.message


Scenario = t.Callable[[Desk], None]
SCENARIOS: dict[str, Scenario] = {}


def row(sentence: str) -> t.Callable[[Scenario], Scenario]:
    """Say which row a scenario is of, by its first sentence."""

    def of(scenario: Scenario) -> Scenario:
        SCENARIOS[sentence] = scenario
        return scenario

    return of


@pytest.fixture(scope="module", autouse=True)
def registries() -> t.Iterator[None]:
    """Keep registries in memory, and have them lost; their clock goes on, so that none grants a number again."""
    ticks = itertools.count(1_000_000)
    with simulated(lambda: next(ticks) / 100, whole=False):
        yield


@pytest.fixture(name="desk")
def _desk() -> Desk:
    return Desk()


def test_each_row_is_tried():
    assert list(rows()) == list(SCENARIOS)


@pytest.mark.parametrize("sentence", rows())
def test_what_the_page_says_to_type_leads_out(desk, sentence):
    said = rows()[sentence]
    SCENARIOS[sentence](desk)
    for each in said.sentences:
        assert any(re.search(pattern(each), told) for told in desk.told), f"nothing ended with {each}: {desk.told}"
    assert said.playbooks() <= desk.typed, "all that the page says was typed"
    for made in desk.meshes:
        made.watch()
        assert made.problems() == [] and made.problems_seen() == []
        assert not [each for known in made.registries().values() for each in known["leases"]]
        assert "there is nothing to recover" in made.operate(RECOVER).message


def test_the_tests_that_docs_name_are_there():
    named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")))
    there = {(path.name, test) for path in ROOT.glob("tests/**/test_*.py") for test in re.findall(r"(?m)^def (test_\w+)", path.read_text(encoding="utf-8"))}
    assert named and not named - there


def test_the_variables_that_the_page_names_are_options():
    text = (ROOT / "docs" / "recover.md").read_text(encoding="utf-8")
    specs = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
    options = {option for spec in specs for entry in spec["argument_specs"].values() for option in entry.get("options", {})}
    named = set(re.findall(r"-e (\w+)=", text))
    assert named and named <= options


@pytest.mark.parametrize(
    "words",
    [
        "The engines ended without an answer, with exit status {}: {}",
        "its guest ended on the way, and is not on {} either; what was in its memory alone is lost",
        "{} is {}: only a running instance can be suspended. What was stopped, or lost its power, is started again by place.",
        "{} had just come to this RM when that failed, so its disks may not be whole here. The RM that sent it has everything: recover, or run the move again.",
        "Another operation has come to {} since this one began ({}); nothing was done.",
        "{} may not run here with epoch {}: this RM knows of epoch {}. ",
        "Unless it lives elsewhere by now, the registry of its HN has forgotten what it granted: rebuild it by the playbook rebuild, and run this again.",
    ],
)
def test_what_simulated_devices_say_is_what_real_ones_say(words):
    source = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "plugins").rglob("*.py")))
    assert words in re.sub(r"\{[^{}]*\}", "{}", re.sub(r'"\s*\n\s*f?"', "", source))


# A step failed


@row("... is as it was.")
def _as_it_was(desk):
    failures = {
        "suspend": Fault("rest", BEFORE),
        "place": Fault("cut_over.rm", BEFORE),
        "scale up": Fault("cut_over.rm.shop-3.example.com", BEFORE),
        "move": Fault(SOURCE, BEFORE),
        "move within": Fault("cut_over.source", BEFORE),
        "move clone first": Fault("cut_over.rm", BEFORE),
    }
    for name, fault in failures.items():
        before, wish = WISHES[name]
        made = desk.mesh(*before, copies=name == "move clone first")
        was = made.picture()
        desk.ends(made, wish, fault)
        assert made.picture() == was
        desk.types(made, wish)


@row("NAME was kept as it is on RM in HN, out of rotation: remove ends it, and resume publishes it if it answers by then.")
def _kept(desk):
    for leads_out in (REMOVE, RESUME):
        made = desk.mesh()
        said = desk.ends(made, placed(keep_failed=True), Fault("cut_over.publish", BEFORE))
        assert said == f"gw-east: It broke before. {SHOP} was kept as it is on rm-east-1 in hn-east, out of rotation: " + (
            f"remove ends it, and resume publishes it if it answers by then. {SHOP} said so."
        )
        assert re.search(r"(?m) kept$", made.history(SHOP))
        desk.types(made, leads_out)
    # Who takes it up keeps it, too.
    made = desk.mesh()
    made.operate(placed(keep_failed=True), Fault("cut_over.publish", BEFORE), Fault("keep_withdraw", DIED_BEFORE))
    assert f"was cut off: {SHOP} was kept as it is on rm-east-1" in made.operate(RECOVER).message
    desk.types(made, REMOVE)


@row("What is not replaced serves on as it was: ...")
def _some_replaced(desk):
    for name, fault in {"update": Fault("shop-4.example.com.cut_over.rm", BEFORE), "restart": Fault(f"{TWO}.stop", BEFORE)}.items():
        before, wish = WISHES[name]
        made = desk.mesh(*before)
        assert " 1 had been re" in desk.ends(made, wish, fault)
        desk.types(made, wish)


@row("DEVICE: The engines ended without an answer, with exit status ...")
def _killed(desk):
    made = desk.mesh()
    assert desk.ends(made, placed(), Fault("tell", AFTER)).endswith("Everything was undone.")
    desk.types(made, placed())


@row("DEVICE: NAME was not handed over (...): its guest ended on the way, and is not on RM either; what was in its memory alone is lost.")
def _ended_on_the_way(desk):
    before, wish = WISHES["move alive"]
    made = desk.mesh(*before)
    made.operate(wish, Fault(SOURCE, MIDDLE))
    # QEMU ended at the target, too.
    del made.rms["rm-west-1"].guests[SHOP]
    said = desk.ends(made, wish)
    assert said.endswith("is running again in hn-east. shop-1.example.com was started from its disk there: what was in its memory alone is lost.")
    assert made.lives() == {SHOP: [("rm-east-1", made.registries()["hn-east"]["records"][0]["epoch"])]}
    desk.types(made, wish)


@row("Not all of it could be undone: ... Run this again when that is mended.")
def _not_undone(desk):
    for name, faults in {
        "move": (Fault("cut_over.publish", BEFORE), Fault(f"clear.{SHOP}", LOST)),
        "place": (Fault("cut_over.publish", BEFORE), Fault("clear", BEFORE)),
    }.items():
        before, wish = WISHES[name]
        made = desk.mesh(*before)
        desk.ends(made, wish, *faults)
        desk.types(made, RECOVER)
        desk.types(made, wish)


@row("What was done stays done; run it again when this is mended.")
def _only_forward(desk):
    failures = {
        "drain and remove": Fault("clear", BEFORE),
        "remove": Fault("clear", BEFORE),
        "place": Fault("close", BEFORE),
        "scale up": Fault("close", BEFORE),
        "move": Fault(f"retire.{SHOP}", BEFORE),
        "move within": Fault("retire", BEFORE),
        "move clone first": Fault("clear", BEFORE),
        "scale to none": Fault(f"cut_over.rm.{SHOP}", BEFORE),
    }
    for name, fault in failures.items():
        before, wish = WISHES[name]
        made = desk.mesh(*before, copies=name == "move clone first")
        desk.ends(made, wish, fault)
        desk.types(made, wish)


@row("NAME may be paused on RM and is nowhere else then; run the move again.")
def _paused(desk):
    for name, fault in {"move alive": SOURCE, "move within alive": "cut_over.source"}.items():
        before, wish = WISHES[name]
        made = desk.mesh(*before)
        desk.ends(made, wish, Fault(fault, MIDDLE))
        (paused,) = (rm.guests[SHOP] for rm in made.rms.values() if SHOP in rm.guests and rm.guests[SHOP].state == "coming")
        paused.wrote = 7
        desk.types(made, wish)
        ((rm, unused),) = made.lives()[SHOP]
        assert made.rms[rm].guests[SHOP].wrote == 7, "it goes on there, and was not started anew where it was"
    made = desk.mesh(*ONE)
    made.operate(MOVED, Fault("release", BEFORE))
    desk.ends(made, MOVED, Fault("cut_over.publish", BEFORE))
    desk.types(made, MOVED)


@row("Whether NAME was published in HN cannot be said; run the move again when GATEWAY answers.")
def _unsaid(desk):
    for name, fault in {"move": Fault("cut_over.publish", LOST), "place": Fault("follow", LOST)}.items():
        before, wish = WISHES[name]
        made = desk.mesh(*before)
        desk.ends(made, wish, fault)
        desk.types(made, wish)


# Others are at work


@row("NAME is busy in HN: ...")
def _busy(desk):
    waited = desk.mesh(*ONE)
    other = waited.begun(SUSPEND, "rest")
    desk.ends(waited, MOVED)
    assert "is suspended" in waited.goes_on(other)
    desk.types(waited, MOVED)
    taken_over = desk.mesh(*ONE)
    taken_over.begun(SUSPEND, "rest")
    desk.ends(taken_over, REMOVE)
    desk.types(taken_over, REMOVE, take_over=True)
    assert not taken_over.lives()


@row("Another operation has come to NAME since this one began ...")
def _replaced(desk):
    made = desk.mesh(*ONE)
    slept = made.begun(SUSPEND, "rest")
    made.operate(RESUME, take_over=True)
    desk.told.append(made.goes_on(slept))
    assert [where for where, unused in made.lives()[SHOP]] == ["rm-east-1"]
    desk.typed.add("history")
    assert re.search(r"resume +shop-1", made.history(SHOP))
    desk.types(made, SUSPEND)


@row("Another operation came to NAME in HN since this one looked there ...")
def _faster(desk):
    made = desk.mesh(*ONE)
    looked = made.planned(MOVED)
    assert not made.operate(SUSPEND).failed
    desk.told.append(made.carried_out(looked).message)
    desk.types(made, MOVED)
    # What follows can be only where one of the two inventories lacks an HN.
    with mock.patch.object(planned_leases, "_arbiter", lambda view: []):
        made = desk.mesh()
        looked = made.planned(placed())
        other = made.begun(placed(**WEST), "cut_over.rm")
        desk.told.append(made.carried_out(looked).message)
        made.goes_on(other)
        # Both may have been refused.
        if SHOP not in made.lives():
            desk.types(made, placed(**WEST))
        assert "lives in hn-west already" in made.operate(placed()).message
        desk.types(made, MOVED_BACK)
        made = desk.mesh()
        looked = made.planned(placed())
        for wish in (placed(**WEST), REMOVE):
            assert not made.operate(wish).failed
        desk.told.append(made.carried_out(looked).message)
        desk.types(made, placed())


@row("NAME was handed over to another RM by another operation, so it does not run here again.")
def _handed_elsewhere(desk):
    made = desk.mesh(*ONE)
    within = (move, {**WITHIN, "strategy": "suspend"})
    # Leases would not let it come so far.
    unleased = {"take": lambda tx, lease, names: dict.fromkeys(names, leases.highest(tx) + 1), "raised": lambda tx, granted: granted}
    with mock.patch.multiple(leases, **unleased):
        first, second = made.planned(MOVED), made.planned(within)
        one, other = made.sent(first), made.sent(second)
        for controller in (one, other):
            while controller.number < len(controller.plan.prepare):
                made.turn(controller)
        while made.rms["rm-east-1"].guests[SHOP].handed_over is None:
            assert not one.ended
            made.turn(one)
        desk.told.append(made.goes_on(other))
        made.goes_on(one)
    assert list(made.lives()) == [SHOP] and made.problems_seen() == []
    desk.typed.add("status")
    desk.types(made, MOVED)
    desk.types(made, (move, {**WITHIN, "to_hn": "hn-east"}))


# It was cut off


@row("NAME is a part of the OPERATION of ... that was cut off. The playbook recover takes that up ...")
def _part_of(desk):
    made = desk.mesh(*ONE)
    made.operate(SUSPEND, Fault("withdraw", DIED_AFTER))
    made.silent = {"rm-east-1"}
    desk.ends(made, REMOVE)
    made.silent = {"rm-east-1"}
    assert "rm-east-1 does not say what it did" in made.operate(RECOVER).message
    desk.types(made, RECOVER)
    desk.types(made, REMOVE)


@row("DEVICE does not say what it did, so all is left as it is. ...")
def _does_not_say(desk):
    made = desk.mesh(*ONE)
    made.operate(MOVED, Fault("cut_over.publish", DIED_BEFORE))
    made.silent = {"rm-east-1"}
    before = made.picture()
    desk.ends(made, RECOVER)
    assert made.picture() == before
    desk.types(made, RECOVER)
    desk.types(made, MOVED)
    made = desk.mesh(*ON_LOST)
    made.operate((drain, {"instance": SHOP, "then": "leave", **mesh.DRAIN}), Fault("drain", DIED_BEFORE))
    made.switch_off("rm-east-2")
    desk.ends(made, RECOVER)
    desk.types(made, RESCUED)
    assert len(made.lives()) == 4


@row("NAME cannot be had in HN: ... Run the operation again that was at work on it, or recover, or remove.")
def _half(desk):
    begun = (Fault("cut_over.publish", BEFORE), Fault("clear", BEFORE))
    for leads_out in (placed(), REMOVE):
        made = desk.mesh()
        made.operate(placed(), *begun)
        desk.ends(made, SUSPEND)
        desk.types(made, leads_out)
        desk.types(made, placed())


@row("NAME is on its way between HN and HN; finish the move first by running it again.")
def _on_its_way(desk):
    for name, fault, other in (
        ("move", f"retire.{SHOP}", SUSPEND),
        ("move within", "retire", placed()),
        ("move within", "retire", SUSPEND),
        ("move clone first", "clear", MOVED),
    ):
        before, wish = WISHES[name]
        made = desk.mesh(*before, copies=name == "move clone first")
        made.operate(wish, Fault(fault, BEFORE))
        serving = made.serving("198.18.1.1"), made.serving("198.18.2.1")
        desk.ends(made, other)
        assert serving == (made.serving("198.18.1.1"), made.serving("198.18.2.1")), "nothing was touched"
        desk.types(made, wish)
        desk.types(made, other)


@row("No operation was cut off; there is nothing to recover.")
def _nothing(desk):
    made = desk.mesh(*ONE)
    before = made.picture()
    desk.ends(made, RECOVER)
    assert made.picture() == before


# An RM failed


@row("NAME is stopped: only a running instance can be suspended. ...")
def _lost_its_power(desk):
    made = desk.mesh(*ONE)
    made.rms["rm-east-1"].guests[SHOP].wrote = 7
    made.cut("rm-east-1")
    assert not made.lives()
    desk.ends(made, SUSPEND)
    # Its hosting network was down, so nothing starts by itself.
    made.lose_power("gw-east")
    assert "may start again what lost its power there" in desk.types(made, RECOVER)
    desk.types(made, placed())
    assert made.rms["rm-east-1"].guests[SHOP].wrote == 7
    desk.types(made, SUSPEND)


@row("NAME cannot be suspended: its guest is paused, for ... Mend that and resume it first.")
def _paused_by_qemu(desk):
    for wish in (SUSPEND, MOVED, WISHES["move within alive"][1]):
        made = desk.mesh(*ONE)
        rm = made.rms["rm-east-1"]
        rm.guests[SHOP].paused, rm.missing = "there was no room left on the RM for what it wrote to vda", 4096
        said = desk.ends(made, wish)
        assert "Not all of it could be undone" not in said
        assert "Not all of it could be undone" not in desk.ends(made, RESUME)
        assert rm.guests[SHOP].paused
        rm.missing = 0
        desk.types(made, RESUME)
        assert not rm.guests[SHOP].paused
        desk.types(made, wish)


@row("NAME had just come to this RM when that failed, so its disks may not be whole here. ...")
def _torn(desk):
    for leads_out in (RECOVER, MOVED):
        made = desk.mesh(*ONE)
        made.rms["rm-east-1"].guests[SHOP].wrote = 7
        made.operate(MOVED, Fault(TARGET, CUT_BETWEEN), Fault("cut_over.publish", DIED_BEFORE))
        desk.ends(made, RECOVER)
        assert made.rms["rm-east-1"].guests[SHOP].wrote == 7 and list(made.lives()) == [SHOP]
        desk.types(made, leads_out)
        desk.types(made, MOVED)
        ((rm, unused),) = made.lives()[SHOP]
        assert made.rms[rm].guests[SHOP].wrote == 7


@row("The RM RM cannot be used: it does not answer.")
def _silent_rm(desk):
    made = desk.mesh(*ONE)
    made.silent = {"rm-east-1"}
    desk.ends(made, MOVED)
    desk.types(made, MOVED)
    made = desk.mesh(placed(to_rm="rm-east-2"))
    made.switch_off("rm-east-2")
    desk.ends(made, MOVED)
    desk.types(made, RESCUED)
    desk.types(made, MOVED)


@row("RM answers, so it need not be rescued: ...")
def _answers(desk):
    made = desk.mesh(*ON_LOST)
    lives = made.lives()
    desk.ends(made, RESCUED)
    assert made.lives() == lives
    # What the command does.
    made.switch_off("rm-east-2")
    desk.types(made, (rescue, {**RESCUE, "fence": ["ipmitool", "power", "off"], "dead": False}))
    assert list(made.lives()) != list(lives) and set(made.lives()) == set(lives)


@row("Run this again when this is mended: what is not said to run does not, or nobody can say. ...")
def _not_rescued(desk):
    for fault in (Fault(f"start.{SHOP}", BEFORE), Fault("end.db-1.example.com", BEFORE), Fault(f"start.{SHOP}", LOST)):
        made = desk.mesh(*ON_LOST)
        made.switch_off("rm-east-2")
        desk.ends(made, RESCUED, fault)
        desk.types(made, RESCUED)
        assert len(made.lives()) == 4


@row("NAME stays on RM, where it does not run: ...")
def _stays(desk):
    made = desk.mesh(placed(to_rm="rm-east-1"), placed(TWO, to_rm="rm-east-1"))
    made.switch_off("rm-east-1")
    held, wish = made.rms["rm-east-1"].capsules, (rescue, {**RESCUE, "rm": "rm-east-1"})
    desk.ends(made, wish)
    desk.typed.add("capsule_import")
    made.rms["rm-east-2"].capsules = dict(held)
    made.site("hn-east")
    desk.types(made, wish)
    assert {where for places in made.lives().values() for where, unused in places} == {"rm-east-2"}
    made = desk.mesh(placed(to_rm="rm-east-2"), SUSPEND)
    made.switch_off("rm-east-2")
    desk.ends(made, RESCUED)
    made.off.clear()
    desk.types(made, RESUME)


@row("... RM is out of service. Should it come back it starts none of these; remove with remove_rm=RM clears what is left of them there.")
def _returned(desk):
    made = desk.mesh(*ON_LOST)
    made.switch_off("rm-east-2")
    desk.told.append(desk.types(made, RESCUED))
    assert "there is nothing to rescue" in made.operate(RESCUED).message
    made.off.clear()
    left = made.rms["rm-east-2"].powerless()
    assert len(left) == 3 and set(made.vmas["gw-east"].restart("rm-east-2", left)["never"]) == set(left)
    for name in left:
        desk.types(made, (remove, {"instance": name, "rm": "rm-east-2"}))
    assert not made.rms["rm-east-2"].guests and len(made.lives()) == 4
    desk.types(made, (rm_service, {"rm": "rm-east-2", "in_service": True}))


@row("The RMs that the VMA of HN would choose do not answer (...) ...")
def _all_silent(desk):
    made = desk.mesh(groups={**mesh.GROUPS, "rms": [*mesh.GROUPS["rms"], *(f"rm-east-{number}" for number in range(3, 8))]})
    down = {"rm-east-2", "rm-east-3", "rm-east-4"}
    wish = placed()
    made.operate(placed(TWO, to_rm="rm-east-1"))
    made.silent = set(down)
    desk.ends(made, wish)
    for rm in sorted(down):
        desk.types(made, (rm_service, {"rm": rm, "in_service": False}))
    made.silent = set(down)
    desk.types(made, wish)


@row("No RM that answers holds the capsule ...; by the registry RM should: ...")
def _no_holder(desk):
    made = desk.mesh()
    made.silent = {"rm-east-1"}
    desk.ends(made, placed())
    desk.types(made, placed())
    made = desk.mesh()
    held, made.rms["rm-east-1"].capsules = made.rms["rm-east-1"].capsules, {}
    desk.ends(made, placed())
    made.site("hn-east")
    assert "by the registry" not in made.operate(placed()).message
    made.rms["rm-east-2"].capsules = held
    made.site("hn-east")
    desk.typed |= {"site", "capsule_import"}
    desk.types(made, placed())


# A hosting network is lost


def without(made, where):
    """Have an HN fall silent."""
    made.silent = {host for host in (*made.rms, *made.gateways, *made.vmas) if where in host}


def given_up(desk, groups=None):
    """Return a mesh that has brought an instance to life in the east that lives in the west, too, which was silent."""
    made = desk.mesh(placed(**WEST), placed(TWO, **WEST), copies=True, groups=groups)
    without(made, "west")
    desk.ends(made, placed())
    without(made, "west")
    desk.types(made, placed(), given_up=["hn-west"])
    assert len(made.lives()[SHOP]) == 2
    return made


@row("The VMA of HN on GATEWAY cannot be asked: it does not answer.")
def _silent_hn(desk):
    made = given_up(desk)
    # What its operator answers for lasts until it is reached again.
    assert not made.operate(RECOVER).failed and len(made.lives()[SHOP]) == 1
    made = desk.mesh()
    without(made, "west")
    desk.ends(made, placed())
    desk.types(made, placed())


@row("The VMA of HN answers, so HN is not lost.")
def _not_lost(desk):
    made = desk.mesh()
    desk.ends(made, placed(), given_up=["hn-west"])
    desk.types(made, placed())


@row("... cannot be asked: HN was given up as lost by ...")
def _back_again(desk):
    made = given_up(desk)
    desk.ends(made, MOVED)
    desk.types(made, RECOVER)
    assert [where for where, unused in made.lives()[SHOP]] == ["rm-east-1"] and TWO in made.lives()
    desk.types(made, MOVED)


@row("HN cannot be brought back while the VMA of HN on GATEWAY does not answer: ...")
def _not_back(desk):
    made = given_up(desk)
    without(made, "rm-west-1")
    desk.ends(made, RECOVER)
    desk.types(made, RECOVER)
    made = given_up(desk, GROUPS)
    without(made, "gw-north")
    desk.ends(made, RECOVER)
    desk.types(made, RECOVER)


# A registry knows too little


def lost_registry(desk, *before):
    """Return a mesh whose VMA in the east has granted what its registry does not know any more."""
    made = desk.mesh()
    yesterday = made.vmas["gw-east"].registry
    for wish in before:
        assert not made.operate(wish).failed
    made.vmas["gw-east"].registry = yesterday
    return made


@row("... cannot be asked: its registry was lost, or restored from a copy ...")
def _lost(desk):
    made = lost_registry(desk, placed())
    desk.ends(made, placed(TWO))
    assert any("cannot be believed" in each for each in made.problems_seen())
    desk.typed |= {"site", "rebuild"}
    made.site("hn-east")
    assert "cannot be asked" in made.operate(placed(TWO)).message, "to set it up is not enough"
    assert made.rebuild("hn-east").endswith("was rebuilt.")
    desk.types(made, placed(TWO))
    assert len(made.lives()) == 2
    # It is lost while an operation is under way.
    made = desk.mesh()
    yesterday = made.vmas["gw-east"].registry
    looked = made.planned(placed(TWO))
    other = made.planned(placed())
    made.vmas["gw-east"].registry, before = yesterday, made.carried_out(other).message
    assert "runs on" in before
    made.vmas["gw-east"].registry = yesterday
    desk.told.append(made.carried_out(looked).message)
    assert made.rebuild("hn-east").endswith("was rebuilt.")
    desk.types(made, placed(TWO))


@row("NAME may not run here with epoch ...: this RM knows of epoch ...")
def _forgotten(desk):
    """Nothing lives that the registry should know, so nobody sees that it is another one."""
    made = desk.mesh(placed(), REMOVE, placed(), REMOVE)
    made.lose_registry("gw-east")
    made.lose_power("gw-east")
    made.site("hn-east")
    for epoch in (1, 2):
        assert f"with epoch {epoch}: " in desk.ends(made, placed()), "what was undone is no better the next time"
    desk.typed |= {"rebuild"}
    assert made.rebuild("hn-east").endswith("was rebuilt.")
    assert "(epoch 3)" in desk.types(made, placed())


@row("The registry of HN cannot be rebuilt while DEVICE does not answer.")
def _cannot_be_rebuilt(desk):
    made = lost_registry(desk, placed())
    made.silent = {"rm-east-2"}
    desk.told.append(made.rebuild("hn-east"))
    made.silent = set()
    desk.typed |= {"site", "rebuild"}
    made.site("hn-east")
    assert made.rebuild("hn-east").endswith("was rebuilt.")
    desk.types(made, placed(TWO))
    made = desk.mesh(*ONE)
    made.lose_registry("gw-east")
    desk.told.append(made.rebuild("hn-east"))
    made.site("hn-east")
    assert made.rebuild("hn-east").endswith("was rebuilt.")
    desk.types(made, placed(TWO))


@row("NAME is running on RM, of which the registry of HN knows nothing ...")
def _stray(desk):
    desk.typed |= {"rebuild"}
    for lives_on in (True, False):
        made = lost_registry(desk, placed())
        made.lose_power("gw-east")
        desk.ends(made, placed(TWO))
        assert any("knows nothing" in each for each in made.problems_seen())
        if lives_on:
            assert made.rebuild("hn-east").endswith("was rebuilt.")
        else:
            desk.types(made, (remove, {"instance": SHOP, "rm": "rm-east-1"}))
        desk.types(made, placed(TWO))
        assert len(made.lives()) == (2 if lives_on else 1)


@row("NAME runs on RM and RM: remove one of them ...")
def _twice(desk):
    made = desk.mesh(*ONE, (move, WITHIN), (move, {**WITHIN, "to_rm": "rm-east-1"}), copies=True)
    # Somebody has started by hand what was left there.
    made.rms["rm-east-2"].guests[SHOP] = Guest("running", "1.0.0", 2)
    desk.told += made.problems_seen()
    desk.told.append(made.rebuild("hn-east"))
    desk.typed.add("status")
    desk.types(made, (remove, {"instance": SHOP, "rm": "rm-east-2"}))
    assert [where for where, unused in made.lives()[SHOP]] == ["rm-east-1"]
    desk.types(made, SUSPEND)
    made = given_up(desk)
    assert any("runs on rm-east-1 and rm-west-1" in each for each in made.problems_seen())
    desk.types(made, RECOVER)


@row("GATEWAY has started since RM told what it runs, and RM does not answer ...")
def _unheard(desk):
    made = desk.mesh(*ONE)
    made.lose_power("gw-east")
    made.silent = {"rm-east-2"}
    desk.ends(made, placed(TWO))
    made.silent = {"rm-east-2"}
    desk.types(made, (rm_service, {"rm": "rm-east-2", "in_service": False}))
    made.silent = {"rm-east-2"}
    desk.types(made, placed(TWO))
    made = desk.mesh(*ONE)
    made.lose_power("gw-east")
    made.silent = {"rm-east-2"}
    desk.ends(made, placed(TWO))
    desk.types(made, placed(TWO))


@row("The VMA of HN has not heard what RM runs since its host started: run the playbook site.")
def _rebooted(desk):
    desk.typed.add("site")
    for sets_up in (True, False):
        made = desk.mesh(*ONE)
        looked = made.planned(placed(TWO))
        made.lose_power("gw-east")
        desk.told.append(made.carried_out(looked).message)
        if sets_up:
            made.site("hn-east")
            made.site("hn-west")
        desk.types(made, placed(TWO))


@row("RM stands in HN by the inventory, but its VMA has never heard what it runs ...")
def _unsubscribed(desk):
    made = desk.mesh(*ONE)
    made.rms["rm-east-3"] = Rm("rm-east-3", "hn-east", ())
    made.groups = {**made.groups, "rms": [*made.groups["rms"], "rm-east-3"]}
    desk.ends(made, placed(TWO))
    made.site("hn-east")
    desk.typed.add("site")
    desk.types(made, placed(TWO))
