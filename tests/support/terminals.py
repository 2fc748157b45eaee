# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two operators at two terminals, who do something with the same service at about the same time."""

from __future__ import annotations

import concurrent.futures
import json
import random
import time
import typing as t

from mesh_lab import SHOP, Mesh, Play

TWO = "shop-2.example.com"
EAST, WEST = {"to_hn": "hn-east"}, {"to_hn": "hn-west"}
SERVICE = {"service": "shop", "domain": "example.com"}
PLACED = ("place", {"instance": SHOP, "capsule": "1.0.0", "to_rm": "rm-east-1", **EAST})
TWICE = ("scale", {**SERVICE, **EAST, "count": 2, "capsule": "1.0.0"})

Wish = t.Tuple[str, t.Dict[str, t.Any]]

#: What is there before, and what the two wish for then.
PAIRS: dict[str, tuple[tuple[Wish, ...], Wish, Wish]] = {
    "place and place": ((), PLACED, ("place", {"instance": SHOP, "capsule": "1.0.0", **WEST})),
    "scale and scale": ((), TWICE, ("scale", {**SERVICE, **WEST, "count": 2, "capsule": "1.0.0"})),
    "move and move": ((PLACED,), ("move", {"instance": SHOP, **WEST}), ("move", {"instance": SHOP, "to_rm": "rm-east-2"})),
    "move and scale": ((PLACED,), ("move", {"instance": SHOP, **WEST}), TWICE),
    "update and drain": ((TWICE,), ("update", {**SERVICE, **EAST}), ("drain", {"instance": TWO, "then": "suspend", "at_deadline": "cut", "timeout": 1})),
    "remove and move": ((PLACED,), ("remove", {"instance": SHOP}), ("move", {"instance": SHOP, **WEST})),
}
#: What is said to who comes second: who is at work, or what he has done when that has ended already.
TOLD = (
    "is busy in",
    "since this one looked there",
    "No HN knows",
    "there is nothing to remove",
    "move it instead of placing it again",
    "lives in",
    "so a restart would leave none",
    "is on its way between",
    "stands in",
    "only a running or suspended instance can be moved",
)
#: Seconds after which the second one begins, at most.
LATEST = 3.0


class Round(t.NamedTuple):
    """What came out: how long after the first one the second one began, what they were told, and what is wrong."""

    offset: float
    plays: list[Play]
    wrong: list[str]


def play(mesh: Mesh, pair: str, seed: str) -> Round:
    """Have two operators act at the same time, and see what that leads to; in the end nothing is left."""
    before, *wishes = PAIRS[pair]
    for verb, variables in before:
        done = mesh.play(verb, **variables)
        assert done.ok, done.output
    chance = random.Random(seed)
    offset = chance.uniform(0, LATEST)
    chance.shuffle(wishes)

    def act(number: int) -> Play:
        time.sleep(number * offset)
        verb, variables = wishes[number]
        return mesh.play(verb, **variables)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        plays = list(pool.map(act, (0, 1)))
    refused = [each.messages for each in plays if not each.ok]
    wrong = twice(mesh) + [f"nobody is told why: {messages}" for messages in refused if not any(words in " ".join(messages) for words in TOLD)]
    if not any(each.ok for each in plays):
        wrong.append("both were refused")
    return Round(offset, plays, wrong + left(mesh, "after it") + ended(mesh))


def twice(mesh: Mesh) -> list[str]:
    """Return which instances run on more than one RM."""
    running: dict[str, list[str]] = {}
    for rm in mesh.group("rms"):
        for name in mesh.ssh(rm, "virsh", "-q", "list", "--name", "--state-running").split():
            running.setdefault(name, []).append(rm)
    return [f"{name} runs on {' and '.join(rms)}" for name, rms in running.items() if len(rms) > 1]


def left(mesh: Mesh, when: str) -> list[str]:
    """Return what is still under way though nobody is at work."""
    wrong = []
    for vma in mesh.group("vmas"):
        known = mesh.module(vma, "vma_info")
        wrong += [f"{when} {vma} still leases {each['instance']} to {each['operation']}" for each in known["leases"]]
        wrong += [f"{when} {each['kind']} of {each['instance']} is open on {vma}" for each in known["operations"] if each["closed"] is None]
    return wrong


def ended(mesh: Mesh) -> list[str]:
    """Remove all that there is, and return what stays nevertheless."""
    wrong = []
    for name in sorted(mesh.instances()):
        gone = mesh.play("remove", instance=name)
        wrong += [] if gone.ok else [f"{name} cannot be removed: {gone.messages}"]
    wrong += [f"{name} is left" for name in mesh.instances()]
    for gateway in mesh.group("gateways"):
        routers = json.loads(json.dumps(mesh.module(gateway, "domain_router_info")["routers"]))
        wrong += [f"the router of {each['domain']} is left on {gateway}" for each in routers if each["domain"] == "example.com"]
    return wrong
