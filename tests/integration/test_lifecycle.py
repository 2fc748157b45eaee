# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The main job, seen by clients: placed, suspended, resumed, moved and removed, and the guest never notices."""

from __future__ import annotations

import json
import re

from mesh_lab import CAPSULE, SHOP

EAST, WEST = "198.18.1.10", "198.18.2.10"


def test_place_check_apply_check_apply(clean):
    assert clean.page(EAST) is None
    placed = clean.four_times("place", instance=SHOP, capsule="1.0.0", to_hn="hn-east", to_rm="rm-east-2", public_address=EAST)
    assert placed.changed > 0
    for client in ("client-east", "client-west"):
        page = clean.page(EAST, client=client)
        assert page["hostname"] == "shop"
        assert page["address"] == "192.168.1.10"
        own = clean.shell(client, "ip -j -4 addr show wan0")
        assert page["caller"] == json.loads(own)[0]["addr_info"][0]["local"], "the caller's address must reach the guest"


def test_site_import_and_status_change_nothing_the_second_time(mesh):
    # What tests have removed from RMs by modules, or brought there in vain, no VMA was told.
    assert mesh.play("site").ok
    mesh.nothing_left("site")
    mesh.nothing_left("capsule_import", rm="rm-east-1", **CAPSULE)
    mesh.nothing_left("status")
    shown = mesh.nothing_left("history", history_instance=SHOP, history_last=3)
    assert re.search(f"place +{SHOP} +hn-east ", shown.output) and "cut_over.publish" in shown.output, shown.output


def test_suspend_and_resume(shop, mesh):
    first = mesh.page(EAST)
    assert first["boot_id"] == shop["boot_id"]
    mesh.ssh("client-east", "curl", "-sf", f"http://{EAST}/cgi-bin/write?before")

    suspended = mesh.four_times("suspend", instance=SHOP)
    assert suspended.changed > 0
    assert mesh.refused(EAST), "a suspended service must refuse at once"
    assert mesh.ssh("rm-east-1", "virsh", "-q", "list").strip() == ""

    resumed = mesh.four_times("resume", instance=SHOP)
    assert resumed.changed > 0
    after = mesh.page(EAST)
    assert after["boot_id"] == first["boot_id"]
    assert after["counter"] > first["counter"]
    assert "before" in mesh.ssh("client-east", "curl", "-sf", f"http://{EAST}/cgi-bin/notes")


def test_move_there_and_back(shop, mesh):
    mesh.ssh("client-west", "curl", "-sf", f"http://{EAST}/cgi-bin/write?written-in-the-east")
    before = mesh.page(EAST)

    moved = mesh.four_times("move", instance=SHOP, to_hn="hn-west", public_address=WEST)
    assert moved.changed > 0
    after = mesh.page(WEST)
    assert after["boot_id"] == before["boot_id"]
    assert after["counter"] > before["counter"]
    assert after["address"] == before["address"]
    assert "written-in-the-east" in mesh.ssh("client-west", "curl", "-sf", f"http://{WEST}/cgi-bin/notes")
    assert mesh.page(EAST, timeout=1) is None, "nobody may answer at the old place"
    assert [rm for rm in mesh.group("rms") if mesh.ssh(rm, "virsh", "-q", "list", "--all").strip()] == [after_home(moved)]

    back = mesh.play("move", instance=SHOP, to_hn="hn-east", to_rm="rm-east-1", public_address=EAST)
    assert back.ok, back.output
    home = mesh.page(EAST)
    assert home["boot_id"] == before["boot_id"]
    assert home["counter"] > after["counter"]
    assert "written-in-the-east" in mesh.ssh("client-west", "curl", "-sf", f"http://{EAST}/cgi-bin/notes")


def after_home(moved):
    """The RM that the move chose."""
    return moved.answer("reserve")["records"][0]["rm"]


def test_remove_leaves_nothing_of_it(shop, mesh):
    gone = mesh.four_times("remove", instance=SHOP)
    assert gone.changed > 0
    assert mesh.page(EAST, timeout=1) is None
    assert mesh.ssh("rm-east-1", "virsh", "-q", "list", "--all").strip() == ""
    assert "shop-1" not in mesh.shell("rm-east-1", "ls /var/lib/vmatrix/instances")
    ended = mesh.shell("rm-east-1", f"grep 'shutting down' /var/log/libvirt/qemu/{SHOP}.log").splitlines()[-1]
    assert ended.endswith("reason=shutdown"), "its guest took leave of others"
    assert EAST not in mesh.shell("gw-east", "ip route; ip neigh show proxy; ip netns list")


def test_move_of_a_suspended_instance(shop, mesh):
    assert mesh.play("suspend", instance=SHOP).ok
    moved = mesh.play("move", instance=SHOP, to_hn="hn-west", public_address=WEST)
    assert moved.ok, moved.output
    assert mesh.page(WEST, timeout=1) is None
    assert mesh.play("resume", instance=SHOP).ok
    after = mesh.page(WEST)
    assert after["boot_id"] == shop["boot_id"]
    assert after["counter"] > shop["counter"]
