# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Bring a domain's router to a document, call off its wait for an answer, wait until members answer, or until connections have
ended; have health checks spare who stands still."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import fence
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._gatehouse import gatehouse
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import drain as drains
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import router as routers
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import state
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.answers import given
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import switch


def apply(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Bring the router to C(document); one without services goes, with its tunnels.

    Args:
        arguments: C(document); whether to only C(prepare) the network, so that members stay as they are; C(tunnels) that are brought to it (none),
            C(tunnel_timeout) for those (20 s), C(answer_timeout) for new members, and those that it C(asks) besides (0: no wait), whether to
            C(close_connections) of members that leave, C(wan_interface) and C(bridge); C(lease), which says for which instances the document speaks.
    """
    arguments = given(arguments)
    document = arguments["document"]
    leases = arguments["lease"]["numbers"] if "lease" in arguments else None
    place = gatehouse.Place(switch.find, arguments.get("bridge", "br-mesh"), arguments.get("wan_interface", "wan0"))
    if not document["services"]:
        report = gatehouse.remove(document["domain"], place, check, document["generation"], leases)
    else:
        waits = {key: arguments.get(key, usual) for key, usual in (("answer_timeout", 0), ("close_connections", False), ("prepare", False), ("asks", ()))}
        report = gatehouse.apply(dict(document), arguments.get("tunnels", []), place, arguments.get("tunnel_timeout", 20), check, leases, **waits)
    result = {key: report.after[key] for key in ("router", "tunnels")}
    told = {"waited": [one._asdict() for one in report.waited], "warnings": list(report.warnings)}
    return Outcome(report.changed, report.before, report.after, {**result, **told})


def look(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return the C(routers) of this gateway, or that of a C(domain), as C(_gateway.router.look) shows them.

    Each has the highest C(lease) that the gateway acted under.
    """
    domain = arguments.get("domain")
    highest = fence.highest()
    known = state.load_all() if domain is None else [one for one in [state.load(domain)] if one]
    return Outcome(False, None, None, {"routers": [{**routers.look(one, switch.find(one.bridge)), "lease": highest} for one in known]})


def call_off(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """End the wait for an answer that a router begins, or has begun, with C(document): who should answer is known not to come."""
    if not check:
        state.mark_called_off(arguments["document"]["domain"], arguments["document"]["generation"])
    return Outcome(False, None, None, {})


def answers(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Wait until the C(instances) in the rotation of a C(domain) answer, up to C(timeout) seconds, and return those that do not (C(late))."""
    return Outcome(False, None, None, {"late": routers.late(arguments["domain"], arguments["instances"], arguments["timeout"])})


def forget(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Forget the connections that former members of a C(domain) at C(addresses) served, so that their callers notice that these live elsewhere."""
    if not check:
        routers.forget(arguments["domain"], arguments["addresses"])
    return Outcome(False, None, None, {})


def spare(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Have health checks leave C(instances) of a C(domain) in the rotation for some C(seconds): what they are about to stand still for is our own doing."""
    if not check:
        state.spare(arguments["domain"], arguments["instances"], arguments["seconds"])
    return Outcome(False, None, None, {})


def drain(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Wait until the connections of a domain's members at C(addresses) have ended, as C(_gateway.drain) does, and count."""
    arguments = given(arguments)
    limits = (arguments.get("timeout", 60), arguments.get("at_deadline", "give_up"), arguments.get("patience", 3600))
    drained = drains.drain(arguments["domain"], arguments["addresses"], *limits, check)
    return Outcome(drained.cut > 0, {"connections": drained.connections}, {"connections": 0}, drained._asdict())
