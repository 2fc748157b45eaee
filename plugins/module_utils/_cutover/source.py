# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The source's side of a cut-over: suspend, send, give up the right to run, hand over. Up to the hand-over every failure is taken back."""

from __future__ import annotations

import contextlib
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.transfer import Peer, connect
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import footprint
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.order import Handed, Order, Phases
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import disks, durable, epochs, handover, home, operations, state

#: Seconds for telling the peer that it waits in vain, or for asking what it knows.
LAST_WORDS = 10.0


def give(host: state.Host, order: Order, peer: Peer, check: bool = False, dial: t.Callable[..., t.Any] = connect) -> Handed:
    """Hand an instance over to *peer*, which awaits it.

    Args:
        host: this RM.
        order: which instance, and the raised epoch that it is to have there.
        peer: the RM that takes it.
        check: only find out what would change.
        dial: how to reach a peer.

    Returns:
        What was done; a hand-over at this epoch that was done before is no change.

    Raises:
        NotFound: it is not here.
        Refused: the epoch is not newer, the peer has no room, or it was handed over to another peer (C(handed_to) in the result); nothing was touched.
        MeshError: it could not be handed over. The result says where the instance lives: C(handed_over) is C(no) when it is (again) here as it was,
            and C(unknown) when the peer's answer to the hand-over was lost. After it has given up the right to run, an instance that was not handed over
            stays suspended here until it is resumed with a newer epoch.
    """
    name, places = order.name, host.places
    with state.held(host, name, order.timeout, check, order.lease) as found:
        before = state.summary(found)
        if found.epoch == epochs.Epoch(order.epoch, False):
            # Of what is gone nobody can say to whom it went.
            known = not found.document or noted(found.document, "handed_over", order, peer)
            if not check and "unflushed" in found.document:
                durable.flush(places, name)
            return Handed(False, before, before, {"handed_over": "yes" if known else "unknown", "seconds": {}, "bytes": 0, "bytes_wire": 0})
        if order.epoch <= found.epoch.number:
            raise Refused(f"{name} cannot leave with epoch {order.epoch}: this RM knows of epoch {found.epoch.number}, and a move raises it.")
        if found.epoch.number and not found.epoch.here:
            raise Refused(f"{name} cannot leave with epoch {order.epoch}: this RM has given it up in epoch {found.epoch.number}, so it may live elsewhere.")
        if found.state not in ("running", "suspended"):
            raise NotFound(f"There is no running or suspended instance {name} on this RM to hand over.", {"instance": before})
        suspend = operations.suspend(host, found, _as_it_is(found, order), flush=False) if found.state == "running" else None
        after = {**before, "state": "suspended", "epoch": order.epoch, "here": False}
        phases = Phases()
        # The way is open before the guest stops, so its price is not a part of the outage.
        with contextlib.ExitStack() as closing:
            with phases.measure("connect"):
                session = closing.enter_context(dial(peer, timeout=order.timeout))
            require_room(host, order, found, session, peer, check)
            if check:
                return Handed(True, before, after, {"handed_over": "no", "seconds": {}, "bytes": 0, "bytes_wire": 0})
            sent = _send(host, order, session, suspend, found, phases)
            try:
                with phases.measure("commit"):
                    held = f"it is suspended here, and runs here again only with an epoch above {order.epoch}"
                    commit(order, session, handover.note(found), lambda: dial(peer, timeout=order.timeout), held)
                state.write(places, name, {"handed_over": note_of(order, peer)})
            finally:
                # The guest waits for this no more, and whatever became of it, this is what it can be had back from.
                durable.flush(places, name)
        done = state.summary(state.find(host, name))
        return Handed(True, before, done, {"handed_over": "yes", "seconds": phases.seconds, **sent})


def _send(host: state.Host, order: Order, session: t.Any, suspend: operations.Step | None, found: state.Found, phases: Phases) -> dict[str, int]:
    """Suspend, send, and give up the right to run; what fails before that is taken back."""
    session.deadline = time.monotonic() + order.timeout
    try:
        if suspend:
            with phases.measure("suspend"):
                suspend.act()
        with phases.measure("send"):
            sent = [session.send_parcel_file(order.parcel, label, path) for label, path in handover.files(host.places, found).items()]
        epochs.fence(host.places, order.name, order.epoch)
    except BaseException as exc:
        raise _taken_back(host, order, session, found, exc) from exc
    return {"bytes": sum(each.bytes_total for each in sent), "bytes_wire": sum(each.bytes_wire for each in sent)}


