# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Bringing an instance into the state that is wanted: look, plan, check, act."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.patience import LEAST
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import clock, durable, epochs, home, operations, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import evidence as evidences


class Wanted(t.NamedTuple):
    """What an instance is to be.

    Attributes:
        name: the instance.
        state: C(running), C(suspended), C(stopped) or C(absent).
        epoch: the epoch that the order was given in; needed to run, else None leaves the known one.
        capsule: version of its capsule; needed for a first start, or for one that is suspended from the first.
        vlan: its domain's VLAN here; needed with it.
        record: its surroundings record.
        timeout: seconds for one call of libvirt, and to get the instance's lock; None for as long as the guest's memory calls for, and LEAST for the lock.
        stop_timeout: seconds that a guest has to follow its power button.
        stop_force: whether a guest that does not follow is ended, and whether the memory of a suspended one may be dropped.
        lease: the number of the operation's lease; None where it is none of an operation.
        evidence: whether what is left of one that did not come up is kept when it is removed.
        go_on: whether a guest that is to run and is paused, by QEMU or by hand, is let go on.
    """

    name: str
    state: str
    epoch: int | None = None
    capsule: str | None = None
    vlan: int | None = None
    record: dict | None = None
    timeout: float | None = None
    stop_timeout: float = 30.0
    stop_force: bool = False
    lease: int | None = None
    evidence: bool = False
    go_on: bool = False


class Done(t.NamedTuple):
    """What was done, or would be: C(action) is none, started, resumed, continued, furnished, suspended, stopped or removed; before and after are summaries.

    C(evidence) are sentences that say what was left of it, if that was kept, and C(clock) is one that says how far its guest's clock is behind.
    """

    changed: bool
    action: str
    before: dict
    after: dict
    seconds: float
    memory_bytes: int | None
    evidence: str = ""
    clock: str = ""


def ensure(host: state.Host, wanted: Wanted, check: bool = False) -> Done:
    """Bring an instance into the wanted state, or with *check* only find out what that would change.

    Raises:
        InvalidInput: something that was asked for is invalid.
        NotFound: an absent instance cannot become suspended or stopped.
        Refused: it would break a promise: epoch, lease, room, machine, integrity of blobs.
        CommandFailed, DeadlineExceeded: libvirt or the guest did not do it; what was done is taken back.
    """
    began = time.monotonic()
    name = wanted.name
    with state.held(host, name, LEAST if wanted.timeout is None else wanted.timeout, check, wanted.lease) as found:
        action = plan(found, wanted)
        epoch = _epoch_after(host, found, wanted)
        step = _step(host, found, wanted, action)
        before, after = state.summary(found), state.summary(state.Found(name, wanted.state, None, step.document, epoch))
        evidence = told = ""
        if not check and before != after:
            if wanted.evidence and wanted.state == "absent" and found.document:
                evidence = evidences.keep(host, name, found.epoch.number, found.document.get("manifest"))
            step.act()
            reached = state.find(host, name)
            after = state.summary(reached)
            if action in ("started", "resumed"):
                told = clock.told(name, reached.document)
        elif not check and wanted.state == "suspended" and "unflushed" in found.document:
            # Whoever suspended it, or brought it here, did not live to see that it lasts.
            durable.flush(host.places, name)
        memory_bytes = state.memory_bytes(host.places, name) if wanted.state == "suspended" else None
    return Done(before != after, action, before, after, time.monotonic() - began, memory_bytes, evidence, told)


def plan(found: state.Found, wanted: Wanted) -> str:
    """Return the action that leads from what was found to what is wanted.

    Raises:
        NotFound: an absent instance cannot become suspended or stopped.
        Refused: there is no way from the one to the other.
    """
    name = wanted.name
    if wanted.state == "absent":
        return "none" if found.state == "absent" else "removed"
    if found.state == "absent" and found.live:
        raise Refused(f"{name} is coming to this RM by a move that was not brought to its end: run the move again, or remove it here.")
    if found.state == "absent" and wanted.state == "suspended" and wanted.capsule is not None:
        return "furnished"
    if found.state == "absent" and wanted.state != "running":
        raise NotFound(f"There is no instance {name} on this RM.")
    if found.state == wanted.state == "running":
        for what in ("capsule", "vlan"):
            asked = getattr(wanted, what)
            if asked not in (None, found.document[what]):
                raise Refused(f"{name} runs with {what} {found.document[what]}; it cannot change to {asked} while it runs.")
    if found.state == wanted.state:
        return "continued" if found.paused and wanted.state == "running" and wanted.go_on else "none"
    if wanted.state == "running":
        return "resumed" if found.state == "suspended" else "started"
    if wanted.state == "suspended" and found.state != "running":
        raise Refused(f"{name} is {found.state}: only a running instance can be suspended. What was stopped, or lost its power, is started again by place.")
    return wanted.state


def _epoch_after(host: state.Host, found: state.Found, wanted: Wanted) -> epochs.Epoch:
    """Return what this RM will know of the instance's epochs; raises Refused if the order is outdated."""
    if wanted.state == "absent":
        number = found.epoch.number if wanted.epoch is None else wanted.epoch
        epochs.check_fence(host.places, wanted.name, number)
        return epochs.Epoch(number, False)
    if wanted.epoch is None:
        return found.epoch
    epochs.check_grant(host.places, wanted.name, wanted.epoch)
    return epochs.Epoch(wanted.epoch, True)


def _step(host: state.Host, found: state.Found, wanted: Wanted, action: str) -> operations.Step:
    epoch = found.epoch.number if wanted.epoch is None else wanted.epoch
    orders = home.Orders(epoch, wanted.vlan, wanted.record, wanted.timeout)
    if action == "started":
        return operations.start(host, found, wanted.capsule, orders)
    if action == "furnished":
        return operations.furnish(host, found, wanted.capsule, orders)
    if action == "continued":
        return operations.go_on(host, found, orders)
    if action == "resumed":
        return operations.resume(host, found, orders)
    if wanted.state == "absent":
        return operations.remove(host, found, epoch, wanted.stop_timeout, wanted.stop_force)
    if action == "suspended":
        return operations.suspend(host, found, orders)
    if action == "stopped":
        return operations.stop(host, found, orders, wanted.stop_timeout, wanted.stop_force)
    return operations.keep(host, found, orders)
