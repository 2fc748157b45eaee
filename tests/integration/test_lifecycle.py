# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The main job, seen by clients: placed, suspended, resumed, moved and removed, and the guest never notices."""

from __future__ import annotations

import json

from mesh_lab import CAPSULE, SHOP

EAST, WEST = "198.18.1.10", "198.18.2.10"


def test_place_check_apply_check_apply(clean):
    assert clean.page(EAST) is None
    placed = clean.four_times("place", instance=SHOP, capsule="1.0.0", to_hn="hn-east", to_rm="rm-east-2", public_address=EAST)
    assert placed.changed > 0
    for client in ("client-east", "client-west"):
        page = clean.page(EAST, client=client)
        assert page["hostname"] == "shop"
        assert page["address"].startswith("192.168.1.10")
        own = clean.shell(client, "ip -j -4 addr show wan0")
        assert page["caller"] == json.loads(own)[0]["addr_info"][0]["local"], "the caller's address must reach the guest"


def test_site_import_and_status_change_nothing_the_second_time(mesh):
    before = mesh.snapshot()
    for playbook, check, variables in (
        ("site", True, {}),
        ("site", False, {}),
        ("capsule_import", True, {"rm": "rm-east-1", **CAPSULE}),
        ("capsule_import", False, {"rm": "rm-east-1", **CAPSULE}),
        ("status", False, {}),
    ):
        play = mesh.play(playbook, check=check, **variables)
        assert play.ok, play.output
        assert play.changed == 0, play.output
    assert mesh.snapshot() == before


def test_suspend_and_resume(shop, clean):
    first = clean.page(EAST)
    assert first["boot_id"] == shop["boot_id"]
    clean.ssh("client-east", "curl", "-sf", f"http://{EAST}/cgi-bin/write?before")

    suspended = clean.four_times("suspend", instance=SHOP)
    assert suspended.changed > 0
    assert clean.refused(EAST), "a suspended service must refuse at once"
    assert clean.ssh("rm-east-1", "virsh", "-q", "list").strip() == ""

    resumed = clean.four_times("resume", instance=SHOP)
    assert resumed.changed > 0
    after = clean.page(EAST)
    assert after["boot_id"] == first["boot_id"]
    assert after["counter"] > first["counter"]
    assert "before" in clean.ssh("client-east", "curl", "-sf", f"http://{EAST}/cgi-bin/notes")


def test_move_there_and_back(shop, clean):
    clean.ssh("client-west", "curl", "-sf", f"http://{EAST}/cgi-bin/write?written-in-the-east")
    before = clean.page(EAST)

    moved = clean.four_times("move", instance=SHOP, to_hn="hn-west", public_address=WEST)
    assert moved.changed > 0
    after = clean.page(WEST)
    assert after["boot_id"] == before["boot_id"]
    assert after["counter"] > before["counter"]
    assert after["address"] == before["address"]
    assert "written-in-the-east" in clean.ssh("client-west", "curl", "-sf", f"http://{WEST}/cgi-bin/notes")
    assert clean.page(EAST, timeout=1) is None, "nobody may answer at the old place"
    assert [rm for rm in clean.group("rms") if clean.ssh(rm, "virsh", "-q", "list", "--all").strip()] == [after_home(moved)]

    back = clean.play("move", instance=SHOP, to_hn="hn-east", public_address=EAST)
    assert back.ok, back.output
    home = clean.page(EAST)
    assert home["boot_id"] == before["boot_id"]
    assert home["counter"] > after["counter"]
    assert "written-in-the-east" in clean.ssh("client-west", "curl", "-sf", f"http://{EAST}/cgi-bin/notes")


def after_home(moved):
    """The RM that the move chose."""
    return moved.result("Reserve room and addresses at the target")["record"]["rm"]


def test_move_of_a_suspended_instance(shop, clean):
    assert clean.play("suspend", instance=SHOP).ok
    moved = clean.play("move", instance=SHOP, to_hn="hn-west", public_address=WEST)
    assert moved.ok, moved.output
    assert clean.page(WEST, timeout=1) is None
    assert clean.play("resume", instance=SHOP).ok
    after = clean.page(WEST)
    assert after["boot_id"] == shop["boot_id"]
    assert after["counter"] > shop["counter"]


def test_remove_leaves_nothing_of_it(shop, clean):
    gone = clean.four_times("remove", instance=SHOP)
    assert gone.changed > 0
    assert clean.page(EAST, timeout=1) is None
    assert clean.ssh("rm-east-1", "virsh", "-q", "list", "--all").strip() == ""
    assert "shop-1" not in clean.shell("rm-east-1", "ls /var/lib/vmatrix/instances")
    assert EAST not in clean.shell("gw-east", "ip route; ip neigh show proxy; ip netns list")


def test_only_declared_ports_answer(shop, clean):
    script = (
        "import socket, sys\n"
        "answers = []\n"
        "for port in [*range(1, 1025), 8080, 16509, 49152]:\n"
        "    s = socket.socket(); s.settimeout(0.02)\n"
        "    try:\n"
        f"        s.connect(('{EAST}', port)); answers.append(port)\n"
        "    except ConnectionRefusedError: answers.append(-port)\n"
        "    except OSError: pass\n"
        "    s.close()\n"
        "print(answers)\n"
    )
    assert clean.ssh("client-east", "python3", "-c", script).strip() == "[80]"
