# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names follow the service: each client gets its nearest living HN, straight and through a caching resolver, and a move loses nobody."""

from __future__ import annotations

import re
import time

import pytest
from answers import SERVER, Watch
from load import Load
from mesh_lab import SHOP, until

NAME, TWIN = "shop.example.com", "shop-2.example.com"
EAST, WEST = "198.18.1.10", "198.18.2.10"
#: What the lab's inventory says (seconds): how long an answer may be kept, and how long client-west's resolver keeps it at least.
TTL, STRETCHED = 1, 3
DEATH = "nft add table inet dead; nft 'add chain inet dead in { type filter hook prerouting priority -400; }'; nft add rule inet dead in iifname wan0 drop"
REFUSAL = (
    "nft add table inet dead; nft 'add chain inet dead out { type filter hook output priority 0; }';"
    f"nft add rule inet dead out ip daddr {WEST} tcp dport 80 reject with tcp reset"
)


def straight(mesh, client):
    """The answer of the primary name server itself."""
    return mesh.ssh(client, "dig", "+short", "+time=2", "+tries=2", f"@{SERVER}", NAME, "A").split()[1:]


def cached(mesh, client):
    """The answer of the client's own resolver."""
    return mesh.ssh(client, "dig", "+short", "+time=2", "+tries=2", "@127.0.0.1", NAME, "A").split()[1:]


def everybody(mesh):
    return {client: (straight(mesh, client), cached(mesh, client)) for client in ("client-east", "client-west")}


@pytest.fixture
def forgetful(mesh):
    """The mesh, with resolvers that remember nothing of what an earlier test did."""
    for client in mesh.group("clients"):
        mesh.ssh(client, "unbound-control", "-q", "reload")
    return mesh


@pytest.fixture
def both(shop, mesh):
    """The shop in both HNs, one instance each."""
    placed = mesh.play("place", instance=TWIN, capsule="1.0.0", to_hn="hn-west", to_rm="rm-west-1", public_address=WEST)
    assert placed.ok, placed.output
    yield mesh
    gone = mesh.play("remove", instance=TWIN)
    assert gone.ok, gone.output


def test_each_client_gets_its_nearest_living_hn(both, forgetful):
    mesh = forgetful
    # The name server has to look once before it counts an HN as alive.
    until(lambda: straight(mesh, "client-west") == [WEST], 3, "the new HN is seen alive")
    until(lambda: everybody(mesh) == {"client-east": ([EAST], [EAST]), "client-west": ([WEST], [WEST])}, STRETCHED + 1, "resolvers follow")

    mesh.shell("gw-west", DEATH)
    try:
        died = time.monotonic()
        # The name server asks every second, waits two for an answer, and may repeat for one more what it has said: the TTL counts from there.
        until(lambda: straight(mesh, "client-west") == [EAST], 3 + TTL, "the dead HN leaves the answers")
        until(lambda: cached(mesh, "client-west") == [EAST], 3 + TTL + STRETCHED - (time.monotonic() - died), "the resolver follows")
        assert straight(mesh, "client-east") == [EAST]
        shown = "\n".join(mesh.play("status").result("Show what runs where")["msg"])
        assert f"west    198.18.100.2/32  hn-east ({EAST})  hn-west would be nearer, but does not answer" in shown
    finally:
        mesh.shell("gw-west", "nft delete table inet dead")
    until(lambda: straight(mesh, "client-west") == [WEST], 5, "it comes back")
    until(lambda: cached(mesh, "client-west") == [WEST], 5 + STRETCHED, "the resolver follows")
    shown = "\n".join(mesh.play("status").result("Show what runs where")["msg"])
    assert f"west    198.18.100.2/32  hn-west ({WEST})  nearest first: hn-west, hn-east" in shown

    far = [{"name": "east", "prefixes": ["198.18.100.1/32"], "latency": {"hn-east": 90, "hn-west": 9}}]
    assert mesh.four_times("steer", names_regions=far).changed > 0
    assert straight(mesh, "client-east") == [WEST]
    assert mesh.play("steer").changed > 0
    assert straight(mesh, "client-east") == [EAST]


