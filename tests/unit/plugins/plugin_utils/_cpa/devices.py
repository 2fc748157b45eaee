# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The devices of a mesh, made of air, but for the VMAs: those are real, with a registry each.

They know what plans can go wrong by: epochs and fences, what a hand-over leaves at either end, stale documents, who answers, and who was told of whom. Each
can fail once before or after it does something, and cease to answer.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import functools
import json
import sqlite3
import typing as t
from unittest import mock

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.manifest import requirements
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import document as documents
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import vma
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import capsules, hn, journal, leases, overview, registry, restarts, rms, runs, witness
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa

#: What can befall a call: it fails before it has done anything, or when all is done; or its device does not answer (any more), with nothing or all of it done.
BEFORE, AFTER, SILENT, LOST = "before", "after", "silent", "lost"
#: And what can befall a hand-over: it ends when the source has given the instance up (or, alive, when it is not there any more) and nothing was handed over; or
#: when it was, but the source does not hear of it. The target cannot resume what it has taken over.
MIDDLE, UNHEARD = "middle", "unheard"
#: And whatever an RM does: its power fails before, or when it has changed something and not flushed it yet, or after.
CUT_BEFORE, CUT_BETWEEN, CUT_AFTER = "cut before", "cut between", "cut after"
#: What is on a disk that was not flushed when the power failed.
TORN = -1
#: The registries after so many questions are remembered.
REMEMBERED = 2000
#: The registry of whichever VMA is asked.
URL = "sqlite://"


class Lost(Exception):
    """The device does not answer from here on."""


class Killed(Exception):
    """The engines ended without an answer."""


class PowerCut(Exception):
    """The power of the device failed in the middle of a call."""


class Guest:
    """An instance on an RM.

    Attributes:
        state: C(running), C(suspended), C(stopped), or C(coming): paused, and not handed over yet.
        capsule: the version of its capsule.
        epoch: the one in which it lives.
        wrote: the last that it has written to its disk and somebody was told of.
        came: whether its disk was brought here by a hand-over.
        flushed: whether all of it is on the disk of its RM.
        leaving: to whom it was brought alive, and in which epoch.
        handed_over: to whom it was handed over, and in which epoch.
        paused: why QEMU has paused it, if it has.
    """

    def __init__(self, state: str, capsule: str, epoch: int, wrote: int = 0, came: bool = False) -> None:
        self.state, self.capsule, self.epoch, self.wrote, self.came = state, capsule, epoch, wrote, came
        self.flushed = not came
        self.leaving: tuple[int, str] | None = None
        self.handed_over: tuple[int, str] | None = None
        self.paused: str | None = None


class Parcel(t.NamedTuple):
    """What was committed to an RM: a capsule's version and what its disk has, or that nothing comes; and in which boot of the RM."""

    version: str | None
    wrote: int
    boot: int


def followed(name: str, latest: int, number: int) -> str:
    """Return what a device says that has acted under a later lease, as C(_core.fence) does."""
    return f"Another operation has come to {name} since this one began (its lease is {latest}, this one's {number}); nothing was done."


def _known(known: int, epoch: int) -> str:
    """Return what an RM says that knows of another epoch, as C(_hypervisor.epochs) does."""
    why = f"this RM knows of epoch {known}." if epoch < known else "the right to run it in that epoch was given up here."
    remedy = "Unless it lives elsewhere by now, the registry of its HN has forgotten what it granted: rebuild it by the playbook rebuild, and run this again."
    return f"{why} {remedy}"


def _broken(mode: str | None, when: str, result: dict | None = None) -> None:
    if mode == CUT_BETWEEN and when == MIDDLE:
        raise PowerCut
    if mode == when:
        raise MeshError(f"It broke {when}.", result)


