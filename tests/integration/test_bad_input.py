# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad input gets one clear sentence and changes nothing."""

from __future__ import annotations

import pytest
from mesh_lab import CAPSULE, SHOP

PLACE = {"instance": SHOP, "capsule": "1.0.0", "to_hn": "hn-east"}


@pytest.fixture(scope="module")
def untouched(mesh):
    """A mesh without the shop, of which everything is the same after all tests that use it."""
    assert mesh.play("remove", instance=SHOP).ok
    before = mesh.snapshot()
    yield mesh
    mesh.must_be(before, "bad input changed something")


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"instance": "blog-1.example.com"}, "No RM that answers holds the capsule blog 1.0.0 of example.com"),
        ({"capsule": "9.9.9"}, "No RM that answers holds the capsule shop 9.9.9 of example.com"),
        ({"instance": "../etc-1.example.com"}, "'../etc-1.example.com' is not an instance"),
        ({"to_hn": "hn-north"}, "There is no HN hn-north; known are: hn-east, hn-west."),
        ({"to_rm": "rm-north-1"}, "There is no RM rm-north-1"),
        ({"to_rm": "rm-west-1"}, "The RM rm-west-1 stands in hn-west, not in hn-east."),
        ({"public_address": "198.18.2.10"}, "198.18.2.10"),
        ({"public_address": "nonsense"}, "nonsense"),
        ({"instance": ""}, "The variable place_instance is missing or empty"),
    ],
)
def test_place(untouched, wish, sentence):
    untouched.must_refuse("place", sentence, look=False, **{**PLACE, **wish})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"capsule_import_name": "../shop"}, "'../shop'"),
        ({"capsule_import_version": "../../1"}, "'../../1' is not a version"),
        ({"capsule_import_ports": [{"port": 65536}]}, "65536"),
        ({"capsule_import_guest": {"address": "192.168.1.10/24", "gateway": "10.0.0.1", "mac": "52:54:00:c0:ff:ee"}}, "10.0.0.1"),
        ({"capsule_import_disks": [{"name": "data", "src": "/srv/images/none.qcow2"}]}, "/srv/images/none.qcow2"),
        ({"capsule_import_machine": {"type": "pc-i440fx-7.2", "cpu": "qemu64", "vcpus": 1, "memory_mib": 64}}, "1.0.0"),
    ],
)
def test_capsule(untouched, change, sentence):
    untouched.must_refuse("capsule_import", sentence, look=False, rm="rm-east-1", **{**CAPSULE, **change})


@pytest.mark.parametrize(
    ("playbook", "wish", "sentence"),
    [
        ("suspend", {}, "No HN knows the instance shop-1.example.com"),
        ("resume", {}, "No HN knows the instance shop-1.example.com"),
        ("move", {"to_hn": "hn-west"}, "No HN knows the instance shop-1.example.com"),
        ("move", {"to_hn": "hn-north"}, "There is no HN hn-north"),
        ("remove", {"instance": "shop"}, "'shop' is not an instance"),
        ("rebuild", {"of_hn": "hn-north"}, "There is no HN 'hn-north'"),
    ],
)
def test_other_operations(untouched, playbook, wish, sentence):
    untouched.must_refuse(playbook, sentence, look=False, **{"instance": SHOP, **wish})


@pytest.mark.parametrize(
    ("playbook", "wish", "sentence"),
    [
        ("place", {**PLACE, "limit": "rm-east-1"}, "The limit rm-east-1 leaves out localhost, gw-"),
        ("suspend", {"instance": SHOP, "limit": "gw-east:localhost"}, "leaves out gw-west"),
        ("suspend", {}, "The variable suspend_instance is missing or empty"),
        ("scale", {"service": "shop", "domain": "example.com", "to_hn": "hn-east", "count": "many"}, "scale_count"),
        ("scale", {"service": "shop", "domain": "example.com", "to_hn": "hn-east", "count": 1, "surplus": "gone"}, "Value of scale_surplus must be one of"),
        ("rm_service", {"rm": "rm-nowhere", "in_service": False}, "There is no RM rm-nowhere; known are: rm-east-1"),
        ("rm_service", {"rm": "rm-east-1"}, "The variable rm_service_in_service is missing"),
        ("capsule_import", {**CAPSULE, "rm": "rm-nowhere"}, "There is no RM rm-nowhere; known are: rm-east-1"),
        ("capsule_import", {**CAPSULE, "rm": "gw-east"}, "There is no RM gw-east; known are: rm-east-1"),
        ("vpn_certificate", {"service": "shop"}, "There are several owners"),
        ("vpn_certificate", {"owner": "owner-gw"}, "The variable vpn_certificate_service is missing"),
    ],
)
def test_nothing_is_done_that_was_not_said(untouched, playbook, wish, sentence):
    untouched.must_refuse(playbook, sentence, look=False, **wish)
