# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each operation orders of each device, and in which order: as the roles did that gave these orders before there were plans, but where it says why not.

What holds for all of them: a journal's entry is closed beside the names that follow, or with the publishing. What withdraws does not wait for tunnels, in a
cut-over either. Networks are prepared without the members that nobody has seen answer yet.
"""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.orders import ordered

PLANS = mesh.every_plan()
EAST, WEST, RM1, RM2, RM3, NAMES = "gw-east", "gw-west", "rm-east-1", "rm-east-2", "rm-west-1", "ns-1"
IN, OUT, DONE = {"in_rotation": True}, {"in_rotation": False}, {"operation_done": True}
GONE = {"expected": ["reserved", "leaving"]}
#: The name loses the east, and enters the west while it leaves the east.
LOSES = ("name", "shop", {"leaves": ["hn-east"], "hold": 60.0})
MOVES = ("name", "shop", {"publish": ["hn-west"], "leaves": ["hn-east"], "hold": 60.0})
COMES = ("name", "shop", {"publish": ["hn-west"]})
ENTERS = ("name", "shop", {"publish": ["hn-east"]})


def record(*told):
    return ("record", *told)


def removed(name, epoch):
    return ("instances", (name, "absent", epoch), "at once")


def reserved(name, operation, capsule="1.0.0", **more):
    return (name, "reserve", {"operation": operation, "capsule": capsule, **more})


def held(capsule, *rms):
    return ("hold", (capsule, *rms))


def suspended(name="shop-1", **more):
    return (name, "suspended", {**OUT, **more})


def handed(side, peer, *names, epoch=9, state="running", **how):
    return ("hand_over", side, *((name, epoch, state, peer) for name in names), *how.get("how", ()))


# Its RM is asked whether it answers before anybody waits for callers who have the name's old answer.
READY, LEFT = ("ready", {RM1: [("ready",)]}), ("leave", {NAMES: [LOSES]})
# What the name does then depends on who else is in rotation when that is recorded.
DRAINING = [READY, ("tell", {EAST: [record(("shop-1", {**OUT, "operation": "drain"}))]}), LEFT]
DRAINED = [("router", "tell"), ("drain", "192.168.1.10")]
MOVE_TOLD = {WEST: [record(("shop-1", "running", IN))], EAST: [record(("shop-1", "leaving", {**OUT, "forward_to": "198.18.2.10", "operation": "move"}))]}
MOVE_ENDED = [
    ("retire", {RM1: [removed("shop-1", 9)]}),
    ("close", {EAST: [record(("shop-1", "absent")), ("router", "release")], WEST: [record(("shop-1", DONE)), held("shop 1.0.0", RM3)]}),
]
MOVE_READY = [
    ("reserve", {WEST: [record(reserved("shop-1", "move", epoch_above=3, accelerator="tcg"))]}),
    ("bring", {RM1: [("bring", "shop 1.0.0", RM3)]}),
    ("network", {WEST: [("router", "reserve", {"prepare": True})]}),
]


def rehearsed(name="shop-1", epoch=3, state="running", peer=RM3, to=9, how=()):
    """What an earlier run could not bring back to life is, before it is asked whether it can be handed over; that is new."""
    return [("instances", (name, state, epoch)), (*handed("source", peer, name, epoch=to, state=state, how=how), "rehearsal")]


def published(*names, answer_timeout=120, **more):
    return ("router", "tell", {"answer_timeout": answer_timeout, "asks": [f"{name}.example.com" for name in names], **more})


FORWARD = {
    "place": [
        ("reserve", {EAST: [record(reserved("shop-1", "place", accelerator=None))]}),
        ("bring", {RM1: [("bring", "shop 1.0.0", RM2)]}),
        ("tell", {EAST: [record(("shop-1", "running", IN))]}),
        ("cut_over", {RM2: [("instances", ("shop-1", "running", 9))], EAST: [published("shop-1")]}),
        ("follow", {NAMES: [ENTERS], EAST: [record(("shop-1", DONE)), held("shop 1.0.0", RM2)]}),
    ],
    "place with a tunnel": [
        ("wrapping_key", {EAST: [("wrapping_key",)]}),
        ("tunnel", {RM1: [("unpack_tunnel", "store 1.0.0", "the print")]}),
        ("reserve", {EAST: [record(reserved("store-1", "place", intranet_address="172.21.162.9", accelerator=None))]}),
        ("bring", {RM1: [("bring", "store 1.0.0", RM2)]}),
        ("tell", {EAST: [record(("store-1", "running", IN))]}),
        ("cut_over", {RM2: [("instances", ("store-1", "running", 9))], EAST: [published("store-1", tunnels=["store"])]}),
        ("follow", {NAMES: [("name", "store", {"publish": ["hn-east"]})], EAST: [record(("store-1", DONE)), held("store 1.0.0", RM2)]}),
    ],
    "place where it is held": [
        ("reserve", {EAST: [record(reserved("shop-1", "place", rm=RM1, accelerator=None))]}),
        ("tell", {EAST: [record(("shop-1", "running", IN))]}),
        ("cut_over", {RM1: [("instances", ("shop-1", "running", 9))], EAST: [published("shop-1")]}),
        ("follow", {NAMES: [ENTERS], EAST: [record(("shop-1", DONE))]}),
    ],
    "resume": [
        ("tell", {EAST: [record(("shop-1", "running", {**IN, "operation": "resume"}))]}),
        ("cut_over", {RM1: [("instances", ("shop-1", "running", 3))], EAST: [published("shop-1", answer_timeout=60)]}),
        ("follow", {NAMES: [ENTERS], EAST: [record(("shop-1", DONE))]}),
    ],
    "suspend": [
        READY,
        ("tell", {EAST: [record(suspended(operation="suspend"))]}),
        LEFT,
        ("withdraw", {EAST: [("router", "tell")]}),
        ("rest", {RM1: [("instances", ("shop-1", "suspended", 3))]}),
        ("close", {EAST: [record(("shop-1", DONE))]}),
    ],
    "suspend one of two": [
        READY,
        ("tell", {EAST: [record(suspended(operation="suspend"))]}),
        ("withdraw", {EAST: [("router", "tell")]}),
        ("rest", {RM1: [("instances", ("shop-1", "suspended", 3))]}),
        ("close", {EAST: [record(("shop-1", DONE))]}),
    ],
    "drain then leave": [*DRAINING, ("withdraw", {EAST: [*DRAINED, record(("shop-1", DONE))]})],
    # What came after it was an operation of its own, which closed the first, looked and had the name leave again.
    "drain then suspend": [
        *DRAINING,
        ("withdraw", {EAST: [*DRAINED, record(("shop-1", "suspended")), ("router", "resting")]}),
        ("rest", {RM1: [("instances", ("shop-1", "suspended", 3))]}),
        ("close", {EAST: [record(("shop-1", DONE))]}),
    ],
    "drain then remove": [
        *DRAINING,
        ("withdraw", {EAST: [*DRAINED, record(("shop-1", "leaving"))]}),
        ("clear", {RM1: [removed("shop-1", 3)]}),
        ("release", {EAST: [record(("shop-1", "absent")), ("router", "release")]}),
    ],
    "remove": [
        READY,
        ("tell", {EAST: [record(("shop-1", "leaving", {**OUT, "operation": "remove"}))]}),
        LEFT,
        ("withdraw", {EAST: [("router", "tell")]}),
        ("clear", {RM1: [removed("shop-1", 3)]}),
        ("release", {EAST: [record(("shop-1", "absent")), ("router", "release")]}),
    ],
    "scale up": [
        ("reserve", {EAST: [record(*(reserved(f"shop-{number}", "scale", "warm", accelerator="tcg") for number in (3, 4)))]}),
        ("bring", {RM1: [("bring", "shop warm", RM2)]}),
        ("tell", {EAST: [record(*((f"shop-{number}", "running", {**IN, "operation": "scale"}) for number in (1, 2, 3, 4)))]}),
        (
            "cut_over",
            {
                RM1: [("instances", ("shop-1", "running", 3))],
                RM2: [("instances", ("shop-2", "running", 1), ("shop-3", "running", 9), ("shop-4", "running", 9))],
                EAST: [published("shop-2", "shop-3", "shop-4")],
            },
        ),
        ("follow", {NAMES: [ENTERS], EAST: [record(*((f"shop-{number}", DONE) for number in (2, 3, 4))), held("shop warm", RM2, RM2)]}),
    ],
    "scale down": [
        ("tell", {EAST: [record(("shop-1", "running", {**IN, "operation": "scale"}), suspended("shop-2", operation="scale"))]}),
        ("withdraw", {EAST: DRAINED}),
        ("cut_over", {RM1: [("instances", ("shop-1", "running", 3))], RM2: [("instances", ("shop-2", "suspended", 1))]}),
        ("follow", {NAMES: [ENTERS], EAST: [record(("shop-2", DONE))]}),
    ],
    "scale down to absent": [
        ("tell", {EAST: [record(("shop-1", "running", {**IN, "operation": "scale"}), ("shop-2", "leaving", {**OUT, "operation": "scale"}))]}),
        ("withdraw", {EAST: DRAINED}),
        # What keeps running is told so by a call of its own, which ends nothing at once.
        ("cut_over", {RM1: [("instances", ("shop-1", "running", 3))], RM2: [removed("shop-2", 1)]}),
        ("follow", {NAMES: [ENTERS], EAST: [record(("shop-2", "absent"))]}),
        ("close_router", {EAST: [("router", "close")]}),
    ],
    "standby": [
        ("reserve", {EAST: [record(*(reserved(f"shop-{number}", "standby", "warm", accelerator="tcg") for number in (2, 3)))]}),
        ("bring", {RM1: [("bring", "shop warm", RM2)]}),
        ("tell", {EAST: [record(*((f"shop-{number}", "reserved", {"operation": "standby"}) for number in (2, 3)))]}),
        ("withdraw", {EAST: [("router", "tell")]}),
        ("cut_over", {RM2: [("instances", ("shop-2", "suspended", 1), ("shop-3", "suspended", 9))]}),
        ("close", {EAST: [record(*((f"shop-{number}", "suspended", DONE) for number in (2, 3))), held("shop warm", RM2, RM2)]}),
    ],
    "standby fewer": [
        ("tell", {EAST: [record(("shop-2", "leaving", {"operation": "standby"})), ("router", "tell"), ("drain", "192.168.1.10")]}),
        ("cut_over", {RM2: [removed("shop-2", 1)]}),
        ("follow", {EAST: [record(("shop-2", "absent")), ("router", "close")]}),
    ],
    "clone what is still to be published": [
        ("publish", {RM1: [("publish", ("shop-1", "warmer"))], EAST: [("spare", "shop-1")]}),
        ("reserve", {EAST: [record(reserved("shop-2", "clone", "warmer", accelerator="tcg"))]}),
        ("bring", {RM1: [("bring", "shop warmer", RM2)]}),
        ("tell", {EAST: [record(("shop-2", "running", {**IN, "operation": "clone"}))]}),
        ("cut_over", {RM2: [("instances", ("shop-2", "running", 1))], EAST: [published("shop-2")]}),
        ("follow", {NAMES: [ENTERS], EAST: [record(("shop-2", DONE)), ("hold", ("shop warmer", RM1), ("shop warmer", RM2))]}),
    ],
    "clone a cluster": [
        ("publish", {RM1: [("publish", ("shop-1", "warmer"), ("db-1", "warmer"))], EAST: [("spare", "shop-1", "db-1")]}),
        ("reserve", {WEST: [record(*(reserved(name, "clone", "warmer", own_address=True, accelerator="tcg") for name in ("shop-2", "db-2")))]}),
        ("bring", {RM1: [("bring", "shop warmer", RM3), ("bring", "db warmer", RM3)]}),
        (
            "tell",
            {
                WEST: [record(*((name, "running", {**IN, "operation": "clone"}) for name in ("shop-2", "db-2")))],
                EAST: [("hold", ("shop warmer", RM1), ("db warmer", RM1))],
            },
        ),
        ("cut_over", {RM3: [("instances", ("shop-2", "running", 9), ("db-2", "running", 9))], WEST: [published("shop-2", "db-2")]}),
        (
            "follow",
            {
                NAMES: [("name", name, {"publish": ["hn-west"]}) for name in ("shop", "db")],
                WEST: [record(("shop-2", DONE), ("db-2", DONE)), ("hold", ("shop warmer", RM3), ("db warmer", RM3))],
            },
        ),
    ],
    # The VMAs of both sides are told at the same time.
    "move": [
        *MOVE_READY,
        ("rehearse", {NAMES: [(*COMES, "rehearsal")], RM1: rehearsed()}),
        ("tell", MOVE_TOLD),
        (
            "cut_over",
            {
                EAST: [("router", "leaving"), ("then", "forget", "192.168.1.10")],
                RM1: [handed("source", RM3, "shop-1")],
                RM3: [handed("target", RM1, "shop-1")],
                WEST: [("router", "coming", {"answer_timeout": 300})],
            },
        ),
        ("follow", {NAMES: [MOVES]}),
        *MOVE_ENDED,
    ],
    "move what is served elsewhere": [
        *MOVE_READY,
        ("rehearse", {NAMES: [(*COMES, "rehearsal")], RM1: rehearsed()}),
        ("tell", MOVE_TOLD),
        ("elsewhere", {NAMES: [LOSES]}),
        (
            "cut_over",
            {
                EAST: [("router", "leaving"), ("then", "forget", "192.168.1.10")],
                RM1: [handed("source", RM3, "shop-1")],
                RM3: [handed("target", RM1, "shop-1")],
                WEST: [("router", "coming", {"answer_timeout": 300})],
            },
        ),
        ("follow", {NAMES: [MOVES]}),
        *MOVE_ENDED,
    ],
    "move alive": [
        *MOVE_READY,
        ("rehearse", {NAMES: [(*COMES, "rehearsal")], RM1: rehearsed(how=["live"]), EAST: [("spare", "shop-1")]}),
        ("tell", MOVE_TOLD),
        (
            "cut_over",
            {
                RM1: [handed("source", RM3, "shop-1", how=["live"])],
                EAST: [("then", "router", "leaving", {"close_connections": True})],
                RM3: [handed("target", RM1, "shop-1", how=["live"])],
                WEST: [("router", "coming", {"answer_timeout": 300})],
            },
        ),
        ("follow", {NAMES: [MOVES]}),
        *MOVE_ENDED,
    ],
    "move what rests": [
        *MOVE_READY,
        ("rehearse", {RM1: rehearsed(state="suspended")}),
        ("tell", {WEST: [record(suspended())], EAST: [record(("shop-1", "leaving", {**OUT, "operation": "move"}))]}),
        (
            "cut_over",
            {
                EAST: [("router", "leaving")],
                RM1: [handed("source", RM3, "shop-1", state="suspended")],
                RM3: [handed("target", RM1, "shop-1", state="suspended")],
                WEST: [("router", "coming", {"answer_timeout": 300})],
            },
        ),
        *MOVE_ENDED,
    ],
    "move with a tunnel": [
        ("wrapping_key", {WEST: [("wrapping_key",)]}),
        ("tunnel", {EAST: [("wrap_tunnel", "store", "the key")]}),
        ("reserve", {WEST: [record(reserved("store-1", "move", intranet_address="172.21.162.9", epoch_above=7, accelerator="tcg"))]}),
        ("bring", {RM1: [("bring", "store 1.0.0", RM3)]}),
        ("network", {WEST: [("router", "reserve", {"prepare": True, "tunnels": ["store"]})]}),
        ("rehearse", {NAMES: [("name", "store", COMES[2], "rehearsal")], RM1: rehearsed("store-1", 7)}),
        (
            "tell",
            {
                WEST: [record(("store-1", "running", IN))],
                EAST: [record(("store-1", "leaving", {**OUT, "forward_to": "198.18.2.50", "operation": "move"}))],
            },
        ),
        (
            "cut_over",
            {
                EAST: [("router", "leaving"), ("then", "forget", "192.168.1.50")],
                RM1: [handed("source", RM3, "store-1")],
                RM3: [handed("target", RM1, "store-1")],
                WEST: [("router", "coming", {"answer_timeout": 300})],
            },
        ),
        ("follow", {NAMES: [("name", "store", MOVES[2])]}),
        ("retire", {RM1: [removed("store-1", 9)]}),
        ("close", {EAST: [record(("store-1", "absent")), ("router", "release")], WEST: [record(("store-1", DONE)), held("store 1.0.0", RM3)]}),
    ],
    "move a cluster": [
        (
            "reserve",
            {
                WEST: [
                    record(
                        reserved("shop-1", "move", own_address=True, epoch_above=3, accelerator="tcg"),
                        reserved("db-1", "move", own_address=True, epoch_above=5, accelerator="tcg"),
                    )
                ]
            },
        ),
        ("bring", {RM1: [("bring", "shop 1.0.0", RM3), ("bring", "db 1.0.0", RM3)]}),
        ("network", {WEST: [("router", "reserve", {"prepare": True})]}),
        (
            "rehearse",
            {
                NAMES: [("name", name, COMES[2], "rehearsal") for name in ("shop", "db")],
                RM1: [("instances", ("shop-1", "running", 3), ("db-1", "running", 5)), (*handed("source", RM3, "shop-1", "db-1"), "rehearsal")],
            },
        ),
        (
            "tell",
            {
                WEST: [record(("shop-1", "running", IN), ("db-1", "running", IN))],
                EAST: [
                    record(
                        ("shop-1", "leaving", {**OUT, "forward_to": "198.18.2.10", "operation": "move"}),
                        ("db-1", "leaving", {**OUT, "forward_to": "198.18.2.40", "operation": "move"}),
                    )
                ],
            },
        ),
        (
            "cut_over",
            {
                EAST: [("router", "leaving"), ("then", "forget", "192.168.1.10", "192.168.1.40")],
                RM1: [handed("source", RM3, "shop-1", "db-1")],
                RM3: [handed("target", RM1, "shop-1", "db-1")],
                WEST: [("router", "coming", {"answer_timeout": 300})],
            },
        ),
        ("follow", {NAMES: [("name", name, MOVES[2]) for name in ("shop", "db")]}),
        ("retire", {RM1: [("instances", ("shop-1", "absent", 9), ("db-1", "absent", 9), "at once")]}),
        (
            "close",
            {
                EAST: [record(("shop-1", "absent"), ("db-1", "absent")), ("router", "release")],
                WEST: [record(("shop-1", DONE), ("db-1", DONE)), ("hold", ("shop 1.0.0", RM3), ("db 1.0.0", RM3))],
            },
        ),
    ],
    "move clone first": [
        ("reserve", {WEST: [record(reserved("shop-1", "move", "1.0.0-moved-4", epoch_above=3, accelerator="tcg")), ("router", "reserve", {"prepare": True})]}),
        ("rehearse", {NAMES: [(*COMES, "rehearsal")], EAST: [("spare", "shop-1")]}),
        ("publish", {RM1: [("publish", ("shop-1", "1.0.0-moved-4")), ("bring", "shop 1.0.0-moved-4", RM3)]}),
        ("tell", {WEST: [record(("shop-1", "running", IN))]}),
        ("cut_over", {RM3: [("instances", ("shop-1", "running", 9))], WEST: [published("shop-1", answer_timeout=300)]}),
        ("follow", {NAMES: [COMES]}),
        ("leave", {EAST: [record(("shop-1", "leaving", {**OUT, "operation": "move"}))]}),
        ("lose", {NAMES: [LOSES]}),
        ("withdraw", {EAST: [("router", "leave"), ("drain", "192.168.1.10")]}),
        ("clear", {RM1: [removed("shop-1", 9)]}),
        ("release", {EAST: [record(("shop-1", "absent")), ("router", "release")]}),
        ("close", {RM1: [("remove_capsule", "shop 1.0.0-moved-4")], WEST: [record(("shop-1", DONE)), held("shop 1.0.0-moved-4", RM3)]}),
    ],
    "move within alive": [
        ("bring", {RM1: [("bring", "shop 1.0.0", RM2), *rehearsed(peer=RM2, to=4, how=["live"])]}),
        ("begin", {EAST: [record(("shop-1", {"move": "begin", "rm": RM2, "epoch_above": 3, "operation": "move"})), ("spare", "shop-1")]}),
        ("cut_over", {RM1: [handed("source", RM2, "shop-1", how=["live"])], RM2: [handed("target", RM1, "shop-1", how=["live"])]}),
        ("retire", {RM1: [removed("shop-1", 9)]}),
        ("close", {EAST: [record(("shop-1", {"move": "end", **DONE})), held("shop 1.0.0", RM2)]}),
    ],
    "move within": [
        ("bring", {RM1: [("bring", "shop 1.0.0", RM2), *rehearsed(peer=RM2, to=4)]}),
        ("begin", {EAST: [record(("shop-1", {"move": "begin", "rm": RM2, "epoch_above": 3, "operation": "move"})), ("spare", "shop-1")]}),
        ("cut_over", {RM1: [handed("source", RM2, "shop-1")], RM2: [handed("target", RM1, "shop-1")]}),
        ("retire", {RM1: [removed("shop-1", 9)]}),
        ("close", {EAST: [record(("shop-1", {"move": "end", **DONE})), held("shop 1.0.0", RM2)]}),
    ],
    "restart": [
        ("shop-1.example.com.leave", {EAST: [record(("shop-1", {**OUT, "operation": "update"}))]}),
        ("shop-1.example.com.withdraw", {EAST: [("router", "shop-1.example.com.leave"), ("drain", "192.168.1.10")]}),
        ("shop-1.example.com.stop", {RM1: [("instances", ("shop-1", "stopped", 3)), ("instances", ("shop-1", "running", 3))]}),
        ("shop-1.example.com.back", {EAST: [record(("shop-1", {**IN, **DONE})), ("router", "shop-1.example.com.back", {"answer_timeout": 120})]}),
        ("shop-1.example.com.follow", {NAMES: [ENTERS]}),
        ("shop-2.example.com.leave", {EAST: [record(("shop-2", {**OUT, "operation": "update"}))]}),
        ("shop-2.example.com.withdraw", {EAST: [("router", "shop-2.example.com.leave"), ("drain", "192.168.1.254")]}),
        ("shop-2.example.com.stop", {RM2: [("instances", ("shop-2", "stopped", 2)), ("instances", ("shop-2", "running", 2))]}),
        ("shop-2.example.com.back", {EAST: [record(("shop-2", {**IN, **DONE})), ("router", "shop-2.example.com.back", {"answer_timeout": 120})]}),
        ("shop-2.example.com.follow", {NAMES: [ENTERS]}),
    ],
}


def replaced(new, old, rm, epoch, address):
    """One round of an update, but for the reservation.

    What serves is closed in the transaction that releases whose place it took; between these two a second run took it for one that still has to take
    somebody's place. Nothing is withdrawn again when the old one, which is out of rotation, is recorded to go.
    """
    p = f"{new}.example.com."
    return [
        (f"{p}bring", {RM1: [("bring", "shop 2.0.0", RM2)]}),
        (f"{p}tell", {EAST: [record((new, "running", IN))]}),
        (f"{p}start", {RM2: [("instances", (new, "running", 9))]}),
        (f"{p}publish", {EAST: [("router", f"{p}tell", {"answer_timeout": 120})]}),
        (f"{p}follow", {NAMES: [ENTERS]}),
        (
            f"{p}leave",
            {
                EAST: [
                    record((old, {**OUT, "operation": "update"})),
                    ("router", f"{p}leave"),
                    ("drain", address),
                    record((old, "leaving", OUT)),
                ]
            },
        ),
        (f"{p}old.clear", {rm: [removed(old, epoch)]}),
        (f"{p}old.release", {EAST: [record((old, "absent"), (new, DONE)), ("router", f"{p}old.release")]}),
    ]


def reserves(new):
    return record(reserved(new, "update", "2.0.0", accelerator=None))


ROUNDS = replaced("shop-3", "shop-1", RM1, 3, "192.168.1.10"), replaced("shop-4", "shop-2", RM2, 2, "192.168.1.254")
# The second round begins with the end of the first.
ROUNDS[0][-1][1][EAST].append(reserves("shop-4"))
ROUNDS[1][-1][1][EAST].append(held("shop 2.0.0", RM2, RM2))
FORWARD["update"] = [("shop-3.example.com.reserve", {EAST: [reserves("shop-3")]}), *ROUNDS[0], *ROUNDS[1]]


def saved(name, above, **more):
    return (name, "running", {**IN, "operation": "rescue", "rescue": {"lost": RM2, "rm": RM1, "epoch_above": above}, **more})


def ended(*names):
    return [("record", (name, {"move": "end", **DONE})) for name in names]


def asking(*names):
    return [("router", "reserve.example.com", {"answer_timeout": 120, "asks": [f"{name}.example.com" for name in names]}), *[("answers",) for unused in names]]


FORWARD["rescue"] = [
    ("reserve", {EAST: [("subscribe",), record(saved("db-1", 5), saved("shop-2", 2))]}),
    ("start", {RM1: [("instances", ("db-1", "running", 9), ("shop-2", "running", 9))]}),
    ("publish", {EAST: asking("db-1", "shop-2")}),
    ("close", {EAST: ended("db-1", "shop-2")}),
]
# It may have come as far as to run there, but not into the rotation.
FORWARD["rescue what was begun"] = [
    ("reserve", {EAST: [("subscribe",), record(saved("shop-2", 2))]}),
    ("start", {RM1: [("instances", ("shop-2", "running", 9))]}),
    ("publish", {EAST: asking("shop-2")}),
    ("follow", {NAMES: [ENTERS]}),
    ("close", {EAST: ended("shop-2")}),
]

#: The source is recorded to stay, in an epoch above the target's, before the target is cleared. Before there were plans the target was cleared first, and
#: when that could not be recorded any more there was no way out.
BACK_AT_SOURCE = [
    ("stay", {EAST: [record(("shop-1", "running", {**OUT, "epoch_above": 9}))]}),
    ("clear", {RM3: [removed("shop-1", 9)]}),
    ("give_back", {WEST: [record(("shop-1", "absent"))]}),
    ("live_again", {RM1: [("instances", ("shop-1", "running", 10))], WEST: [("router", "give_back.shop-1.example.com")]}),
    ("enter", {EAST: [record(("shop-1", {**IN, **DONE})), ("router", "enter")]}),
]

TAKEN_BACK = {
    ("place", "bring"): [("give_back", {EAST: [record(("shop-1", "absent", GONE)), ("router", "give_back")]})],
    ("place", "cut_over.rm"): [
        ("untell", {EAST: [record(("shop-1", "leaving", OUT))]}),
        ("unname", {NAMES: [("name", "shop", {"leaves": ["hn-east"]}, "unasked")]}),
        ("withdraw", {EAST: [("router", "untell")]}),
        ("clear", {RM2: [removed("shop-1", 9)]}),
        ("give_back", {EAST: [record(("shop-1", "absent", GONE)), ("router", "give_back")]}),
    ],
    ("resume", "cut_over.publish"): [
        ("untell", {EAST: [record(suspended(**DONE))]}),
        ("unname", {NAMES: [("name", "shop", {"leaves": ["hn-east"]})]}),
        ("withdraw", {EAST: [("router", "untell")]}),
        ("rest", {RM1: [("instances", ("shop-1", "suspended", 3))]}),
    ],
    ("suspend", "rest"): [
        ("stay", {EAST: [record(("shop-1", "running", {**IN, **DONE}))]}),
        ("run_again", {RM1: [("instances", ("shop-1", "running", 3))]}),
        ("publish_again", {EAST: [("router", "stay")]}),
        ("name_again", {NAMES: [(*ENTERS, "unasked")]}),
    ],
    ("drain then leave", "drain"): [
        ("stay", {EAST: [record(("shop-1", "running", {**IN, **DONE})), ("router", "stay")]}),
        ("name_again", {NAMES: [(*ENTERS, "unasked")]}),
    ],
    # What is removed is removed by a second run, if not by this.
    ("remove", "clear"): [],
    ("drain then remove", "clear"): [],
    ("scale up", "cut_over.rm.shop-3.example.com"): [
        ("untell", {EAST: [record(suspended("shop-2"), ("shop-3", "leaving", OUT), ("shop-4", "leaving", OUT)), ("router", "untell")]}),
        ("clear", {RM2: [("instances", ("shop-2", "suspended", 1), ("shop-3", "absent", 9), ("shop-4", "absent", 9), "at once")]}),
        ("undo", {EAST: [record(("shop-2", "suspended", DONE), ("shop-3", "absent", GONE), ("shop-4", "absent", GONE)), ("router", "undo")]}),
    ],
    ("scale down", "drain"): [
        ("undo", {EAST: [record(("shop-2", "running", {**IN, **DONE})), ("router", "undo")]}),
        ("name_again", {NAMES: [(*ENTERS, "unasked")]}),
    ],
    # What is to rest is withdrawn and drained; a second run takes it up.
    ("scale down", "cut_over.rm.shop-2.example.com"): [],
    # What was made ready is removed from its RM, too, before its room is given back; it stayed there.
    ("standby", "cut_over.rm.shop-3.example.com"): [
        ("untell", {EAST: [record(*((f"shop-{number}", "leaving", {"operation": "standby"}) for number in (2, 3)))]}),
        ("clear", {RM2: [("instances", ("shop-2", "absent", 1), ("shop-3", "absent", 9), "at once")]}),
        ("undo", {EAST: [record(("shop-2", "absent", GONE), ("shop-3", "absent", GONE)), ("router", "undo")]}),
    ],
    ("clone what is still to be published", "cut_over.publish"): [
        ("untell", {EAST: [record(("shop-2", "leaving", OUT)), ("router", "untell")]}),
        ("clear", {RM2: [removed("shop-2", 1)]}),
        ("undo", {EAST: [record(("shop-2", "absent", GONE)), ("router", "undo")]}),
        ("unmake", {RM1: [("remove_capsule", "shop warmer")], RM2: [("remove_capsule", "shop warmer")]}),
    ],
    # One that is published already is as it was before anything else is taken back.
    ("clone a cluster", "follow.db"): [
        ("untell", {WEST: [record(("shop-2", "leaving", OUT), ("db-2", "leaving", OUT)), ("router", "untell")]}),
        ("clear", {RM3: [("instances", ("shop-2", "absent", 9), ("db-2", "absent", 9), "at once")]}),
        ("undo", {WEST: [record(("shop-2", "absent", GONE), ("db-2", "absent", GONE)), ("router", "undo")]}),
        ("name_again", {NAMES: [("name", name, {"leaves": ["hn-west"]}) for name in ("shop", "db")]}),
        (
            "unmake",
            {
                RM1: [("remove_capsule", "shop warmer"), ("remove_capsule", "db warmer")],
                RM3: [("remove_capsule", "shop warmer"), ("remove_capsule", "db warmer")],
                # What was recorded of them beside the name that could not follow.
                EAST: [("hold", ("gone", "shop warmer", RM1), ("gone", "db warmer", RM1))],
                WEST: [("hold", ("gone", "shop warmer", RM3), ("gone", "db warmer", RM3))],
            },
        ),
    ],
    # The source has not been told anything yet.
    ("move", "rehearse.source.shop-1.example.com"): [
        ("give_back", {WEST: [record(("shop-1", "absent", GONE))]}),
        ("live_again", {WEST: [("router", "give_back_early")]}),
    ],
    ("move", "cut_over.publish"): [*BACK_AT_SOURCE, ("name_again", {NAMES: [(*ENTERS, "unasked"), ("name", "shop", {"leaves": ["hn-west"]})]})],
    ("move", "follow.shop"): [],
    ("move what is served elsewhere", "cut_over.publish"): [
        *BACK_AT_SOURCE,
        ("name_again", {NAMES: [(*ENTERS, "unasked"), ("name", "shop", {"leaves": ["hn-west"], "hold": 60.0})]}),
    ],
    ("move a cluster", "cut_over.publish"): [
        ("stay", {EAST: [record(("shop-1", "running", {**OUT, "epoch_above": 9}), ("db-1", "running", {**OUT, "epoch_above": 9}))]}),
        ("clear", {RM3: [("instances", ("shop-1", "absent", 9), ("db-1", "absent", 9), "at once")]}),
        ("give_back", {WEST: [record(("shop-1", "absent")), record(("db-1", "absent"))]}),
        (
            "live_again",
            {RM1: [("instances", ("shop-1", "running", 10), ("db-1", "running", 10))], WEST: [("router", "give_back.db-1.example.com")]},
        ),
        ("enter", {EAST: [record(("shop-1", {**IN, **DONE}), ("db-1", {**IN, **DONE})), ("router", "enter")]}),
        (
            "name_again",
            {
                NAMES: [
                    each
                    for name in ("shop", "db")
                    for each in (("name", name, {"publish": ["hn-east"]}, "unasked"), ("name", name, {"leaves": ["hn-west"]}))
                ]
            },
        ),
    ],
    ("move clone first", "cut_over.publish"): [
        ("copy.untell", {WEST: [record(("shop-1", "leaving", OUT))]}),
        ("copy.unname", {NAMES: [("name", "shop", {"leaves": ["hn-west"]})]}),
        ("copy.withdraw", {WEST: [("router", "copy.untell")]}),
        ("copy.clear", {RM3: [removed("shop-1", 9)]}),
        ("copy.give_back", {WEST: [record(("shop-1", "absent", GONE)), ("router", "copy.give_back")]}),
        ("unmake", {RM1: [("remove_capsule", "shop 1.0.0-moved-4")], RM3: [("remove_capsule", "shop 1.0.0-moved-4")]}),
    ],
    ("move within", "cut_over.target"): [
        ("clear", {RM2: [removed("shop-1", 9)]}),
        ("give_up", {EAST: [record(("shop-1", {"move": "give_up", "epoch_above": 9, **DONE}))]}),
        ("live_again", {RM1: [("instances", ("shop-1", "running", 10))]}),
    ],
    ("move within", "begin"): [],
    ("update", "shop-4.example.com.cut_over.publish"): [
        (
            "shop-4.example.com.stay",
            {EAST: [record(("shop-2", "running", {**IN, **DONE}), ("shop-4", "leaving", OUT)), ("router", "shop-4.example.com.stay")]},
        ),
        ("shop-4.example.com.clear", {RM2: [removed("shop-4", 9)]}),
        ("shop-4.example.com.give_back", {EAST: [record(("shop-4", "absent", GONE)), ("router", "shop-4.example.com.give_back")]}),
    ],
    # What could not be started is given back when nothing is left of it where it was to be; there is no way back for the rest.
    ("rescue", "start.shop-2.example.com"): [],
    ("restart", "shop-1.example.com.drain"): [
        (
            "shop-1.example.com.enter",
            {EAST: [record(("shop-1", {**IN, **DONE})), ("router", "shop-1.example.com.enter", {"answer_timeout": 120})]},
        ),
        ("shop-1.example.com.name_again", {NAMES: [(*ENTERS, "unasked")]}),
    ],
}
P = "shop-1.example.com."
# What was replaced is brought back as it was replaced.
TAKEN_BACK["update or roll back", "shop-4.example.com.cut_over.publish"] = [
    *TAKEN_BACK["update", "shop-4.example.com.cut_over.publish"],
    (
        "shop-2.example.com.old.release",
        {
            EAST: [
                record(("shop-1", "reserve", {"operation": "update", "capsule": "1.0.0", "rm": RM1, "public_address": "198.18.1.10", "accelerator": None})),
                record(("shop-1", "running", IN)),
            ]
        },
    ),
    (f"{P}start", {RM1: [("instances", ("shop-1", "running", 3))]}),
    (f"{P}publish", {EAST: [("router", f"{P}tell", {"answer_timeout": 120})]}),
    (f"{P}follow", {NAMES: [ENTERS]}),
    (
        f"{P}leave",
        {
            EAST: [
                record(("shop-3", {**OUT, "operation": "update"})),
                ("router", f"{P}leave"),
                ("drain", "192.168.1.10"),
                record(("shop-3", "leaving", OUT)),
            ]
        },
    ),
    (f"{P}old.clear", {RM2: [removed("shop-3", 9)]}),
    (f"{P}old.release", {EAST: [record(("shop-3", "absent"), ("shop-1", DONE)), ("router", f"{P}old.release")]}),
]


def new_to_the_east(name):
    return (mesh.SHOP, mesh.STORE) if name.startswith("place") else ()


#: Where others of the service serve on.
SERVED = ("suspend one of two", "scale up", "scale down", "scale down to absent", "clone what is still to be published", "restart")
SERVED += ("update", "update or roll back")


@pytest.mark.parametrize("name", FORWARD)
def test_what_is_ordered(name):
    forward, back = ordered(PLANS[name], new_to_the_east(name), served=name in SERVED)
    assert forward == FORWARD[name] and back == []


@pytest.mark.parametrize(("name", "fails"), TAKEN_BACK)
def test_what_is_taken_back(name, fails):
    unused, back = ordered(PLANS[name], new_to_the_east(name), fails, name in SERVED)
    assert back == TAKEN_BACK[name, fails]


def test_who_waits_for_an_answer_is_told_that_none_comes():
    forward, unused = ordered(PLANS["place"], new_to_the_east("place"), "cut_over.rm")
    assert forward[-1] == (
        "cut_over",
        {RM2: [("instances", ("shop-1", "running", 9))], EAST: [("then", "call_off", "tell"), published("shop-1")]},
    )
    for side, others in (("source", "target"), ("target", "source")):
        forward, unused = ordered(PLANS["move"], (), f"cut_over.{side}.shop-1.example.com")
        (cut_over,) = [asked for stage, asked in forward if stage == "cut_over"]
        assert ("then", "call_off", "coming") in cut_over[WEST]


def test_without_a_name_server_no_name_follows_and_a_gateway_closes_what_it_has_published():
    forward, unused = ordered(mesh.every_plan(host="")["resume"])
    assert forward == [
        ("tell", {EAST: [record(("shop-1", "running", {**IN, "operation": "resume"}))]}),
        ("cut_over", {RM1: [("instances", ("shop-1", "running", 3))], EAST: [published("shop-1", answer_timeout=60), record(("shop-1", DONE))]}),
    ]


@pytest.mark.parametrize("name", ["place", "place again", "resume", "resume what runs"])
def test_who_is_started_has_to_answer_whatever_its_record_says(name):
    """Its router may know it still: its RM has lost its power, or what had it rest was cut off before it came to the router. Nobody has heard of it since."""
    made = mesh.every_plan()[name]
    (publish,) = [step for step in made.cut_over.steps if step.id == "cut_over.publish"]
    assert publish.arguments["asks"] == [mesh.SHOP]


def test_what_could_not_be_rescued_is_given_back_when_nothing_is_left_of_it():
    forward, unused = ordered(PLANS["rescue"], (), "start.shop-2.example.com")
    stopped = {**OUT, "move": "give_up", "epoch_above": 9}
    # Both are one call, which failed.
    told = [record((name, "stopped", stopped)) for name in ("db-1", "shop-2")]
    withdrawn = [("router", f"back.{name}.example.com") for name in ("db-1", "shop-2")]
    assert forward[3:] == [
        ("clear", {RM1: [("instances", ("db-1", "absent", 9), ("shop-2", "absent", 9), "at once")]}),
        ("back", {EAST: [*told, *withdrawn]}),
        ("lose", {NAMES: [("name", name, {"leaves": ["hn-east"], "hold": 60.0}) for name in ("db", "shop")]}),
    ]
