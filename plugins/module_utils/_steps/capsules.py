# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Look at an RM's capsules, remove them, or give out what the tunnel of one needs."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import credentials, manifest, progress, store
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.libraries import LIBRARIES
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import footprint
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.answers import given

__all__ = ["LIBRARIES", "look", "remove", "unpack"]


def look(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return the C(capsules) of a C(domain), C(name) and C(version), or all, whether each is whole (with C(verify) by reading it), and the C(transfers)."""
    arguments = given(arguments)
    capsules = store.Store()
    shown = []
    for found in capsules.list(*(arguments.get(key) for key in ("domain", "name", "version"))):
        problems = capsules.problems(found, full=arguments.get("verify", False))
        shown.append({"manifest": found, "complete": not problems, "problems": problems, "requirements": manifest.requirements(found)})
    return Outcome(False, None, None, {"capsules": shown, "transfers": progress.transfers()})


def transfers(_arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return what the RM is sending to others now."""
    return Outcome(False, None, None, {"transfers": progress.transfers()})


def room(_arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return how it stands with the RM's C(disk)."""
    return Outcome(False, None, None, {"disk": footprint.room(store.INSTANCES)})


def remove(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Remove the capsule of a C(domain), C(name) and C(version)."""
    capsules = store.Store()
    identity = (arguments["domain"], arguments["name"], arguments["version"])
    found = capsules.find(*identity)
    if found is not None and check:
        capsules.refuse_in_use(found)
    elif found is not None:
        capsules.remove(*identity)
    return Outcome(found is not None, found, None, {"capsule": found})


def unpack(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return what the capsule of a C(domain), C(name) and C(version) holds for the gateway whose key has the fingerprint C(reader)."""
    capsules = store.Store()
    found = capsules.get(arguments["domain"], arguments["name"], arguments["version"])
    return Outcome(False, None, None, {"tunnel": credentials.parcel(capsules, found, arguments["reader"])})
