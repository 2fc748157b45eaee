# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The matrix of faults: each operation, each of its steps, each fault that its device can have.

A case lets an operator begin the operation, strikes the fault when the step's device has written down that it begins (or ended), mends it, lets
the operator do what docs/recover.md says, and then looks from outside whether anything is lost, doubled or left over. Each case goes on from where the one
before it has led to. The steps of an operation are those that devices write down in a run without a fault.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
import typing as t

import fault_results
import faults
import hosts_outside
import yaml
from faults import FAULTS, Controller, Strike
from hosts_outside import REGISTRY, Host, Watch
from mesh_lab import CAPSULE, ROOT, SHOP, Mesh, until

SIDES = ("east", "west")
#: Where the service is reached in each HN.
ADDRESS = {"east": "198.18.1.10", "west": "198.18.2.10"}
SERVICE = {"service": "shop", "domain": "example.com"}
#: Two capsules that an update replaces one by the other, and one with memory.
FIRST, SECOND, WARM = "1.0.0", "2.0.0", "1.0.0-warm"
#: Seconds that anything may take before it counts as hanging.
HANGS = 150.0
#: Seconds after which a fault is mended though the operation has not ended.
LONGEST = 45.0
NAMED = re.compile(r"shop-[0-9]+\.example\.com")

Record = t.Dict[str, t.Any]


# What there is, seen from outside


@dataclasses.dataclass
class Look:
    """What there is: records by VMA, what runs by RM (instance to libvirt's state), what is under way, and what is left over."""

    records: dict[str, list[Record]]
    runs: dict[str, list[dict[str, t.Any]]]
    running: dict[str, dict[str, str]]
    open: list[str]
    wrong: list[str]

    @property
    def all(self) -> list[Record]:
        """All records, each with its C(side)."""
        return [{**record, "side": vma.partition("-")[2]} for vma, records in self.records.items() for record in records]

    @property
    def state(self) -> str:
        """Which of the states that operations begin in this is."""
        told = sorted((record["state"], bool(record["in_rotation"])) for record in self.all)
        one_side = len({record["side"] for record in self.all}) < 2
        known = {
            (): "absent",
            (("running", True),): "running",
            (("suspended", False),): "suspended",
            (("running", False),): "drained",
            (("running", True), ("running", True)): "two",
            (("running", True), ("suspended", False)): "standby",
        }
        return known.get(tuple(told), "other") if one_side else "other"


