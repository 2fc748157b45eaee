# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Bring a capsule to life in an HN, and publish it."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.manifest import intranet_address, requirements
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names as core_names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import choice, concern, holders, lookups, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Plan, Stage, Step, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import Site, View

TOLD = Answer("tell", ("records", 0))


def plan(
    view: View,
    names: parts.Naming,
    instance: str,
    capsule: str,
    to_hn: str,
    to_rm: str | None,
    public_address: str | None,
    answer_timeout: float,
    keep_failed: bool = False,
) -> Plan:
    """Plan to place an instance.

    Args:
        view: the observed mesh.
        names: how names follow.
        instance: the instance's name.
        capsule: the version of the service's capsule.
        to_hn: the HN.
        to_rm: the RM, or None to let the VMA choose.
        public_address: its service's, or None for one of the HN's pool.
        answer_timeout: seconds that it has for answering, before it enters the rotation.
        keep_failed: whether it is kept as it is if it was started and does not answer, out of rotation; what serves already goes on.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    name = core_names.instance(instance)
    core_names.version(capsule)
    site = lookups.site_of(view, to_hn)
    # A second life of what runs behind a silent VMA would have the same name.
    lookups.all_answered(view)
    manifest, held_by = lookups.holders_of(view, name, capsule)
    needs, given_up = requirements(manifest), 0
    there = lookups.records_of(view, instance)
    for record, home in there:
        if home.name != to_hn:
            raise Refused(f"{instance} lives in {home.name} already (state {record['state']}); move it instead of placing it again.")
        lookups.at_rest(record)
        # Where it came by a move, it stays pinned to the accelerator that its memory image was made with.
        needs["accelerator"] = record["requirements"]["accelerator"]
        # What was leaving may have been given up.
        given_up = record["epoch"] if record["state"] == "leaving" else 0
    reservation = {
        "capsule": capsule,
        **{key: manifest[key] for key in ("guest", "ports")},
        "balance": manifest.get("balance"),
        "requirements": needs,
        "intranet_address": intranet_address(manifest, name.ordinal),
        "rm": lookups.wanted_rm(view, site, to_rm),
        "exclude_rms": lookups.excluded_rms(view, site, None if to_rm or there else needs),
        "public_address": public_address,
        "epoch_above": lookups.highest_epoch(view, instance, site),
    }
    # What runs out of rotation already, as what was kept does, goes on so where it does not answer. What is in the rotation still, as where its RM lost its
    # power, is taken back to that.
    out = not any(record["in_rotation"] for record, unused in there)
    keeps = out and (keep_failed or any(record["state"] == "running" for record, unused in there))
    return _plan(view, names, site, instance, manifest, held_by, reservation, given_up, answer_timeout, keeps)


def concerned(view: View, instance: str, capsule: str, to_hn: str, to_rm: str | None, **_other: t.Any) -> concern.Concern:
    """Return whom the plan depends on: holders of the capsule, the RM that is wanted or those that may be chosen, and where the instance is already."""
    name, site = core_names.instance(instance), lookups.site_of(view, to_hn)
    wanted = concern.Capsule(name.domain, name.service, core_names.version(capsule))
    there = [record["rm"] for record, unused in lookups.records_of(view, instance)]
    targets = [to_rm] if to_rm else choice.candidates(site, concern.order(view, wanted))
    return concern.asking(view, site, [wanted], [*there, *targets])


def _plan(
    view: View,
    names: parts.Naming,
    site: Site,
    instance: str,
    manifest: t.Mapping[str, t.Any],
    held_by: list[str],
    reservation: t.Mapping[str, t.Any],
    given_up: int,
    answer_timeout: float,
    keeps: bool,
) -> Plan:
    identity = {key: manifest[key] for key in ("domain", "name", "version")}
    tunneled = reservation["intranet_address"] is not None
    asked = {"instance": instance, "operation": "place", "reservation": reservation}
    reserve = parts.tell("reserve", site, [asked], f"reserve room, addresses and an epoch for {instance}", reserves=True)
    running = {"instance": instance, "state": "running", "in_rotation": True, "epoch_above": given_up, "step": "start and publish"}
    run = parts.instance("cut_over.rm", Answer("tell", ("records", 0, "rm")), [parts.order(instance, "running", TOLD)], f"start {instance}")
    tunnels = [Answer("tunnel", ("tunnel",))] if tunneled else []
    publish = parts.publish(site, [instance], f"publish {instance} when it answers", answer_timeout, tunnels)
    serving = [parts.served_by(site, manifest["name"], TOLD, manifest["ports"])]
    close = parts.tell("close", site, [{"instance": instance, "operation_done": True}], "close the operation")
    follow = parts.name("follow", names, manifest["name"], manifest["domain"], "have its name follow", serving)
    acts, settle = parts.ended(site, parts.stage("cut_over", "Start and publish", run, publish), follow, close)
    evidence, seen = parts.seen(["clear", *(["keep_evidence"] if keeps else [])])
    epoch = Answer("tell", ("records", 0, "epoch"))
    kept = parts.kept(names, site, instance, run.device, epoch) if keeps else ()
    made = Plan(
        operation="place",
        subject=instance,
        prepare=in_order(
            *(_tunnel(site, identity, held_by[0]) if tunneled else ()),
            parts.stage("reserve", "Reserve room and addresses", reserve),
            *parts.bringing(view, site, identity, held_by, [Answer("reserve", ("records", 0, "rm"))], reservation["rm"]),
            parts.stage(
                "tell",
                "Record what is about to run",
                parts.tell("tell", site, [running], f"record that {instance} is to run"),
                *parts.agreed(view, [site], [(instance, Answer("reserve", ("records", 0, "epoch")))]),
            ),
        ),
        cut_over=acts,
        follow_ups=(parts.call_off(run, "cut_over.call_off", site, "tell"),),
        settle=settle,
        take_back=in_order(*parts.never_placed(names, site, instance, run.device, epoch, started=not keeps), *kept),
        **parts.once_published(parts.stage("cut_over", "", run, publish), follow),
        keeps="keep" if keeps else None,
        was=f"Everything was undone.{evidence}",
        kept=f"{{instance}} was kept as it is on {{rm}} in {{hn}}, out of rotation: remove ends it, and resume publishes it if it answers by then.{evidence}",
        stopped="{instance} runs on {rm} in {hn} behind {public_address} already; run this again when this is mended.",
        done="{instance} runs on {rm} in {hn} behind {public_address} (epoch {epoch}).",
        facts={**lookups.facts(site, instance), **{key: Answer("tell", ("records", 0, key)) for key in ("rm", "public_address", "epoch")}, **seen},
        result={"record": TOLD},
        peers=parts.peers(view),
    )
    return holders.recorded(made, view, [holders.Holding(site, manifest, (reservation["rm"] or Answer("tell", ("records", 0, "rm")),))])


def _tunnel(site: Site, identity: t.Mapping[str, str], holder: str) -> tuple[Stage, ...]:
    """Return the stages that take what the tunnel of a service needs at a gateway out of its capsule."""
    key = Step("wrapping_key", site.gateway, "wrapping_key", {}, "tell the key that it opens envelopes with")
    reader = Answer("wrapping_key", ("fingerprint",))
    unpack = Step("tunnel", holder, "unpack_tunnel", {**identity, "reader": reader}, "take out of the capsule what its tunnel needs")
    return (
        parts.stage("wrapping_key", "Ask for the key that envelopes are opened with", key),
        parts.stage("tunnel", "Take out of the capsule what its tunnel needs", unpack, secret=True),
    )
