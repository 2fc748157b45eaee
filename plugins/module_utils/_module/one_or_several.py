# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Modules that take a list of instances, or the options of one, whose result is unwrapped then."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.shapes import Spec

Call = t.Callable[[t.Dict[str, t.Any], bool], Outcome]

#: What the result of several has of each that goes without saying for one.
_OF_SEVERAL = ("name", "error")


class OneOrSeveral(t.NamedTuple):
    """How a module takes one instance or several.

    Attributes:
        one: the spec of an instance.
        needed: those of its options that are required; the first one is its name.
        shared: the spec of what holds for all instances of a call.
        required_if: what an instance needs besides, as AnsibleModule takes it.
    """

    one: Spec
    needed: tuple[str, ...]
    shared: Spec
    required_if: t.Sequence[tuple[t.Any, ...]] = ()

    def spec(self) -> dict[str, t.Any]:
        """Return what AnsibleModule takes."""
        name, *besides = self.needed
        each = {key: {**option, "required": True} if key in self.needed else option for key, option in self.one.items()}
        several = {"type": "list", "elements": "dict", "options": each, "required_if": list(self.required_if)}
        return {
            "argument_spec": {**self.one, "instances": several, **self.shared},
            "mutually_exclusive": [("instances", key) for key in self.one],
            "required_one_of": [(name, "instances")],
            "required_by": {name: tuple(besides)},
            "required_if": list(self.required_if),
        }

    def unwrapping(self, call: Call, unwrapped: t.Callable[[dict[str, t.Any]], dict[str, t.Any]]) -> Call:
        """Return what does for one instance or several what *call* does for several.

        Args:
            call: what takes C(instances).
            unwrapped: returns the result of one from that, also from what is known when the call failed, which need not have the list.
        """

        def called(params: dict[str, t.Any], check: bool) -> Outcome:
            if params["instances"] is not None:
                return call({key: params[key] for key in ("instances", *self.shared)}, check)
            asked = {"instances": [{key: params[key] for key in self.one}], **{key: params[key] for key in self.shared}}
            try:
                outcome = call(asked, check)
            except MeshError as exc:
                raise MeshError(exc.message, unwrapped(exc.result)) from exc
            before, after = ((side or {}).get(params[self.needed[0]]) for side in (outcome.before, outcome.after))
            return Outcome(outcome.changed, before, after, unwrapped(outcome.result))

        return called


def only(key: str, *parts: str) -> t.Callable[[dict[str, t.Any]], dict[str, t.Any]]:
    """Return what unwraps a result that has a list as *key*, with one instance in it: *parts* of that, or all; what failed has only what is known of it."""

    def unwrapped(result: dict[str, t.Any]) -> dict[str, t.Any]:
        if key not in result:
            return result
        (one,) = result[key]
        kept = {part: one[part] for part in parts or one if part not in _OF_SEVERAL}
        return {part: value for part, value in kept.items() if value is not None} if one["error"] else kept

    return unwrapped