def commit(order: Order, session: t.Any, note: dict, redial: t.Callable[[], t.Any], held: str) -> None:
    """Hand over what was sent. If the answer does not come, ask once more: an abort is refused if and only if it was handed over.

    Args:
        order: the cut-over.
        session: with the peer.
        note: what the peer must know of the instance besides.
        redial: reaches the peer anew.
        held: what becomes of the instance when it was not handed over, as a part of a sentence.

    Raises:
        MeshError: it was not handed over, or nobody knows.
    """
    try:
        session.commit_parcel(order.parcel, note)
        return
    except Refused as exc:
        raise Refused(f"{order.name} was not handed over ({held}): {exc.message}", {"handed_over": "no"}) from exc
    except MeshError as exc:
        lost = exc
    try:
        with redial() as again:
            again.deadline = time.monotonic() + LAST_WORDS
            again.abort_parcel(order.parcel, lost.message)
    except Refused:
        return
    except MeshError as exc:
        raise type(lost)(f"Whether {order.name} was handed over is not known ({held}): {lost.message}", {"handed_over": "unknown"}) from exc
    raise type(lost)(f"{order.name} was not handed over ({held}): {lost.message}", {"handed_over": "no"}) from lost


def _taken_back(host: state.Host, order: Order, session: t.Any, found: state.Found, cause: BaseException) -> BaseException:
    """Bring the instance back to what it was, tell the peer, and return the error to raise."""
    try:
        now = state.find(host, order.name)
        if found.state == "running" and now.state == "suspended":
            try:
                operations.resume(host, now, _as_it_is(found, order)).act()
            except MeshError:
                durable.flush(host.places, order.name)
                raise
        left = f"it is {state.find(host, order.name).state} here, as before"
    except MeshError as exc:
        left = f"it could not be resumed here either: {exc.message}"
    return not_handed_over(host, order, session, cause, left)


def not_handed_over(host: state.Host, order: Order, session: t.Any, cause: BaseException, left: str) -> BaseException:
    """Tell the peer that it waits in vain because of *cause*, and return the error to raise; *left* says where the instance is."""
    reason = cause.message if isinstance(cause, MeshError) else str(cause) or type(cause).__name__
    session.deadline = time.monotonic() + LAST_WORDS
    with contextlib.suppress(MeshError):
        session.abort_parcel(order.parcel, reason)
    if not isinstance(cause, Exception):
        return cause
    kind = type(cause) if isinstance(cause, MeshError) else MeshError
    return kind(f"{order.name} was not handed over ({left}): {reason}", {"handed_over": "no", "instance": state.summary(state.find(host, order.name))})


def note_of(order: Order, peer: Peer) -> dict[str, t.Any]:
    """Return what the document of an instance says of a cut-over: to whom it went, and in which epoch."""
    return {"epoch": order.epoch, "peer": peer.name}


def noted(document: t.Mapping[str, t.Any], what: str, order: Order, peer: Peer) -> bool:
    """Whether *document* says of this cut-over that the instance is C(leaving), or C(handed_over).

    Raises:
        Refused: it says so of another peer. C(handed_to) in the result is its name.
    """
    said = document.get(what)
    # Older releases noted the epoch alone.
    said = said if isinstance(said, dict) else {"epoch": said, "peer": None}
    if said["epoch"] != order.epoch:
        return False
    if said["peer"] not in (None, peer.name):
        how = "was handed over" if what == "handed_over" else "may have been brought"
        sentence = f"{order.name} {how} to {said['peer']} in epoch {order.epoch}, so it cannot be handed over to {peer.name}; look for it there."
        raise Refused(sentence, {"handed_to": said["peer"]})
    return True


def _as_it_is(found: state.Found, order: Order) -> home.Orders:
    return home.Orders(found.epoch.number, None, None, order.timeout)


def require_room(host: state.Host, order: Order, found: state.Found, session: t.Any, peer: Peer, check: bool) -> None:
    """Raise Refused, and tell the peer so, unless it has room for what it keeps for such an instance."""
    needed, free = int(footprint.most(found.document["manifest"]) / session.disk_overcommit) + disks.SLACK, session.free_bytes
    if free >= needed:
        return
    problem = f"{peer.name} has no room for {found.name}: it takes up to {needed} bytes, and {free} are free there."
    if not check:
        with contextlib.suppress(MeshError):
            session.abort_parcel(order.parcel, problem)
    raise Refused(problem, {"handed_over": "no"})
