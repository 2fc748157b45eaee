# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A registry that was lost, or restored from a copy, is noticed before anything is granted."""

from __future__ import annotations

import os
import shutil

import pytest
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import vma
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import hn, instances, overview, rebuild, reservations, rms, witness
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import reading

SHOP, TWO = "shop-1.example.com", "shop-2.example.com"
OLDER = (
    "The registry of hn-east knows less than it has granted: it was lost, or restored from a copy. Rebuild it by the playbook rebuild with rebuild_hn=hn-east."
)
LEASE = {"run": "run1", "operation": "place", "who": "op@ctl", "controller": {}, "seconds": 600, "above": 0}


def fails(call, *arguments):
    """Return the sentence that *call* fails with."""
    with pytest.raises(MeshError) as caught:
        call(*arguments)
    return caught.value.message


def path_of(url):
    return url[len("sqlite:///") :]


@pytest.fixture(name="granted")
def _granted(url, ask, tmp_path):
    """A registry that has granted a life; beside it lies a copy of what it was before."""
    shutil.copy(path_of(url), tmp_path / "yesterday.db")
    place(url, ask, SHOP, 10)
    return url


def place(url, ask, instance, host, run="run1"):
    asked = {"instance": instance, "reservation": {key: value for key, value in ask(instance, host).items() if key != "instance"}}
    lease = {**LEASE, "run": run, "above": overview.overview(url)["hn"]["lease"]}
    vma.record({"registry": url, "instances": [asked], "lease": lease}, False)
    told = vma.record({"registry": url, "instances": [{"instance": instance, "state": "running"}], "lease": lease, "last": True}, False)
    return told.result["records"][0]


def running(record, lease=0):
    return {"name": record["instance"], "state": "running", "epoch": record["epoch"], "rm": record["rm"], "record": record, "lease": lease}


def test_what_was_granted_is_known_also_when_the_registry_is_not(granted, ask, tmp_path):
    (record,) = overview.overview(granted)["records"]
    os.replace(tmp_path / "yesterday.db", path_of(granted))
    seen = overview.overview(granted)
    assert (seen["hn"]["older"], seen["records"]) == (True, [])
    assert fails(reservations.reserve, granted, ask(TWO, 11)) == OLDER
    assert fails(vma.lease, {"registry": granted, "instances": [SHOP], "lease": LEASE}, False) == OLDER
    assert fails(vma.consent, {"registry": granted, "lives": [{"instance": TWO, "epoch": 1}]}, False) == OLDER
    rebuild.rebuild(granted, [running(record)], [])
    seen = overview.overview(granted)
    assert not seen["hn"]["older"] and [each["instance"] for each in seen["records"]] == [SHOP]
    assert reservations.reserve(granted, ask(TWO, 11)).changed


def test_a_registry_that_was_lost_is_set_up_but_grants_nothing(granted, ask, machine):
    os.unlink(path_of(granted))
    hn.declare(granted, "hn-east", ["198.18.1.0/28"], 100, 4000, 8)
    for name in ("rm-east-1", "rm-east-2"):
        rms.subscribe(granted, name, machine(instances=[]))
    assert fails(place, granted, ask, TWO, 11) == OLDER


def test_after_its_host_was_restored_rms_are_heard_before_anything_is_granted(granted, ask, tmp_path):
    (record,) = overview.overview(granted)["records"]
    os.replace(tmp_path / "yesterday.db", path_of(granted))
    shutil.rmtree(witness.DIRECTORY)
    assert not overview.overview(granted)["hn"]["older"], "nothing on it remembers"
    unheard = "The VMA of hn-east has not heard what rm-east-1 and rm-east-2 runs since its host started: run the playbook site."
    assert fails(place, granted, ask, TWO, 11) == fails(vma.consent, {"registry": granted, "lives": [{"instance": TWO, "epoch": 1}]}, False) == unheard
    other = next(name for name in ("rm-east-1", "rm-east-2") if name != record["rm"])
    held = {record["rm"]: [running(record)], other: []}
    sentence = (
        f"{SHOP} is running on {record['rm']}, of which the registry of hn-east knows nothing, so nothing new comes to life there. Rebuild it by the playbook "
        f"rebuild with rebuild_hn=hn-east, or remove that one with remove_instance={SHOP} and remove_rm={record['rm']}."
    )
    assert fails(vma.hear, {"registry": granted, "held": held}, False) == fails(place, granted, ask, TWO, 11) == sentence
    assert [(each["rm"], each["name"]) for each in overview.overview(granted)["strays"]] == [(record["rm"], SHOP)]
    vma.hear({"registry": granted, "held": {record["rm"]: []}}, False)
    assert place(granted, ask, TWO, 11)["state"] == "running", "it was removed"


