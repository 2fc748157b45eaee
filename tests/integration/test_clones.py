# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clones with identical insides: many instances from one memory image, each distinct outside, and back."""

from __future__ import annotations

import json

import pytest
from answers import SERVER
from load import Load
from mesh_lab import SHOP, until

EAST, WARM = "198.18.1.10", "warm"
SERVICE = {"service": "shop", "domain": "example.com", "to_hn": "hn-east"}
#: SHA-256 of /big once, and of as many downloads as there are arguments, all at the same time.
DOWNLOADS = 'for each in "$@"; do curl -sf -m 60 http://198.18.1.10/big | sha256sum & done; wait'


@pytest.fixture
def alone(clean):
    """The mesh without any shop and without the capsule of its memory, before and after."""

    def tidy():
        for hn in ("hn-east", "hn-west") if clean.instances() else ():
            gone = clean.play("scale", count=0, surplus="absent", **{**SERVICE, "to_hn": hn})
            assert gone.ok, gone.output
        removed = clean.everywhere("rms", "capsule", domain="example.com", name="shop", version=WARM, state="absent")
        assert not any(result.get("failed") for result in removed), removed

    tidy()
    yield clean
    tidy()


def members(mesh):
    """Return the fabric address of each member of the shop's rotation."""
    told = mesh.module("gw-east", "domain_router_info", domain="example.com")
    return {member["instance"]: member["address"] for router in told["routers"] for service in router["services"] for member in service["members"]}


def inside(mesh, addresses):
    """Return the page of each member, asked from the domain router at its fabric address."""
    netns = mesh.shell("gw-east", "ip netns list | grep -o '^[^ ]*example[^ ]*' | head -1 || true").strip() or mesh.shell("gw-east", "ip netns list").split()[0]
    pages = {}
    for instance, address in addresses.items():
        pages[instance] = json.loads(mesh.ssh("gw-east", "ip", "netns", "exec", netns, "curl", "-sf", "-m", "5", f"http://{address}/cgi-bin/page"))
    return pages


