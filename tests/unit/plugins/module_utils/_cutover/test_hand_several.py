# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handing several instances over at the same time: one that fails does not stop the others."""

from __future__ import annotations

import concurrent.futures
import functools
import os

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import parcel
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.fan_out import fan_out
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover import source, target
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.order import Order
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._cutover.line import PEER, Line
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME, qcow2

OTHER = "db-1.example.com"


@pytest.fixture
def two(east):
    for name in (NAME, OTHER):
        east.order("running", name=name)
        with open(east.places.overlay(name, "root"), "wb") as handle:
            handle.write(qcow2() + name.encode())
    return east


def give(rm, lines, *names, check=False):
    """Hand over, each instance on a line of its own."""
    open_lines = iter(lines)
    one = functools.partial(source.give, rm.host, dial=lambda *peer, **how: next(open_lines).dial(*peer, **how))
    return fan_out([(name, functools.partial(one, Order(name, 2, timeout=10.0), PEER, check)) for name in names])


def take(rm, *names):
    incoming = os.path.join(rm.root, "incoming")
    receive, discard = (functools.partial(call, incoming=incoming) for call in (parcel.await_parcel, parcel.discard_parcel))
    one = functools.partial(target.take, rm.host, receive=receive, discard=discard)
    return fan_out([(name, functools.partial(one, Order(name, 2, vlan=201, timeout=10.0))) for name in names])


def test_both_go_on_at_the_target(two, west):
    assert all(each.done.changed for each in give(two, [Line(west), Line(west)], NAME, OTHER, check=True)) and len(two.connection.domains) == 2
    with concurrent.futures.ThreadPoolExecutor() as pool:
        taking = pool.submit(take, west, OTHER, NAME)
        given = give(two, [Line(west), Line(west)], NAME, OTHER)
        taken = taking.result()
    assert [(each.name, each.error, each.done.result["handed_over"]) for each in given] == [(NAME, None, "yes"), (OTHER, None, "yes")]
    assert [(each.name, each.error, each.done.after["state"]) for each in taken] == [(OTHER, None, "running"), (NAME, None, "running")]
    assert sorted(west.connection.domains) == [OTHER, NAME] and not two.connection.domains


def test_one_that_is_not_there_does_not_stop_the_other(two, west):
    missing, given = give(two, [Line(west)], "shop-3.example.com", NAME)
    assert isinstance(missing.error, NotFound) and missing.done is None
    assert given.done.result["handed_over"] == "yes" and list(two.connection.domains) == [OTHER]
