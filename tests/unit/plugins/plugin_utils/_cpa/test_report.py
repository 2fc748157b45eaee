# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports: what operators read, and what a rebuild is fed with."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.report import (
    mesh_found,
    mesh_history,
    mesh_names,
    mesh_problems,
    mesh_status,
    running_rms,
    table,
)

GROUPS = {"vmas": ["gw-east"], "gateways": ["gw-east"], "rms": ["rm-east-1"]}
RECORD = {
    **{"instance": "shop-1.example.com", "rm": "rm-east-1", "moves_to": None, "state": "running", "epoch": 3},
    **{"public_address": "198.18.1.1", "in_rotation": True},
}
RM = {
    **{"name": "rm-east-1", "in_service": True, "accelerator": "tcg", "memory_mib": 2048, "memory_mib_left": 1920},
    **{"disk_bytes": 20 << 30, "disk_bytes_left": 5 << 30},
}
DISK = {"size": 20 << 30, "free": 12 << 30, "owed": 15 << 30, "overcommit": 2.0, "tight": False}
SERVICE = {"name": "shop", "members": [{"instance": "shop-1.example.com", "address": "192.168.1.10", "connections": 3}]}


def answered(**results):
    """Return what the task of the role status leaves on a host that answered these calls, or says of one why it did not (None: it is silent)."""
    well = {"result": {}, "failed": False, "unreachable": False, "msg": ""}

    def answer(result):
        if result is None:
            return {**well, "unreachable": True}
        return {**well, "failed": True, "msg": result} if isinstance(result, str) else {**well, "result": result}

    return {"answers": {call: answer(result) for call, result in results.items()}}


def hostvars(state="running", look=None, running=None, transfers=None):
    """Return the variables of a small mesh; what is given stands in the place of what is usual."""
    instances = {"instances": [{"name": "shop-1.example.com", "state": state}], "epochs": {"shop-1.example.com": 3, "gone-1.example.org": 5}}
    gateway = answered(look=look or {"records": [RECORD], "rms": [RM]}, routers={"routers": [{"domain": "example.com", "services": [SERVICE]}]})
    rm = answered(running=instances if running is None else running, transfers={"transfers": transfers or []})
    if running == "silent":
        rm = answered(running=None, transfers=None)
    return {"gw-east": {"hn": "hn-east", "status_told": gateway}, "rm-east-1": {"hn": "hn-east", "status_told": rm}}


def test_table_is_as_wide_as_its_cells():
    assert table(("A", "LONG"), [("abc", 1)]) == "A    LONG\n---  ----\nabc  1"


def test_status_shows_the_truth_of_the_rm_beside_the_record():
    assert "shop-1.example.com  hn-east  rm-east-1  running  3      198.18.1.1      yes       3" in mesh_status(hostvars(), GROUPS)
    assert "stopped (should be running)" in mesh_status(hostvars(state="stopped"), GROUPS)
    assert "not there (should be running)" in mesh_status(hostvars(running={"instances": [], "epochs": {}}), GROUPS)
    assert "unknown (should be running)" in mesh_status(hostvars(running="silent"), GROUPS), "nobody has said that it is not there"


def test_status_shows_the_disk_as_promised_and_as_it_is():
    assert "1920 of 2048  5.0/20.0       -" in mesh_status(hostvars(), GROUPS), "nobody has asked it"
    seen = hostvars()
    seen["rm-east-1"]["status_told"]["answers"].update(answered(room={"disk": DISK})["answers"])
    assert "5.0/20.0       12.0/20.0" in mesh_status(seen, GROUPS) and "tight" not in mesh_status(seen, GROUPS)
    seen["rm-east-1"]["status_told"]["answers"].update(answered(room={"disk": {**DISK, "free": 1 << 30, "tight": True}})["answers"])
    sentence = "The disk of rm-east-1 gets tight: 1.0 GiB are free, and its instances may still take 15.0 GiB; move some of them, or make room."
    assert sentence in mesh_status(seen, GROUPS) and mesh_problems(seen, GROUPS) == []


