# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What the controller sees of the mesh: the answers of all VMAs, and of the RMs that were asked, brought into one shape."""

from __future__ import annotations

import json
import typing as t


#: What is wrong with a VMA whose registry has granted more than it knows of.
OLDER = "its registry was lost, or restored from a copy; rebuild it by the playbook rebuild with rebuild_hn={}"


#: What is wrong with a host that cannot be reached.
SILENT = "it does not answer"

#: What is wrong with a VMA whose HN was given up.
GIVEN_UP = "{hn} was given up as lost by {who} at {since}; bring it back by the playbook recover"


class Site(t.NamedTuple):
    """One hosting network.

    Attributes:
        name: the HN's name.
        vma: the host that answers for it.
        gateway: the host with its domain routers.
        wan_interface: the interface of the gateway that faces the world.
        records: the surroundings records of its VMA.
        epochs: the highest epoch that it knows of, by instance.
        accelerators: what each of its RMs runs guests with, as it was subscribed.
        unfinished: the kind of the operation that is open on an instance, by instance.
        problem: why its VMA could not be asked; None when it answered.
        rms: what its VMA says of its RMs: what each offers, what is left of that, and whether all that it holds is known (C(listed)).
        vcpu_overcommit: how many vCPUs share one of an RM.
        held: the capsules that its RMs hold as far as its VMA was told, each with its C(manifest) and C(rms).
        leases: which operations are under way on which instances.
        lease: the highest number of a lease that its VMA knows of.
        runs: the runs of operations that have not ended, with their plans.
        strays: what its RMs hold though its VMA has no record of it there.
        gave_up: the other HNs that were given up as lost, as its VMA knows.
        former: its records, if it was given up itself and answers again; then C(records) has none. Else None.
        lost: whether its operator gives it up now.
        attended: whether an operation has come to its VMA since that one's host started.
    """

    name: str
    vma: str
    gateway: str
    wan_interface: str
    records: list[dict]
    epochs: dict[str, int]
    accelerators: dict[str, str]
    unfinished: dict[str, str]
    problem: str | None
    rms: t.Sequence[dict] = ()
    vcpu_overcommit: int = 1
    held: t.Sequence[dict] = ()
    leases: t.Sequence[dict] = ()
    lease: int = 0
    runs: t.Sequence[dict] = ()
    strays: t.Sequence[dict] = ()
    gave_up: t.Sequence[dict] = ()
    former: t.Sequence[dict] | None = None
    lost: bool = False
    attended: bool = True


class RealMachine(t.NamedTuple):
    """One RM.

    Attributes:
        name: its host name in the inventory.
        hn: the HN it stands in.
        address: where other RMs reach it.
        capsules: the manifests of the capsules that its store holds whole, of those that it was asked for.
        broken: sentences about those that it holds in part or altered.
        problem: why it could not be asked; None when it answered, or was not asked.
        asked: whether it was asked. Of one that was not nothing is known but what its VMA says.
        instances: what lives on it or could, as it told; None where it was not asked for that.
    """

    name: str
    hn: str
    address: str
    capsules: list[dict]
    broken: list[str]
    problem: str | None
    asked: bool = True
    instances: list[dict] | None = None


class View(t.NamedTuple):
    """All HNs and RMs by name."""

    sites: dict[str, Site]
    rms: dict[str, RealMachine]


