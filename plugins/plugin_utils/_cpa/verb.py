# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""A verb in a run of Ansible: its planner, what is wished for, and whom that concerns."""

from __future__ import annotations

import functools
import importlib
import os
import typing as t

import yaml

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import concern, wishes
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.obstacles import Gone, Met, met
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view

#: Where the planners of the verbs are, one file each.
VERBS = "ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs"

#: The roles of the verbs, whose argument specs say what can be wished for.
ROLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))), "roles")

Variables = t.Mapping[str, t.Any]


def planner(operation: str) -> t.Any:
    """Return the module that plans a verb."""
    return importlib.import_module(f"{VERBS}.{operation}")


def wish(operation: str, variables: Variables, extra: Variables, template: t.Callable[[t.Any], t.Any]) -> wishes.Wish:
    """Return what is wished for: the variables that the role of the verb describes.

    Args:
        operation: the verb.
        variables: all variables.
        extra: those of the command line.
        template: fills in what they refer to.
    """
    options = _options(operation)
    given = {name: template(variables[name]) for name in options if name in variables}
    return wishes.read(operation, options, given, {name: template(value) for name, value in extra.items()})


@functools.lru_cache(maxsize=None)
def _options(operation: str) -> dict[str, dict[str, t.Any]]:
    """Return the options of a verb's role; they are read once in a run."""
    with open(os.path.join(ROLES, operation, "meta", "argument_specs.yml"), encoding="utf-8") as handle:
        options: dict[str, dict[str, t.Any]] = yaml.safe_load(handle)["argument_specs"]["main"]["options"]
    return options


def concerned(operation: str, variables: Variables, wished: wishes.Wish) -> concern.Concern:
    """Return whom an operation asks before it is planned, when the VMAs were asked; nobody where its plan will say what is wrong with the wish."""
    if wished.error is not None:
        return concern.Concern()
    groups = variables["groups"]
    # What VMAs say of RMs is enough here.
    seen = mesh_view({**groups, "rms": []}, variables["hostvars"])
    found = concern.of(planner(operation), seen, wished.values)
    return found._replace(rms=tuple(rm for rm in found.rms if rm in groups.get("rms", [])))


def obstacles(variables: Variables, wished: wishes.Wish, gone: Gone, take_over: bool) -> Met:
    """Return what is in the way of what is wished for, when the VMAs were asked; nothing where its plan will say what is wrong with the wish."""
    if wished.error is not None:
        return Met({}, {}, None)
    return met(mesh_view({**variables["groups"], "rms": []}, variables["hostvars"]), wished.values, gone, take_over)
