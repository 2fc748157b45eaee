# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Look-ups in the observed mesh, each with the one sentence that is said when there is no answer. Pure functions."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import choice
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import RealMachine, Site, View

Plan = t.Dict[str, t.Any]

#: How many epochs an HN that is lost may have granted since it was heard. There is one for each move and each life, so this is more than there can be.
LOST = 1_000_000


def one_of(view: View, instance: str) -> tuple[dict, Site]:
    """Return the record of an instance that is in one HN, and that HN.

    Raises:
        NotFound: no HN knows it.
        Refused: it is in several, or none knows it and a VMA did not answer.
    """
    names.instance(instance)
    found = records_of(view, instance)
    if not found:
        all_answered(view)
        raise NotFound(f"No HN knows the instance {instance}; known are: {known_instances(view)}.")
    if len(found) > 1:
        places = " and ".join(site.name for unused, site in found)
        raise Refused(f"{instance} is on its way between {places}; finish the move first by running it again.")
    return found[0]


def at_rest(record: t.Mapping[str, t.Any]) -> None:
    """Raise Refused when an instance is on its way to another RM of its HN: where it runs, or whether it is paused there, that move alone finds out."""
    if record.get("moves_to"):
        way = f"from {record['rm']} to {record['moves_to']}"
        raise Refused(f"{record['instance']} is on its way {way}; finish that move first by running it again.")


def whole_of(view: View, instance: str) -> tuple[dict, Site]:
    """Return what C(one_of) does, of an instance that is neither about to be made, nor about to go, nor on its way to another RM.

    Raises:
        NotFound: no HN knows it.
        Refused: there is something of it only, or one_of() refuses it.
    """
    record, site = one_of(view, instance)
    at_rest(record)
    if record["state"] in ("reserved", "leaving"):
        half = "there is only a reservation of it" if record["state"] == "reserved" else "it is being removed"
        raise Refused(f"{instance} cannot be had in {site.name}: {half}. Run the operation again that was at work on it, or recover, or remove.")
    return record, site


def facts(site: Site, instance: str) -> dict[str, str]:
    """Return what sentences of a plan for one instance in one HN refer to."""
    return {"instance": instance, "hn": site.name}


def plan_move(view: View, instance: str, to_hn: str, to_rm: str | None = None, copies: bool = False) -> Plan:
    """Plan to move an instance into another HN.

    The plan's C(done) says that it lives there already; a move that was cut off is taken up where it stands.

    Args:
        view: the observed mesh.
        instance: the instance's name.
        to_hn: the HN.
        to_rm: the RM, or None to let the VMA choose.
        copies: whether there may be a copy of it already, from another capsule.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    name = names.instance(instance)
    target = site_of(view, to_hn)
    # What runs behind a silent VMA could have a higher epoch, or be on its way.
    all_answered(view)
    found = {site.name: record for record, site in records_of(view, instance)}
    elsewhere = [hn for hn in sorted(found) if hn != to_hn]
    if not found:
        raise NotFound(f"No HN knows the instance {instance}; known are: {known_instances(view)}.")
    if not elsewhere:
        return {"operation": "move", "instance": instance, "done": True, "record": found[to_hn], "target": site_plan(target)}
    source = view.sites[elsewhere[0]]
    record = found[source.name]
    at_rest(record)
    if record["state"] == "leaving" and to_hn not in found:
        # What leaves by a move has a reservation where it is to be.
        raise Refused(f"{instance} cannot be moved out of {source.name}: it is being removed. Run the operation again that was at work on it, or remove.")
    if record["state"] not in ("running", "suspended", "leaving"):
        raise Refused(f"{instance} is {record['state']} in {source.name}; only a running or suspended instance can be moved.")
    if not copies and to_hn in found and found[to_hn]["capsule"] != record["capsule"]:
        raise Refused(f"A copy of {instance} is in {to_hn} already; finish the move as it was begun, with strategy=clone_first.")
    answering_rm(view, record["rm"])
    manifest, holders = holders_of(view, name, record["capsule"])
    # A memory image can only be resumed under the accelerator that it was made with.
    requirements = {**record["requirements"], "accelerator": source.accelerators[record["rm"]]}
    return {
        "operation": "move",
        "instance": instance,
        "done": False,
        "capsule": record["capsule"],
        "record": record,
        "epoch_above": highest_epoch(view, instance, target),
        "final_state": _final_state(record, found.get(to_hn)),
        # What a move left there that was taken back: the source has a newer epoch.
        "stale": found[to_hn] if to_hn in found and found[to_hn]["epoch"] < record["epoch"] else None,
        "given_up": found[to_hn]["epoch"] if to_hn in found and found[to_hn]["state"] == "leaving" else 0,
        # Then callers can go there while it is away.
        "served_elsewhere": any(
            (one["service"], one["domain"]) == (name.service, name.domain) and one["in_rotation"] and one["instance"] != instance
            for site in view.sites.values()
            if site is not source
            for one in site.records
        ),
        "source": site_plan(source),
        "target": site_plan(target),
        "manifest": manifest,
        "requirements": requirements,
        "to_rm": wanted_rm(view, target, to_rm),
        "exclude_rms": excluded_rms(view, target, None if to_rm or to_hn in found else requirements),
        "holders": holders,
    }


def _final_state(source: t.Mapping[str, t.Any], target: t.Mapping[str, t.Any] | None) -> str:
    """What the instance shall be after the move; of one that was cut off, the target's record remembers it."""
    if source["state"] == "leaving" and target is not None:
        return "suspended" if target["state"] == "suspended" else "running"
    return "suspended" if source["state"] == "suspended" else "running"


