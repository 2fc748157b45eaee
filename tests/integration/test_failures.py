# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a step fails the service runs again where it was, a second run finishes the job, and there are never two live copies."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from mesh_lab import ROOT, SHOP, until

EAST, WEST = "198.18.1.10", "198.18.2.10"
MOVE = {"instance": SHOP, "to_hn": "hn-west", "to_rm": "rm-west-1", "public_address": WEST}


def live(mesh):
    """The RMs on which the shop's virtual CPUs run."""
    return [rm for rm in mesh.group("rms") if mesh.ssh(rm, "virsh", "-q", "list", "--state-running", "--name").strip()]


def still_at_home(mesh, before):
    """The service runs at its source as if nothing had been tried, and nothing of the attempt is left at the target."""
    after = mesh.page(EAST)
    assert after is not None, "the service must run again at its source"
    assert after["boot_id"] == before["boot_id"]
    assert after["counter"] > before["counter"]
    assert live(mesh) == ["rm-east-1"]
    assert mesh.ssh("rm-west-1", "ls", "/var/lib/vmatrix/instances").strip() == ""
    assert WEST not in mesh.shell("gw-west", "ip route; ip neigh show proxy")
    assert not mesh.module("gw-west", "vma_info")["records"]


def arrives(mesh, before):
    """A second run brings it over."""
    moved = mesh.play("move", **MOVE)
    assert moved.ok, moved.output
    after = mesh.page(WEST)
    assert after["boot_id"] == before["boot_id"]
    assert after["counter"] > before["counter"]
    assert live(mesh) == ["rm-west-1"]


@pytest.mark.parametrize(
    ("host", "break_it", "mend_it"),
    [
        # The target's hypervisor cannot run it.
        ("rm-west-1", "mount --bind /bin/false /usr/bin/qemu-system-x86_64", "umount /usr/bin/qemu-system-x86_64"),
        # The guest runs at the target, but nobody reaches it.
        ("rm-west-1", "ip link set trunk0 down", "ip link set trunk0 up"),
        # The target's gateway cannot even prepare its network.
        ("gw-west", "mount --bind /bin/false /usr/sbin/nft", "umount /usr/sbin/nft"),
    ],
)
def test_a_failing_step_is_undone(shop, mesh, host, break_it, mend_it):
    before = mesh.page(EAST)
    mesh.shell(host, break_it)
    try:
        moved = mesh.play("move", move_timeout=12, **MOVE)
    finally:
        mesh.shell(host, mend_it)
    assert not moved.ok, moved.output
    still_at_home(mesh, before)
    arrives(mesh, before)


def test_a_controller_killed_in_the_cutover_is_taken_up(shop, mesh):
    before = mesh.page(EAST)
    argv = [str(ROOT / ".venv/bin/ansible-playbook"), "playbooks/move.yml", *(f"-e{key}={value}" for key, value in MOVE.items())]
    run = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: live(mesh) != ["rm-east-1"], 60, "the cut-over began")
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert len(live(mesh)) <= 1
    arrives(mesh, before)


def test_an_rm_that_is_down_is_left_out(shop, mesh):
    mesh.ssh("rm-west-1", "systemctl", "poweroff", check=False)
    try:
        until(lambda: not mesh.alive("rm-west-1"), 60, "rm-west-1 is down")
        play = mesh.play("move", **MOVE)
        assert not play.ok
        assert any("The RM rm-west-1 cannot be used: it does not answer" in message for message in play.messages), play.messages
        assert mesh.page(EAST) is not None
        moved = mesh.play("move", **{**MOVE, "to_rm": ""})
        assert moved.ok, moved.output
        assert mesh.page(WEST)["boot_id"] == shop["boot_id"]
        assert "rm-west-1" in mesh.play("status").output
    finally:
        assert mesh.play("lab").ok


def test_an_rm_out_of_service_gets_nothing_new(clean):
    clean.four_times("rm_service", rm="rm-east-1", in_service=False)
    try:
        placed = clean.play("place", instance=SHOP, capsule="1.0.0", to_hn="hn-east", public_address=EAST)
        assert placed.ok, placed.output
        assert live(clean) == ["rm-east-2"]
        assert clean.play("remove", instance=SHOP).ok
        clean.must_refuse("place", "rm-east-1 is out of service", instance=SHOP, capsule="1.0.0", to_hn="hn-east", to_rm="rm-east-1")
    finally:
        assert clean.play("rm_service", rm="rm-east-1", in_service=True).ok


def test_a_registry_that_was_lost_is_rebuilt(shop, mesh):
    before = mesh.module("gw-east", "vma_info")
    mesh.shell("gw-east", "rm /var/lib/vmatrix/vma/registry.db*")
    site = mesh.play("site", limit="gw-east:rm-east-1:rm-east-2")
    assert site.ok, site.output
    assert not mesh.module("gw-east", "vma_info")["records"]
    assert mesh.four_times("rebuild", of_hn="hn-east").changed == 1
    after = mesh.module("gw-east", "vma_info")
    assert after["records"] == before["records"]
    for rm in ("rm-east-1", "rm-east-2"):
        for instance, epoch in mesh.module(rm, "instance_info")["epochs"].items():
            assert after["epochs"][instance] >= epoch, f"{rm} would refuse {instance}"
    assert mesh.play("move", **MOVE).ok, "a rebuilt registry must be good enough for a move"


@pytest.mark.parametrize("host", ["gw-east", "rm-east-1"])
def test_a_reboot_loses_nothing_but_what_was_in_memory(shop, mesh, host):
    mesh.ssh("client-east", "curl", "-sf", f"http://{EAST}/cgi-bin/write?before-the-reboot")
    mesh.reboot(host)
    if host.startswith("rm"):
        # Its guest was switched off with it: placing it again starts it from the disk that it has.
        placed = mesh.play("place", instance=SHOP, capsule="1.0.0", to_hn="hn-east", public_address=EAST)
        assert placed.ok, placed.output
    until(lambda: mesh.page(EAST, timeout=1), 60, "the service answers again")
    assert "before-the-reboot" in mesh.ssh("client-east", "curl", "-sf", f"http://{EAST}/cgi-bin/notes")
    assert (mesh.page(EAST)["boot_id"] == shop["boot_id"]) == host.startswith("gw")