class Rm:
    """An RM: its guests, what it knows of epochs and leases, its capsules, and what other RMs have committed to it."""

    def __init__(self, name: str, hn: str, capsules: t.Iterable[dict]) -> None:
        self.name, self.hn = name, hn
        self.guests: dict[str, Guest] = {}
        self.epochs: dict[str, tuple[int, bool]] = {}
        self.leases: dict[str, int] = {}
        self.capsules = {(each["name"], each["version"]): each for each in capsules}
        self.parcels: dict[tuple[str, int], Parcel] = {}
        self.boot = 1
        #: Bytes that are missing for what its instances were promised.
        self.missing = 0
        #: The parcels that it waits for at this moment, with a door open for what comes alive.
        self.awaits: set[tuple[str, int]] = set()

    def known(self, name: str) -> tuple[int, bool]:
        return self.epochs.get(name, (0, False))

    def held(self, name: str, version: str) -> dict:
        service = name.rpartition("-")[0] if "." not in name else name.split(".")[0].rpartition("-")[0]
        if (service, version) not in self.capsules:
            raise NotFound(f"{self.name} does not hold the capsule {service} {version}.")
        return self.capsules[service, version]

    def follow(self, order: dict, common: dict, check: bool) -> None:
        """Act under a lease and under no earlier one, as C(_hypervisor.epochs.follow) does."""
        name, numbers = order["name"], common["lease"]["numbers"]
        if name in numbers and numbers[name] < self.leases.get(name, 0):
            raise Refused(followed(name, self.leases[name], numbers[name]))
        if not check:
            # What only finds out if something could be done may come before the lease.
            self.leases[name] = numbers[name]

    def cut(self) -> None:
        """Lose the power, and start again: what ran does not run any more, and what was not flushed is not there, as C(_hypervisor.state.settle) has it."""
        self.boot += 1
        self.awaits.clear()
        for name, guest in list(self.guests.items()):
            if guest.state == "coming" and self.known(name) != (guest.epoch, True):
                del self.guests[name]
            elif guest.state != "suspended" or not guest.flushed:
                guest.state = "stopped"
            if guest.came and not guest.flushed:
                guest.wrote = TORN

    @staticmethod
    def flush(guest: Guest) -> None:
        """Have what an instance has outlast a power cut."""
        guest.flushed = True

    # Life

    def ensure(self, order: dict, mode: str | None, check: bool, common: dict) -> dict:
        """Bring an instance into a state, as C(_hypervisor.instance.ensure) does."""
        _broken(mode, BEFORE)
        name, wanted, epoch = order["name"], order["state"], order.get("epoch")
        (known, here), guest = self.known(name), self.guests.get(name)
        if wanted == "absent":
            number = known if epoch is None else epoch
            if number < known:
                if common.get("may_be_outdated"):
                    return {"action": None, "anew": False}
                raise Refused(f"The order to give {name} up in epoch {number} is outdated: {self.name} knows of epoch {known}.", {"known_epoch": known})
            if not check:
                self.epochs[name] = (number, False)
                _broken(mode, MIDDLE)
                self.guests.pop(name, None)
        else:
            anew = wanted == "running" and (guest is None or guest.state == "stopped")
            self._live(name, wanted, order, known, here, guest, common, check)
            if not check:
                self.guests[name].flushed = self.guests[name].flushed and wanted != "suspended"
                _broken(mode, MIDDLE)
                self.flush(self.guests[name])
            if anew:
                _broken(mode, AFTER)
                return {"action": "started", "anew": True}
        _broken(mode, AFTER)
        return {"action": "done", "anew": False}

    def _live(self, name: str, wanted: str, order: dict, known: int, here: bool, guest: Guest | None, common: dict, check: bool) -> None:
        epoch, capsule = order.get("epoch"), order.get("capsule")
        state = guest.state if guest else "absent"
        if guest and guest.wrote == TORN and wanted == "running":
            raise Refused(
                f"{name} had just come to this RM when that failed, so its disks may not be whole here. The RM that sent it has everything: recover, or run "
                "the move again."
            )
        if state == "coming":
            raise Refused(f"{name} is coming to {self.name} by a move that was not brought to its end.")
        if state == "absent" and not (wanted == "running" or wanted == "suspended" and capsule):
            raise NotFound(f"There is no instance {name} on {self.name}.")
        if state == "absent" and not capsule:
            raise Refused(f"{name} was never started on {self.name}.")
        if guest and capsule not in (None, guest.capsule) and wanted == "running" and state in ("running", "stopped"):
            raise Refused(f"{name} on {self.name} comes from {guest.capsule}, not from {capsule}.")
        if wanted == "suspended" and state == "stopped":
            raise Refused(f"{name} is {state}: only a running instance can be suspended. What was stopped, or lost its power, is started again by place.")
        if wanted == "stopped" and state == "suspended" and not common.get("stop_force"):
            raise Refused(f"{name} is {state} on {self.name}, and cannot become {wanted}.")
        if epoch is not None and (epoch < known or epoch == known and not here):
            raise Refused(f"{name} may not run here with epoch {epoch}: {_known(known, epoch)}")
        if guest and guest.paused:
            if wanted == "suspended" and state == "running":
                raise Refused(f"{name} cannot be suspended: its guest is paused, for {guest.paused}. Mend that and resume it first.")
            if wanted == "running" and common.get("go_on") and self.missing:
                raise Refused(
                    f"{name} cannot go on: {self.missing} bytes of what it and the other instances here may still take are missing below /. Make room there, "
                    "and resume it again."
                )
        manifest = self.held(name, capsule) if state == "absent" else None
        if manifest and wanted == "suspended" and manifest["memory"] is None:
            raise Refused(f"The capsule {capsule} holds no memory.")
        if not check:
            number = known if epoch is None else epoch
            self.epochs[name] = (number, True)
            guest = guest or Guest("stopped", capsule, number)
            guest.state, guest.epoch = wanted, number
            guest.paused = guest.paused if wanted == "running" and not common.get("go_on") else None
            self.guests[name] = guest

    def awake(self, order: dict, check: bool) -> bool:
        """Start an instance again that lost its power, as C(_steps.instances.awake) does."""
        guest = self.guests.get(order["name"])
        if not guest or guest.state != "stopped" or self.known(order["name"]) != (order["epoch"], True):
            return False
        if guest.leaving and guest.leaving[0] > order["epoch"]:
            # It may be paused there, with all that is in its memory.
            return False
        self.ensure({**order, "state": "running"}, None, check, {})
        return True

    def powerless(self) -> dict[str, int]:
        """Return the epochs of what lost its power here, as C(_cutover.restart.powerless) does."""
        found = {name: self.known(name)[0] for name, guest in self.guests.items() if guest.state == "stopped" and self.known(name)[1]}
        return {name: epoch for name, epoch in found.items() if not (self.guests[name].leaving and self.guests[name].leaving[0] > epoch)}

    # Hand-over

    def give(self, order: dict, live: bool, peer: Rm | None, mode: str | None, check: bool) -> dict:
        """Hand an instance over, as C(_cutover.source.give) and C(_cutover.live.give) do; *peer* is None where it does not answer."""
        _broken(mode, BEFORE, {"handed_over": "no"})
        name, epoch, to = order["name"], order["epoch"], order["peer"]["name"]
        (known, here), guest = self.known(name), self.guests.get(name)
        given_up, left = (known, here) == (epoch, False), False
        if given_up and (guest is None or not live or self._noted(guest.handed_over, name, epoch, to)):
            surely = guest is None or self._noted(guest.handed_over, name, epoch, to)
            return {"handed_over": "yes" if surely else "unknown", **self._shown(name)}
        if live and guest and guest.state != "running":
            left = self._noted(guest.leaving, name, epoch, to)
        if epoch <= known and not left:
            raise Refused(f"{name} cannot leave {self.name} with epoch {epoch}: it knows of epoch {known}.")
        if known and not here and not left:
            raise Refused(f"{name} cannot leave {self.name} with epoch {epoch}: it was given up in epoch {known}.")
        if not left and (guest is None or guest.state not in (("running",) if live else ("running", "suspended"))):
            raise NotFound(f"There is no instance {name} on {self.name} to hand over.", self._shown(name))
        if guest and guest.paused:
            raise Refused(f"{name} cannot {'move' if live else 'be suspended'}: its guest is paused, for {guest.paused}. Mend that and resume it first.")
        if peer is None:
            raise MeshError(f"{to} cannot be reached from {self.name}.", {} if left else {"handed_over": "no"})
        if check:
            return {"handed_over": "no", **self._shown(name)}
        if live:
            self._send(name, guest, epoch, peer, left, given_up, mode)
        else:
            guest.state, guest.flushed = "suspended", guest.state == "suspended" and guest.flushed
        self.epochs[name] = (epoch, False)
        if not live:
            _broken(mode, MIDDLE, {"handed_over": "no"})
        peer.parcels[name, epoch] = Parcel(guest.capsule, guest.wrote, peer.boot)
        _broken(mode, UNHEARD, {"handed_over": "unknown"})
        guest.handed_over = (epoch, peer.name)
        self.flush(guest)
        _broken(mode, AFTER)
        return {"handed_over": "yes", **self._shown(name)}

    def _shown(self, name: str) -> dict:
        return {"instance": {"state": self.guests[name].state if name in self.guests else "absent"}}

    def _send(self, name: str, guest: Guest, epoch: int, peer: Rm, left: bool, given_up: bool, mode: str | None) -> None:
        waits = (name, epoch) in peer.awaits
        there = peer.guests.get(name)
        arrived = there is not None and there.state == "coming"
        if not left:
            if not waits:
                raise MeshError(f"{peer.name} does not await {name}.", {"handed_over": "no"})
            peer.guests[name] = Guest("coming", guest.capsule, epoch, guest.wrote, True)
            guest.state, guest.leaving = "stopped", (epoch, peer.name)
            # It ended here, and whether it came there is not known.
            _broken(mode, MIDDLE, {"handed_over": "unknown"})
        elif not given_up:
            if not waits:
                raise DeadlineExceeded(f"{peer.name} did not say whether {name} has arrived.", {"handed_over": "unknown"})
            if not arrived:
                guest.leaving = None
                peer.parcels[name, epoch] = Parcel(None, 0, peer.boot)
                why = f"its guest ended on the way, and is not on {peer.name} either; what was in its memory alone is lost"
                raise NotFound(f"{name} was not handed over (it is stopped here, with its disks, and can be started again): {why}.", {"handed_over": "no"})

    @staticmethod
    def _noted(said: tuple[int, str] | None, name: str, epoch: int, to: str) -> bool:
        if said is None or said[0] != epoch:
            return False
        if said[1] != to:
            raise Refused(f"{name} was handed over to {said[1]} in epoch {epoch}; look for it there.", {"handed_to": said[1]})
        return True

    def lets_in(self, order: dict) -> bool:
        """Whether it opens the door for what is to come alive."""
        known, here = self.known(order["name"])
        guest = self.guests.get(order["name"])
        return (order["epoch"] > known or (order["epoch"] == known and here)) and (guest is None or guest.state == "coming")

    def take(self, order: dict, live: bool, mode: str | None, check: bool) -> dict:
        """Take an instance over, as C(_cutover.target.take) and C(_cutover.live.take) do."""
        _broken(mode, BEFORE)
        name, epoch, wanted = order["name"], order["epoch"], order.get("state", "running")
        (known, here), guest = self.known(name), self.guests.get(name)
        state = guest.state if guest else "absent"
        arrived = (known, here) == (epoch, True) and state in ("running", "suspended")
        if arrived and state in ("running", wanted):
            if not check:
                self.flush(guest)
            return {"instance": {"state": state}}
        if (known, here, state, wanted) == (epoch, True, "stopped", "running"):
            # It lost its power since.
            self.ensure({"name": name, "state": "running", "epoch": epoch}, mode, check, {})
            return {}
        if live and state == "absent" and (known, here) == (epoch, False):
            raise self._gone(name, epoch, NotFound(f"{name} was given up on {self.name} in epoch {epoch}."))
        if epoch < known or epoch == known and not here:
            raise Refused(f"{name} may not run here with epoch {epoch}: {_known(known, epoch)}")
        if state == "running" or live and state in ("suspended", "stopped") or not live and state == "coming":
            raise Refused(f"{name} is {state} on {self.name} already.")
        if check:
            return {}
        if not arrived:
            if (name, epoch) not in self.parcels:
                late = DeadlineExceeded(f"{name} was not handed over to {self.name} in time.")
                raise self._gone(name, epoch, late) if live and state == "absent" else late
            parcel = self.parcels[name, epoch]
            if parcel.version is not None and not live and parcel.boot != self.boot:
                raise Refused(f"{name} was handed over before {self.name} failed; whoever sent it has everything.")
            del self.parcels[name, epoch]
            if parcel.version is None:
                if state == "coming":
                    del self.guests[name]
                raise Refused(f"{name} goes on where it was.")
            if live and state != "coming":
                raise self._gone(name, epoch, NotFound(f"{name} was handed over, but is not on {self.name}."))
            self.held(name, parcel.version)
            self.epochs[name] = (epoch, True)
            # The disk that came alive was flushed when it had arrived, and who is paused with it goes on.
            wrote = guest.wrote if live and guest else parcel.wrote
            self.guests[name] = Guest("running" if live else "suspended", parcel.version, epoch, wrote, came=not live)
            if not live or mode == CUT_BETWEEN:
                _broken(mode, MIDDLE, {"instance": {"state": "suspended"}})
        self.guests[name].state = wanted
        self.flush(self.guests[name])
        _broken(mode, AFTER)
        return {"downtime": 0.1, "bytes_wire": 7}

    def _gone(self, name: str, epoch: int, exc: MeshError) -> MeshError:
        """Give an epoch up in which nothing of an instance is here, as C(_cutover.live) does."""
        self.epochs[name] = (epoch, False)
        return type(exc)(f"{exc.message} What was in its memory alone is lost.", {"gone": True})

    # Capsules

    def publish(self, asked: dict, mode: str | None, check: bool) -> dict:
        _broken(mode, BEFORE)
        guest, version = self.guests.get(asked["instance"]), asked["version"]
        service = asked["instance"].split(".")[0].rpartition("-")[0]
        made = (service, version) not in self.capsules
        if made and (guest is None or guest.state not in ("running", "suspended")):
            raise Refused(f"{asked['instance']} has no memory on {self.name} that could be published.")
        blob = {"sha256": "1" * 64, "size": 4096}
        if made:
            base = self.held(asked["instance"], guest.capsule)
            capsule = {**base, "version": version, "memory": {"accelerator": "tcg", "blob": blob}}
            if check:
                return {"capsule": capsule, "requirements": requirements(capsule), "made": True}
            self.capsules[service, version] = capsule
        _broken(mode, AFTER)
        capsule = self.capsules[service, version]
        return {"capsule": capsule, "requirements": requirements(capsule), "made": made}

    def remove_capsule(self, asked: dict, check: bool) -> Outcome:
        key = (asked["name"], asked["version"])
        used = [name for name, guest in self.guests.items() if guest.capsule == key[1] and name.startswith(f"{key[0]}-")]
        if key in self.capsules and used:
            raise Refused(f"{used[0]} is made from the capsule {key[0]} {key[1]} on {self.name}.")
        found = self.capsules.get(key)
        if not check:
            self.capsules.pop(key, None)
        return Outcome(found is not None, None, None, {})


