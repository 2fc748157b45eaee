# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The steps of an instance's life. Each function checks all it can without touching anything and returns the step, ready to be taken.

The caller holds the instance's lock. Every step either ends well or takes back what it did.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import (
    accelerator,
    capabilities,
    clock,
    disks,
    domain_xml,
    durable,
    epochs,
    home,
    saved,
    state,
)


#: Seconds for which a guest that goes on is watched.
_AGAIN = 0.5


class Step(t.NamedTuple):
    """A step that can be taken: the instance's document after it, and how to take it."""

    document: dict
    act: t.Callable[[], None]


def start(host: state.Host, found: state.Found, capsule: str | None, orders: home.Orders) -> Step:
    """Start an instance that is absent (from the capsule of version *capsule*) or stopped (from the overlays it has).

    Raises:
        Refused: this RM cannot or must not run it.
    """
    name, fresh = found.name, found.state == "absent"
    if fresh:
        if capsule is None:
            raise Refused(f"{name} was never started here: say from which version of its capsule it is to be started.")
        manifest = host.capsules.manifest(name, capsule)
    else:
        manifest = found.document["manifest"]
        if durable.torn(host.places, name, found.document):
            raise Refused(
                f"{name} had just come to this RM when that failed, so its disks may not be whole here. The RM that sent it has everything: recover, or run "
                "the move again."
            )
        if capsule not in (None, found.document["capsule"]):
            raise Refused(f"{name} was made from capsule {found.document['capsule']}; remove it before starting it from {capsule}.")
    epochs.check_grant(host.places, name, orders.epoch)
    working = accelerator.usable(host.places)
    memory = manifest["memory"] if fresh else None
    capabilities.require(host.places, host.hypervisor, manifest, working, memory and memory["accelerator"])
    # Room for its memory too, so that it can be suspended one day.
    if fresh:
        disks.require_room(host.places, name, manifest)
    else:
        disks.require_free(host.places.root, (manifest["machine"]["memory_mib"] << 20) + disks.SLACK, f"{name} and its memory")
    document = home.document(found, manifest, working, orders)
    xml, blobs = home.render(host, name, document)
    if memory:
        saved.stream_offset(blobs[memory["blob"]["sha256"]])

    def act() -> None:
        epochs.grant(host.places, name, orders.epoch)
        if fresh:
            home.furnish(host.places, name, document, blobs)
        else:
            _give_disks(host, name, manifest)
        try:
            if memory:
                _wake(host, name, document, xml, home.patience_of(manifest, orders))
                document.update(clock.going_on(host.hypervisor, name, document))
            else:
                _boot(host, name, document, xml)
        except BaseException:
            host.hypervisor.destroy(name)
            with contextlib.suppress(MeshError):
                unplug(host, name)
            if fresh:
                home.discard(host.places, name)
            raise
        state.write(host.places, name, document)
        # A memory image, or a capsule's, that it came from must not be back after a power cut.
        durable.flush_names(host.places, name)

    return Step(document, act)


def furnish(host: state.Host, found: state.Found, capsule: str, orders: home.Orders) -> Step:
    """Make an instance that is absent ready as a standby: suspended, it comes to life from its capsule's memory when it is resumed.

    Raises:
        Refused: this RM cannot or must not run it, or the capsule holds no memory.
    """
    name, manifest = found.name, host.capsules.manifest(found.name, capsule)
    memory = manifest["memory"]
    if memory is None:
        raise Refused(f"{name} cannot be suspended from the first: its capsule {capsule} holds no memory.")
    epochs.check_grant(host.places, name, orders.epoch)
    capabilities.require(host.places, host.hypervisor, manifest, accelerator.usable(host.places), memory["accelerator"])
    disks.require_room(host.places, name, manifest)
    document = home.document(found, manifest, memory["accelerator"], orders)
    _xml, blobs = home.render(host, name, document)
    saved.stream_offset(blobs[memory["blob"]["sha256"]])

    def act() -> None:
        epochs.grant(host.places, name, orders.epoch)
        home.furnish(host.places, name, document, blobs)
        durable.flush(host.places, name)

    return Step(document, act)


