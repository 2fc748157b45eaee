# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishing several instances at the same moment: the life cycle is simulated, the store is real."""

from __future__ import annotations

import time

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.publish_several import publish_all
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._cutover.test_publish import CLONE, Published, written
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME

LONG = 30.0


@pytest.fixture
def two(east, tmp_path):
    made = Published(east, tmp_path)
    for name in (NAME, CLONE):
        made.order("running", name=name)
        written(made.rm, name)
    return made


def told(made, *wanted, check=False):
    return publish_all(made.host, made.store, wanted, LONG, check)


def test_nobody_goes_on_before_the_memory_of_all_is_safe(two):
    wanted = ((NAME, "warm"), (CLONE, "warm-2"))
    foretold = told(two, *wanted, check=True)
    assert all(each.done.changed for each in foretold) and len(two.rm.connection.lives) == 2
    before = len(two.rm.connection.calls)
    done = told(two, *wanted)
    assert [(each.name, each.done.manifest["version"], each.error) for each in done] == [(*each, None) for each in wanted]
    acts = [call for call in two.rm.connection.calls[before:] if call in ("snapshotCreateXML", "resume")]
    assert acts == ["snapshotCreateXML"] * 2 + ["resume"] * 2
    assert len({each.done.manifest["memory"]["blob"]["sha256"] for each in done}) == 2
    assert [two.store.get("example.com", "shop", version)["version"] for unused, version in wanted] == ["warm", "warm-2"]
    assert not any(each.done.changed for each in told(two, *wanted))


def test_nobody_waits_for_who_does_not_come(two):
    two.order("suspended", name=CLONE)
    began = time.monotonic()
    here, suspended, missing = told(two, (NAME, "warm"), (CLONE, "warm-2"), ("shop-3.example.com", "warm-3"))
    assert time.monotonic() - began < LONG
    assert here.done.outage > 0 and suspended.done.outage is None and isinstance(missing.error, NotFound) and missing.done is None
    assert two.rm.found.state == "running"


def test_an_instance_is_named_once(two):
    with pytest.raises(InvalidInput, match="shop-1.example.com is there more than once"):
        told(two, (NAME, "warm"), (NAME, "warm-2"))
