# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module takes a list of instances, or the options of one, whose result it unwraps."""

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.one_or_several import OneOrSeveral, only
from ansible_collections.vmatrix.mesh.plugins.modules import capsule_publish, instance, instance_cutover, vma_instance

ONE, OTHER = "shop-1.example.com", "shop-2.example.com"
OPTIONS = OneOrSeveral(
    one={"name": {"type": "str"}, "state": {"type": "str"}, "epoch": {"type": "int"}},
    needed=("name", "state"),
    shared={"timeout": {"type": "int", "default": 60}},
    required_if=[("state", "running", ("epoch",))],
)


def validated(options, params):
    """Return the parameters as a module gets them, and what is wrong with them."""
    done = ArgumentSpecValidator(**options.spec()).validate(params)
    return done.validated_parameters, done.error_messages


@pytest.mark.parametrize(
    "params",
    [
        {"name": ONE, "state": "absent"},
        {"name": ONE, "state": "running", "epoch": 1},
        {"instances": [{"name": ONE, "state": "absent"}, {"name": OTHER, "state": "running", "epoch": 1}], "timeout": 1},
    ],
)
def test_one_or_several_are_taken(params):
    assert validated(OPTIONS, params)[1] == []


@pytest.mark.parametrize(
    "params, message",
    [
        ({}, "one of the following is required: name, instances"),
        ({"state": "absent"}, "one of the following is required: name, instances"),
        ({"name": ONE}, "missing parameter(s) required by 'name': state"),
        ({"name": ONE, "state": "running"}, "state is running but all of the following are missing: epoch"),
        ({"name": ONE, "state": "absent", "instances": []}, "parameters are mutually exclusive"),
        ({"state": "absent", "instances": [{"name": ONE, "state": "absent"}]}, "parameters are mutually exclusive"),
        ({"instances": [{"name": ONE}]}, "missing required arguments: state"),
        ({"instances": [{"name": ONE, "state": "running"}]}, "state is running but all of the following are missing: epoch"),
    ],
)
def test_what_is_neither_is_refused(params, message):
    assert any(message in each for each in validated(OPTIONS, params)[1])


@pytest.mark.parametrize(
    "module, one",
    [
        (instance, {"name": ONE, "state": "absent"}),
        (instance_cutover, {"side": "target", "name": ONE, "epoch": 2, "vlan": 201}),
        (capsule_publish, {"instance": ONE, "version": "warm"}),
        (vma_instance, {"instance": ONE, "state": "absent", "expected": ["reserved"]}),
    ],
)
def test_the_modules_take_both(module, one):
    options, shared = module.OPTIONS, {key: one[key] for key in ("side",) if key in one}
    alone = {key: value for key, value in one.items() if key not in shared}
    assert validated(options, one)[1] == validated(options, {**shared, "instances": [alone]})[1] == []
    assert any("mutually exclusive" in each for each in validated(options, {**one, "instances": [alone]})[1])


def engine(failing=()):
    """Return what stands in for a call, and what it was asked."""
    asked = []

    def call(params, check):
        asked.append((params, check))
        names = [each["name"] for each in params["instances"]]
        result = {"instances": [{"name": name, "action": None, "left": 3, "error": "No." if name in failing else None} for name in names], "router": 1}
        if failing:
            raise MeshError("No.", result)
        return Outcome(True, dict.fromkeys(names, "before"), dict.fromkeys(names, "after"), result)

    return call, asked


def run(call, params):
    return OPTIONS.unwrapping(call, only("instances"))(validated(OPTIONS, params)[0], True)


def test_the_result_of_one_is_unwrapped():
    call, asked = engine()
    assert run(call, {"name": ONE, "state": "absent"}) == Outcome(True, "before", "after", {"action": None, "left": 3})
    assert asked == [({"instances": [{"name": ONE, "state": "absent", "epoch": None}], "timeout": 60}, True)]


def test_that_of_several_is_not_even_if_it_is_one():
    call, asked = engine()
    told = run(call, {"instances": [{"name": ONE, "state": "absent"}]})
    assert told.after == {ONE: "after"} and told.result["instances"][0]["name"] == ONE
    assert asked[0][0] == {"instances": [{"name": ONE, "state": "absent", "epoch": None}], "timeout": 60}


def test_one_that_fails_says_what_is_known_of_it():
    call, unused = engine(failing=[ONE])
    with pytest.raises(MeshError, match="No.") as failed:
        run(call, {"name": ONE, "state": "absent"})
    assert failed.value.result == {"left": 3}
    with pytest.raises(MeshError) as failed:
        run(call, {"instances": [{"name": name, "state": "absent"} for name in (ONE, OTHER)]})
    assert [each["error"] for each in failed.value.result["instances"]] == ["No.", None]


def test_what_fails_before_anything_is_known_of_an_instance_says_what_it_says():
    def call(_params, _check):
        raise MeshError("No.", {"stale": True})

    for unwrapped in (only("instances"), vma_instance._unwrapped):
        with pytest.raises(MeshError) as failed:
            OPTIONS.unwrapping(call, unwrapped)(validated(OPTIONS, {"name": ONE, "state": "absent"})[0], True)
        assert failed.value.result == {"stale": True}


def test_parts_can_be_chosen():
    assert only("capsules", "outage")({"capsules": [{"instance": ONE, "outage": 0.2, "made": True, "error": None}]}) == {"outage": 0.2}
