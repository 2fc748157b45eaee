# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module foretells in check mode is what it then does, and its diff is the same; a second run has nothing left to do."""

from __future__ import annotations

import copy

import pytest
from mesh_lab import CAPSULE, SHOP

GUEST = {**CAPSULE["capsule_import_guest"], "address": "192.168.1.99/24"}
REQUIREMENTS = {"memory_mib": 64, "vcpus": 1, "disk_bytes": 1 << 20, "machine_type": "pc-i440fx-7.2", "cpu": "qemu64", "accelerator": None}
RESERVATION = {"instance": "truth-1.example.net", "capsule": "1", "guest": GUEST, "ports": [{"protocol": "tcp", "port": 80}], "requirements": REQUIREMENTS}
ROUTER = {
    "domain": "example.net",
    "vlan": 3999,
    "generation": 1,
    "gateways": ["192.168.1.1/24"],
    "services": [
        {
            "name": "truth",
            "public_address": "198.18.1.99",
            "ports": [{"protocol": "tcp", "port": 80}],
            "members": [{"instance": "truth-1.example.net", "address": "192.168.1.99"}],
        }
    ],
}
HN = {"name": "hn-east", "public_pools": ["198.18.1.0/24"], "vlan_first": 100, "vlan_last": 4000, "vcpu_overcommit": 8}
IMPORT = {key.replace("capsule_import_", ""): value for key, value in CAPSULE.items()} | {"version": "truth"}


def truth(mesh, host, module, **arguments):
    """Check, apply, check, apply: the first two must tell the same, the last two that nothing is left to do."""
    foretold = mesh.module(host, module, check=True, **arguments)
    done = mesh.module(host, module, **arguments)
    assert foretold["changed"] and done["changed"], (foretold, done)
    assert _timeless(foretold["diff"]) == _timeless(done["diff"])
    for check in (True, False):
        again = mesh.module(host, module, check=check, **arguments)
        assert not again["changed"], again
    return done


def _timeless(diff):
    """A diff without the moments at which the journal was written."""
    known = copy.deepcopy(diff)
    for side in (known if isinstance(known, list) else [known]):
        for half in ("before", "after"):
            if isinstance(side.get(half), dict):
                side[half].pop("operation", None)
    return known


@pytest.mark.parametrize(
    ("host", "module", "arguments", "undo"),
    [
        ("rm-east-1", "capsule", IMPORT, {"domain": "example.com", "name": "shop", "version": "truth", "state": "absent"}),
        ("gw-east", "domain_router", ROUTER, {**ROUTER, "services": [], "state": "absent"}),
        ("gw-east", "vma_reservation", RESERVATION, {**RESERVATION, "state": "absent"}),
        ("gw-east", "switch", {"name": "br-truth", "uplinks": []}, {"name": "br-truth", "state": "absent"}),
        ("gw-east", "vma_hn", {**HN, "vcpu_overcommit": 9}, HN),
        ("gw-east", "vma_rm", {"name": "rm-east-2", "in_service": False}, {"name": "rm-east-2", "in_service": True}),
    ],
)
def test_there_and_back(mesh, host, module, arguments, undo):
    truth(mesh, host, module, **arguments)
    truth(mesh, host, module, **undo)


def test_a_record(mesh):
    mesh.module("gw-east", "vma_reservation", **RESERVATION)
    for change in ({"state": "running", "in_rotation": True}, {"epoch_above": 7}, {"state": "suspended"}, {"state": "absent"}):
        truth(mesh, "gw-east", "vma_instance", instance=RESERVATION["instance"], **change)


def test_the_engines(mesh):
    truth(mesh, "rm-east-1", "engines", path="/usr/lib/vmatrix/truth.zip")
    mesh.ssh("rm-east-1", "rm", "/usr/lib/vmatrix/truth.zip")


def test_the_life_of_an_instance(shop, mesh):
    epoch = mesh.module("rm-east-1", "instance_info", name=SHOP)["instances"][0]["epoch"]
    for state in ("suspended", "running", "stopped", "running"):
        truth(mesh, "rm-east-1", "instance", name=SHOP, state=state, epoch=epoch, stop_timeout=0, stop_force=True)


def test_a_transfer(mesh):
    assert mesh.play("remove", instance=SHOP).ok
    mesh.module("rm-east-2", "capsule", domain="example.com", name="shop", version="1.0.0", state="absent")
    peer = {"name": "rm-east-2", "address": "10.81.0.12"}
    sent = truth(mesh, "rm-east-1", "capsule_transfer", domain="example.com", name="shop", version="1.0.0", to=peer)
    assert 0 < sent["bytes_wire"] < sent["bytes_total"]