def test_after_a_reboot_one_hearing_is_enough(granted, ask):
    (record,) = overview.overview(granted)["records"]
    shutil.rmtree(witness.DIRECTORY)
    vma.hear({"registry": granted, "held": {rm: [running(record)] if rm == record["rm"] else [] for rm in ("rm-east-1", "rm-east-2")}}, False)
    assert place(granted, ask, TWO, 11)["state"] == "running"
    assert [rm["heard"] for rm in overview.overview(granted)["rms"]] == [True, True]


def test_check_mode_hears_too_or_it_could_foretell_nothing(granted):
    (record,) = overview.overview(granted)["records"]
    shutil.rmtree(witness.DIRECTORY)
    vma.hear({"registry": granted, "held": {rm: [running(record)] if rm == record["rm"] else [] for rm in ("rm-east-1", "rm-east-2")}}, True)
    assert [rm["heard"] for rm in overview.overview(granted)["rms"]] == [True, True]


def test_who_is_out_of_service_need_not_be_heard(granted, ask):
    shutil.rmtree(witness.DIRECTORY)
    rms.subscribe(granted, "rm-east-2", {"in_service": False})
    vma.hear({"registry": granted, "held": {"rm-east-1": []}}, False)
    assert place(granted, ask, TWO, 11)["rm"] == "rm-east-1"
    rms.subscribe(granted, "rm-east-2", {"in_service": True})
    assert "has not heard what rm-east-2 runs" in fails(reservations.reserve, granted, ask("mail-1.example.com", 12))


@pytest.mark.parametrize("state, later, astray", [("stopped", 0, False), ("stopped", 1, True), ("running", 0, True)])
def test_what_the_registry_knows_of_was_only_left_behind(granted, state, later, astray):
    (record,) = overview.overview(granted)["records"]
    number = overview.overview(granted)["hn"]["lease"]
    lease = {**LEASE, "run": "run2", "above": number}
    vma.record({"registry": granted, "instances": [{"instance": SHOP, "state": "absent"}], "lease": lease, "last": True}, False)
    held = {record["rm"]: [{**running(record), "state": state, "lease": overview.overview(granted)["hn"]["lease"] + later}]}
    if astray:
        fails(vma.hear, {"registry": granted, "held": held}, False)
    else:
        vma.hear({"registry": granted, "held": held}, False)
    assert bool(overview.overview(granted)["strays"]) == astray


def test_what_belongs_to_no_operation_needs_the_whole_registry_too(granted, tmp_path):
    os.replace(tmp_path / "yesterday.db", path_of(granted))
    assert fails(instances.update, granted, {"instance": SHOP, "state": "stopped"}) == OLDER
    with reading(granted) as tx:
        assert witness.older(tx)


@pytest.mark.parametrize("told", [{"in_rotation": True, "state": "running"}, {"state": "stopped"}])
def test_what_was_changed_without_an_operation_is_missed_too(url, ask, tmp_path, told):
    reservations.reserve(url, ask(SHOP, 10))
    shutil.copy(path_of(url), tmp_path / "before.db")
    instances.update(url, {"instance": SHOP, **told})
    os.replace(tmp_path / "before.db", path_of(url))
    assert overview.overview(url)["hn"]["older"]


def test_what_an_operation_recorded_after_its_lease_is_missed_too(url, ask, tmp_path):
    asked = {"instance": SHOP, "reservation": {key: value for key, value in ask(SHOP, 10).items() if key != "instance"}}
    vma.record({"registry": url, "instances": [asked], "lease": LEASE}, False)
    shutil.copy(path_of(url), tmp_path / "before.db")
    vma.record({"registry": url, "instances": [{"instance": SHOP, "state": "running"}], "lease": LEASE, "last": True}, False)
    os.replace(tmp_path / "before.db", path_of(url))
    assert overview.overview(url)["hn"]["older"]
