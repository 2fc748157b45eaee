# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Resume instances where they are, and publish them."""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.patience import patience
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import lookups, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Answer, Plan, Quoted, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View


def plan(view: View, names: parts.Naming, instance: str, answer_timeout: float | None = None, timeout: float | None = None) -> Plan:
    """Plan to resume an instance.

    Args:
        view: the observed mesh.
        names: how names follow.
        instance: the instance's name.
        answer_timeout: seconds that it has for answering, before it enters the rotation; None for as long as its memory calls for.
        timeout: seconds that its RM may take for loading its memory; None as well.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    record, site = lookups.whole_of(view, instance)
    before = {"instance": instance, "state": record["state"], "in_rotation": record["in_rotation"], "operation_done": True}
    running = {
        "instance": instance,
        "state": "running",
        "in_rotation": True,
        "operation": "resume",
        "step": f"resume on {record['rm']} and publish",
    }
    told = Answer("tell", ("records", 0))
    run = parts.instance("cut_over.rm", record["rm"], [parts.order(instance, "running", told)], f"resume {instance}", go_on=True, **parts.limit(timeout))
    answer_timeout = patience(parts.memory_of([record]), answer_timeout)
    publish = parts.publish(site, [instance], f"publish {instance} when it answers", answer_timeout)
    follow = parts.name("follow", names, record["service"], record["domain"], "have its name follow", [parts.serves(site, record, "tell")])
    close = parts.tell("close", site, [{"instance": instance, "operation_done": True}], "close the operation")
    rested = "running" if record["state"] == "running" else "suspended"
    # What was in rotation is so again.
    unnamed = [] if record["in_rotation"] else parts.unnamed("unname", names, site, record["service"], record["domain"], "untell", ("tell",))
    acts, settle = parts.ended(site, parts.stage("cut_over", "Resume and publish", run, publish), follow, close)
    return Plan(
        operation="resume",
        subject=instance,
        prepare=in_order(
            parts.stage("tell", "Record what is about to run", parts.tell("tell", site, [running], f"record that {instance} is to run")),
        ),
        cut_over=acts,
        follow_ups=(parts.call_off(run, "cut_over.call_off", site, "tell"),),
        settle=settle,
        take_back=in_order(
            parts.stage(
                "untell", "Record that it is as it was", parts.tell("untell", site, [before], f"record that {instance} is as it was", undoes=("tell",))
            ),
            parts.stage("unname", "Have its name lose the HN", *unnamed),
            parts.stage("withdraw", "Withdraw it", parts.route("withdraw", site, "untell", f"withdraw {instance}", how={"undoes": ("cut_over.publish",)})),
            parts.stage(
                "rest",
                "Suspend it again",
                parts.instance(
                    "rest",
                    record["rm"],
                    [{"name": instance, "state": rested, "epoch": record["epoch"]}],
                    f"have {instance} {rested}",
                    how={"undoes": ("cut_over.rm",)},
                ),
            ),
        ),
        **parts.once_published(parts.stage("cut_over", "", run, publish), follow),
        was="{instance} is as it was.",
        stopped="{instance} runs on {rm} in {hn} behind {public_address} already; run this again when this is mended.",
        done="{instance} runs on {rm} in {hn} behind {public_address} (epoch {epoch}).{anew}{clock}",
        facts={
            **lookups.facts(site, instance),
            **{key: Answer("tell", ("records", 0, key)) for key in ("rm", "public_address", "epoch")},
            "anew": parts.booted(instance, run.id),
            "clock": Quoted(Answer(run.id, ("instances", 0, "clock"))),
        },
        result={"record": told},
    )
