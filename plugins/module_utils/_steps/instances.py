# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Bring an RM's instances into their states, or be sure that this can be asked of it."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import libraries
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import fence
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.fan_out import Told
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.host import this_host
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import client, epochs, several, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import evidence as evidences
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.instance import Wanted
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.answers import given, joined, numbered

LIBRARIES = (*client.LIBRARIES, *libraries.LIBRARIES)
#: What holds for all instances of a call.
COMMON = ("timeout", "stop_timeout", "stop_force", "evidence", "go_on")


def ensure(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Bring C(instances) into their states, all at the same time, as COMMON says.

    With C(lease) nothing is done for an operation that another one has followed. With C(may_be_outdated) it is well if the RM knows of a newer epoch than an
    order to remove: then it never let that instance in.
    """
    arguments = given(arguments)
    common = {key: arguments[key] for key in COMMON if key in arguments}
    told = several.ensure_all(this_host(), [Wanted(**each, **common) for each in numbered(arguments, check)], check)
    if arguments.get("may_be_outdated"):
        told = [each._replace(error=None) if each.error and "known_epoch" in each.error.result else each for each in told]
    return joined(told, _shown)


def awake(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Start again those of C(instances) that lost their power here: what is stopped, in the epoch in which it is to live. All else stays as it is.

    So does what the operation has not leased, for then somebody else has come to that; and what was on its way alive, for it may be paused at the other end.
    """
    host, leased = this_host(), arguments["lease"]["numbers"]
    told = []
    for each in numbered({**arguments, "instances": [each for each in arguments["instances"] if each["name"] in leased]}):
        found = state.find(host, each["name"])
        if (found.state, found.epoch) == ("stopped", epochs.Epoch(each["epoch"], True)) and not state.leaves(found):
            told += several.ensure_all(host, [Wanted(**each, state="running")], check)
    return joined(told, _shown)


def ready(_arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Be sure that the RM's libvirt answers."""
    this_host()
    return Outcome(False, None, None, {})


def evidence(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Keep what C(instances) that did not come up have to say for themselves, and tell it as their C(evidence); nothing else is done with them."""
    host = this_host()
    found = {each["name"]: state.find(host, each["name"]).document.get("manifest") for each in arguments["instances"]}
    told = [{"name": each["name"], "evidence": evidences.keep(host, **each, manifest=found[each["name"]])} for each in arguments["instances"]]
    return Outcome(False, None, None, {"instances": told})


def look(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return the RM's C(instances), or the one of that C(name), the highest C(epochs) that it knows of, and the highest C(lease) that it acted under."""
    host, name = this_host(), arguments.get("name")
    told = {"instances": state.tell(host, name), "epochs": epochs.remembered(host.places, name), "lease": fence.highest(host.places.leases())}
    return Outcome(False, None, None, told)


def holdings(_arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return the RM's C(instances) that live or could, as C(_hypervisor.state.holdings) does."""
    host = this_host()
    host.places.ready()
    return Outcome(False, None, None, {"instances": state.holdings(host.places, host.hypervisor)})


def _shown(told: Told) -> dict[str, t.Any]:
    if told.done is None:
        unknown = dict.fromkeys(("action", "anew", "seconds", "memory_bytes"))
        return {**unknown, "instance": {"name": told.name}, **(told.error.result if told.error else {})}
    seconds = round(told.done.seconds, 4)
    anew = told.done.action == "started"
    shown = {"action": told.done.action, "anew": anew, "instance": told.done.after, "seconds": seconds, "memory_bytes": told.done.memory_bytes}
    return {**shown, **{key: said for key, said in (("evidence", told.done.evidence), ("clock", told.done.clock)) if said}}