def test_one_becomes_six_in_rotation_and_goes_back(alone):
    mesh = alone
    placed = mesh.play("place", instance=SHOP, capsule="1.0.0", to_hn="hn-east", to_rm="rm-east-1", public_address=EAST)
    assert placed.ok, placed.output
    origin = mesh.page(EAST)
    cloned = mesh.four_times("clone", instance=SHOP, clones="shop-2.example.com", capsule=WARM)
    assert cloned.changed > 0
    assert mesh.page(EAST)["boot_id"] == origin["boot_id"]

    waiting = mesh.four_times("standby", count=2, capsule=WARM, **SERVICE)
    assert waiting.changed > 0 and list(members(mesh)) == [SHOP, "shop-2.example.com"]
    assert sum(len(mesh.ssh(rm, "virsh", "-q", "list").strip().splitlines()) for rm in ("rm-east-1", "rm-east-2")) == 2, "standbys do not run"

    load = Load(EAST, rate=5)
    scaled = mesh.four_times("scale", count=6, capsule=WARM, **SERVICE)
    assert scaled.changed > 0
    names = [f"shop-{ordinal}.example.com" for ordinal in range(1, 7)]
    addresses = members(mesh)
    assert list(addresses) == names and len(set(addresses.values())) == 6 and addresses[SHOP] == "192.168.1.10"
    assert [len(mesh.ssh(rm, "virsh", "-q", "list").strip().splitlines()) for rm in ("rm-east-1", "rm-east-2")] == [3, 3]
    genids = [line for rm in ("rm-east-1", "rm-east-2") for line in mesh.shell(rm, "for d in $(virsh -q list --name); do virsh dumpxml $d; done").splitlines()]
    assert len({line for line in genids if "<genid>" in line}) == 6, "a guest that looks can tell that it is another one"
    before = inside(mesh, addresses)
    assert {page["boot_id"] for page in before.values()} == {origin["boot_id"]}
    assert {page["address"] for page in before.values()} == {"192.168.1.10"}, "inside, all believe to be the same"
    assert {mesh.page(EAST)["caller"] for unused in range(4)} == {mesh.page(EAST)["caller"]}

    def answered():
        """Return how many requests each has answered by its own count."""
        pages = inside(mesh, addresses)
        return [pages[name]["counter"] for name in names]

    def shared(begun):
        """Return how many each has answered of the 120 and more that came since."""
        return until(lambda: sum(now := [after - count for after, count in zip(answered(), begun)]) >= 120 and now, 60, "the load has gone on")

    def evenly():
        """Look at so many requests again: a busy machine can keep one of six from answering its health checks for a while, and others get its share."""
        shares.append(shared(answered()))
        return min(shares[-1]) >= 0.75 * max(shares[-1])

    shares = []
    until(evenly, 150, "the rotation shares evenly")

    sums = mesh.ssh("client-east", "bash", "-c", DOWNLOADS, "-", *"12345678").split()
    assert len(set(sums[::2])) == 1 and len(sums[::2]) == 8
    assert int(mesh.shell("client-east", f"curl -sf -m 60 http://{EAST}/big | wc -c")) == 3 << 20

    # Nobody can answer so soon, so that the new one is taken back.
    running = [mesh.ssh(rm, "virsh", "-q", "list", "--name") for rm in ("rm-east-1", "rm-east-2")]
    failed = mesh.play("scale", count=8, capsule=WARM, scale_answer_timeout=0.001, **SERVICE)
    assert not failed.ok and any("All is as it was." in message for message in failed.messages), failed.output
    assert members(mesh) == addresses
    assert [mesh.ssh(rm, "virsh", "-q", "list", "--name") for rm in ("rm-east-1", "rm-east-2")] == running
    assert "shop-7" not in mesh.ssh("rm-east-1", "ls", "/var/lib/vmatrix/instances") + mesh.ssh("rm-east-2", "ls", "/var/lib/vmatrix/instances")

    after = inside(mesh, addresses)
    down = mesh.four_times("scale", count=2, **SERVICE)
    suffered = load.end()
    assert suffered.failures == [] and suffered.requests > 200 and suffered.downloads > 4, suffered
    assert down.changed > 0 and list(members(mesh)) == names[:2]
    assert sum(len(mesh.ssh(rm, "virsh", "-q", "list", "--all").strip().splitlines()) for rm in ("rm-east-1", "rm-east-2")) == 2
    up = mesh.play("scale", count=6, **SERVICE)
    assert up.ok, up.output
    resumed = inside(mesh, members(mesh))
    assert list(resumed) == names and all(resumed[name]["counter"] > after[name]["counter"] for name in names), "standbys go on where they were"


def test_a_clone_serves_in_another_hosting_network(alone):
    mesh = alone
    placed = mesh.play("place", instance=SHOP, capsule="1.0.0", to_hn="hn-east", to_rm="rm-east-1", public_address=EAST)
    assert placed.ok, placed.output
    assert mesh.page(EAST, "/cgi-bin/write?before") == {"written": "before"}
    origin = mesh.page(EAST)
    cloned = mesh.four_times("clone", instance=SHOP, clones="shop-2.example.com", to_hn="hn-west", capsule=WARM)
    assert cloned.changed > 0
    (record,) = mesh.module("gw-west", "vma_info")["records"]
    assert (record["instance"], record["fabric_address"]) == ("shop-2.example.com", "192.168.1.10"), "nobody else goes by its guest address there"
    west = record["public_address"]
    copy = mesh.page(west, client="client-west")
    assert (copy["boot_id"], copy["address"], copy["writes"]) == (origin["boot_id"], origin["address"], 1)
    assert copy["counter"] == origin["counter"] + 1, "it goes on where its memory was taken"
    assert mesh.page(west, "/cgi-bin/write?after", client="client-west") == {"written": "after"}
    assert (mesh.page(west)["writes"], mesh.page(EAST)["writes"]) == (2, 1), "from there on they are two"
    for client, address in (("client-east", EAST), ("client-west", west)):
        asks = ("dig", "+short", f"@{SERVER}", "shop.example.com", "A")
        until(lambda asks=(client, *asks), wanted=address: mesh.ssh(*asks).split()[-1] == wanted, 5, f"the name sends {client} to its nearest")