def test_status_tells_of_a_guest_that_was_paused_and_why():
    why = "there was no room left on the RM for what it wrote to vda"
    halted = {"instances": [{"name": "shop-1.example.com", "state": "running", "paused": why}], "epochs": {}}
    shown = mesh_status(hostvars(running=halted), GROUPS)
    assert "paused (should be running)" in shown
    assert f"shop-1.example.com is paused on rm-east-1: {why}.\nWhen that is mended, the playbook resume lets it go on." in shown
    assert "paused" not in mesh_status(hostvars(), GROUPS)


def test_status_does_not_say_of_who_is_silent_that_it_serves():
    told = hostvars(state="stopped")
    router = {"domain": "example.com", "services": [{**SERVICE, "members": [{**SERVICE["members"][0], "healthy": False}]}]}
    told["gw-east"]["status_told"]["answers"]["routers"]["result"]["routers"] = [router]
    assert "yes, but it does not answer" in mesh_status(told, GROUPS)


def test_status_says_who_cannot_be_asked_and_why():
    assert mesh_status(hostvars(running="silent"), GROUPS).endswith("These cannot be asked:\nrm-east-1: it does not answer.")
    assert mesh_status(hostvars(running="libvirt is down."), GROUPS).endswith("These cannot be asked:\nrm-east-1: libvirt is down.")
    assert "cannot be asked" not in mesh_status(hostvars(), GROUPS)


def test_an_rm_on_which_nothing_is_to_run_is_not_missed():
    groups = {**GROUPS, "rms": ["rm-east-1", "rm-east-2"]}
    told = {**hostvars(), "rm-east-2": {"hn": "hn-east"}}
    assert running_rms(told, groups) == ["rm-east-1"]
    assert "cannot be asked" not in mesh_status(told, groups)
    moving = hostvars(look={"records": [{**RECORD, "moves_to": "rm-east-2"}], "rms": [RM]})
    assert running_rms({**moving, "rm-east-2": {"hn": "hn-east"}}, groups) == ["rm-east-1", "rm-east-2"]


def test_a_status_that_nobody_can_give_is_no_empty_table():
    with pytest.raises(Refused, match="No VMA can be asked, so nothing can be shown: gw-east: the registry cannot be read."):
        mesh_status({**hostvars(), "gw-east": {"hn": "hn-east", "status_told": answered(look="the registry cannot be read.")}}, GROUPS)


def test_status_shows_what_is_under_way():
    steps = [{"at": "2026-11-24T03:00:00Z", "step": "reserved on rm-west-1 with epoch 4"}]
    operation = {"instance": "shop-1.example.com", "kind": "move", "opened": "2026-11-24T03:00:00Z", "closed": None, "steps": steps}
    transfer = {"what": "memory of shop-1.example.com@4 to rm-west-1", "done": 50 << 20, "total": 200 << 20, "bytes_per_second": 25 << 20, "eta_seconds": 6.0}
    known = {"records": [RECORD], "rms": [RM]}
    calm = mesh_status(hostvars(look={**known, "operations": [{**operation, "closed": "then"}]}), GROUPS)
    assert "UNFINISHED" not in calm and "TRANSFER" not in calm
    shown = mesh_status(hostvars(look={**known, "operations": [operation]}, transfers=[transfer]), GROUPS)
    assert "shop-1.example.com  hn-east  move       2026-11-24T03:00:00Z  reserved on rm-west-1 with epoch 4" in shown
    assert "rm-east-1  memory of shop-1.example.com@4 to rm-west-1  200  25%   25     6.0" in shown


