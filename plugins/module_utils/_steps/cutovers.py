# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Hand an RM's instances over to other RMs, or take them over."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import libraries, parcel
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.transfer import Peer
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.fan_out import Told, fan_out
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover import live, source, target
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.host import this_host
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.order import Order
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import client
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.answers import given, joined, numbered

LIBRARIES = (*client.LIBRARIES, *libraries.LIBRARIES)


def hand_over(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Make one side of the hand-over of instances, all at the same time; one that fails does not stop the others.

    Args:
        arguments: C(side), source or target; C(instances) with C(name), C(epoch), at the source (or where it is C(live)) C(peer), at the target C(vlan),
            and as far as they are not as usual C(state) and C(record); whether the instance runs on meanwhile (C(live)); C(timeout) in seconds;
            C(lease), under which it is done.
    """
    arguments = given(arguments)
    asked = numbered(arguments, check)
    limits = given({"timeout": arguments.get("timeout")})
    orders = [Order(**{key: value for key, value in each.items() if key != "peer"}, **limits) for each in asked]
    peers = [Peer(each["peer"]["name"], each["peer"]["address"]) if "peer" in each else None for each in asked]
    _refuse_incomplete(arguments, asked, orders)
    host = this_host()
    make = {("source", True): live.give, ("source", False): source.give, ("target", True): live.take}.get((arguments["side"], arguments.get("live", False)))
    if make is None:
        acts = [(order.name, lambda order=order: target.take(host, order, check)) for order in orders]
    else:
        acts = [(order.name, lambda order=order, peer=peer: make(host, order, peer, check)) for order, peer in zip(orders, peers)]
    return joined(fan_out(acts), _shown)


def stop_waiting(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """End the waits for C(instances), each with C(name) and C(epoch), as the target of a hand-over: who sends them has failed."""
    for each in [] if check else numbered(given(arguments)):
        parcel.stop_waiting(Order(each["name"], each["epoch"]).parcel)
    return Outcome(False, None, None, {})


def _refuse_incomplete(arguments: t.Mapping[str, t.Any], asked: t.Sequence[t.Mapping[str, t.Any]], orders: t.Sequence[Order]) -> None:
    side, is_live = arguments["side"], arguments.get("live", False)
    if is_live and (len(orders) != 1 or orders[0].state != "running"):
        raise InvalidInput("One instance at a time is moved live, and it runs at the target.")
    needed = [key for key, needs in (("peer", side == "source" or is_live), ("vlan", side == "target")) if needs]
    for each in asked:
        for key in needed:
            if key not in each:
                raise InvalidInput(f"{each['name']} needs a {key} at the {side}.")


def _shown(told: Told) -> dict[str, t.Any]:
    return dict(told.error.result) if told.error else {"instance": told.done.after, **told.done.result}