class Gateway:
    """A gateway: the documents in force, by domain, and the services whose tunnels can be made here."""

    def __init__(self, name: str, hn: str) -> None:
        self.name, self.hn = name, hn
        self.routers: dict[str, dict] = {}
        self.leases: dict[str, int] = {}
        self.keys: set[str] = set()

    def apply(self, arguments: dict, lives: t.Callable[[str], bool], check: bool) -> Outcome:
        """Bring a router to a document, as C(_gatehouse.gatehouse) does; *lives* says whether an instance of this HN could answer."""
        desired = arguments["document"]
        domain, previous = desired["domain"], self.routers.get(desired["domain"])
        leases = arguments["lease"]["numbers"]
        for name, number in leases.items():
            if number < self.leases.get(name, 0):
                raise Refused(followed(name, self.leases[name], number))
        if not check:
            self.leases.update(leases)
        plain = [{key: value for key, value in service.items() if key != "mappings"} for service in desired["services"]]
        document = documents.checked({**desired, "services": plain}) if plain else {**desired, "gateways": []}
        document = documents.merged(document, previous, leases)
        if not document["services"]:
            if not check:
                self.routers.pop(domain, None)
                self.keys.clear()
            return Outcome(previous is not None, None, None, {"router": None, "tunnels": {}})
        mappings = {service["name"]: service.get("mappings") for service in desired["services"]}
        if arguments.get("prepare"):
            document = documents.without_new(document, previous)
        if check:
            return Outcome(document != previous, None, None, {"router": document, "tunnels": {}})
        newcomers = documents.new_members(document, previous)
        brought = {each["service"] for each in arguments["tunnels"]}
        missing = [name for name, mapped in mappings.items() if mapped and name not in self.keys | brought]
        waits = arguments.get("answer_timeout", 0) > 0
        silent = [each["instance"] for each in newcomers if waits and not lives(each["instance"])]
        if newcomers and (missing or silent):
            # Its network is ready, and its rotation as it was.
            self.routers[domain] = documents.prepared(document, previous)
        known = {member["instance"] for service in document["services"] for member in service["members"]}
        silent += [each for each in arguments.get("asks", ()) if waits and each in known and each not in silent and not lives(each)]
        if missing:
            raise NotFound(f"The certificate of {missing[0]} is not on {self.name}.")
        if silent:
            raise DeadlineExceeded(f"{silent[0]} did not answer a request from {self.name}.")
        self.routers[domain] = document
        self.keys = (self.keys | brought) & set(mappings)
        return Outcome(document != previous, None, None, {"router": document, "tunnels": {}, "waited": []})

    def drain(self, arguments: dict, check: bool) -> Outcome:
        router = self.routers.get(arguments["domain"])
        if router is None:
            raise NotFound(f"{self.name} has no router of {arguments['domain']}.")
        staying = {member["address"] for service in router["services"] for member in service["members"]} & set(arguments["addresses"])
        if staying and not check:
            raise Refused(f"{min(staying)} is in rotation.")
        return Outcome(False, None, None, {"connections": 2, "ended": 1, "cut": 1})

    def serves(self, address: str) -> list[str] | None:
        """Return the members behind a public address; None where there is no such address."""
        found = [service for router in self.routers.values() for service in router["services"] if service["public_address"] == address]
        return [member["instance"] for service in found for member in service["members"]] if found else None


