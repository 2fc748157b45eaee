# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What the playbook site asks a host, and what it makes of the answers: which of the host's parts differ from what their roles describe.

A part is what one role makes of a host. Its description, the variable C(PART_described) of the host, is a list of calls of engines, each with C(call),
C(arguments), C(name) (that of the call when omitted) and C(quiet). Steps have ids of the form C(PART/NAME).
"""

from __future__ import annotations

import typing as t

Variables = t.Mapping[str, t.Any]


def calls(variables: Variables, parts: t.Sequence[str]) -> list[dict[str, t.Any]]:
    """Return what a host with these variables that consists of these parts is asked, for the action plugin C(stage); nothing of that changes anything."""
    return [
        {"ids": [f"{part}/{each.get('name', each['call'])}"], "arguments": {}, **{key: value for key, value in each.items() if key != "name"}, "check": True}
        for part in parts
        for each in variables[f"{part}_described"]
    ]


def differences(looked: t.Mapping[str, t.Any], parts: t.Sequence[str], besides: t.Mapping[str, t.Sequence[str]] | None = None) -> dict[str, list[str]]:
    """Return in short sentences what of a host differs, or why that cannot be told, by part; parts that are as described are left out.

    Calls that fail where something differs are not told of: they mostly fail because of it.

    Args:
        looked: what C(stage) returned for the host's calls.
        parts: the parts of the host.
        besides: what is known to differ besides, by part.
    """
    found: dict[str, list[str]] = {part: [] for part in parts}
    asked = set()
    for step, answer in looked.get("answers", {}).items():
        part, unused, name = step.partition("/")
        asked.add(part)
        if answer["failed"] and not found[part]:
            found[part].append(answer["msg"])
        elif answer["changed"] and not answer["failed"]:
            found[part] += answer["result"].get("differences") or [f"Not as described: {name}."]
    for part in parts:
        if part not in asked:
            found[part].append(looked.get("msg") or "The host was not asked.")
        found[part] += (besides or {}).get(part, ())
    return {part: sentences for part, sentences in found.items() if sentences}


def summary(hostvars: t.Mapping[str, Variables], hosts: t.Sequence[str]) -> list[str]:
    """Return a line for each of these hosts that differs, and one that counts the others, from the variable C(site_differs) of each, which is what differs."""
    found = {host: dict.fromkeys(sentence for each in hostvars[host]["site_differs"].values() for sentence in each) for host in hosts}
    lines = [f"{host}: {' '.join(sentences)}" for host, sentences in found.items() if sentences]
    return [*lines, f"{len(hosts) - len(lines)} of {len(hosts)} hosts are as they should be."]


def warnings(hostvars: t.Mapping[str, Variables], hosts: t.Sequence[str]) -> list[str]:
    """Return a line for each thing around these hosts that will be in the way and that no role mends, each once.

    It stands in the variable C(site_look) of each, which is what C(stage) returned, as C(warnings) in the results of its answers.
    """
    found = {
        f"{host}: {sentence}": None
        for host in hosts
        for answer in (hostvars[host].get("site_look") or {}).get("answers", {}).values()
        for sentence in answer["result"].get("warnings", ())
    }
    return list(found)
