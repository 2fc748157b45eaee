# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Take instances out of rotation and suspend them where they are."""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import lookups, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan, in_order
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View


def plan(view: View, names: parts.Naming, instance: str, timeout: float | None = None) -> Plan:
    """Plan to suspend an instance.

    Args:
        view: the observed mesh.
        names: how names follow.
        instance: the instance's name.
        timeout: seconds that its RM may take; None for as long as its memory calls for.

    Raises:
        InvalidInput, NotFound, Refused: one sentence for the operator.
    """
    record, site = lookups.whole_of(view, instance)
    resting = {
        "instance": instance,
        "state": "suspended",
        "in_rotation": False,
        "operation": "suspend",
        "step": f"withdraw and suspend on {record['rm']}",
    }
    leaves = [parts.leaving(site, record["service"], "tell")]
    leave = parts.name("leave", names, record["service"], record["domain"], "have its name lose the HN", leaves=leaves)
    order = {"name": instance, "state": "suspended", "epoch": record["epoch"]}
    tell = parts.tell("tell", site, [resting], f"record that {instance} leaves the rotation")
    again, revived = parts.revived(instance, "run_again", "answers_again" if record["in_rotation"] else None)
    return Plan(
        operation="suspend",
        subject=instance,
        prepare=in_order(
            *parts.first(record, tell, leave),
            parts.stage("withdraw", "Withdraw it from its domain router", parts.route("withdraw", site, "tell", f"withdraw {instance}")),
            parts.stage("rest", "Suspend it", parts.instance("rest", record["rm"], [order], f"suspend {instance}", **parts.limit(timeout))),
        ),
        settle=(
            parts.stage("close", "Close the operation", parts.tell("close", site, [{"instance": instance, "operation_done": True}], "close the operation")),
        ),
        take_back=parts.back_to_service(names, record, site, {"rest": "rest", "withdraw": "withdraw", "tell": "tell"}),
        was=f"{{instance}} is as it was.{again}",
        done="{instance} is suspended on {rm} in {hn}.",
        facts={**lookups.facts(site, instance), "rm": record["rm"], **revived},
    )
