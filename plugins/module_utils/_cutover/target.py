# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The target's side of a cut-over: await what the source hands over, look at it, take it over, let it run."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.parcel import await_parcel, discard_parcel
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.order import Handed, Order, Phases
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import (
    accelerator,
    arrival,
    capabilities,
    durable,
    epochs,
    handover,
    home,
    operations,
    state,
)


def take(
    host: state.Host,
    order: Order,
    check: bool = False,
    receive: t.Callable[..., t.Any] = await_parcel,
    discard: t.Callable[[str], None] = discard_parcel,
) -> Handed:
    """Take an instance over that another RM hands over, and let it run if the order says so. When this returns, it outlasts a power cut.

    Args:
        host: this RM.
        order: which instance, the epoch it is to have, and how it is to live here.
        check: only find out what would change.
        receive: how to await a parcel.
        discard: how to forget one.

    Returns:
        What was done; if it lives here at this epoch as ordered, that is no change. If it did, and lost its power, it is started again.

    Raises:
        DeadlineExceeded: nothing was handed over in time; nothing was touched.
        Refused: this RM must not or cannot run it.
        MeshError: it could not be taken over, or could not be resumed; in the latter case it is suspended here, and C(instance) in the result says so.
            Or it is here, but the disk could not keep it.
    """
    name, places = order.name, host.places
    with state.held(host, name, order.timeout, check, order.lease) as found:
        before = state.summary(found)
        phases = Phases()
        arrived = found.epoch == epochs.Epoch(order.epoch, True) and found.state in ("running", "suspended")
        if arrived and found.state in ("running", order.state):
            if not check:
                durable.flush(places, name)
            return Handed(False, before, before, {"seconds": {}})
        if lost_power(order, found):
            return started_again(host, order, found, check)
        epochs.check_grant(places, name, order.epoch)
        if arrival.expected(host, name):
            raise Refused(f"{name} is coming to this RM alive; finish that move as it was begun, with strategy=live.")
        if found.live:
            raise Refused(f"{name} lives on this RM already.")
        # Asked before the guest stops elsewhere, so that its price is not a part of the outage.
        working = accelerator.usable(places)
        capabilities.offer(places, host.hypervisor, working)
        if check:
            return Handed(True, before, _predicted(before, order, working), {"seconds": {}})
        if not arrived:
            _adopt(host, order, found, phases, receive, discard)
        if order.state == "running":
            _resume(host, order, phases)
        # The guest does not wait for this, but whoever clears the source does. If the power fails before it, the memory image is dropped (see durable), and
        # what else is here is not taken for the instance in this epoch: what the source holds is whole, and comes to life there with a newer one.
        durable.flush(places, name)
        return Handed(True, before, state.summary(state.find(host, name)), {"seconds": phases.seconds})


def lost_power(order: Order, found: state.Found) -> bool:
    """Whether an instance was handed over before, and this RM has failed since."""
    return order.state == "running" and found.state == "stopped" and found.epoch == epochs.Epoch(order.epoch, True)


def started_again(host: state.Host, order: Order, found: state.Found, check: bool) -> Handed:
    """Start what was handed over before, and lost its power here since, from its disks.

    Raises:
        Refused: they may not be whole, or this RM cannot or must not run it.
        CommandFailed: it runs here, but the disk could not keep it.
    """
    before, step = state.summary(found), operations.start(host, found, None, _orders(order))
    if check:
        return Handed(True, before, {**before, "state": "running"}, {"seconds": {}})
    step.act()
    durable.flush(host.places, order.name)
    return Handed(True, before, state.summary(state.find(host, order.name)), {"seconds": {}})


def _adopt(host: state.Host, order: Order, found: state.Found, phases: Phases, receive: t.Callable[..., t.Any], discard: t.Callable[[str], None]) -> None:
    with phases.measure("wait"):
        parcel = receive(order.parcel, order.timeout)
    try:
        with phases.measure("adopt"):
            handover.adopt(host, found, parcel.files, parcel.note, _orders(order)).act()
    finally:
        # What could not be taken over goes on at the source, under a newer epoch.
        discard(order.parcel)


def _resume(host: state.Host, order: Order, phases: Phases) -> None:
    try:
        with phases.measure("resume"):
            operations.resume(host, state.find(host, order.name), _orders(order)).act()
    except MeshError as exc:
        left = state.summary(state.find(host, order.name))
        message = f"{order.name} was taken over and is {left['state']} here, but could not be resumed: {exc.message}"
        raise type(exc)(message, {"instance": left, "seconds": phases.seconds}) from exc


def _predicted(before: dict, order: Order, working: str) -> dict:
    """Return the summary of the instance after the cut-over, as far as it can be known before its parcel is here."""
    told = {"capsule": (order.record or {}).get("capsule"), "vlan": order.vlan}
    known = {key: value for key, value in told.items() if value is not None}
    return {**before, **known, "state": order.state, "epoch": order.epoch, "here": True, "accelerator": working}


def _orders(order: Order) -> home.Orders:
    return home.Orders(order.epoch, order.vlan, order.record, order.timeout)