def highest_epoch(view: View, instance: str, target: Site) -> int:
    """The highest epoch that was granted to the instance anywhere else, or may have been where somebody is lost; the target's VMA knows its own."""
    if any(site.lost for site in view.sites.values()):
        return max(site.epochs.get(instance, 0) for site in view.sites.values()) + LOST
    return max((site.epochs.get(instance, 0) for site in view.sites.values() if site.name != target.name), default=0)


def site_of(view: View, hn: str) -> Site:
    """Return an HN whose VMA answered; raise NotFound or Refused otherwise."""
    names.label("HN", hn)
    site = view.sites.get(hn)
    if site is None:
        raise NotFound(f"There is no HN {hn}; known are: {', '.join(sorted(view.sites)) or 'none'}.")
    if site.problem:
        raise Refused(f"The VMA of {hn} on {site.vma} cannot be asked: {site.problem}.")
    return site


def site_plan(site: Site) -> dict[str, str]:
    """Return what a plan says of an HN."""
    return {"hn": site.name, "vma": site.vma, "gateway": site.gateway}


def records_of(view: View, instance: str) -> list[tuple[dict, Site]]:
    """Return the records of an instance, each with the HN whose VMA keeps it."""
    return [(record, site) for site in view.sites.values() for record in site.records if record["instance"] == instance]


def all_answered(view: View) -> None:
    """That nobody knows an instance is only true when everybody was asked."""
    for site in view.sites.values():
        if site.problem and not site.lost:
            raise Refused(f"The VMA of {site.name} on {site.vma} cannot be asked: {site.problem}.")


def known_instances(view: View) -> str:
    """Return the names of all instances, for a sentence."""
    return ", ".join(sorted(record["instance"] for site in view.sites.values() for record in site.records)) or "none"


def holders_of(view: View, name: names.InstanceName, capsule: str) -> tuple[dict, list[str]]:
    """Return the capsule's manifest and the RMs that hold it whole, of those that were asked.

    Raises:
        Refused: it is nowhere whole.
        NotFound: none of them holds it; a VMA may have been told otherwise.
    """
    held = {
        rm.name: manifest
        for rm in view.rms.values()
        for manifest in rm.capsules
        if (manifest["name"], manifest["domain"], manifest["version"]) == (name.service, name.domain, capsule)
    }
    if held:
        return next(iter(held.values())), sorted(held)
    wanted = f"{name.service} {capsule} of {name.domain}"
    broken = [problem for rm in view.rms.values() for problem in rm.broken if wanted in problem]
    if broken:
        raise Refused(broken[0])
    said = [(_title(each["manifest"]), each["rms"]) for site in view.sites.values() for each in site.held]
    known = sorted({*(title for title, unused in said), *(_title(manifest) for rm in view.rms.values() for manifest in rm.capsules)} - {wanted})
    should = sorted(rm for title, rms in said for rm in rms if title == wanted)
    stale = (
        f"; by the registry {', '.join(should)} should: see that what is down answers, or bring the registry up to date by the playbook site" if should else ""
    )
    raise NotFound(f"No RM that answers holds the capsule {wanted}; held are: {', '.join(known) or 'none'}{stale}.")


def _title(manifest: t.Mapping[str, t.Any]) -> str:
    return f"{manifest['name']} {manifest['version']} of {manifest['domain']}"


def wanted_rm(view: View, site: Site, to_rm: str | None) -> str | None:
    """Return the RM that is wanted, if any; raise InvalidInput, NotFound or Refused unless it stands in the HN and answers."""
    if not to_rm:
        return None
    rm = answering_rm(view, to_rm)
    if rm.hn != site.name:
        raise InvalidInput(f"The RM {to_rm} stands in {rm.hn}, not in {site.name}.")
    return to_rm


def answering_rm(view: View, name: str) -> RealMachine:
    """Return an RM that answered; raise NotFound or Refused otherwise."""
    rm = view.rms.get(name)
    if rm is None:
        raise NotFound(f"There is no RM {name}; known are: {', '.join(sorted(view.rms)) or 'none'}.")
    if rm.problem:
        raise Refused(f"The RM {name} cannot be used: {rm.problem}.")
    return rm


def excluded_rms(view: View, site: Site, requirements: dict[str, t.Any] | None) -> list[str]:
    """Return the RMs of an HN that its VMA must not choose: those that did not answer.

    Args:
        view: the observed mesh.
        site: the HN.
        requirements: of the instance that it chooses for; None if it has no choice, or that is not known yet.

    Raises:
        Refused: all that were asked because it would choose them are among those, and nobody asked the others.
    """
    silent = silent_rms(view, site)
    follows = choice.chosen(site, [choice.Order(requirements)], exclude=silent) if silent and requirements else []
    if any(rm in view.rms and not view.rms[rm].asked for rm in follows):
        raise Refused(
            f"The RMs that the VMA of {site.name} would choose do not answer ({', '.join(silent)}); take what is down out of service with rm_service, "
            "and run this again."
        )
    return silent


def silent_rms(view: View, site: Site) -> list[str]:
    """Return the RMs of an HN that were asked and did not answer."""
    return sorted(rm.name for rm in view.rms.values() if rm.hn == site.name and rm.problem)


def peers_of(view: View) -> dict[str, dict[str, str]]:
    """Return where RMs reach each other, by name."""
    return {rm.name: {"name": rm.name, "address": rm.address} for rm in view.rms.values()}