def test_an_hn_leaves_its_name_first_and_enters_it_last(shop, forgetful):
    mesh, watch = forgetful, Watch(NAME)
    for playbook in ("suspend", "resume"):
        done = mesh.play(playbook, instance=SHOP)
        assert done.ok, done.output
    seen = watch.end([EAST])
    assert [answer.addresses for answer in seen] == [[EAST], [], [EAST]]
    assert all(answer.served for answer in seen if answer.addresses), "what is answered serves at once"
    until(lambda: cached(mesh, "client-east") == [EAST], 5 + TTL, "nobody remembers for long that it was not there")


def test_without_the_name_server_all_stays_as_it_is(shop, mesh):
    home = mesh.whereabouts(SHOP)
    mesh.ssh("cpa-1", "systemctl", "stop", "pdns")
    try:
        refused = mesh.play("place", instance=TWIN, capsule="1.0.0", to_hn="hn-west", to_rm="rm-west-1", public_address=WEST)
        assert not refused.ok and any("did not answer" in each and "Everything was undone." in each for each in refused.messages), refused.output
        assert mesh.whereabouts(TWIN) == {}
        refused = mesh.play("move", instance=SHOP, to_hn="hn-west", strategy="clone_first")
        assert not refused.ok and any("did not answer" in each and "serves on as it was" in each for each in refused.messages), refused.output
        assert mesh.whereabouts(SHOP) == home and mesh.page(EAST) is not None
    finally:
        mesh.ssh("cpa-1", "systemctl", "start", "pdns")
    until(lambda: straight(mesh, "client-east") == [EAST], 5, "it answers again")


def test_a_move_by_clone_first_loses_nobody(shop, forgetful):
    mesh = forgetful
    watch = Watch(NAME)
    # Together a third of what the emulated guest answers when nobody else uses the processors.
    loads = [Load(NAME, client, rate=5) for client in ("client-east", "client-west")]
    late = Load(EAST, rate=5, downloads=0)
    moved = mesh.four_times("move", instance=SHOP, to_hn="hn-west", public_address=WEST, strategy="clone_first", names_margin=10 * TTL)
    page = until(lambda: mesh.page(WEST), 15, "it answers, as far as three plays and the loads leave it time")
    assert page["boot_id"] == shop["boot_id"], "it goes on where it was"
    suffered = [load.end() for load in loads]
    assert [outcome.failures for outcome in suffered] == [[], []]
    assert all(outcome.requests > 50 and outcome.downloads > 0 for outcome in suffered)
    (east, west) = watch.end([WEST])
    assert (east.addresses, west.addresses, west.served) == ([EAST], [WEST], True)
    held = moved.answer("lose")["held"]
    assert held == 11 * TTL
    lost = [failure[0] for failure in late.end().failures]
    assert lost and min(lost) - west.since > held - 0.1, "who kept the old address was served until then"
    assert set(mesh.whereabouts(SHOP)) & {"gw-east", "rm-east-1", "rm-east-2"} == set()

    watch = Watch(NAME)
    moved = mesh.play("move", instance=SHOP, to_hn="hn-east", to_rm="rm-east-1", public_address=EAST)
    assert moved.ok, moved.output
    (west, east) = watch.end([EAST])
    assert (west.addresses, east.addresses, east.served) == ([WEST], [EAST], True), "the answer changes when the target serves"

    # The copy serves, but who looks from outside is refused.
    home = mesh.whereabouts(SHOP)
    mesh.shell("cpa-1", REFUSAL)
    try:
        failed = mesh.play("move", instance=SHOP, to_hn="hn-west", public_address=WEST, strategy="clone_first", names_ask_timeout=1)
    finally:
        mesh.shell("cpa-1", "nft delete table inet dead")
    sentence = f"{WEST} did not answer a request from here at port 80 within 1 s (the connection is refused); it is not published. {SHOP} serves on as it was"
    assert not failed.ok and any(sentence in message for message in failed.messages), failed.output
    assert mesh.whereabouts(SHOP) == home and straight(mesh, "client-east") == [EAST]
    # The one that it is made from stays; that of the move that came to nothing is gone.
    kept = "".join(mesh.ssh(rm, "ls", "/var/lib/vmatrix/store/capsules/example.com/shop", check=False) for rm in mesh.group("rms"))
    assert set(re.findall(r"[\w.]+-moved-[0-9]+", kept)) == {home["gw-east"].split()[0]}
