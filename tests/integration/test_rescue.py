# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ran on an RM that does not come back runs on another one, and the RM runs none of it again when it returns after all."""

from __future__ import annotations

from mesh_lab import LAB, SHOP, until

EAST, LOST, OTHER = "198.18.1.10", "rm-east-1", "rm-east-2"
TWO, THREE = "shop-2.example.com", "shop-3.example.com"
#: Ends well when the RM is off, and not before.
SWITCH_OFF = """
ssh="ssh -F $1 -o ControlPath=none -o ConnectTimeout=2 $2"
$ssh systemctl poweroff
for second in $(seq 60); do
    sleep 1
    $ssh true || exit 0
done
exit 1
"""


def test_an_rm_that_does_not_come_back_is_rescued(shop, mesh, monkeypatch):
    # How long each run waits for a host that is down.
    monkeypatch.setenv("ANSIBLE_TIMEOUT", "3")
    for instance, rm in ((TWO, OTHER), (THREE, LOST)):
        placed = mesh.play("place", instance=instance, capsule="1.0.0", to_hn="hn-east", to_rm=rm)
        assert placed.ok, placed.output
    mesh.must_refuse("rescue", f"Say how {LOST} is kept from coming back meanwhile", rm=LOST)
    mesh.must_refuse("rescue", f"{LOST} answers, so it need not be rescued", rm=LOST, dead=True)
    mesh.must_refuse("rescue", f"{LOST} could not be switched off from localhost, so nothing was touched", rm=LOST, fence=["false"])
    fence = ["bash", "-c", SWITCH_OFF, "switch-off", str(LAB / "ssh_config"), LOST]
    try:
        rescued = mesh.as_foretold("rescue", rm=LOST, fence=fence)
        assert not mesh.alive(LOST), rescued.output
        for instance in (SHOP, THREE):
            assert f"{instance} runs on {OTHER} from its capsule 1.0.0; what it had written since is on {LOST}." in rescued.output
        page = until(lambda: mesh.page(EAST, timeout=1), 60, "the service answers again")
        assert page["boot_id"] != shop["boot_id"]
        records = {record["instance"]: record for record in mesh.module("gw-east", "vma_info")["records"]}
        assert {(name, record["rm"], record["state"], record["in_rotation"]) for name, record in records.items()} == {
            (name, OTHER, "running", True) for name in (SHOP, TWO, THREE)
        }
        running = {each["name"]: (each["state"], each["epoch"]) for each in mesh.module(OTHER, "instance_info")["instances"]}
        assert running == {name: ("running", record["epoch"]) for name, record in records.items()}
        shown = mesh.play("status")
        assert shown.ok and "out of service" in shown.output, shown.output
        # Who looks at every device would wait for the one that is off.
        assert "there is nothing to rescue" in mesh.nothing_left("rescue", look=False, rm=LOST, dead=True).output
    finally:
        assert mesh.play("lab").ok
    # It is back, and asks its VMA.
    said = "journalctl --boot --no-pager --unit vmatrix-restart.service"
    for instance in (SHOP, THREE):
        until(lambda name=instance: f"{name} does not live on {LOST} any more" in mesh.shell(LOST, said), 120, f"{LOST} is refused {instance}")
    assert {each["name"]: each["state"] for each in mesh.module(LOST, "instance_info")["instances"]} == {SHOP: "stopped", THREE: "stopped"}
    for instance in (SHOP, THREE):
        cleared = mesh.play("remove", instance=instance, rm=LOST)
        assert cleared.ok and f"{instance} is gone from {LOST}." in cleared.output, cleared.output
    assert not mesh.ssh(LOST, "ls", "/var/lib/vmatrix/instances").strip() and mesh.page(EAST)
    assert mesh.play("rm_service", rm=LOST, in_service=True).ok
    for instance in (SHOP, TWO, THREE):
        assert mesh.play("remove", instance=instance).ok


def test_what_no_other_rm_holds_stays_and_says_so(shop, mesh, monkeypatch):
    monkeypatch.setenv("ANSIBLE_TIMEOUT", "3")
    # Only what it runs from counts, so all other holders are rid of it.
    for removed in mesh.everywhere(f"rms:!{LOST}", "capsule", domain="example.com", name="shop", version="1.0.0", state="absent"):
        assert "exception" not in removed, removed["msg"]
    mesh.ssh(LOST, "systemctl", "poweroff", check=False)
    try:
        until(lambda: not mesh.alive(LOST), 60, f"{LOST} is down")
        sentence = f"{SHOP} stays on {LOST}, where it does not run: No RM that answers holds the capsule shop 1.0.0 of example.com"
        rescued = mesh.play("rescue", rm=LOST, dead=True)
        assert not rescued.ok and any(message.startswith(sentence) for message in rescued.messages), rescued.output
    finally:
        assert mesh.play("lab").ok
    # It is as it was recorded, so the RM may start it again.
    until(lambda: mesh.page(EAST, timeout=1), 120, "the service answers again")