def test_found_adds_the_rm():
    found = mesh_found(hostvars(), GROUPS, "hn-east")
    assert found["instances"] == [
        {"name": "shop-1.example.com", "state": "running", "rm": "rm-east-1", "lease": 0},
        {"name": "gone-1.example.org", "state": "absent", "epoch": 5, "rm": "rm-east-1", "lease": 0},
    ]
    assert [router["domain"] for router in found["routers"]] == ["example.com"]


def test_found_needs_every_device_but_the_vma():
    with pytest.raises(Refused, match="while rm-east-1 does not answer"):
        mesh_found(hostvars(running="silent"), GROUPS, "hn-east")
    assert mesh_found(hostvars(look="There is no registry."), GROUPS, "hn-east")["instances"]
    with pytest.raises(NotFound, match="There is no HN hn-west"):
        mesh_found(hostvars(), GROUPS, "hn-west")


def seen(now, order=("hn-east", "hn-west"), drift=()):
    sites = [{"hn": "hn-east", "addresses": ["198.18.1.1"]}, {"hn": "hn-west", "addresses": ["198.18.2.1", "198.18.2.2"]}]
    region = {"region": "office", "prefixes": ["192.0.2.0/24"], "orders": {"A": list(order)}, "answers": {}, "now": now}
    return answered(steering={"names": [{"name": "shop.example.com.steer", "steering": {"sites": sites}, "table": [region], "drift": list(drift)}]})


@pytest.mark.parametrize(
    ("now", "order", "row"),
    [
        ({"A": ["198.18.1.1"], "AAAA": []}, ("hn-east", "hn-west"), "hn-east (198.18.1.1)  nearest first: hn-east, hn-west"),
        ({"A": ["198.18.2.1", "198.18.2.2"]}, ("hn-east", "hn-west"), "hn-west (198.18.2.1, 198.18.2.2)  hn-east would be nearer, but does not answer"),
        ({"A": ["198.18.1.1", "198.18.2.1"]}, ("hn-east", "hn-west"), "hn-east (198.18.1.1), hn-west (198.18.2.1)  nearest first: hn-east, hn-west"),
        ({"A": ["198.18.1.1"]}, ("hn-east",), "hn-east (198.18.1.1)  no other HN serves it"),
        ({"A": ["192.0.2.66"]}, ("hn-east", "hn-west"), "? (192.0.2.66)  nearest first: hn-east, hn-west"),
        ({"A": []}, ("hn-east", "hn-west"), "-        nobody serves it"),
        ({}, ("hn-east", "hn-west"), "-        all of its clients are in other regions, too"),
    ],
)
def test_who_is_sent_where_and_why(now, order, row):
    text = mesh_names({"cpa-1": {"names_seen": seen(now, order)}}, {"dns_servers": ["cpa-1"]})
    assert text.splitlines()[2] == f"shop.example.com.steer  office  192.0.2.0/24  {row}"


def test_name_servers_that_cannot_say_and_names_that_are_wrong():
    groups = {"dns_servers": ["cpa-1", "cpa-2", "cpa-3"]}
    answers = {"cpa-1": seen({"A": []}, drift=["records"]), "cpa-2": {"skipped": True}, "cpa-3": answered(steering=None)}
    told = {host: {"names_seen": answer} for host, answer in answers.items()}
    assert mesh_names(told, groups).splitlines()[3:] == [
        "shop.example.com.steer does not answer as it should (records); the playbook steer mends it.",
        "What cpa-3 answers is not known: it does not answer.",
    ]
    assert "What cpa-1 answers is not known: no key." in mesh_names({"cpa-1": {"names_seen": answered(steering="no key.")}}, {"dns_servers": ["cpa-1"]})


def remembered(**more):
    usual = {"run": "a1", "operation": "move", "subject": "shop-1.example.com", "who": "ada@ctl", "began": "2026-11-30T09:00:00.123456Z"}
    steps = [{"id": "reserve", "device": "gw-west", "failed": False, "seconds": 0.02}, {"id": "follow", "device": "ns-1", "failed": True, "seconds": None}]
    return {**usual, "ended": "2026-11-30T09:00:04.5Z", "outcome": "done", "steps": steps, **more}