class NameServer:
    """A name server: the addresses of each HN that serves a name, and when its VMA said so."""

    def __init__(self) -> None:
        self.names: dict[str, dict[str, list[str]]] = {}
        self.numbers: dict[str, dict[str, int]] = {}
        self.leases: dict[str, int] = {}

    def follow(self, arguments: dict, served: t.Callable[[str, str], bool | None], check: bool) -> Outcome:
        """Let a name follow, as C(_dns.service.follow) does; *served* says whether somebody serves behind an HN's public address, None if it is not there."""
        for instance, number in arguments["lease"]["numbers"].items():
            if number < self.leases.get(instance, 0):
                raise Refused(followed(instance, self.leases[instance], number))
        if not check:
            self.leases.update(arguments["lease"]["numbers"])
        name = arguments["name"].partition(".steer.")[0]
        before = dict(self.names.get(name, {}))
        numbers = self.numbers.setdefault(name, {})
        for site in arguments["publish"]:
            for address in site["addresses"]:
                arriving = address not in [each for addresses in before.values() for each in addresses]
                found = served(site["hn"], address)
                # To be refused proves the way.
                if arriving and arguments["ask"]["type"] != "none" and not (found is not None if check else found):
                    raise DeadlineExceeded(f"{address} did not answer a request from the name server.")
        after = {**before, **{site["hn"]: site["addresses"] for site in arguments["publish"]}}
        said = {**numbers, **{site["hn"]: max(site["number"], numbers.get(site["hn"], 0)) for site in arguments["publish"]}}
        left = {each["hn"]: each["serving"]["number"] for each in arguments["leaves"] if not each["serving"]["served"]}
        gone = [hn for hn, number in left.items() if said.get(hn, 0) <= number]
        after = {hn: addresses for hn, addresses in after.items() if hn not in gone}
        if not check:
            self.names[name] = after
            self.numbers[name] = {hn: said[hn] for hn in after}
        return Outcome(before != after, None, None, {})