def _registry(vma: Host) -> dict[str, list[dict[str, t.Any]]]:
    """Return the tables of a VMA's registry, from a copy of its file."""
    with tempfile.TemporaryDirectory() as there:
        for suffix in ("", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(vma.path(REGISTRY + suffix), os.path.join(there, f"registry.db{suffix}"))
        with contextlib.closing(sqlite3.connect(os.path.join(there, "registry.db"))) as registry:
            registry.row_factory = sqlite3.Row
            tables = {}
            for table in ("records", "leases", "operations", "runs"):
                with contextlib.suppress(sqlite3.OperationalError):
                    tables[table] = [dict(row) for row in registry.execute(f"select * from {table}")]
            return tables


def _names(server: Host) -> set[str]:
    """Return the public addresses that the name of the shop has."""
    with tempfile.TemporaryDirectory() as there:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(server.path(f"/var/lib/powerdns/vmatrix.sqlite3{suffix}"), there)
        with contextlib.closing(sqlite3.connect(os.path.join(there, "vmatrix.sqlite3"))) as zones:
            said = " ".join(row[0] for row in zones.execute("select content from records where type in ('A', 'LUA') and name like 'shop.%'"))
    return set(re.findall(r"198\.18\.[12]\.[0-9]+", said))


def look(hosts: t.Mapping[str, Host], own: str = "example.com") -> Look:
    """Look at all hosts while nobody is at work."""
    vmas = {name: _registry(each) for name, each in hosts.items() if name.startswith("gw-")}
    records = {name: [record for record in tables.get("records", []) if record["domain"] == own] for name, tables in vmas.items()}
    runs = {name: tables.get("runs", []) for name, tables in vmas.items()}
    under_way, wrong = [], []
    for name, tables in vmas.items():
        under_way += [f"{name} leases {lease['instance']}" for lease in tables.get("leases", []) if lease["run"]]
        under_way += [f"the {run['operation']} of {run['subject']} is open on {name}" for run in tables.get("runs", []) if not run["ended"]]
        under_way += [f"{each['kind']} of {each['instance']} is open on {name}" for each in tables.get("operations", []) if not each["closed"]]
        for record in records[name]:
            if record["state"] in ("reserved", "leaving") or record["moves_to"]:
                under_way.append(f"{record['instance']} is {record['state']} in {name}, on its way to {record['moves_to']}")
    running = {}
    for name, each in hosts.items():
        if name.startswith("rm-"):
            running[name], left = _rm(each, [record for told in records.values() for record in told if record["rm"] == name])
            wrong += left
    where: dict[str, list[str]] = {}
    for rm, guests in running.items():
        for instance, state in guests.items():
            if state in ("running", "paused"):
                where.setdefault(instance, []).append(rm)
    wrong += [f"{instance} lives on {' and '.join(rms)}" for instance, rms in where.items() if len(rms) > 1]
    for name, told in records.items():
        wrong += _router(hosts[name], told)
        wrong += [
            f"{record['instance']} is recorded as {record['state']} on {record['rm']}, where it is {running[record['rm']].get(record['instance'], 'absent')}"
            for record in told
            if (record["state"] == "running") != (running[record["rm"]].get(record["instance"]) == "running")
        ]
    wanted = {record["public_address"] for told in records.values() for record in told if record["in_rotation"]}
    named = _names(hosts["cpa-1"])
    wrong += [f"the name says {sorted(named)}, but {sorted(wanted)} serve"] if named != wanted else []
    return Look(records, runs, running, under_way, wrong)


def _rm(rm: Host, mine: t.Sequence[Record]) -> tuple[dict[str, str], list[str]]:
    """Return what runs on an RM, and what is there without a record."""
    listed = rm.inside("virsh", "--quiet", "list", "--all", "--name", "--state-running").split()
    paused = rm.inside("virsh", "--quiet", "list", "--all", "--name", "--state-paused").split()
    states = {**dict.fromkeys(rm.guests(), "unknown to libvirt"), **dict.fromkeys(listed, "running"), **dict.fromkeys(paused, "paused")}
    held = {entry.name for entry in _entries(rm, "/var/lib/vmatrix/instances")}
    known = {record["instance"] for record in mine}
    left = [f"{name} is left on {rm.name}" for name in sorted((held | set(states)) - known)]
    left += [f"{name} is not on {rm.name}" for name in sorted(known - held)]
    for entry in _entries(rm, "/var/lib/vmatrix/instances"):
        left += [f"{entry.name} on {rm.name} is marked as coming" for unused in [0] if os.path.exists(os.path.join(entry.path, "coming"))]
    for parcel in _entries(rm, "/var/lib/vmatrix/incoming/parcels"):
        # What was committed is remembered until the next one.
        left += [f"{rm.name} has a parcel {parcel.name} with {each.name}" for each in os.scandir(parcel.path) if each.name != "commit.json"]
    taps = re.findall(r"\b(vm[0-9a-f]{10})\b", rm.inside("ip", "-br", "link"))
    if len(taps) != len(states):
        left.append(f"{rm.name} has {len(taps)} taps for {len(states)} guests")
    return states, left


def _entries(host: Host, path: str) -> list[os.DirEntry]:
    try:
        return sorted((entry for entry in os.scandir(host.path(path)) if entry.is_dir()), key=lambda entry: entry.name)
    except FileNotFoundError:
        return []


def _router(gateway: Host, records: t.Sequence[Record]) -> list[str]:
    """Return in what the router of a gateway differs from its records."""
    path = gateway.path("/etc/vmatrix/routers/example.com.json")
    document = json.loads(path.read_text(encoding="utf-8"))["document"] if path.exists() else None
    members = {member["instance"] for service in (document or {}).get("services", []) for member in service["members"]}
    wanted = {record["instance"] for record in records if record["in_rotation"]}
    wrong = [f"{name} is in the rotation of {gateway.name} and should not" for name in sorted(members - wanted)]
    wrong += [f"{name} should be in the rotation of {gateway.name}" for name in sorted(wanted - members)]
    if document and not records:
        wrong.append(f"the router of example.com is left on {gateway.name}")
    return wrong


# What operations there are


class Operation(t.NamedTuple):
    """An operation as cases begin it.

    Attributes:
        verb: its playbook.
        needs: the state that it begins in.
        variables: makes its variables of the side where the service is, the instance and its record.
        leads_to: the state that it ends in.
        keeps: whether the instance that was there is there afterwards, with its memory.
    """

    verb: str
    needs: str
    variables: t.Callable[[str, str, Record, int], dict[str, t.Any]]
    leads_to: str
    keeps: bool = True


def _other(side: str) -> str:
    return SIDES[1 - SIDES.index(side)]


def _moved(side: str, instance: str, strategy: str) -> dict[str, t.Any]:
    to = _other(side)
    return {"instances": instance, "to_hn": f"hn-{to}", "public_address": ADDRESS[to], "strategy": strategy, "timeout": 20}


def _scaled(side: str, count: int) -> dict[str, t.Any]:
    how = {"surplus": "absent", "answer_timeout": 20, "drain_timeout": 1, "at_deadline": "cut"}
    return {**SERVICE, "to_hn": f"hn-{side}", "count": count, "capsule": FIRST, **how}


def _updated(side: str, capsule: str) -> dict[str, t.Any]:
    new = SECOND if capsule == FIRST else FIRST
    return {**SERVICE, "to_hn": f"hn-{side}", "capsule": new, "answer_timeout": 20, "drain_timeout": 1, "at_deadline": "cut"}


def _new(instance: str) -> str:
    return "shop-3.example.com" if instance == "shop-2.example.com" else "shop-2.example.com"


OPERATIONS: dict[str, Operation] = {
    "place": Operation(
        "place",
        "absent",
        lambda side, name, record, number: {
            "instance": SHOP,
            "capsule": FIRST,
            "to_hn": f"hn-{side}",
            "public_address": ADDRESS[side],
            "answer_timeout": 20,
        },
        "running",
    ),
    "suspend": Operation("suspend", "running", lambda side, name, record, number: {"instance": name}, "suspended"),
    "resume": Operation("resume", "suspended", lambda side, name, record, number: {"instance": name, "answer_timeout": 20}, "running"),
    "move-suspend": Operation("move", "running", lambda side, name, record, number: _moved(side, name, "suspend"), "running"),
    "move-live": Operation("move", "running", lambda side, name, record, number: _moved(side, name, "live"), "running"),
    "move-within": Operation(
        "move",
        "running",
        lambda side, name, record, number: {"instances": name, "to_rm": f"rm-{side}-{2 if record['rm'].endswith('1') else 1}", "timeout": 20},
        "running",
    ),
    "drain": Operation("drain", "running", lambda side, name, record, number: {"instance": name, "timeout": 1, "at_deadline": "cut"}, "drained"),
    "clone": Operation(
        "clone",
        "running",
        lambda side, name, record, number: {"instances": name, "clones": _new(name), "capsule": f"c{number}", "answer_timeout": 20},
        "two",
    ),
    "scale-up": Operation("scale", "running", lambda side, name, record, number: _scaled(side, 2), "two"),
    "scale-down": Operation("scale", "two", lambda side, name, record, number: _scaled(side, 1), "running"),
    "update": Operation("update", "running", lambda side, name, record, number: _updated(side, record["capsule"]), "running", keeps=False),
    "remove": Operation("remove", "running", lambda side, name, record, number: {"instance": name}, "absent", keeps=False),
    "standby": Operation("standby", "running", lambda side, name, record, number: {**SERVICE, "to_hn": f"hn-{side}", "count": 1, "capsule": WARM}, "standby"),
}


class Point(t.NamedTuple):
    """A call that a device writes down.

    Attributes:
        step: the id of the first of its steps, as canonical() makes it.
        kind: the kind of device.
        seconds: how long it takes.
        side: where the service must be for it, if that matters: the VMA of the first HN leases what has no record.
    """

    step: str
    kind: str
    seconds: float
    side: str | None = None


class Case(t.NamedTuple):
    """An operation, a step of it and a fault."""

    operation: str
    point: Point
    fault: str

    @property
    def id(self) -> str:
        """Return what it is known by."""
        return f"{self.operation}:{self.point.step}:{self.fault}"


def code() -> str:
    """Return a digest of the code that cases try."""
    digest = hashlib.sha256()
    for part in ("plugins", "playbooks", "roles"):
        for path in sorted((ROOT / part).rglob("*")):
            if path.is_file() and path.suffix in (".py", ".yml", ".j2") and "lab" not in path.parts:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def canonical(step: str, side: str, known: t.Sequence[str], home: str | None = None) -> str:
    """Return a step's id as it would be if the service were in hn-east, its instances were numbered in their order, and its RM were called rm-home."""

    def numbered(match: re.Match) -> str:
        # Those that were there before come first.
        return f"shop-{known.index(match.group()) + 1 if match.group() in known else len(known) + 1}"

    named = NAMED.sub(numbered, step)
    named = named.replace(home, "rm-home") if home else named
    return re.sub("east|west", lambda match: _other(match.group()), named) if side == "west" else named


# Cases


class Failed(AssertionError):
    """A case led to what must not be; the words say to what."""


class Matrix:
    """Cases on the lab, one after the other.

    Args:
        mesh: the lab, set up.
        disks: whether its hosts get disks of their own, for the faults that need them; they are powered off and on for that. Without, others may have used
            the lab before, and what they have left there does not count.
    """

    def __init__(self, mesh: Mesh, disks: bool = True, say: t.Callable[[str], None] = print) -> None:
        self.mesh, self.say = mesh, say
        self.hosts = {name: Host(name) for name in (*mesh.group("rms"), *mesh.group("vmas"), *mesh.group("dns_servers"))}
        self.client = Host("client-east")
        self.disks, self.number, self.code = disks, int(time.time()) % 1_000_000, code()
        self.typed: list[str] = []
        self.lost: list[str] = []
        #: What the one instance that counts must still have: its name, boot, notes, and the case that was the last to touch it.
        self.kept: dict[str, t.Any] | None = None
        self._left: frozenset[str] = frozenset()
        if not disks:
            self._left = frozenset(self.look().wrong)

    # Setting up

    def set_up(self) -> None:
        """Set the hosts up, import the capsules, and remember all that."""
        if self.disks and hosts_outside.kept(list(self.hosts.values())):
            # An earlier run was ended in the middle of something.
            self.start_over()
        self.must("site", {})
        for version in (FIRST, SECOND):
            variables = {**CAPSULE, "capsule_import_version": version, "capsule_import_rm": "rm-east-1"}
            with tempfile.NamedTemporaryFile("w", suffix=".yml") as told:
                yaml.safe_dump(variables, told)
                told.flush()
                self.must("capsule_import", {}, f"@{told.name}")
        self.reach("absent")
        self.must("place", OPERATIONS["place"].variables("east", SHOP, {}, 0))
        self.must("clone", {"instances": SHOP, "clones": "shop-2.example.com", "capsule": WARM})
        self.reach("absent")
        if self.disks:
            hosts_outside.with_disks(list(self.hosts.values()))
            hosts_outside.keep(list(self.hosts.values()))

    def start_over(self) -> None:
        """Have all hosts be what they were when they had been set up."""
        self.kept = None
        for each in self.hosts.values():
            with contextlib.suppress(AssertionError):
                each.join()
        if self.disks:
            hosts_outside.go_back(list(self.hosts.values()))
        else:
            self.mesh.start_over()
            self.set_up()

    # What an operator does

    def operator(self, verb: str, variables: t.Mapping[str, t.Any], extra: str | None = None, limit: str | None = None) -> Controller:
        """Run a playbook to its end."""
        controller = Controller(verb, variables, limit, extra)
        if not controller.ended(HANGS if verb != "site" else 400):
            controller.kill()
        self.typed.append(f"{verb}: {'well' if controller.well else controller.sentence}")
        return controller

    def must(self, verb: str, variables: t.Mapping[str, t.Any], extra: str | None = None) -> Controller:
        """Run a playbook, which has to end well."""
        done = self.operator(verb, variables, extra)
        if not done.well:
            raise Failed(f"{verb} {dict(variables)} fails: {done.sentence}")
        return done

    def look(self) -> Look:
        """Look from outside."""
        seen = look(self.hosts)
        return dataclasses.replace(seen, wrong=[each for each in seen.wrong if each not in self._left])

    def reach(self, state: str) -> Look:
        """Bring the mesh into one of the states that operations begin in."""
        for unused in range(12):
            seen = self.look()
            if seen.state == state:
                return seen
            self._nearer(state, seen)
        raise Failed(f"the state {state} cannot be reached: {seen.all}")

    def _nearer(self, state: str, seen: Look) -> None:
        here = sorted(seen.all, key=lambda record: (record["state"] == "suspended", record["instance"]))
        if not here:
            self.kept = None
            side = SIDES[self.number % 2]
            self.must("place", OPERATIONS["place"].variables(side, SHOP, {}, 0))
        elif state == "absent" or len(here) > (2 if state == "two" else 1):
            self.must("remove", {"instance": here[-1]["instance"]})
        elif len(here) == 2:
            # Two that do not both serve.
            self.must("remove", {"instance": here[-1]["instance"]})
        elif state == "two" and seen.state == "running":
            self.must("scale", _scaled(here[0]["side"], 2))
        elif state == "suspended":
            self.must("suspend", {"instance": here[0]["instance"]})
        else:
            self.must("resume", {"instance": here[0]["instance"]})

    # What clients see

    def call(self, address: str, path: str, timeout: float = 2) -> str:
        """Return what a client in the east gets."""
        try:
            return self.client.inside("curl", "-s", "-m", str(timeout), f"http://{address}/cgi-bin/{path}", check=False)
        except subprocess.TimeoutExpired:
            return ""

    def page(self, address: str) -> dict[str, t.Any] | None:
        """Return the guest's page."""
        text = self.call(address, "page")
        try:
            return json.loads(text) if text else None
        except ValueError:
            return None

    def note(self, seen: Look, case: str) -> None:
        """Have the one instance that serves keep something, and remember what it must be from now on."""
        serving = [record for record in seen.all if record["in_rotation"]]
        if len(serving) != 1:
            return
        (record,) = serving
        address, words = record["public_address"], f"{case}-{self.number}"
        page = until(lambda: self.page(address), 20, f"{record['instance']} answers at {address}")
        written = self.call(address, f"write?{words}", 5)
        notes = [words] if words in written else []
        if self.kept and self.kept["instance"] == record["instance"]:
            notes = [*self.kept["notes"][-3:], *notes]
        self.kept = {"instance": record["instance"], "boot": page["boot_id"], "counter": page["counter"], "notes": notes, "since": case}

    def verify(self, seen: Look, memory: bool) -> list[str]:
        """Return what the instance that counts has lost, if it serves."""
        kept = self.kept
        if kept is None:
            return []
        mine = [record for record in seen.all if record["instance"] == kept["instance"]]
        if not mine:
            return [f"{kept['instance']} is gone"]
        record = mine[0]
        if not record["in_rotation"]:
            return []
        serving = sum(each["in_rotation"] and each["public_address"] == record["public_address"] for each in seen.all)
        boots, notes = set(), []
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            page = self.page(record["public_address"])
            if page is None:
                time.sleep(0.2)
                continue
            boots.add(page["boot_id"])
            notes.append(self.call(record["public_address"], "notes", 4))
            if (not memory or kept["boot"] in boots) and any(all(note in told for note in kept["notes"]) for told in notes):
                return []
            if len(notes) > 12 * serving:
                break
        if not boots:
            return [f"nobody answers at {record['public_address']}"]
        wrong = [] if not memory or kept["boot"] in boots else [f"{kept['instance']} has lost its memory"]
        if not any(all(note in told for note in kept["notes"]) for told in notes):
            wrong.append(f"{kept['instance']} has lost what it had written: {kept['notes']}, its disk says {notes[-1][-300:]!r}")
        return wrong

    # A case

    def learn(self, operation: str) -> list[Point]:
        """Run an operation without a fault, and return its points in the order of their steps' ids."""
        entries: list[tuple[str, dict[str, t.Any]]] = []
        started = self._begin(operation)
        with Watch(list(self.hosts.values()), lambda host, entry: entries.append((host.name, entry))):
            if not started.controller.ended(HANGS) or not started.controller.well:
                raise Failed(f"{operation} fails without a fault: {started.controller.sentence}")
        found: dict[str, Point] = {}
        began: dict[str, float] = {}
        for device, entry in entries:
            step = started.canonical((entry.get("begun") or entry["ended"]["ids"])[0])
            if "begun" in entry:
                began[step] = entry["at"]
            else:
                side = started.side if ".gw-" in step else None
                found[step] = Point(step, faults.kind_of(device), round(entry["at"] - began.get(step, entry["at"]), 3), side)
        wrong = [*self.look().wrong, *self.look().open]
        if wrong:
            raise Failed(f"{operation} leaves something without a fault: {wrong}")
        return [found[step] for step in sorted(found)]

    def _begin(self, operation: str, side: str | None = None) -> _Started:
        about = OPERATIONS[operation]
        self.number += 1
        seen = self.reach(about.needs)
        if about.needs == "running":
            self.note(seen, operation)
        elif operation == "scale-down" and self.kept and self.kept["instance"] != min(record["instance"] for record in seen.all):
            # The one with the highest number leaves.
            self.kept = None
        here = sorted(seen.all, key=lambda record: (record["state"] == "suspended", record["instance"]))
        record = here[0] if here else {}
        side = record.get("side", side or SIDES[self.number % 2])
        variables = about.variables(side, record.get("instance", SHOP), record, self.number)
        if operation == "clone":
            self._forget_clones(seen)
        self.typed.clear()
        return _Started(Controller(about.verb, variables), side, [each["instance"] for each in here], variables, record, seen)

    def _forget_clones(self, seen: Look) -> None:
        """Remove the capsules of earlier clones, which take room, unless somebody lives from them."""
        used = {record["capsule"] for record in seen.all}
        versions = {
            path.stem
            for name, each in self.hosts.items()
            if name.startswith("rm-")
            for path in each.path("/var/lib/vmatrix/store/capsules/example.com/shop").glob("c*.json")
        }
        for version in sorted(versions - used)[:-2]:
            self.mesh.everywhere("rms", "capsule", domain="example.com", name="shop", version=version, state="absent")

    def run(self, case: Case, seed: str) -> dict[str, t.Any]:
        """Run a case and return what came of it: C(outcome), C(violations), the sentences, and how long the recovery took."""
        began = time.monotonic()
        result: dict[str, t.Any] = {"id": case.id, "operation": case.operation, "step": case.point.step, "fault": case.fault, "code": self.code}
        result.update(at=datetime.datetime.now().isoformat(timespec="seconds"), hit="", outcome="", recover=None, service=None, said="", violations=[])
        try:
            self._run(case, result, random.Random(f"{seed} {case.id}"))
        except (AssertionError, subprocess.SubprocessError, OSError) as exc:
            result["violations"].append(str(exc) or repr(exc))
        result.update(typed=list(self.typed), wall=round(time.monotonic() - began, 1))
        return result

    def _run(self, case: Case, result: dict[str, t.Any], chance: random.Random) -> None:
        fault, about = FAULTS[case.fault], OPERATIONS[case.operation]
        with tempfile.TemporaryDirectory() as there:
            saved = {name: os.path.join(there, name) for name in self.hosts if name.startswith("gw-")}
            if fault.registry:
                self.reach(about.needs)
                for name, path in saved.items():
                    faults.save_registry(self.hosts[name], path)
            delay = chance.uniform(0, case.point.seconds) if fault.moment == "begun" and case.point.seconds > 0.05 else 0
            started = self._begin(case.operation, case.point.side)
            struck = _Blow(self, case, started, saved, delay)
            with Watch(list(self.hosts.values()), struck.told) as watch:
                until(lambda: struck.done.is_set() or not started.controller.runs() or watch.problem, HANGS, "the step begins, or all ends")
            if watch.problem:
                raise watch.problem
            result["hit"] = struck.hit
            if struck.strike is None:
                started.controller.ended(HANGS)
            elif fault.at_once:
                fault.mend(struck.strike)
                if not started.controller.ended(HANGS):
                    result["hung"] = True
            else:
                longest = faults.HELD if case.fault == "registry-locked" else LONGEST
                if not started.controller.ended(longest):
                    result["hung"] = case.fault != "registry-locked"
                fault.mend(struck.strike)
                if not started.controller.ended(HANGS):
                    result["hung"] = True
            started.controller.kill()
            result["said"] = started.controller.sentence if "controller" not in case.fault else ""
            self._recovered(case, started, struck, result)

    def _recovered(self, case: Case, started: _Started, struck: _Blow, result: dict[str, t.Any]) -> None:
        fault, about = FAULTS[case.fault], OPERATIONS[case.operation]
        faults.settled(self.hosts.values())
        with _Answering(self) as answering:
            healed = time.monotonic()
            if fault.registry:
                self._rebuild(struck)
            self._recover(result)
            result["recover"] = round(time.monotonic() - healed, 2)
            # A registry that was lost or restored has forgotten it.
            result["outcome"] = "forgotten" if fault.registry else self._outcome(started)
            again = self._again(about.verb, started, result)
            if self._revive():
                # That put it into service.
                again = self._again(about.verb, started, result)
            seen = self.look()
            if fault.registry and case.operation == "update" and seen.state == "two":
                # The registry has forgotten which of them was to replace the other.
                self.must("scale", {**_scaled(started.side, 1), "capsule": started.variables["capsule"]})
                seen = self.look()
            if again and any(record["in_rotation"] for record in seen.all):
                until(lambda: answering.since is not None, 30, "somebody answers")
                result["service"] = round(t.cast(float, answering.since) - healed, 2)
        lost = bool(re.search(r"shop-", struck.hit))
        wrong = [*seen.wrong, *seen.open]
        if seen.state != about.leads_to:
            wrong.append(f"the state is {seen.state} and not {about.leads_to}: {[(each['instance'], each['rm'], each['state']) for each in seen.all]}")
        if about.keeps and case.operation != "place":
            if lost and self.kept:
                wrong += self.verify(seen, memory=False)
                self.kept = None
            else:
                wrong += self.verify(seen, memory=True)
        else:
            self.kept = None
        result["violations"] += wrong

    def _rebuild(self, struck: _Blow) -> None:
        """Do what is to be done when a registry was lost."""
        assert struck.strike is not None
        side = struck.strike.host.name.partition("-")[2]
        if FAULTS["registry-lost"].strike is FAULTS[struck.fault].strike:
            self.must_limited("site", f"gw-{side}:rm-{side}-1:rm-{side}-2")
        self.must("rebuild", {"hn": f"hn-{side}"})

    def must_limited(self, verb: str, limit: str) -> None:
        """Run a playbook on some hosts, which has to end well."""
        done = self.operator(verb, {}, limit=limit)
        if not done.well:
            raise Failed(f"{verb} fails: {done.sentence}")

    def _recover(self, result: dict[str, t.Any]) -> None:
        """Recover until there is nothing to recover any more."""
        over: dict[str, t.Any] = {}
        for unused in range(5):
            done = self.operator("recover", over)
            if "nothing to recover" in done.output:
                return
            result.setdefault("recovered", []).append(done.sentence)
            if "is busy in" in done.sentence:
                over = {"operation_take_over": "true"}
            self._do_as_told(done.sentence)
        raise Failed(f"recover comes to no end: {done.sentence}")

    def _again(self, verb: str, started: _Started, result: dict[str, t.Any]) -> bool:
        """Run the operation once more, and do what its sentence says, until it ends well."""
        for unused in range(4):
            done = self.operator(verb, started.variables)
            if done.well:
                return True
            words = done.sentence
            result.setdefault("again", []).append(words)
            if not self._do_as_told(words) and "recover" in words:
                self._recover(result)
            self._revive()
        raise Failed(f"{verb} cannot be made to end well: {words}")

    def _do_as_told(self, words: str) -> bool:
        """Rebuild the registry that a sentence names, if it does."""
        named = re.search(r"rebuild_hn=(hn-[a-z]+)", words)
        if named:
            self.operator("rebuild", {"hn": named.group(1)})
        return bool(named)

    def _revive(self) -> bool:
        """Place again what is recorded as running and was switched off, for nothing starts it by itself; return whether there was something."""
        seen, found = self.look(), False
        for record in seen.all:
            if record["state"] == "running" and record["instance"] not in seen.running[record["rm"]]:
                where = {"to_hn": f"hn-{record['side']}", "public_address": record["public_address"]}
                self.operator("place", {"instance": record["instance"], "capsule": record["capsule"], **where})
                found = True
        return found

    def _outcome(self, started: _Started) -> str:
        """Return what became of the operation, as the VMAs keep it."""
        before = {run["run"] for runs in started.before.runs.values() for run in runs}
        after = {run["run"]: run for runs in self.look().runs.values() for run in runs if run["run"] not in before}
        first = min(after.values(), key=lambda run: run["began"], default=None)
        return str(first["outcome"]) if first else "not begun"


class _Started(t.NamedTuple):
    """An operation that was begun: on which side the service was, the instances that were there, and what it was told."""

    controller: Controller
    side: str
    known: list[str]
    variables: dict[str, t.Any]
    record: Record
    before: Look

    def canonical(self, step: str) -> str:
        """Return a step's id as points have it."""
        return canonical(step, self.side, self.known, self.record.get("rm"))


class _Blow:
    """Strikes a fault once, when a device writes down that it has come to the case's step."""

    def __init__(self, matrix: Matrix, case: Case, started: _Started, saved: dict[str, str], delay: float) -> None:
        self._matrix, self._case, self._started, self._saved, self._delay = matrix, case, started, saved, delay
        self.fault = case.fault
        self.strike: Strike | None = None
        self.hit = ""
        self.done = threading.Event()

    def told(self, host: Host, entry: dict[str, t.Any]) -> None:
        """Strike if this is the moment."""
        fault = FAULTS[self._case.fault]
        ids = entry.get("begun") if fault.moment == "begun" else (entry.get("ended") or {}).get("ids")
        if self.done.is_set() or not ids or self._case.point.step not in map(self._started.canonical, ids):
            return
        strike = Strike(self._started.controller, host, self._matrix.hosts, self._saved)
        if self._delay:
            # Somewhere within the step; nothing is waited for.
            time.sleep(self._delay)
        with host.frozen() if fault.still else contextlib.nullcontext():
            self.hit = fault.strike(strike)
        self.strike = strike
        self.done.set()


class _Answering:
    """Notes since when the service answers at one of its addresses without a break."""

    def __init__(self, matrix: Matrix) -> None:
        self._matrix, self._over = matrix, threading.Event()
        self.since: float | None = None
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> _Answering:
        self._thread.start()
        return self

    def __exit__(self, *_unused: t.Any) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.5):
            answers = any(self._matrix.page(address) for address in ADDRESS.values())
            self.since = (self.since or time.monotonic()) if answers else None


