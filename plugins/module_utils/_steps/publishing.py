# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Make capsules of what an RM's instances are now."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import libraries, manifest, store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.fan_out import Told
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.host import this_host
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.publish_several import publish_all
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import client
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.answers import given, refuse

LIBRARIES = (*client.LIBRARIES, *libraries.LIBRARIES)


def publish(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Make a capsule of what each of C(instances) is now, of its C(version), all at the same time, within C(timeout) if there is one."""
    arguments = given(arguments)
    wanted = [(each["instance"], each["version"]) for each in arguments["instances"]]
    told = publish_all(this_host(), store.Store(), wanted, arguments.get("timeout"), check)
    result = {"capsules": [_shown(each, version) for each, (unused, version) in zip(told, wanted)]}
    refuse(told, result)
    after = {name: {"version": version} for name, version in wanted}
    before = {each.name: None if each.done.changed else after[each.name] for each in told}
    return Outcome(before != after, before, after, result)


def _shown(told: Told, version: str) -> dict[str, t.Any]:
    made, outage, capsule = (told.done.changed, told.done.outage, told.done.manifest) if told.done else (False, None, None)
    return {
        "instance": told.name,
        "version": version,
        "capsule": capsule,
        "requirements": capsule and manifest.requirements(capsule),
        "made": made,
        "outage": outage,
        "error": told.error and told.error.message,
    }
