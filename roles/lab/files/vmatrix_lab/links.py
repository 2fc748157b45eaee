# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How fast the gateways' links to the internet are: a token bucket on what they send (tc-tbf(8))."""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run

from vmatrix_lab import host as one

UNLIMITED = "unlimited"
_BYTES_PER_SECOND = {"kbit": 125, "mbit": 125_000, "gbit": 125_000_000}
#: The bucket holds what the link sends in this many seconds, but at least one segment of the largest size that the kernel hands down whole.
_BURST_SECONDS = 0.005
_SMALLEST_BURST = 70_000


def bytes_per_second(rate: str) -> int | None:
    """Return the *rate*, such as C(44.7mbit), in bytes per second; None for C(unlimited).

    Raises:
        InvalidInput: it is neither.
    """
    if rate == UNLIMITED:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kmg]bit)", rate)
    value = round(float(match.group(1)) * _BYTES_PER_SECOND[match.group(2)]) if match else 0
    if not 0 < value < 1 << 32:
        raise InvalidInput(f"{rate!r} is not a rate for a link: it must look like '622mbit' or '44.7mbit' (above 0, below 34 gbit), or be 'unlimited'.")
    return value


def shape(document: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Give the link of each of *document*'s gateways its rate.

    Returns:
        {changed, before: {gateway: bytes per second or null}, after: the same}
    """
    wanted = bytes_per_second(document["rate"])
    commands = {name: _inside(name) for name in document["gateways"]}
    before = {name: _rate(inside, document["interface"]) for name, inside in commands.items()}
    for name, inside in commands.items():
        if before[name] != wanted and not check:
            _set(inside, document["interface"], wanted)
    return {"changed": any(rate != wanted for rate in before.values()), "before": before, "after": dict.fromkeys(before, wanted)}


def _inside(name: str) -> list[str]:
    leader = one.leader(name)
    if leader is None:
        raise NotFound(f"The host {name} is not running in the lab; build the lab first.")
    return ["nsenter", "--net", f"--target={leader}", "tc"]


def _rate(inside: list[str], interface: str) -> int | None:
    disciplines = json.loads(run([*inside, "-json", "qdisc", "show", "dev", interface, "root"]).stdout)
    return next((discipline["options"]["rate"] for discipline in disciplines if discipline["kind"] == "tbf"), None)


def _set(inside: list[str], interface: str, rate: int | None) -> None:
    if rate is None:
        run([*inside, "qdisc", "delete", "dev", interface, "root"])
    else:
        burst = max(round(rate * _BURST_SECONDS), _SMALLEST_BURST)
        run([*inside, "qdisc", "replace", "dev", interface, "root", "tbf", "rate", f"{rate}bps", "burst", f"{burst}b", "latency", "50ms"])