class _Database(sqlite3.Connection):
    """A database in memory, which is there still when a call has ended."""

    def close(self) -> None:
        """Leave it to the next call."""


DATABASE = sqlite3.connect(":memory:", factory=_Database, isolation_level=None)
DATABASE.execute("PRAGMA foreign_keys = ON")
# What is small is copied and compared faster.
DATABASE.execute("PRAGMA page_size = 1024")
DATABASE.execute("VACUUM")
EMPTY = DATABASE.serialize()


@functools.lru_cache(maxsize=None)
def _engine(url: str, dry_run: bool = False, create: bool = False, reads: bool = False) -> tuple[t.Any, str]:
    """Return what C(registry._engine) does, for the one database. It lasts, so it need not find out each time how to say what it is asked."""
    del dry_run, create
    engine = sa.create_engine(url, future=True, poolclass=sa.pool.NullPool)
    sa.event.listen(engine, "do_connect", lambda *unused: DATABASE)
    sa.event.listen(engine, "begin", registry._begin if reads else registry._begin_alone)
    return engine, url


@contextlib.contextmanager
def simulated(now: t.Callable[[], float] = lambda: 0.0, whole: bool = True) -> t.Iterator[None]:
    """Keep registries in memory, and have all VMAs go by one clock, in seconds.

    Registries count as *whole*: what a test sets one back to was not lost.
    """

    def shown(form: str) -> t.Callable[[], str]:
        return lambda: datetime.datetime.fromtimestamp(now(), datetime.timezone.utc).strftime(form)

    second, microsecond = shown("%Y-%m-%dT%H:%M:%SZ"), shown("%Y-%m-%dT%H:%M:%S.%fZ")
    unwitnessed = {
        "bear": lambda database, number: None,
        "hear": lambda tx, held: None,
        "older": lambda tx: False,
        "unheard": lambda tx: [],
        "attended": lambda tx: True,
    }
    with contextlib.ExitStack() as stack:
        if whole:
            stack.enter_context(mock.patch.multiple(witness, **unwitnessed))
        for where, what, instead in ((registry, "_engine", _engine), (journal, "_now", second), (leases, "_now", now), (runs, "_now", microsecond)):
            stack.enter_context(mock.patch.object(where, what, instead))
        yield