def resume(host: state.Host, found: state.Found, orders: home.Orders) -> Step:
    """Resume a suspended instance from its memory image, which can be done only once.

    Raises:
        Refused: this RM cannot or must not run it.
    """
    name, manifest = found.name, found.document["manifest"]
    epochs.check_grant(host.places, name, orders.epoch)
    capabilities.require(host.places, host.hypervisor, manifest, accelerator.usable(host.places), found.document["accelerator"])
    document = {**home.document(found, manifest, found.document["accelerator"], orders), "asleep": found.document.get("asleep")}
    for disk in manifest["disks"]:
        if not os.path.exists(host.places.overlay(name, disk["name"])):
            raise Refused(f"{name} cannot be resumed: the overlay of disk {disk['name']} is missing.")
    xml, _blobs = home.render(host, name, document)

    def act() -> None:
        epochs.grant(host.places, name, orders.epoch)
        _give_disks(host, name, manifest)
        _wake(host, name, document, xml, home.patience_of(manifest, orders))
        state.write(host.places, name, {**document, **clock.going_on(host.hypervisor, name, document)})
        # The memory image that it came from must not be back after a power cut.
        durable.flush_names(host.places, name)

    return Step(document, act)


def go_on(host: state.Host, found: state.Found, orders: home.Orders) -> Step:
    """Let a guest go on that QEMU has paused, or a person.

    What it writes then must not take what others were promised: QEMU pauses a guest when the disk is full, and that is full for all of them.

    Raises:
        Refused: there is not the room that it and all others were promised.
    """
    name = found.name
    epochs.check_grant(host.places, name, orders.epoch)
    if found.live == "halted":
        disks.require_promises(host.places, name)

    def act() -> None:
        epochs.grant(host.places, name, orders.epoch)
        host.hypervisor.unpause(name)
        # QEMU tries at once what had failed.
        with contextlib.suppress(DeadlineExceeded):
            wait_for(lambda: host.hypervisor.state(name) == "halted", _AGAIN, f"{name} is paused again")
            raise CommandFailed(f"{name} was let go on, and QEMU paused it again: {host.hypervisor.why_halted(name)}.")
        if orders.record is not None:
            state.write(host.places, name, {"record": orders.record})

    return Step(found.document, act)


def keep(host: state.Host, found: state.Found, orders: home.Orders) -> Step:
    """Leave an instance as it is, but note a newer epoch and the record that came with it."""

    def act() -> None:
        epochs.grant(host.places, found.name, orders.epoch)
        if orders.record is not None:
            state.write(host.places, found.name, {"record": orders.record})

    return Step(found.document, act)


def suspend(host: state.Host, found: state.Found, orders: home.Orders, flush: bool = True) -> Step:
    """Suspend a running instance: CPU, memory, devices and disks stop at one and the same point.

    It outlasts a power cut then, for libvirt leaves the image in the page cache. With *flush* off that is left to the caller (see C(durable)).

    Raises:
        Refused: it is paused, or there is no room for its memory image.
    """
    name, memory = found.name, host.places.memory(found.name)
    state.require_running(found, "be suspended")
    disks.require_free(host.places.root, (found.document["manifest"]["machine"]["memory_mib"] << 20) + disks.SLACK, f"the memory image of {name}")

    def act() -> None:
        epochs.grant(host.places, name, orders.epoch)
        part = f"{memory}.part"
        state.write(host.places, name, {**durable.unflushed(), **clock.stopped()})
        try:
            host.hypervisor.save(name, part, home.patience_of(found.document["manifest"], orders))
            os.rename(part, memory)
        except MeshError:
            # It may have been done, and libvirt have died before it could say so: then the image is all that is left of the memory.
            with contextlib.suppress(MeshError):
                state.settle(host, name)
            if not os.path.exists(memory):
                raise
        os.chmod(memory, 0o600)
        unplug(host, name)
        if flush:
            durable.flush(host.places, name)

    return Step(found.document, act)


