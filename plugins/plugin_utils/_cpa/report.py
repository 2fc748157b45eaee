# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Reports: what the role C(status) found, as tables for people and as data for rebuilding. Pure functions."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import sentences
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import OLDER

GIB = 1 << 30

HostVars = t.Mapping[str, t.Mapping[str, t.Any]]
Groups = t.Mapping[str, t.Sequence[str]]


def table(headings: t.Sequence[str], rows: t.Sequence[t.Sequence[t.Any]]) -> str:
    """Return a table of text with columns as wide as they need to be."""
    cells = [[str(cell) for cell in row] for row in [headings, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def mesh_status(hostvars: HostVars, groups: Groups) -> str:
    """Return what runs where: a table of instances and one of RMs, who is at work, what has not ended (operations, transfers), and what did not answer."""
    members = _members(hostvars, groups)
    there = {(host, found["name"]): found for host in groups.get("rms", []) for found in _answer(hostvars, host, "running", "instances")}
    really = {key: "paused" if found.get("paused") else found["state"] for key, found in there.items()}
    asked = set(running_rms(hostvars, groups))
    if groups.get("vmas") and not any(told(hostvars, host, "look") for host in groups["vmas"]):
        why = "; ".join(f"{host}: {_why(hostvars, host, 'look')}" for host in groups["vmas"])
        raise Refused(f"No VMA can be asked, so nothing can be shown: {why}.")
    instances, machines = [], []
    for host in groups.get("vmas", []):
        answer = told(hostvars, host, "look")
        for record in sorted(answer.get("records", []), key=lambda entry: entry["instance"]):
            state = really.get((record["rm"], record["instance"]), "not there" if told(hostvars, record["rm"], "running") else "unknown")
            shown = state if state == record["state"] else f"{state} (should be {record['state']})"
            seen = members.get((hostvars[host]["hn"], record["instance"]), [])
            silent = ", but it does not answer" if seen and not any(member.get("healthy", True) for member in seen) else ""
            rotation = f"yes{silent}" if record["in_rotation"] else "no"
            live = sum(member["connections"] for member in seen)
            row = (record["instance"], hostvars[host]["hn"], record["rm"], shown, record["epoch"], record["public_address"], rotation, live)
            instances.append(row)
        for rm in answer.get("rms", []):
            service = "in service" if rm["in_service"] else "out of service"
            memory = f"{rm['memory_mib_left']} of {rm['memory_mib']}"
            machines.append((rm["name"], hostvars[host]["hn"], service, rm["accelerator"], memory, *_disk(hostvars, rm)))
    parts = [
        table(("INSTANCE", "HN", "RM", "STATE", "EPOCH", "PUBLIC ADDRESS", "ROTATION", "CONNECTIONS"), instances),
        table(("RM", "HN", "SERVICE", "ACCELERATOR", "MIB LEFT", "DISK-GIB-LEFT", "FREE-NOW"), machines),
    ]
    parts += [sentence for host in groups.get("rms", []) for sentence in _tight(hostvars, host)]
    paused = [f"{name} is paused on {host}: {found['paused']}." for (host, name), found in sorted(there.items()) if found.get("paused")]
    if paused:
        parts.append("\n".join([*paused, "When that is mended, the playbook resume lets it go on."]))
    strays = [(each["name"], each["rm"], each["state"], each["epoch"]) for each in _strays(hostvars, groups)]
    if strays:
        parts.append(table(("WITHOUT A RECORD", "RM", "STATE", "EPOCH"), strays))
    leased = [
        (lease["instance"], hostvars[host]["hn"], lease["operation"], lease["who"], lease["since"], f"{round(lease['left'])} s")
        for host in groups.get("vmas", [])
        for lease in _answer(hostvars, host, "look", "leases")
    ]
    if leased:
        parts.append(table(("AT WORK ON", "HN", "OPERATION", "WHO", "SINCE", "LEASE ENDS IN"), leased))
    under_way = [
        (operation["instance"], hostvars[host]["hn"], operation["kind"], operation["opened"], (operation["steps"] or [{"step": "-"}])[-1]["step"])
        for host in groups.get("vmas", [])
        for operation in _answer(hostvars, host, "look", "operations")
        if operation["closed"] is None
    ]
    if under_way:
        parts.append(table(("UNFINISHED", "HN", "OPERATION", "SINCE", "LAST STEP"), under_way))
    sending = [_transfer(host, found) for host in groups.get("rms", []) for found in _answer(hostvars, host, "transfers", "transfers")]
    if sending:
        parts.append(table(("FROM", "TRANSFER", "MIB", "DONE", "MIB/S", "SECONDS LEFT"), sending))
    if groups.get("dns_servers"):
        parts.append(mesh_names(hostvars, groups))
    silent = _silent(hostvars, {**groups, "rms": [host for host in groups.get("rms", []) if host in asked]})
    if silent:
        parts.append("\n".join(["These cannot be asked:", *(f"{host}: {why}." for host, why in silent.items())]))
    return "\n\n".join(parts)


def _disk(hostvars: HostVars, rm: t.Mapping[str, t.Any]) -> tuple[str, str]:
    """Return what is left of an RM's room on disk by what was promised, and by what is really used; the latter as far as the RM was asked."""
    seen = told(hostvars, rm["name"], "room").get("disk")
    # Without single spaces: so far to the right YAML folds lines at them.
    really = f"{seen['free'] / GIB:.1f}/{seen['size'] / GIB:.1f}" if seen else "-"
    return f"{rm['disk_bytes_left'] / GIB:.1f}/{rm['disk_bytes'] / GIB:.1f}", really


def _tight(hostvars: HostVars, host: str) -> list[str]:
    """Return a sentence if the disk of an RM gets tight."""
    seen = told(hostvars, host, "room").get("disk")
    if not seen or not seen["tight"]:
        return []
    free, owed = seen["free"] / GIB, seen["owed"] / GIB
    return [f"The disk of {host} gets tight: {free:.1f} GiB are free, and its instances may still take {owed:.1f} GiB; move some of them, or make room."]


def mesh_problems(hostvars: HostVars, groups: Groups) -> list[str]:
    """Return a sentence for everything that must not be: what runs twice, what runs or lies where no VMA knows of it, and registries that know too little."""
    found = [f"The VMA of {hostvars[host]['hn']} cannot be believed: {OLDER.format(hostvars[host]['hn'])}." for host in _older(hostvars, groups)]
    places: dict[str, list[str]] = {}
    for host in groups.get("rms", []):
        for each in _answer(hostvars, host, "running", "instances"):
            if each["state"] == "running":
                places.setdefault(each["name"], []).append(host)
    # What is about to move may be at both ends.
    moving = {lease["instance"] for host in groups.get("vmas", []) for lease in _answer(hostvars, host, "look", "leases")}
    for name, rms in sorted(places.items()):
        if len(rms) > 1 and name not in moving:
            found.append(f"{name} runs on {' and '.join(rms)}: remove one of them, by the playbook remove with remove_instance={name} and remove_rm.")
    strays = [each for each in _strays(hostvars, groups) if len(places.get(each["name"], ())) < 2 and each["name"] not in moving]
    return [*found, *(sentences.astray(hostvars[each["rm"]]["hn"], each) for each in strays)]


def _older(hostvars: HostVars, groups: Groups) -> list[str]:
    """Return the VMAs whose registries have granted more than they know of."""
    return [host for host in groups.get("vmas", []) if told(hostvars, host, "look").get("hn", {}).get("older")]


def _strays(hostvars: HostVars, groups: Groups) -> list[dict[str, t.Any]]:
    """Return what RMs hold without a record, as they have told now or, where they were not asked, have told their VMA."""
    records = [record for host in groups.get("vmas", []) for record in _answer(hostvars, host, "look", "records")]
    recorded = {(record[key], record["instance"]) for record in records for key in ("rm", "moves_to")}
    found = {(each["rm"], each["name"]): each for host in groups.get("vmas", []) for each in _answer(hostvars, host, "look", "strays")}
    for host in groups.get("rms", []):
        if told(hostvars, host, "running"):
            there = {(host, each["name"]): {**each, "rm": host} for each in _answer(hostvars, host, "running", "instances") if each["state"] == "running"}
            found = {**{key: each for key, each in found.items() if key[0] != host}, **there}
    return [each for key, each in sorted(found.items()) if key not in recorded]


def mesh_names(hostvars: HostVars, groups: Groups) -> str:
    """Return who is sent where, as a table: for each name and region the HN or HNs of the answer, and why."""
    rows, problems = [], []
    for host in groups.get("dns_servers", []):
        if not told(hostvars, host, "steering") and _asked(hostvars, host, "steering"):
            problems.append(f"What {host} answers is not known: {_why(hostvars, host, 'steering')}.")
        for name in _answer(hostvars, host, "steering", "names"):
            rows += [(name["name"], *_sent(name["steering"], region)) for region in name["table"]]
            if name["drift"]:
                problems.append(f"{name['name']} does not answer as it should ({', '.join(name['drift'])}); the playbook steer mends it.")
    return "\n".join([table(("NAME", "REGION", "CLIENTS", "SENT TO", "WHY"), rows), *problems])


def _sent(steering: t.Mapping[str, t.Any], region: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """Return a region, its clients, where they are sent, and why there."""
    of = {address: site["hn"] for site in steering["sites"] for address in site["addresses"]}
    given = [address for addresses in region["now"].values() for address in addresses]
    there = list(dict.fromkeys(of.get(address, "?") for address in given))
    order = list(dict.fromkeys(hn for orders in region["orders"].values() for hn in orders))
    if not region["now"]:
        why = "all of its clients are in other regions, too"
    elif not given:
        why = "nobody serves it"
    elif len(order) == 1:
        why = "no other HN serves it"
    else:
        passed = [hn for hn in order[: max(order.index(hn) for hn in there if hn in order) + 1] if hn not in there] if set(there) & set(order) else []
        why = f"{' and '.join(passed)} would be nearer, but does not answer" if passed else f"nearest first: {', '.join(order)}"
    clients = ", ".join(region["prefixes"][:2]) + (", ..." if len(region["prefixes"]) > 2 else "")
    sent = ", ".join(f"{hn} ({', '.join(address for address in given if of.get(address, '?') == hn)})" for hn in there)
    return region["region"], clients or "all others", sent or "-", why


def _transfer(host: str, found: t.Mapping[str, t.Any]) -> tuple[t.Any, ...]:
    left = "?" if found["eta_seconds"] is None else found["eta_seconds"]
    part = f"{100 * found['done'] // max(found['total'], 1)}%"
    return host, found["what"], found["total"] >> 20, part, found["bytes_per_second"] >> 20, left


def mesh_history(hostvars: HostVars, groups: Groups, instance: str) -> str:
    """Return which operations there were, as a table, and if it is those of an *instance* the steps of each.

    Raises:
        Refused: no VMA can be asked.
    """
    silent = {host: _why(hostvars, host, "history") for host in groups.get("vmas", []) if not told(hostvars, host, "history")}
    if len(silent) == len(groups.get("vmas", [])):
        raise Refused(f"No VMA can be asked, so nothing can be shown: {'; '.join(f'{host}: {why}' for host, why in silent.items())}.")
    runs: dict[str, dict[str, t.Any]] = {}
    for host in groups["vmas"]:
        for run in _answer(hostvars, host, "history", "runs"):
            known = runs.setdefault(run["run"], {**run, "in": []})
            known["in"].append(hostvars[host]["hn"])
            # What one VMA was told last holds more of the steps.
            if len(run["steps"]) > len(known["steps"]):
                known.update(run)
    shown = sorted(runs.values(), key=lambda run: run["began"])
    rows = [
        (_second(run["began"]), run["operation"], run["subject"], ", ".join(run["in"]), run["who"], _second(run["ended"]), run["outcome"] or "not ended")
        for run in shown
    ]
    parts = [table(("BEGAN", "OPERATION", "OF", "IN", "WHO", "ENDED", "OUTCOME"), rows)]
    for run in shown if instance else ():
        steps = [(step["id"], step["device"], "-" if step["seconds"] is None else step["seconds"], "failed" if step["failed"] else "") for step in run["steps"]]
        parts.append(f"{run['operation']} of {run['subject']}, {_second(run['began'])}\n{table(('STEP', 'DEVICE', 'SECONDS', ''), steps)}")
    if silent:
        parts.append("\n".join(["These cannot be asked:", *(f"{host}: {why}." for host, why in silent.items())]))
    return "\n\n".join(parts)


def _second(moment: str | None) -> str:
    return f"{moment.partition('.')[0]}Z" if moment else "-"


def mesh_found(hostvars: HostVars, groups: Groups, hn: str) -> dict[str, list[dict]]:
    """Return what really runs in one HN: C(instances) as its RMs tell (each with its C(rm)) and C(routers) as its gateway tells.

    Instances that are gone are among them, as C(absent): their epochs must not be granted again.

    Raises:
        NotFound: there is no such HN.
        Refused: a device of the HN did not answer, so what it runs is not known.
    """
    here = {name: [host for host in groups.get(name, []) if hostvars[host]["hn"] == hn] for name in ("rms", "gateways")}
    if not here["gateways"]:
        raise NotFound(f"There is no HN {hn}.")
    silent = sorted(_silent(hostvars, {**here, "vmas": []}))
    if silent:
        raise Refused(f"The registry of {hn} cannot be rebuilt while {', '.join(silent)} does not answer.")
    return {
        "instances": [
            {**found, "rm": host, "lease": told(hostvars, host, "running").get("lease", 0)}
            for host in here["rms"]
            for found in _held(told(hostvars, host, "running"))
        ],
        "routers": [router for host in here["gateways"] for router in _answer(hostvars, host, "routers", "routers")],
    }


def _held(answer: t.Mapping[str, t.Any]) -> list[dict]:
    there = {found["name"] for found in answer["instances"]}
    gone = [{"name": name, "state": "absent", "epoch": epoch} for name, epoch in answer["epochs"].items() if name not in there]
    return [*answer["instances"], *gone]


def running_rms(hostvars: HostVars, groups: Groups) -> list[str]:
    """Return the RMs that are to run something, as the VMAs tell: the others have nothing to say."""
    records = [record for host in groups.get("vmas", []) for record in _answer(hostvars, host, "look", "records")]
    wanted = {record[key] for record in records for key in ("rm", "moves_to") if record.get(key)}
    return [host for host in groups.get("rms", []) if host in wanted]


def told(hostvars: HostVars, host: str, call: str) -> t.Mapping[str, t.Any]:
    """Return what a host answered to a call when it was asked for the status; nothing where it did not, or was not asked."""
    answer = _asked(hostvars, host, call) or {}
    return answer.get("result", {}) if not answer.get("failed") and not answer.get("unreachable") else {}


def _asked(hostvars: HostVars, host: str, call: str) -> t.Mapping[str, t.Any] | None:
    registered = ((hostvars.get(host) or {}).get(name) or {} for name in ("status_told", "names_seen", "history_told"))
    return next((found["answers"][call] for found in registered if call in found.get("answers", {})), None)


def _why(hostvars: HostVars, host: str, call: str) -> str:
    """Return why a host did not answer a call."""
    answer = _asked(hostvars, host, call)
    if answer is None or answer.get("unreachable"):
        return "it does not answer"
    return str(answer.get("msg") or "it gave no answer").rstrip(".")


def _answer(hostvars: HostVars, host: str, call: str, key: str) -> list[dict]:
    found: list[dict] = told(hostvars, host, call).get(key, [])
    return found


def _members(hostvars: HostVars, groups: Groups) -> dict[tuple[str, str], list[dict[str, t.Any]]]:
    """What routers say of their members, by HN and instance; one may be a member of several services."""
    found: dict[tuple[str, str], list[dict[str, t.Any]]] = {}
    for host in groups.get("gateways", []):
        for router in _answer(hostvars, host, "routers", "routers"):
            for member in (member for service in router["services"] for member in service["members"]):
                found.setdefault((hostvars[host]["hn"], member["instance"]), []).append(member)
    return found


def _silent(hostvars: HostVars, groups: Groups) -> dict[str, str]:
    """Return who did not answer, and why."""
    calls = {"vmas": "look", "gateways": "routers", "rms": "running"}
    asked = [(host, call) for group, call in calls.items() for host in groups.get(group, [])]
    return {host: _why(hostvars, host, call) for host, call in sorted(asked) if not told(hostvars, host, call)}
