# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of a name that follows."""

from __future__ import annotations

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.done import Done
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import names

STEERED = "shop.example.com.steer.example.net"
ARGUMENTS = {"name": STEERED, "zone": "steer.example.net", "server": {"address": "192.0.2.53"}, "order": ["hn-east"]}


@pytest.fixture
def told(monkeypatch):
    """What is told of a name by arguments, and for whom an alias was made; there is a name server that does all."""

    def follow(arguments, serves=True):
        asked = []
        result = {"steering": {"name": STEERED} if serves else None, "alias": None}
        monkeypatch.setattr(names.service, "follow", lambda driver, change, alias, *unused: asked.append(alias) or Done(True, None, None, result))
        monkeypatch.setattr(names.options, "driver", lambda wanted: None)
        monkeypatch.setattr(names.options, "zone", lambda wanted, key: wanted["zone"])
        return names.follow({**ARGUMENTS, **arguments}, False).result["warnings"], asked[0]

    return follow


def test_a_name_that_people_know_and_no_zone_here_holds_is_told(told):
    warnings, alias = told({"alias": {"name": "shop.example.com", "zone": None}})
    assert alias is None
    assert warnings == [
        f"The name server has no zone for shop.example.com, so nothing leads from that name to {STEERED}: give the name server that zone (dns_zones), or have "
        "its owner make it an alias (CNAME) of the other."
    ]


def test_nothing_is_told_where_a_zone_holds_it_or_nobody_serves(told):
    assert told({"alias": {"name": "shop.example.com", "zone": "example.com"}}) == ([], names.service.Alias("shop.example.com", "example.com"))
    assert told({"alias": {"name": "shop.example.com", "zone": None}}, serves=False) == ([], None)
    assert told({}) == ([], None), "who steers a name by hand need not say by which one people know it"