class Forgetful(dict):
    """What VMAs made of what, as long as there is not too much of it."""

    def __setitem__(self, key: t.Any, value: t.Any) -> None:
        if len(self) >= REMEMBERED:
            self.clear()
        super().__setitem__(key, value)


class Vma:
    """A VMA: the real one, with its registry.

    What it makes of the same registry and the same order at the same time is remembered, for so it is asked again and again.

    Attributes:
        registry: what is in the registry.
    """

    def __init__(self, name: str, hn: str, memory: Forgetful) -> None:
        self.name, self.hn, self._memory = name, hn, memory
        self.registry = EMPTY

    def __deepcopy__(self, _known: t.Any) -> Vma:
        return copy.copy(self)

    def declare(self, public_pools: list[str], vlan_first: int, vlan_last: int, rms_of: t.Mapping[str, dict]) -> None:
        """Set the registry up for its HN with what its RMs have subscribed with, by name."""

        def set_up(url: str) -> None:
            hn.declare(url, self.hn, public_pools, vlan_first, vlan_last, 8)
            for name, subscription in rms_of.items():
                rms.subscribe(url, name, subscription)

        self.registry, unused, error = self._remembered(("declare", json.dumps([self.hn, public_pools, vlan_first, vlan_last, rms_of])), set_up)
        assert error is None

    def record(self, arguments: dict, check: bool) -> Outcome:
        """Reserve and record."""
        return self._asked(vma.record, arguments, check)

    def consent(self, arguments: dict, check: bool) -> Outcome:
        """Agree to lives elsewhere."""
        return self._asked(vma.consent, arguments, check)

    def lease(self, arguments: dict, check: bool) -> Outcome:
        """Lease instances."""
        return self._asked(vma.lease, arguments, check)

    def readmit(self, arguments: dict, check: bool) -> Outcome:
        """Believe the VMA of another HN again."""
        return self._asked(vma.readmit, arguments, check)

    def release(self, arguments: dict, check: bool) -> Outcome:
        """End leases."""
        return self._asked(vma.release, arguments, check)

    def vouch(self, arguments: dict, check: bool) -> Outcome:
        """Know that nobody has given its HN up."""
        return self._asked(vma.vouch, arguments, check)

    def restart(self, rm: str, wanted: dict[str, int]) -> dict:
        """Say what an RM may start again that has started."""
        self.registry, told, error = self._remembered(("restart", rm, json.dumps(wanted)), lambda url: restarts.begin(url, rm, wanted))
        if error:
            raise error
        return told

    def restarted(self, rm: str, run: str) -> None:
        """Know that it has."""
        self.registry, unused, error = self._remembered(("restarted", rm, run), lambda url: restarts.end(url, rm, run))
        assert error is None

    def _asked(self, call: t.Callable[[dict, bool], Outcome], arguments: dict, check: bool) -> Outcome:
        question = (call.__name__, json.dumps(arguments, sort_keys=True), check)
        self.registry, outcome, error = self._remembered(question, lambda url: call({**arguments, "registry": url}, check))
        if error:
            raise error
        return outcome

    def subscribe(self, arguments: dict, check: bool) -> Outcome:
        """Know whether an RM is in service."""
        return self._asked(vma.subscribe, arguments, check)

    def hear(self, arguments: dict, check: bool) -> Outcome:
        """Know what RMs run."""
        return self._asked(vma.hear, arguments, check)

    def hold(self, arguments: dict, check: bool) -> Outcome:
        """Record who holds what."""
        held, gone = arguments.get("held", []), arguments.get("gone", [])
        question = ("hold", json.dumps([held, gone], sort_keys=True), check)
        self.registry, outcome, error = self._remembered(question, lambda url: capsules.update(url, held, gone, check))
        if error:
            raise error
        return Outcome(*outcome)

    def forget_capsules(self) -> None:
        """Forget who holds what, and that anybody has told it."""

        def forget(url: str) -> None:
            with registry.transaction(url) as tx:
                for rm in rms.everything(tx):
                    capsules.forget(tx, rm["name"])

        self.registry, unused, error = self._remembered(("forget",), forget)
        assert error is None

    def known(self) -> dict:
        """Return what it knows."""
        unused, known, error = self._remembered(("known",), lambda url: json.dumps(overview.overview(url)))
        assert error is None
        return json.loads(known)

    def _remembered(self, question: tuple[t.Any, ...], ask: t.Callable[[str], t.Any]) -> tuple[bytes, t.Any, MeshError | None]:
        """Return the registry after a question, the answer, and why there is none."""
        asked = (leases._now(), self.registry, *question)
        if asked not in self._memory:
            DATABASE.deserialize(self.registry)
            answer, error = None, None
            try:
                answer = ask(URL)
            except MeshError as exc:
                error = exc
            self._memory[asked] = (DATABASE.serialize(), answer, error)
        return self._memory[asked]
