# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom an operation asks, from an operator's variables."""

from __future__ import annotations

import types

import pytest

from ansible_collections.vmatrix.mesh.plugins.lookup import concerned
from ansible_collections.vmatrix.mesh.tests.unit.plugins.plugin_utils._cpa import mesh

PLACE = {"place_instance": mesh.SHOP, "place_capsule": "1.0.0", "place_to_hn": "hn-west"}
NOBODY = {"rms": [], "calls": []}


@pytest.fixture
def ask(monkeypatch):
    """Return what looks up whom an operation asks, with variables of an inventory and of the command line."""

    def look(operation, given, extra=None, groups=None):
        monkeypatch.setattr(concerned, "load_extra_vars", lambda loader: extra or {})
        made = object.__new__(concerned.LookupModule)
        made._templar, made._loader = types.SimpleNamespace(template=lambda value: value), None
        (found,) = made.run([operation], {"groups": groups or mesh.GROUPS, "hostvars": mesh.hostvars(), **given})
        return found

    return look


def test_an_operation_asks_those_that_it_concerns(ask):
    found = ask("place", PLACE)
    assert found["rms"] == ["rm-west-1", "rm-west-2", "rm-east-1"]
    assert [call["arguments"] for call in found["calls"]] == [{"domain": "example.com", "name": "shop", "version": "1.0.0"}]


def test_variables_of_the_command_line_may_have_their_former_names(ask):
    assert ask("place", {}, extra={name.replace("place_", ""): value for name, value in PLACE.items()})["rms"]


@pytest.mark.parametrize("given", [{}, {**PLACE, "place_to_hn": "hn-north"}, {**PLACE, "place_answer_timeout": "soon"}])
def test_nobody_is_asked_where_the_plan_will_say_what_is_wrong(ask, given):
    assert ask("place", given) == NOBODY


def test_only_hosts_of_the_inventory_are_asked(ask):
    assert ask("place", PLACE, groups={**mesh.GROUPS, "rms": ["rm-east-1"]})["rms"] == ["rm-east-1"]


def test_before_there_is_an_inventory_nobody_is_known():
    assert object.__new__(concerned.LookupModule).run(["place"], {}) == [NOBODY]
