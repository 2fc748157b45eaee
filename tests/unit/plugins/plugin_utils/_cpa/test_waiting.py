# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long operations wait for what takes the longer the more memory a guest has."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import clone, move, resume, suspend
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh

RECORD = mesh.record(requirements={**mesh.REQUIREMENTS, "memory_mib": 16 << 10})
MOVE = {"instances": [mesh.SHOP], "strategy": "suspend", "to_hn": "hn-west", "to_rm": None, "public_address": None}
CLONE = {"instances": [mesh.SHOP], "clones": ["shop-2.example.com"], "capsule": "warm", "to_hn": None, "answer_timeout": None}


def steps(verb, **wish):
    """Return the arguments of each step of a plan, by its id."""
    view = mesh.view([RECORD])
    made = verb.plan(view, parts.Naming(view, {}), **wish)
    stages = (*made.prepare, *((made.cut_over,) if made.cut_over else ()))
    return {step.id: step.arguments for stage in stages for step in stage.steps}


@pytest.mark.parametrize("timeout, waits", [(None, {}), (9.0, {"timeout": 9.0})])
def test_rms_wait_for_as_long_as_the_memory_calls_for_or_somebody_says(timeout, waits):
    def limits(arguments):
        return {key: value for key, value in arguments.items() if key == "timeout"}

    assert limits(steps(suspend, instance=mesh.SHOP, timeout=timeout)["rest"]) == waits
    assert limits(steps(resume, instance=mesh.SHOP, timeout=timeout)["cut_over.rm"]) == waits
    assert limits(steps(clone, **CLONE, timeout=timeout)[f"publish.{mesh.SHOP}"]) == waits
    assert steps(move, **MOVE, timeout=timeout)[f"cut_over.source.{mesh.SHOP}"]["timeout"] == (timeout or 300 + 4 * 16 * 20)


def test_so_do_gateways():
    assert steps(resume, instance=mesh.SHOP)["cut_over.publish"]["answer_timeout"] == 60 + 16 * 20
    assert steps(resume, instance=mesh.SHOP, answer_timeout=9.0)["cut_over.publish"]["answer_timeout"] == 9.0
    cloned = steps(clone, **CLONE)
    assert cloned["cut_over.publish"]["answer_timeout"] == 120 + 16 * 20
    assert cloned["spare.hn-east"]["seconds"] == 60 + 16 * 20, "the health checks do not take it for dead meanwhile"