def mesh_view(groups: t.Mapping[str, t.Sequence[str]], hostvars: t.Mapping[str, t.Mapping[str, t.Any]], asked: t.Collection[str] = ()) -> View:
    """Bring together what the role C(observe) registered on every host.

    Args:
        groups: the inventory's groups; C(vmas), C(gateways) and C(rms) count.
        hostvars: the variables of each host: C(hn), C(rm_address), and the registered C(observe_look) of VMAs and C(observe_held) of RMs.
        asked: the RMs that were asked. What an earlier operation of the same run has registered on the others does not count.
    """
    gateways = {hostvars[host]["hn"]: host for host in groups.get("gateways", [])}
    sites: dict[str, Site] = {}
    for host in groups.get("vmas", []):
        name = hostvars[host]["hn"]
        answer = _look(hostvars[host].get("observe_look"), "look")
        offers = answer.get("rms", [])
        accelerators = {rm["name"]: rm["accelerator"] for rm in offers}
        records, epochs = list(answer.get("records", [])), dict(answer.get("epochs", {}))
        unfinished = {operation["instance"]: operation["kind"] for operation in answer.get("operations", []) if operation["closed"] is None}
        gateway = gateways.get(name, host)
        wan = hostvars[gateway].get("gateway_wan_interface", "wan0")
        overcommit = answer.get("hn", {}).get("vcpu_overcommit", 1)
        site = Site(name, host, gateway, wan, records, epochs, accelerators, unfinished, _problem(answer, "records"), offers, overcommit)
        highest, cut_off = answer.get("hn", {}).get("lease", 0), answer.get("runs", [])
        if answer.get("hn", {}).get("older"):
            site = site._replace(problem=OLDER.format(name))
        site = site._replace(strays=answer.get("strays", []), gave_up=answer.get("lost", []), attended=answer.get("hn", {}).get("attended", True))
        sites[name] = site._replace(held=answer.get("capsules", []), leases=answer.get("leases", []), lease=highest, runs=cut_off)
    sites = _without_lost(sites)
    places = _places(sites.values())
    rms = {host: RealMachine(host, *_stands(host, places, hostvars), [], [], None, False) for host in groups.get("rms", [])}
    rms.update({host: _heard(rms[host], hostvars[host].get("observe_held")) for host in asked if host in rms})
    return View(sites, rms)


def _without_lost(sites: t.Mapping[str, Site]) -> dict[str, Site]:
    """Return the HNs, of which nothing counts that was given up as lost and answers again."""
    found = dict(sites)
    for lost in (lost for site in sites.values() for lost in site.gave_up):
        site = found.get(lost["hn"])
        if site and not site.problem:
            found[site.name] = site._replace(problem=GIVEN_UP.format(**lost), former=site.records, records=[], epochs={}, unfinished={}, runs=[])
    return found


def _places(sites: t.Iterable[Site]) -> dict[str, list[tuple[str, str]]]:
    """Return the HNs that each RM has subscribed to, each with its address there."""
    found: dict[str, list[tuple[str, str]]] = {}
    for site in sites:
        for rm in site.rms:
            found.setdefault(rm["name"], []).append((site.name, rm["address"]))
    return found


def _stands(host: str, places: t.Mapping[str, list[tuple[str, str]]], hostvars: t.Mapping[str, t.Mapping[str, t.Any]]) -> tuple[str, str]:
    """Return the HN that an RM stands in, and where other RMs reach it.

    With many RMs it takes a while to look into the variables of each, so that is done only where its subscription does not say it: where it has none, or was
    brought into another HN.
    """
    found = places.get(host, [])
    return found[0] if len(found) == 1 else (hostvars[host]["hn"], hostvars[host]["rm_address"])


def _heard(rm: RealMachine, told: t.Mapping[str, t.Any] | None) -> RealMachine:
    """Return an RM with what it answered when it was asked for capsules, or why it did not."""
    answers = dict((told or {}).get("answers") or {})
    well = bool(answers) and not any(each["failed"] or each["unreachable"] for each in answers.values())
    there = answers.pop("holdings", None)
    held = [entry for each in answers.values() for entry in each["result"]["capsules"]] if well else []
    complete = [entry["manifest"] for entry in held if entry["complete"]]
    broken = [problem for entry in held for problem in entry["problems"]]
    problem = None if well else _problem(told or {}, "capsules")
    return rm._replace(capsules=complete, broken=broken, problem=problem, asked=True, instances=there["result"]["instances"] if well and there else None)


def _look(told: t.Mapping[str, t.Any] | None, call: str) -> t.Mapping[str, t.Any]:
    """Return what a device answered to a look, or why it did not, as a module would return it."""
    if not told:
        return {}
    answer = (told.get("answers") or {}).get(call)
    if answer is None or answer["failed"] or answer["unreachable"]:
        return {key: told[key] for key in ("failed", "unreachable", "msg") if key in told}
    result = answer["result"]
    return json.loads(result) if isinstance(result, str) else result


def _problem(answer: t.Mapping[str, t.Any], expected: str) -> str | None:
    if expected in answer and not answer.get("failed"):
        return None
    if answer.get("unreachable") or not answer:
        return SILENT
    return str(answer.get("msg", "it gave no answer")).rstrip(".")
