# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""A cut-over of a guest that goes on running: libvirt brings it over, and its RMs see to it that it can run at one of them only.

The source sends it, gives up the right to run it durably, and hands it over by committing an empty parcel; only then the target lets it run. Between the end of
its process at the source and the hand-over it is paused at the target, and nowhere else. A side that is cut off in this moment is taken up by a second run.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import os
import shutil
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import door, passage
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.parcel import await_parcel, discard_parcel
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.transfer import Peer, connect
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover import source, target
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.order import Handed, Order, Phases
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import arrival, client, disks, durable, epochs, home, operations, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places

#: Where the sockets of a live cut-over lie, at both ends.
WAYS = "/run/vmatrix/live"
#: What the target has for the source besides sockets: the guest's domain XML there, and the answers to whether all of it is there, and whether nothing is.
GUEST, ARRIVED, MISSING = "guest", "arrived", "missing"
#: Seconds between two looks at whether libvirt has given up, or whether the target knows by now.
_PAUSE = 0.05


def ways(order: Order) -> str:
    """Return the directory of a cut-over's sockets; short, for the path of a socket must be."""
    return os.path.join(WAYS, hashlib.sha256(order.parcel.encode()).hexdigest()[:16])


def give(
    host: state.Host,
    order: Order,
    peer: Peer,
    check: bool = False,
    dial: t.Callable[..., t.Any] = connect,
    lay: t.Callable[[Peer, float], passage.Way] = passage.over_ssh,
) -> Handed:
    """Hand a running instance over to *peer*, which awaits it; C(_cutover.source.give) says what is taken, returned and raised.

    When libvirt cannot bring it over, it goes on here. When nobody can say whether it did, or its being there could not be told to the peer,
    C(handed_over) is C(unknown), and a second run asks the peer first. If it is neither here nor there, C(handed_over) is C(no), and it is stopped here.
    """
    name, places = order.name, host.places
    with state.held(host, name, order.timeout, check, order.lease) as found:
        before = state.summary(found)
        given_up = found.epoch == epochs.Epoch(order.epoch, False)
        if given_up and (not found.document or source.noted(found.document, "handed_over", order, peer)):
            return Handed(False, before, before, {"handed_over": "yes", "seconds": {}})
        # An earlier run was cut off before it could hand over what libvirt had, or had not, brought over.
        left = found.live is None and source.noted(found.document, "leaving", order, peer)
        if order.epoch <= found.epoch.number and not left:
            raise Refused(f"{name} cannot leave with epoch {order.epoch}: this RM knows of epoch {found.epoch.number}, and a move raises it.")
        if found.paused:
            state.require_running(found, "move")
        if found.live != "running" and not left:
            raise NotFound(f"There is no running instance {name} on this RM to hand over alive.", {"instance": before})
        phases = Phases()
        with contextlib.ExitStack() as closing:
            with phases.measure("connect"):
                session = closing.enter_context(dial(peer, timeout=order.timeout))
            if not left:
                source.require_room(host, order, found, session, peer, check)
            if check:
                return Handed(True, before, {**before, "state": "stopped", "epoch": order.epoch, "here": False}, {"handed_over": "no", "seconds": {}})
            if not left:
                with phases.measure("send"):
                    closing.enter_context(_sent(host, order, session, lay(peer, order.timeout)))
            elif not given_up:
                # An epoch that was given up was so because it was there.
                _require_arrival(host, order, session, lay(peer, order.timeout))
            epochs.fence(places, name, order.epoch)
            with phases.measure("commit"):
                _commit(order, session, lambda: dial(peer, timeout=order.timeout))
        operations.unplug(host, name)
        state.write(places, name, {"handed_over": source.note_of(order, peer)})
        return Handed(True, before, state.summary(state.find(host, name)), {"handed_over": "yes", "seconds": phases.seconds})


@contextlib.contextmanager
def _sent(host: state.Host, order: Order, session: t.Any, way: passage.Way) -> t.Iterator[None]:
    """Have libvirt bring the guest over; the block runs as soon as it is there whole and its process here has ended. What fails before that is taken back.

    libvirt looks at a process that ends five times a second and says its last word after that; the guest need not stand still so long.
    """
    name, directory = order.name, ways(order)
    with contextlib.ExitStack() as closing:
        try:
            told = json.loads(passage.ask(way, order.parcel, GUEST, order.timeout))
            xml = arrival.as_running(told["xml"], host, name)
            state.write(host.places, name, {"leaving": source.note_of(order, session.peer)})
            closing.enter_context(passage.laid(way, order.parcel, directory, client.WAYS))
            disks.give_to_qemu(os.path.join(directory, client.WAYS[2]))
            arrived = closing.enter_context(passage.asking(way, order.parcel, ARRIVED))
            ended = closing.enter_context(client.watched(name))
            pool = closing.enter_context(concurrent.futures.ThreadPoolExecutor(1))
            moving = pool.submit(host.hypervisor.move, name, directory, xml, order.timeout)
            while not ended(_PAUSE) and not moving.done():
                pass
            # Either alone would not do: a guest that crashed has ended, too, and one whose arrival libvirt did not hear of runs on here.
            if not (ended() and arrived()):
                moving.result()
        except BaseException as exc:
            if host.hypervisor.state(name) is None:
                message = f"Whether {name} was brought to {session.peer.name} is not known, and it is gone here; run the move again."
                raise MeshError(message, {"handed_over": "unknown"}) from exc
            state.write(host.places, name, {"leaving": None})
            raise source.not_handed_over(host, order, session, exc, "it runs here, as before") from exc
        yield