# All of them


def points(matrix: Matrix, operations: t.Iterable[str]) -> dict[str, list[Point]]:
    """Return the points of operations, learnt once for the same code."""
    known = {
        each["operation"]: [Point(*point) for point in each["points"]] for each in fault_results.load() if "points" in each and each["code"] == matrix.code
    }
    for operation in operations:
        if operation not in known:
            known[operation] = matrix.learn(operation)
            fault_results.append({"operation": operation, "points": known[operation], "code": matrix.code})
            matrix.say(f"{operation}: {', '.join(point.step for point in known[operation])}")
    return {operation: known[operation] for operation in operations}


def cases(found: t.Mapping[str, t.Sequence[Point]], kinds: t.Iterable[str], seed: str) -> list[Case]:
    """Return all cases, shuffled."""
    every = [Case(operation, point, fault) for operation in sorted(found) for point in found[operation] for fault in kinds if point.kind in FAULTS[fault].where]
    random.Random(seed).shuffle(every)
    return every


def through(matrix: Matrix, todo: list[Case], seed: str, number: int) -> list[dict[str, t.Any]]:
    """Run so many of the cases that this code was not tried with, first those for which the mesh is ready, and return what came of each."""
    done = {each["id"]: each["code"] == matrix.code for each in fault_results.load() if each.get("id")}
    # What was tried with other code is tried again last.
    left = sorted((case for case in todo if not done.get(case.id)), key=lambda case: case.id in done)
    came = []
    while left and len(came) < number:
        seen = matrix.look()
        ready = [each for each in left if OPERATIONS[each.operation].needs == seen.state]
        here = [each for each in ready if each.point.side in (None, *(record["side"] for record in seen.all)) or not seen.all]
        case = next(iter(here or ready or left))
        left.remove(case)
        result = matrix.run(case, seed)
        fault_results.append(result)
        came.append(result)
        spoken = "; ".join(result["violations"]) or f"{result['outcome']}, recovered in {result['recover']} s"
        matrix.say(f"{len(came)}. {case.id} ({result['hit'] or 'nothing hit'}; {result['wall']} s): {spoken}")
        if result["violations"]:
            matrix.start_over()
    return came
