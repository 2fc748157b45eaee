# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is at work on what an operation is about, and what was cut off there."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.obstacles import Met, met, refuse_busy
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa.mesh import SHOP

TWO = "shop-2.example.com"


def lease(instance=SHOP, run="run1", number=7, pid=1):
    held = {"operation": "move", "who": "ada@ctl", "since": "2026-11-30T09:00:00Z", "controller": {"pid": pid}, "left": 500.0}
    return {"instance": instance, "run": run, "number": number, **held}


def run(name="run1", *instances, began="2026-11-30T09:00:00.0Z"):
    return {"run": name, "operation": "move", "subject": SHOP, "who": "ada@ctl", "instances": list(instances or (SHOP,)), "began": began}


def view(leases=(), runs=()):
    seen = mesh.view([mesh.record()])
    return seen._replace(sites={name: site._replace(leases=list(leases), runs=list(runs)) if name == "hn-east" else site for name, site in seen.sites.items()})


def dead(*pids):
    return lambda controller: controller["pid"] in pids


AT_WORK = Met({"gw-east": {SHOP: 7}}, {}, None)
NOBODY = Met({}, {}, None)


@pytest.mark.parametrize(
    "wish, expected",
    [
        ({"instance": SHOP}, AT_WORK),
        ({"instances": [TWO, SHOP]}, AT_WORK),
        ({"instances": [TWO], "clones": [SHOP]}, AT_WORK),
        ({"service": "shop", "domain": "example.com"}, AT_WORK),
        ({"instance": TWO}, NOBODY),
        ({"service": "shop", "domain": "example.org"}, NOBODY),
        ({"instance": None}, NOBODY),
        ({"rm": "rm-east-1"}, NOBODY),
        ({"rm": "rm-east-1", "dead": True}, AT_WORK),
        ({"rm": "rm-east-2", "dead": True}, NOBODY),
    ],
)
def test_who_is_at_work_on_what_is_wished_for(wish, expected):
    assert met(view([lease()], [run()]), wish, dead()) == expected


def test_whoever_is_dead_was_cut_off():
    seen = view([lease()], [run()])
    assert met(seen, {"instance": SHOP}, dead(1)) == met(seen, {"instance": SHOP}, dead(), take_over=True) == Met({}, {}, SHOP)
    assert met(view([], [run()]), {"instance": SHOP}, dead()).cut_off == SHOP, "its lease has ended"
    assert met(view([], [run()]), {"instance": TWO}, dead()).cut_off is None


def test_what_somebody_takes_up_is_not_cut_off():
    assert met(view([lease(run="run1.run2", pid=2)], [run()]), {"instance": SHOP}, dead(1)) == AT_WORK


def test_the_oldest_comes_first():
    runs = [run("run2", TWO, SHOP, began="2026-11-30T09:00:02.0Z"), run("run1", SHOP, began="2026-11-30T09:00:01.0Z")]
    assert met(view([], runs), {"instances": [SHOP, TWO]}, dead()).cut_off == SHOP


def test_who_is_at_work_is_said():
    refuse_busy(view(), {"instance": SHOP}, dead())
    refuse_busy(view([lease()]), {"instance": TWO}, dead())
    refuse_busy(view([lease()]), {"instance": SHOP}, dead(1))
    with pytest.raises(Refused, match=f"^{SHOP} is busy in hn-east: move by ada@ctl since 2026-11-30T09:00:00Z."):
        refuse_busy(view([lease()]), {"instance": SHOP}, dead())
