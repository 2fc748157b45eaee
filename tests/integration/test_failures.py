# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a step fails the service runs again where it was, a second run finishes the job, and there are never two live copies."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
from mesh_lab import LAB, ROOT, SHOP, until

EAST, WEST = "198.18.1.10", "198.18.2.10"
MOVE = {"instance": SHOP, "to_hn": "hn-west", "to_rm": "rm-west-1", "public_address": WEST}
#: What breaks at the target, by what it is of: a command that does it and one that mends it.
BREAKS = {
    "its hypervisor cannot run it": ("rm", "mount --bind /bin/false /usr/bin/qemu-system-x86_64", "umount /usr/bin/qemu-system-x86_64"),
    "it runs, but nobody reaches it": ("rm", "ip link set trunk0 down", "ip link set trunk0 up"),
    "its network cannot even be prepared": ("gateway", "mount --bind /bin/false /usr/sbin/nft", "umount /usr/sbin/nft"),
}


class Trip:
    """A move of the shop from where it is to the other HN."""

    def __init__(self, mesh, eastward):
        ends = [{"hn": f"hn-{side}", "rm": f"rm-{side}-1", "gateway": f"gw-{side}", "address": address} for side, address in (("east", EAST), ("west", WEST))]
        self.mesh, (self.target, self.source) = mesh, ends if eastward else ends[::-1]
        self.move = {"instance": SHOP, "to_hn": self.target["hn"], "to_rm": self.target["rm"], "public_address": self.target["address"]}
        self.before = mesh.page(self.source["address"])

    def not_taken(self):
        """The service runs at its source as if nothing had been tried, and nothing of the attempt is left at the target."""
        after = self.mesh.page(self.source["address"])
        assert after is not None, "the service must run again at its source"
        assert after["boot_id"] == self.before["boot_id"]
        assert after["counter"] > self.before["counter"]
        assert live(self.mesh) == [self.source["rm"]]
        assert self.mesh.ssh(self.target["rm"], "ls", "/var/lib/vmatrix/instances").strip() == ""
        assert self.target["address"] not in self.mesh.shell(self.target["gateway"], "ip route; ip neigh show proxy")
        assert not self.mesh.module(self.target["gateway"], "vma_info")["records"]

    def arrives(self):
        """A second run brings it over."""
        moved = self.mesh.play("move", **self.move)
        assert moved.ok, moved.output
        after = self.mesh.page(self.target["address"])
        assert after["boot_id"] == self.before["boot_id"]
        assert after["counter"] > self.before["counter"]
        assert live(self.mesh) == [self.target["rm"]]


@pytest.fixture
def trip(mesh, request):
    """A trip of the shop, back home if an earlier test brought it to the west."""
    there = mesh.whereabouts(SHOP).get("gw-west", "").split()[1:] == ["rm-west-1", "running", "1", WEST, "0"]
    if not there:
        request.getfixturevalue("shop")
    return Trip(mesh, eastward=there)


def live(mesh):
    """The RMs on which the shop's virtual CPUs run."""
    return [rm for rm in mesh.group("rms") if mesh.ssh(rm, "virsh", "-q", "list", "--state-running", "--name").strip()]


@pytest.mark.parametrize("what", BREAKS)
def test_a_failing_step_is_undone(trip, mesh, what):
    where, break_it, mend_it = BREAKS[what]
    mesh.shell(trip.target[where], break_it)
    try:
        moved = mesh.play("move", move_timeout=12, **trip.move)
    finally:
        mesh.shell(trip.target[where], mend_it)
    assert not moved.ok, moved.output
    trip.not_taken()
    trip.arrives()


def test_a_controller_killed_in_the_cutover_is_taken_up(trip, mesh):
    argv = ["ansible-playbook", "-i", str(LAB / "inventory.yml"), "playbooks/move.yml", *(f"-e{key}={value}" for key, value in trip.move.items())]
    run = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: live(mesh) != [trip.source["rm"]], 60, "the cut-over began")
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert len(live(mesh)) <= 1
    taken_up = mesh.play("move", **trip.move)
    assert taken_up.ok and f"Taken up was the move of {SHOP} that " in taken_up.output, taken_up.output
    trip.arrives()
    assert "there is nothing to recover" in mesh.nothing_left("recover").output


def test_what_the_source_cannot_withdraw_keeps_its_address_until_a_second_run(trip, mesh):
    unused, break_it, mend_it = BREAKS["its network cannot even be prepared"]
    mesh.shell(trip.source["gateway"], break_it)
    try:
        moved = mesh.play("move", **trip.move)
    finally:
        mesh.shell(trip.source["gateway"], mend_it)
    assert not moved.ok, moved.output
    assert mesh.page(trip.target["address"])["boot_id"] == trip.before["boot_id"], "it serves at the target already"
    (left,) = mesh.module(trip.source["gateway"], "vma_info")["records"]
    assert (left["state"], left["public_address"]) == ("leaving", trip.source["address"]), "nobody else may get the address yet"
    trip.arrives()
    assert not mesh.module(trip.source["gateway"], "vma_info")["records"]


def test_an_rm_that_is_down_is_left_out(shop, mesh, monkeypatch):
    # How long each run waits for a host that is down.
    monkeypatch.setenv("ANSIBLE_TIMEOUT", "3")
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


