# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What goes into the calls, and what comes out of those that are about several instances."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.fan_out import Told
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome


def given(arguments: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the arguments that are not None: steps say only what is not as usual, but modules pass all of their options."""
    return {key: value for key, value in arguments.items() if value is not None}


def numbered(arguments: t.Mapping[str, t.Any], check: bool = False) -> list[dict[str, t.Any]]:
    """Return what is said of each of C(instances), with the number under which the operation has leased it, if C(lease) says so.

    What only finds out whether something could be done may come before the lease, or at the same time.

    Raises:
        Refused: the operation has not leased one of them.
    """
    if "lease" not in arguments:
        return [given(each) for each in arguments["instances"]]
    numbers = arguments["lease"]["numbers"]
    for each in arguments["instances"]:
        if each["name"] not in numbers and not check:
            raise Refused(f"This operation has not leased {each['name']}, so nothing was done with it.")
    return [given({**each, "lease": numbers.get(each["name"])}) for each in arguments["instances"]]


def joined(told: t.Sequence[Told], shown: t.Callable[[Told], dict[str, t.Any]]) -> Outcome:
    """Return as one outcome what became of several instances; raise what went wrong with any of them.

    Args:
        told: what became of each; one that was neither done nor failed was left alone.
        shown: what is returned of one, besides its name and why it failed.
    """
    result = {"instances": [{"name": each.name, **shown(each), "error": each.error and each.error.message} for each in told]}
    refuse(told, result)
    done = {each.name: each.done for each in told if each.done}
    before, after = ({name: getattr(one, when) for name, one in done.items()} for when in ("before", "after"))
    return Outcome(any(one.changed for one in done.values()), before, after, result)


def refuse(told: t.Sequence[Told], result: dict[str, t.Any]) -> None:
    """Raise what went wrong with any of several instances, with a *result* that says what became of each."""
    errors = [each.error.message for each in told if each.error]
    if errors:
        raise MeshError(" ".join(errors), result)