def _require_arrival(host: state.Host, order: Order, session: t.Any, way: passage.Way) -> None:
    """Raise an error unless the peer says that the guest, which is not here any more, is there.

    Raises:
        NotFound: it is not there either: it ended on the way. Nothing was given up, so it can be started here; C(handed_over) is C(no).
        DeadlineExceeded: the peer did not say; C(handed_over) is C(unknown).
    """
    name, peer = order.name, session.peer.name
    arrived = _has_arrived(order, way)
    if arrived is None:
        message = f"Whether {name} was brought to {peer} is not known, for {peer} did not say, and it is gone here; run the move again."
        raise DeadlineExceeded(message, {"handed_over": "unknown"})
    if not arrived:
        state.write(host.places, name, {"leaving": None})
        cause = NotFound(f"its guest ended on the way, and is not on {peer} either; what was in its memory alone is lost")
        raise source.not_handed_over(host, order, session, cause, "it is stopped here, with its disks, and can be started again")


def _has_arrived(order: Order, way: passage.Way) -> bool | None:
    """Return whether the peer has the guest; None if it did not say so in time, or there is something of it that is not whole."""
    end = time.monotonic() + order.timeout
    while time.monotonic() < end:
        # A line that brought no answer is laid anew: the door at its end may have been closed.
        for what, meaning in ((ARRIVED, True), (MISSING, False)):
            with passage.asking(way, order.parcel, what) as ask:
                if ask():
                    return meaning
        time.sleep(_PAUSE)
    return None


def _commit(order: Order, session: t.Any, redial: t.Callable[[], t.Any]) -> None:
    """Hand over what was brought there. It is nowhere else any more, so this is never taken back, but tried once more."""
    try:
        session.commit_parcel(order.parcel, {})
    except MeshError:
        try:
            with redial() as again:
                again.deadline = time.monotonic() + source.LAST_WORDS
                again.commit_parcel(order.parcel, {})
        except MeshError as exc:
            message = f"{order.name} was brought over and is paused there, but could not be handed over; run the move again: {exc.message}"
            raise type(exc)(message, {"handed_over": "unknown"}) from exc


def take(
    host: state.Host,
    order: Order,
    sender: Peer,
    check: bool = False,
    receive: t.Callable[..., t.Any] = await_parcel,
    discard: t.Callable[[str], None] = discard_parcel,
    opened: t.Callable[..., t.ContextManager[None]] = door.opened,
) -> Handed:
    """Take over, running, an instance that *sender* hands over; C(_cutover.target.take) says what is taken, returned and raised.

    Raises:
        CommandFailed: it runs here, but the disk could not keep it.
        DeadlineExceeded: it was not handed over in time. What came whole is paused here until a second run hears of it; anything else is gone.
        NotFound: it was handed over, or given up here, and is not here: this RM has failed since.

    Where nothing of it is here, this RM gives the epoch up durably, and C(gone) is true: whoever sent it has its disks, and it can go on there.
    """
    name, places = order.name, host.places
    with state.held(host, name, order.timeout, check, order.lease) as found:
        before = state.summary(found)
        if found.epoch == epochs.Epoch(order.epoch, True) and found.state == "running":
            if not check:
                durable.flush(places, name)
                discard(order.parcel)
            return Handed(False, before, before, {"seconds": {}})
        if target.lost_power(order, found):
            return target.started_again(host, order, found, check)
        if found.state != "absent":
            raise Refused(f"{name} is {found.state} on this RM already.")
        if found.epoch == epochs.Epoch(order.epoch, False):
            raise _gone(places, order, NotFound(f"{name} was given up on this RM in epoch {order.epoch}."))
        coming = arrival.Arrival(host, found, (order.record or {}).get("capsule", ""), home.Orders(order.epoch, order.vlan, order.record, order.timeout))
        if check:
            after = {**before, "state": "running", "epoch": order.epoch, "here": True}
            return Handed(True, before, {**after, **{key: coming.document[key] for key in ("capsule", "vlan", "accelerator")}}, {"seconds": {}})
        phases, directory = Phases(), ways(order)
        behind: dict[str, door.Behind] = {each: os.path.join(directory, each) for each in client.WAYS}
        behind.update({client.WAYS[0]: client.SOCKET, GUEST: json.dumps({"xml": coming.xml}).encode()})
        behind.update({ARRIVED: lambda: coming.here, MISSING: lambda: host.hypervisor.state(name) is None})
        try:
            coming.prepare(directory)
            with phases.measure("wait"), opened(order.parcel, sender.address, behind):
                # The source has its own deadline, and speaks last.
                receive(order.parcel, order.timeout + source.LAST_WORDS, meanwhile=coming.guard)
        except Refused:
            # The source said that it goes on there.
            coming.give_up()
            raise
        except BaseException as exc:
            # What is here whole may be all that there is.
            if coming.here:
                raise
            coming.give_up()
            if isinstance(exc, MeshError):
                raise _gone(places, order, exc) from exc
            raise
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        if not coming.here:
            coming.give_up()
            raise _gone(places, order, NotFound(f"{name} was handed over, but its guest ended on the way, or when this RM failed."))
        with phases.measure("resume"):
            coming.run()
        # The guest does not wait for this, but whoever clears the source does.
        durable.flush(places, name)
        discard(order.parcel)
        return Handed(True, before, state.summary(state.find(host, name)), {"seconds": phases.seconds, **host.hypervisor.arrived(name)})


def _gone(places: Places, order: Order, exc: MeshError) -> MeshError:
    """Give the epoch up, so that what comes late does not run here either, and return what is said of that."""
    epochs.fence(places, order.name, order.epoch)
    lost = "Nothing of it is here; unless it still runs where it was, what was in its memory alone is lost, and its disks are there."
    return type(exc)(f"{exc.message} {lost}", {**exc.result, "gone": True})
