# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What the controller sees of the mesh: the answers of all VMAs and RMs, brought into one shape."""

from __future__ import annotations

import typing as t


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


class RealMachine(t.NamedTuple):
    """One RM.

    Attributes:
        name: its host name in the inventory.
        hn: the HN it stands in.
        address: where other RMs reach it.
        capsules: the manifests of the capsules that its store holds whole.
        broken: sentences about those that it holds in part or altered.
        problem: why it could not be asked; None when it answered.
    """

    name: str
    hn: str
    address: str
    capsules: list[dict]
    broken: list[str]
    problem: str | None


class View(t.NamedTuple):
    """All HNs and RMs by name."""

    sites: dict[str, Site]
    rms: dict[str, RealMachine]


def mesh_view(groups: t.Mapping[str, t.Sequence[str]], hostvars: t.Mapping[str, t.Mapping[str, t.Any]]) -> View:
    """Bring together what the role C(observe) registered on every host.

    Args:
        groups: the inventory's groups; C(vmas), C(gateways) and C(rms) count.
        hostvars: the variables of each host: C(hn), C(rm_address), and the registered C(observe_look). Where RMs were not asked, none seems to answer.
    """
    gateways = {hostvars[host]["hn"]: host for host in groups.get("gateways", [])}
    sites = {}
    for host in groups.get("vmas", []):
        name = hostvars[host]["hn"]
        answer = _look(hostvars[host].get("observe_look"), "look")
        accelerators = {rm["name"]: rm["accelerator"] for rm in answer.get("rms", [])}
        records, epochs = list(answer.get("records", [])), dict(answer.get("epochs", {}))
        unfinished = {operation["instance"]: operation["kind"] for operation in answer.get("operations", []) if operation["closed"] is None}
        gateway = gateways.get(name, host)
        wan = hostvars[gateway].get("gateway_wan_interface", "wan0")
        sites[name] = Site(name, host, gateway, wan, records, epochs, accelerators, unfinished, _problem(answer, "records"))
    rms = {}
    for host in groups.get("rms", []):
        answer = _look(hostvars[host].get("observe_look"), "capsules")
        held = answer.get("capsules", [])
        rms[host] = RealMachine(
            host,
            hostvars[host]["hn"],
            hostvars[host]["rm_address"],
            [entry["manifest"] for entry in held if entry["complete"]],
            [problem for entry in held for problem in entry["problems"]],
            _problem(answer, "capsules"),
        )
    return View(sites, rms)


def _look(told: t.Mapping[str, t.Any] | None, call: str) -> t.Mapping[str, t.Any]:
    """Return what a device answered to a look, or why it did not, as a module would return it."""
    if not told:
        return {}
    answer = (told.get("answers") or {}).get(call)
    if answer is None or answer["failed"] or answer["unreachable"]:
        return {key: told[key] for key in ("failed", "unreachable", "msg") if key in told}
    return answer["result"]


def _problem(answer: t.Mapping[str, t.Any], expected: str) -> str | None:
    if expected in answer and not answer.get("failed"):
        return None
    if answer.get("unreachable") or not answer:
        return "it does not answer"
    return str(answer.get("msg", "it gave no answer")).rstrip(".")
