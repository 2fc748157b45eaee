# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Lease instances, reserve for them and record what becomes of them, in one transaction; or look at the registry."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.answers import given
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import (
    admission,
    agreement,
    capsules,
    hn,
    leases,
    lost,
    overview,
    records,
    rms,
    runs,
    several,
    witness,
)
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import LIBRARIES
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.registry import OPTION, reading, transaction

__all__ = ["LIBRARIES", "consent", "declare", "hear", "history", "hold", "lease", "look", "readmit", "record", "release", "subscribe", "subscriptions", "vouch"]

#: What an HN is declared with, besides its name and pools.
NUMBERS = ("vlan_first", "vlan_last", "vcpu_overcommit")


def declare(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Set the registry up for the HN C(name), as C(_vma.hn) takes it; numbers may come as text, out of a template."""
    return Outcome(*hn.declare(_registry(arguments), arguments["name"], arguments["public_pools"], *(int(arguments[key]) for key in NUMBERS), check))


def record(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Record what C(instances) say, as C(_vma.several) takes it; C(registry) is where.

    With C(lease), see C(_vma.leases), they are leased before that, and after it no longer if this is the C(last) that its operation does here.
    """
    arguments = given(arguments)
    lease = leases.Lease(**arguments["lease"]) if "lease" in arguments else None
    return Outcome(*several.update_all(_registry(arguments), arguments["instances"], check, lease, arguments.get("last", False)))


def lease(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Lease C(instances), and do nothing else; return their numbers, by name (C(leased)). Who takes a run up gets those that nobody else has come to since."""
    asked = leases.Lease(**arguments["lease"])
    with transaction(_registry(arguments), check) as tx:
        return Outcome(False, None, None, {"leased": (leases.take_up if asked.resumes else leases.take)(tx, asked, arguments["instances"])})


def release(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """End the leases of the operation that C(lease) is of, of C(instances) only if they are given."""
    with transaction(_registry(arguments), check) as tx:
        return Outcome(False, None, None, {"instances": leases.release(tx, leases.Lease(**arguments["lease"]), arguments.get("instances"))})


def consent(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Agree to the lives (C(instance), C(epoch)) that were reserved in another HN, or say why not.

    The leases that the operation has on them here have done what they were for then.
    """
    agreement.consent(_registry(arguments), arguments["lives"])
    if "lease" not in arguments:
        return Outcome(False, None, None, {})
    return release({**arguments, "instances": [each["instance"] for each in arguments["lives"]]}, check)


def hold(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Record which RMs hold which capsules now (C(held)), and which not any more (C(gone)), as C(_vma.capsules) takes it."""
    return Outcome(*capsules.update(_registry(arguments), arguments.get("held") or [], arguments.get("gone") or [], check))


def hear(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Hear what RMs hold (C(held), as C(_vma.witness) takes it), and refuse to have anything new come to life if the registry does not know all of it.

    So does check mode, for what was heard is no change, and what comes after it is foretold by that.
    """
    with transaction(_registry(arguments)) as tx:
        witness.hear(tx, arguments["held"])
    with reading(_registry(arguments)) as tx:
        witness.refuse_incomplete(tx)
    return Outcome(False, None, None, {})


def look(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return the registry as a planner sees it, only an C(instance) or C(domain) of it if one is given, with so many closed C(operations).

    If there are C(leases), the number of each by its instance, that is when they have ended, or after C(wait) seconds.
    """
    arguments = given(arguments)
    if arguments.get("leases"):
        overview.wait(_registry(arguments), arguments["leases"], float(arguments["wait"]))
    found = overview.overview(_registry(arguments), arguments.get("instance"), arguments.get("domain"), arguments.get("operations", 20))
    return Outcome(False, None, None, found)


def readmit(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Record that the HN C(hn) is back, which was given up as lost."""
    with transaction(_registry(arguments), check) as tx:
        return Outcome(lost.readmit(tx, arguments["hn"]), None, None, {})


def history(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return the C(runs) of operations that have not ended and the C(last) ones that have, only those with an C(instance) if one is given.

    Out of a template numbers may come as text, and nothing as an empty text.
    """
    arguments = given(arguments)
    with reading(_registry(arguments)) as tx:
        found = runs.listing(tx, int(arguments.get("last", 20)), arguments.get("instance") or None)
    return Outcome(False, None, None, {"runs": [{key: value for key, value in row.items() if key != "plan"} for row in found]})


def subscribe(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Record what an RM of that C(name) offers and holds (C(capsules), C(instances)), or only whether it is C(in_service).

    By its C(key), if one is given, it is let in on this host for asking what it may start again.
    """
    wanted = {key: arguments.get(key) for key in (*rms.NEEDED, "in_service", "capsules", "instances")}
    done = Outcome(*rms.subscribe(_registry(arguments), arguments["name"], wanted, check))
    if arguments.get("key") is None:
        return done
    return done._replace(changed=admission.admit(arguments["name"], arguments["key"], check) or done.changed)


def vouch(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Have the VMA know that nobody has given its HN up while its host was down."""
    with transaction(_registry(arguments), check) as tx:
        witness.vouch(tx)
        return Outcome(True, None, None, {})


def subscriptions(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return what the RMs of the HN have subscribed with, by name.

    With that are the manifests of the C(capsules) that each holds (null: it has not told), and the names of the C(instances) that it is known to hold (null: it
    has not told since the VMA's host started), and the C(key) by which it is let in here (null: it is not).
    """
    with reading(_registry(arguments)) as tx:
        machines, listed, holders = rms.everything(tx), capsules.listed(tx), capsules.everything(tx)
        recorded = {rm["name"]: records.on(tx, rm["name"]) for rm in machines}
        unheard, strays = witness.unheard(tx), witness.strays(tx)
    keys = admission.admitted()
    held = {rm: [each["manifest"] for each in holders if rm in each["rms"]] for rm in listed}
    told = {rm: sorted({*there, *(each["name"] for each in strays if each["rm"] == rm)}) for rm, there in recorded.items() if rm not in unheard}
    known = {rm["name"]: {**rm, "capsules": held.get(rm["name"]), "instances": told.get(rm["name"]), "key": keys.get(rm["name"])} for rm in machines}
    return Outcome(False, None, None, {"rms": known})


def _registry(arguments: t.Mapping[str, t.Any]) -> str:
    return arguments.get("registry") or OPTION["default"]