def asked(*runs, **more):
    return {"hn": "hn-east", "history_told": {"answers": {"history": {"failed": False, "unreachable": False, "result": {"runs": list(runs)}}}}, **more}


def test_a_history_says_what_was_done_by_whom_and_how_long_it_took():
    begun = remembered(run="b2", operation="suspend", began="2026-11-30T09:10:00.000000Z", ended=None, outcome=None, steps=[])
    hostvars = {"gw-east": asked(remembered(steps=[]), begun), "gw-west": asked(remembered(), hn="hn-west")}
    shown = mesh_history(hostvars, {"vmas": ["gw-east", "gw-west"]}, "").splitlines()
    assert shown[2].split() == "2026-11-30T09:00:00Z move shop-1.example.com hn-east, hn-west ada@ctl 2026-11-30T09:00:04Z done".split()
    assert shown[3].endswith("-                     not ended") and len(shown) == 4
    steps = mesh_history(hostvars, {"vmas": ["gw-east", "gw-west"]}, "shop-1.example.com")
    assert "move of shop-1.example.com, 2026-11-30T09:00:00Z\nSTEP     DEVICE   SECONDS\n" in steps and "follow   ns-1     -        failed" in steps


def test_a_history_names_who_cannot_be_asked():
    hostvars = {"gw-east": asked(remembered()), "gw-west": {"hn": "hn-west"}}
    assert mesh_history(hostvars, {"vmas": ["gw-east", "gw-west"]}, "").endswith("These cannot be asked:\ngw-west: it does not answer.")
    with pytest.raises(Refused, match="No VMA can be asked"):
        mesh_history(hostvars, {"vmas": ["gw-west"]}, "")


def test_what_must_not_be_is_said():
    groups = {**GROUPS, "rms": ["rm-east-1", "rm-east-2"]}
    other = {"instances": [{"name": "mail-1.example.com", "state": "running", "epoch": 2}], "epochs": {}}
    found = {**hostvars(), "rm-east-2": {"hn": "hn-east", "status_told": answered(running=other)}}
    assert mesh_problems(hostvars(), GROUPS) == []
    assert mesh_problems(found, groups) == [
        "mail-1.example.com is running on rm-east-2, of which the registry of hn-east knows nothing, so nothing new comes to life there. Rebuild it by the "
        "playbook rebuild with rebuild_hn=hn-east, or remove that one with remove_instance=mail-1.example.com and remove_rm=rm-east-2."
    ]
    assert "WITHOUT A RECORD    RM         STATE    EPOCH\n" in mesh_status(found, groups)
    other["instances"][0]["name"] = "shop-1.example.com"
    assert mesh_problems(found, groups) == [
        "shop-1.example.com runs on rm-east-1 and rm-east-2: remove one of them, by the playbook remove with remove_instance=shop-1.example.com and remove_rm."
    ]
    moving = {"records": [RECORD], "rms": [RM], "leases": [{"instance": "shop-1.example.com"}]}
    assert mesh_problems({**hostvars(look=moving), "rm-east-2": found["rm-east-2"]}, groups) == [], "it may be on its way"


def test_what_was_told_to_a_vma_counts_until_the_rm_is_asked():
    stray = {"rm": "rm-east-1", "name": "mail-1.example.com", "state": "stopped", "epoch": 2}
    look = {"records": [RECORD], "rms": [RM], "strays": [stray], "hn": {"older": True}}
    assert len(mesh_problems(hostvars(look=look), GROUPS)) == 1
    first, second = mesh_problems(hostvars(look=look, running="silent"), GROUPS)
    assert first == (
        "The VMA of hn-east cannot be believed: its registry was lost, or restored from a copy; rebuild it by the playbook rebuild with rebuild_hn=hn-east."
    )
    assert second.startswith("mail-1.example.com is stopped on rm-east-1, of which")