def stop(host: state.Host, found: state.Found, orders: home.Orders, timeout: float, force: bool) -> Step:
    """End a running instance by its power button, or a suspended one by dropping its memory image (only with *force*).

    Raises:
        Refused: it is suspended, and *force* is not set.
    """
    name, memory = found.name, host.places.memory(found.name)
    if found.state == "suspended" and not force:
        raise Refused(f"{name} is suspended: to stop it would lose its memory, which has to be forced.")

    def act() -> None:
        epochs.grant(host.places, name, orders.epoch)
        if found.state == "running":
            _switch_off(host, name, timeout, force)
            unplug(host, name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(memory)

    return Step(found.document, act)


def remove(host: state.Host, found: state.Found, epoch: int, timeout: float, force: bool) -> Step:
    """End an instance if it lives, delete all it has here, and give up the right to run it here in *epoch*.

    Raises:
        Refused: this RM knows of a newer epoch.
    """
    epochs.check_fence(host.places, found.name, epoch)

    def act() -> None:
        if found.live:
            _switch_off(host, found.name, timeout, force)
            unplug(host, found.name)
        epochs.fence(host.places, found.name, epoch)
        home.discard(host.places, found.name)

    return Step({}, act)


def _give_disks(host: state.Host, name: str, manifest: t.Mapping[str, t.Any]) -> None:
    """Let QEMU write to the overlays of an instance; libvirt may have given them to root when a guest ended that an older release had started."""
    for disk in manifest["disks"]:
        disks.give_to_qemu(host.places.overlay(name, disk["name"]))


def _boot(host: state.Host, name: str, document: t.Mapping[str, t.Any], xml: str) -> None:
    """Make the guest paused, and let it run only when its port is guarded; a crash in between leaves a guest that never ran, and says so."""
    starting = host.places.starting(name)
    with open(starting, "wb"):
        pass
    try:
        host.hypervisor.create_paused(xml, name)
        _plug(host, name, document)
        host.hypervisor.unpause(name)
    except BaseException:
        host.hypervisor.destroy(name)
        os.unlink(starting)
        raise
    os.unlink(starting)


def _wake(host: state.Host, name: str, document: t.Mapping[str, t.Any], xml: str, timeout: float) -> None:
    """Restore the guest paused, take its memory image out of use, and only then let it run: no crash in between leads to two lives from one image.

    The memory of a capsule is a link here, and it is the link that is taken out of use: this instance comes from it once, and others may, too.
    """
    memory, used = host.places.memory(name), f"{host.places.memory(name)}.used"
    xml = domain_xml.as_saved(xml, saved.genid(memory))
    try:
        with saved.readable_as(memory, name, xml, host.places.pipe(name)) as image:
            host.hypervisor.restore_paused(name, image, xml, timeout)
        # Before the image is out of use, so that settle() need not ask whether a guest that it lets go on is guarded.
        _plug(host, name, document)
        os.rename(memory, used)
        host.hypervisor.unpause(name)
    except BaseException:
        # Only a guest that is still paused never ran; the image of any other is spent.
        if host.hypervisor.state(name) in state.STILL:
            host.hypervisor.destroy(name)
            with contextlib.suppress(MeshError):
                unplug(host, name)
            if os.path.exists(used):
                os.rename(used, memory)
        raise
    os.unlink(used)


def _plug(host: state.Host, name: str, document: t.Mapping[str, t.Any]) -> None:
    guest, record = document["manifest"]["guest"], document["record"] or {}
    host.ports.guard(domain_xml.tap_name(name), document["vlan"], guest["mac"], [guest["address"]], record.get("fabric_address"))


def unplug(host: state.Host, name: str) -> None:
    """Forget what the port of a guest that is gone was allowed."""
    host.ports.release(domain_xml.tap_name(name))


def _switch_off(host: state.Host, name: str, timeout: float, force: bool) -> None:
    host.hypervisor.power_button(name)
    try:
        wait_for(lambda: host.hypervisor.state(name) is None, timeout, f"the guest of {name} shuts down")
    except DeadlineExceeded:
        if not force:
            raise
        host.hypervisor.destroy(name)
