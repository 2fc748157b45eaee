# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An instance goes quietly: new connections are refused at once, a download that runs is not broken unless that was chosen."""

from __future__ import annotations

import concurrent.futures

import pytest
from load import Download, connections
from mesh_lab import SHOP, until

EAST = "198.18.1.10"


def downloading(mesh):
    """Begin a download and wait until it is under way; it does not end by itself."""
    download = Download(EAST)
    until(lambda: sum(connections(mesh, EAST).values()) > 0, 20, "the download has begun")
    return download


@pytest.fixture
def digest(shop, mesh):
    return mesh.ssh("client-west", "curl", "-sf", f"http://{EAST}/big.sha256").strip()


def test_check_apply_check_apply(shop, mesh):
    drained = mesh.four_times("drain", instance=SHOP, then="suspend")
    assert drained.changed > 0
    assert mesh.refused(EAST)
    assert mesh.play("resume", instance=SHOP).ok
    assert mesh.page(EAST)["boot_id"] == shop["boot_id"]


def test_a_dead_guest_shows_and_comes_back(shop, mesh):
    def healthy():
        (router,) = mesh.module("gw-east", "domain_router_info")["routers"]
        return router["services"][0]["members"][0]["healthy"]

    assert healthy()
    mesh.ssh("rm-east-1", "virsh", "-q", "suspend", SHOP)
    try:
        until(lambda: not healthy(), 15, "its death is seen")
    finally:
        mesh.ssh("rm-east-1", "virsh", "-q", "resume", SHOP)
    until(healthy, 15, "its life is seen")
    assert mesh.page(EAST)["boot_id"] == shop["boot_id"]


def test_one_that_never_ends(digest, mesh):
    """The three choices at the deadline: wait (in vain), give up, cut."""
    download = downloading(mesh)
    for choice, patience in (("wait", 1), ("give_up", 0)):
        drained = mesh.play("drain", instance=SHOP, timeout=1, at_deadline=choice, drain_patience=patience)
        assert not drained.ok
        assert any("1 of 1 connections" in message and "none was cut" in message for message in drained.messages), drained.messages
        assert mesh.page(EAST) is not None, "it must be in rotation again"
        assert download.process.poll() is None, "the download must go on"
    drained = mesh.play("drain", instance=SHOP, timeout=1, at_deadline="cut")
    assert drained.ok, drained.output
    assert drained.answer("drain")["cut"] == 1
    assert not download.end()[0]
    assert mesh.refused(EAST)


def test_a_download_ends_before_the_instance_goes(digest, mesh):
    download = downloading(mesh)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        # What is left of it when nobody gets in any more takes some seconds, so that there is something to wait for.
        ended = pool.submit(lambda: until(lambda: mesh.refused(EAST), 60, "it is withdrawn") and download.end(pause=0.1))
        drained = mesh.play("drain", instance=SHOP, then="remove", timeout=60)
    assert drained.ok, drained.output
    done = drained.answer("drain")
    assert (done["connections"], done["ended"], done["cut"]) == (1, 1, 0)
    assert ended.result() == (True, digest)
    assert mesh.refused(EAST) or mesh.page(EAST, timeout=1) is None
