# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Planning clones: of one instance, or of a cluster, several instances of a domain that belong together. Pure functions.

A cluster is cloned as one: all of it, or nothing. Each clone goes by its guest address in the new place, because that is where the others look for it.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import choice, concern
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import lookups as plans
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.cluster import refuse_unreachable, together
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.starts import Record, not_yet_there, starting
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View


class Pair(t.NamedTuple):
    """A clone that is to be: its name, what it is a clone of (its record and HN), and the version of the capsule in between."""

    clone: str
    origin: Record
    home: Site
    version: str


def plan_clone(view: View, instances: t.Sequence[str], clones: t.Sequence[str], capsule: str, to_hn: str | None = None) -> plans.Plan:
    """Plan that *clones* run, made from what *instances* are published as; what no RM holds yet is to be published first.

    Besides what C(starts) says the plan has C(origins), what each new one is a clone of, and C(publish), the C(instance), C(service), C(version) and C(rm) of
    each capsule that is to be made;
    the reservations of what comes from those have no requirements yet.

    Args:
        view: the observed mesh.
        instances: what they are clones of. Several are a cluster.
        clones: their names; of a cluster, one for each of *instances*, in the same order.
        capsule: the version.
        to_hn: the HN where they shall run; None for that of the first of *instances*.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    pairs, site = _looked_at(view, instances, clones, capsule, to_hn)
    here = {record["instance"]: record for record in site.records}
    run = [here[pair.clone] for pair in pairs if pair.clone in here]
    new = [pair for pair in pairs if pair.clone not in here]
    coming = [pair for pair in pairs if pair in new or not_yet_there(here[pair.clone])]
    sources = {pair.clone: _source(view, pair) for pair in coming}
    tunnels = {
        pair.origin["service"]: {"service": pair.origin["service"], "gateway": pair.home.gateway}
        for pair in pairs
        if pair.origin.get("intranet_address") and pair.home.name != site.name
    }
    publish = {pair.origin["instance"]: pair for pair in coming if _held(view, pair) is None}
    domain = names.instance(instances[0]).domain
    fresh = {pair.clone: pair.version for pair in new}
    plan = starting(view, "clone", site, domain, run, fresh, [], own_address=len(instances) > 1, sources=sources)
    for asked in plan["reserve"]:
        pair = next(pair for pair in new if pair.clone == asked["instance"])
        if pair.origin["instance"] in publish:
            # What it takes is known when the capsule is made.
            asked["reservation"]["requirements"] = None
    return {
        **plan,
        "tunnels": list(tunnels.values()),
        "origins": {pair.clone: pair.origin["instance"] for pair in new},
        "publish": [{"instance": name, "service": pair.origin["service"], "version": pair.version, "rm": pair.origin["rm"]} for name, pair in publish.items()],
    }


def concerned(view: View, instances: t.Sequence[str], clones: t.Sequence[str], capsule: str, to_hn: str | None = None) -> concern.Concern:
    """Return whom the plan depends on: the RMs of *instances* and of clones that are there, holders of the capsules, and the RMs that may be chosen."""
    versions = _versions(instances, names.version(capsule))
    origins = [plans.one_of(view, instance) for instance in instances]
    site = plans.site_of(view, to_hn or origins[0][1].name)
    there = {clone: record for clone in clones for record, home in plans.records_of(view, clone) if home is site}
    wanted, orders = [], []
    for (record, unused), version in zip(origins, versions):
        between = concern.Capsule(record["domain"], record["service"], version)
        # Where that is still to be made, it is made of what its origin comes from.
        wanted += [between, between._replace(version=record["capsule"])]
        orders += concern.order(view, between) or [choice.Order(record["requirements"])]
    new = [clone for clone in clones if clone not in there]
    orders = (orders * len(new) if len(instances) == 1 else orders) if new else []
    rms = [record["rm"] for record in (*(record for record, unused in origins), *there.values())]
    return concern.asking(view, site, wanted, [*rms, *choice.candidates(site, orders)])


def _held(view: View, pair: Pair) -> tuple[dict, list[str]] | None:
    """Return the manifest of the capsule in between and who holds it, or None if it is still to be made.

    Raises:
        Refused: it is there and holds no memory, or its origin has none that could be published.
    """
    name, state = pair.origin["instance"], pair.origin["state"]
    parts = names.instance(name)
    try:
        manifest, holders = plans.holders_of(view, parts, pair.version)
    except NotFound:
        if state not in ("running", "suspended"):
            raise Refused(f"{name} is {state}: only a running or suspended instance has a memory to clone.") from None
        return None
    if manifest["memory"] is None:
        raise Refused(f"The capsule {parts.service} {pair.version} of {parts.domain} holds no memory; give what {name} is now another version.")
    return manifest, holders


def _source(view: View, pair: Pair) -> tuple[dict, list[str]]:
    """Return the manifest of the capsule in between, as far as a plan needs it, and the RMs that hold it then."""
    held = _held(view, pair)
    if held is not None:
        return held
    manifest, unused = plans.holders_of(view, names.instance(pair.origin["instance"]), pair.origin["capsule"])
    return {**manifest, "version": pair.version}, [pair.origin["rm"]]


def _looked_at(view: View, instances: t.Sequence[str], clones: t.Sequence[str], capsule: str, to_hn: str | None) -> tuple[list[Pair], Site]:
    """Return what is to become of what, and where, when nothing that can be seen from here speaks against it."""
    versions = _versions(instances, names.version(capsule))
    origins = [plans.one_of(view, instance) for instance in instances]
    for record, unused in origins:
        plans.at_rest(record)
        plans.answering_rm(view, record["rm"])
    site = plans.site_of(view, to_hn or origins[0][1].name)
    paired = [0] * len(clones) if len(instances) == 1 else range(len(clones))
    if not clones or len(set(clones)) != len(clones) or len(instances) > 1 and len(clones) != len(instances):
        each = "each once" if len(instances) == 1 else "one for each of the cluster, in the same order"
        raise InvalidInput(f"Say the names of the clones, {each}, such as 'shop-2.example.com'.")
    # A second life of what runs behind a silent VMA would have the same name.
    plans.all_answered(view)
    pairs = [Pair(clone, *origins[of], versions[of]) for clone, of in zip(clones, paired)]
    for pair in pairs:
        _refuse_impossible(view, pair, site, instances)
    if len(instances) > 1:
        refuse_unreachable(site, [(pair.clone, pair.origin) for pair in pairs])
    return pairs, site


def _versions(instances: t.Sequence[str], capsule: str) -> list[str]:
    """Return the version that each of *instances* is published as: that which was asked for, with the ordinal if there are several of one service."""
    parts = together(instances)
    services = [part.service for part in parts]
    return [capsule if services.count(part.service) == 1 else names.version(f"{capsule}-{part.ordinal}") for part in parts]


def _refuse_impossible(view: View, pair: Pair, site: Site, instances: t.Sequence[str]) -> None:
    origin, parts = pair.origin["instance"], names.instance(pair.clone)
    name = names.instance(origin)
    if (parts.service, parts.domain) != (name.service, name.domain) or pair.clone in instances:
        raise InvalidInput(f"{pair.clone} cannot be a clone of {origin}: it must be another instance of {name.service} of {name.domain}.")
    for record, home in plans.records_of(view, pair.clone):
        if home.name != site.name:
            raise Refused(f"{pair.clone} lives in {home.name} already (state {record['state']}).")
        if record["capsule"] != pair.version:
            raise Refused(f"{pair.clone} is here already, made from the capsule {record['capsule']}, not {pair.version}.")
        plans.answering_rm(view, record["rm"])
