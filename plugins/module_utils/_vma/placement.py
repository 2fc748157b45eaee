# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Which RM can take an instance: pure functions over subscriptions and records."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused

MIB = 1 << 20

#: What an instance takes of an RM.
QUANTITIES = ("memory_mib", "vcpus", "disk_bytes")

#: What records take of each RM, by its name.
Used = t.Dict[str, t.Dict[str, int]]


def count(used: Used, record: dict[str, t.Any], times: int = 1) -> None:
    """Add what a record takes to *used*, or take it away again (*times* -1).

    A record takes its room in every state: a suspended instance must be able to resume; one that moves inside its HN takes it on both RMs.
    """
    for rm in {record["rm"], record.get("moves_to")} - {None}:
        sums = used.setdefault(rm, dict.fromkeys(QUANTITIES, 0))
        for key in QUANTITIES:
            sums[key] += times * record["requirements"][key]


def left(rm: dict[str, t.Any], used: Used, vcpu_overcommit: int) -> dict[str, int]:
    """Return what an RM has left: memory_mib, vcpus (overcommitted) and disk_bytes; negative when it has shrunk under its instances."""
    room = {"memory_mib": rm["memory_mib"], "vcpus": rm["vcpus"] * vcpu_overcommit, "disk_bytes": rm["disk_bytes"]}
    return {key: room[key] - used.get(rm["name"], {}).get(key, 0) for key in QUANTITIES}


def why_not(rm: dict[str, t.Any], room: dict[str, int], requirements: dict[str, t.Any]) -> str | None:
    """Say what keeps an RM with *room* left from meeting *requirements*, as it ends the sentence "rm-east-1 ..."; None if nothing does."""
    if not rm["in_service"]:
        return "is out of service"
    if requirements["machine_type"] not in rm["machine_types"]:
        return f"does not offer machine type {requirements['machine_type']}"
    if requirements["cpu"] not in rm["cpus"]:
        return f"does not offer CPU {requirements['cpu']}"
    if requirements["accelerator"] not in (None, rm["accelerator"]):
        return f"has accelerator {rm['accelerator']}, not {requirements['accelerator']}"
    lacks = {key: requirements[key] - room[key] for key in room}
    if lacks["memory_mib"] > 0:
        return f"lacks {lacks['memory_mib']} MiB of memory"
    if lacks["vcpus"] > 0:
        return f"lacks {lacks['vcpus']} vCPU{'s' if lacks['vcpus'] > 1 else ''}"
    if lacks["disk_bytes"] > 0:
        return f"lacks {-(-lacks['disk_bytes'] // MIB)} MiB of disk"
    return None


def choose(
    hn: str,
    instance: str,
    requirements: dict[str, t.Any],
    rms: t.Iterable[dict[str, t.Any]],
    used: Used,
    vcpu_overcommit: int,
    pin: str | None = None,
    exclude: t.Collection[str] = (),
) -> str:
    """Return the name of the RM that takes *instance*: of those with room, the one with the most memory left; ties by name.

    Args:
        rms: subscriptions.
        used: what is reserved already, but not by *instance* itself.
        pin: the only RM that may be chosen.
        exclude: RMs that must not be chosen.

    Raises:
        Refused: none has room; the sentence says for each why not.
    """
    rms = sorted(rms, key=lambda rm: rm["name"])
    if pin is not None:
        rms = [rm for rm in rms if rm["name"] == pin]
        if not rms:
            raise Refused(f"{hn} has no room for {instance}: {pin} is not one of its RMs.")
    rooms = {rm["name"]: left(rm, used, vcpu_overcommit) for rm in rms}
    # Of many RMs few have to be looked at closely.
    for rm in sorted(rms, key=lambda rm: -rooms[rm["name"]]["memory_mib"]):
        if rm["name"] not in exclude and why_not(rm, rooms[rm["name"]], requirements) is None:
            return str(rm["name"])
    reasons = [f"{rm['name']} {'is excluded' if rm['name'] in exclude else why_not(rm, rooms[rm['name']], requirements)}" for rm in rms]
    raise Refused(f"{hn} has no room for {instance}: {', '.join(reasons) or 'it has no RM'}.")
