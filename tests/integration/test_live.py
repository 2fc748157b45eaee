# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves of a service that runs on: inside its HN no caller notices, between HNs who comes late is led there, and what breaks runs on where it was."""

from __future__ import annotations

import subprocess

import pytest
from answers import Watch
from load import Load
from mesh_lab import LAB, SHOP

EAST, WEST = "198.18.1.10", "198.18.2.10"
#: Of the memory's way on the source; the first thing of a live move that is worth cutting.
CUT = "until pid=$(pgrep -of '[w]ay .* memory'); do sleep 0.01; done; kill $pid"


def test_inside_its_hn_nobody_notices(shop, mesh):
    load = Load(EAST)
    moved = mesh.four_times("move", instance=SHOP, to_rm="rm-east-2")
    suffered = load.end()
    assert suffered.failures == [] and suffered.requests > 50 and suffered.downloads > 0
    after = mesh.page(EAST)
    assert after["boot_id"] == shop["boot_id"] and after["counter"] > shop["counter"]
    assert mesh.whereabouts(SHOP) == {"rm-east-2": "running", "gw-east": f"{mesh.whereabouts(SHOP)['gw-east'].split()[0]} rm-east-2 running 1 {EAST} 0"}
    assert 0 < moved.answer("cut_over.target", "rm-east-2")["instances"][0]["downtime"] < 3

    # And back, suspended in between, which a caller notices, but not the guest.
    back = mesh.play("move", instance=SHOP, to_rm="rm-east-1", strategy="suspend")
    assert back.ok, back.output
    assert mesh.page(EAST)["boot_id"] == shop["boot_id"] and set(mesh.whereabouts(SHOP)) == {"rm-east-1", "gw-east"}


def test_what_breaks_on_the_way_runs_on_where_it_was(shop, mesh):
    home, load = mesh.whereabouts(SHOP), Load(EAST)
    cutter = subprocess.Popen(["ssh", "-F", str(LAB / "ssh_config"), "rm-east-1", CUT], stdin=subprocess.DEVNULL)
    broken = mesh.play("move", instance=SHOP, to_rm="rm-east-2")
    assert cutter.wait(10) == 0 and not broken.ok
    assert any("it runs here, as before" in message and "running on rm-east-1, as before." in message for message in broken.messages), broken.messages
    assert mesh.whereabouts(SHOP) == home
    assert mesh.ssh("rm-east-2", "ls", "/var/lib/vmatrix/instances", "/run/vmatrix/live").split() == ["/run/vmatrix/live:", "/var/lib/vmatrix/instances:"]
    done = mesh.play("move", instance=SHOP, to_rm="rm-east-2")
    assert done.ok, done.output
    suffered = load.end()
    assert suffered.failures == [] and suffered.downloads > 0
    assert mesh.page(EAST)["boot_id"] == shop["boot_id"]


@pytest.mark.parametrize("strategy", ["live", "suspend"])
def test_between_hns_late_comers_are_served_for_ten_lifetimes(shop, mesh, strategy):
    watch, late = Watch("shop.example.com"), Load(EAST, downloads=0)
    moved = mesh.play("move", instance=SHOP, to_hn="hn-west", public_address=WEST, strategy=strategy, names_margin=10)
    assert moved.ok, moved.output
    assert mesh.page(WEST)["boot_id"] == shop["boot_id"]
    held = moved.answer("follow.shop")["held"]
    assert held == 11, "ten times the second for which an answer may be kept, and that second"
    seen = watch.end([WEST])
    assert [answer.addresses for answer in seen] == [[EAST], [WEST]], seen
    west = seen[-1]
    lost = [(moment - west.since, why) for moment, _kind, why in late.end().failures]
    # Who had called already when it left may be lost, and all are when its old address is free again; in between nobody is.
    assert not [failure for failure in lost if 0 < failure[0] < held - 0.1], lost
    assert max(lost)[0] > 0, "the old address was freed"
    at_once = [why for since, why in lost if since <= 0]
    assert not any("refused" in why for why in at_once), lost
    assert len(at_once) < {"live": 5, "suspend": 20}[strategy], f"only who called in the very moment lost it: {lost}"
    if strategy == "suspend":
        mesh.nothing_left("move", instance=SHOP, to_hn="hn-west", public_address=WEST)