def test_a_gateway_that_is_rebooted_comes_back_with_its_routers(shop, mesh):
    mesh.reboot("gw-east")
    until(lambda: mesh.page(EAST, timeout=1), 60, "the service answers again")
    assert mesh.page(EAST)["boot_id"] == shop["boot_id"]


def test_an_rm_that_is_rebooted_starts_again_what_ran_on_it_and_nothing_else(shop, mesh):
    rm, first, second, third = "rm-east-1", SHOP, "shop-2.example.com", "shop-3.example.com"
    mesh.ssh("client-east", "curl", "-sf", f"http://{EAST}/cgi-bin/write?before-the-reboot")
    for instance in (second, third):
        placed = mesh.play("place", instance=instance, capsule="1.0.0", to_hn="hn-east", to_rm=rm)
        assert placed.ok, placed.output
    mesh.play("suspend", instance=third)
    mesh.reboot(rm)

    def states():
        return {each["name"]: each["state"] for each in mesh.module(rm, "instance_info")["instances"]}

    until(lambda: states() == {first: "running", second: "running", third: "suspended"}, 60, "what ran runs again")
    until(lambda: mesh.page(EAST, timeout=1), 60, "the service answers again")
    # Either of two answers.
    until(lambda: "before-the-reboot" in mesh.ssh("client-east", "curl", "-sf", f"http://{EAST}/cgi-bin/notes", check=False), 60, "what was written is there")
    assert mesh.page(EAST)["boot_id"] != shop["boot_id"]
    resumed = mesh.play("resume", instance=third)
    assert resumed.ok, resumed.output
    for instance in (second, third):
        assert mesh.play("remove", instance=instance).ok


def test_an_rm_does_not_start_what_its_vma_does_not_grant(shop, mesh):
    # It starts before its VMA can be asked, and by then an operator has said that the instance rests.
    rm = "rm-east-1"
    mesh.shell("gw-east", "systemctl stop vmatrix-vma.socket")
    mesh.reboot(rm)
    said = "journalctl --boot --no-pager --unit vmatrix-restart.service"
    until(lambda: "ssh" in mesh.shell(rm, said), 60, "it has asked in vain")
    assert not live(mesh)
    mesh.module("gw-east", "vma_instance", instance=SHOP, state="stopped", in_rotation=False, operation_done=True)
    mesh.shell("gw-east", "systemctl start vmatrix-vma.socket")
    until(lambda: f"{SHOP} is stopped by the registry of hn-east, so it is not started." in mesh.shell(rm, said), 90, "it was told")
    assert not live(mesh)
    # As before, so that it can be placed.
    placed = mesh.play("place", instance=SHOP, capsule="1.0.0", to_hn="hn-east", public_address=EAST)
    assert placed.ok, placed.output
    until(lambda: mesh.page(EAST, timeout=1), 60, "it answers")


def test_a_registry_that_was_lost_is_rebuilt(shop, mesh):
    before = mesh.module("gw-east", "vma_info")
    mesh.shell("gw-east", "rm /var/lib/vmatrix/vma/registry.db*")
    site = mesh.play("site", limit="gw-east:rm-east-1:rm-east-2")
    assert site.ok, site.output
    assert not mesh.module("gw-east", "vma_info")["records"]
    lost = "its registry was lost, or restored from a copy; rebuild it by the playbook rebuild with rebuild_hn=hn-east."
    refused, shown = mesh.play("place", instance=SHOP, capsule="1.0.0", to_hn="hn-east"), mesh.play("status")
    assert not refused.ok and refused.messages == [f"The VMA of hn-east on gw-east cannot be asked: {lost}"], refused.output
    assert not shown.ok and f"The VMA of hn-east cannot be believed: {lost}" in shown.messages[-1], shown.output
    assert mesh.four_times("rebuild", of_hn="hn-east").changed == 1
    after = mesh.module("gw-east", "vma_info")
    assert after["records"] == before["records"]
    for rm in ("rm-east-1", "rm-east-2"):
        for instance, epoch in mesh.module(rm, "instance_info")["epochs"].items():
            assert after["epochs"][instance] >= epoch, f"{rm} would refuse {instance}"
    assert mesh.play("move", **MOVE).ok, "a rebuilt registry must be good enough for a move"


def test_a_host_that_was_restored_hears_what_its_rms_run(shop, mesh):
    forget = "import sqlite3; sqlite3.connect('/var/lib/vmatrix/vma/registry.db').execute('delete from records').connection.commit()"
    mesh.shell("gw-east", f"rm -r /run/vmatrix/registries; python3 -c \"{forget}\"")
    refused = mesh.play("scale", service="shop", domain="example.com", to_hn="hn-east", count=1, capsule="1.0.0")
    shown = mesh.play("status", status_everywhere=True)
    sentence = f"{SHOP} is running on rm-east-1, of which the registry of hn-east knows nothing, so nothing new comes to life there."
    assert not refused.ok and sentence in " ".join(refused.messages), refused.output
    assert not shown.ok and sentence in shown.messages[-1], shown.output
    assert live(mesh) == ["rm-east-1"]
    removed = mesh.play("remove", instance=SHOP, rm="rm-east-1")
    assert removed.ok and f"{SHOP} is gone from rm-east-1." in removed.output, removed.output
    assert not live(mesh) and mesh.play("status").ok
    placed = mesh.play("place", instance=SHOP, capsule="1.0.0", to_hn="hn-east")
    assert placed.ok, placed.output
