# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What an instance is on this RM: libvirt's word on whether it lives, the files for everything else."""

from __future__ import annotations

import contextlib
import os
import shutil
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import fence, footprint, names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import lock, read_json, sync, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import durable, epochs
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.client import Hypervisor, pid
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.domain_xml import tap_name
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places

#: libvirt writes this in place of C(LibvirtQemudPart) when a save image is whole (qemu_saveimage.h).
WHOLE_IMAGE = b"LibvirtQemudSave"
#: How libvirt shows a guest that stands still because it was told to; one that it has restored paused looks like one in the middle of a move.
STILL = ("paused", "moving")


class Capsules(t.NamedTuple):
    """What the life cycle asks of the capsule store.

    Attributes:
        manifest: from an instance's name and a version to the checked manifest of that capsule; raises a MeshError if it is not here.
        blobs: from a manifest to the path of each of its blobs by SHA-256 digest; raises a MeshError if one is missing or altered.
        obstacle: from a manifest to why its disk cannot boot here, as a part of a sentence; None where it can, or nobody can say.
    """

    manifest: t.Callable[[str, str], dict]
    blobs: t.Callable[[dict], dict]
    obstacle: t.Callable[[t.Mapping[str, t.Any]], t.Optional[str]]


class Ports(t.Protocol):
    """What the life cycle asks of the network that guests are plugged into.

    Attributes:
        virtualport: how libvirt is to plug a guest in (C(type) of C(<virtualport>)), or None for a plain bridge.
    """

    @property
    def virtualport(self) -> str | None: ...

    def guard(self, port: str, vlan: int, mac: str, addresses: list[str], fabric_address: str | None) -> None:
        """Let the interface *port* speak in *vlan*, with this MAC and these addresses only; until then it is mute.

        Where there is a fabric address other than the port's own, everybody else is to know it by that.
        """

    def release(self, port: str) -> None:
        """Forget what *port* was allowed; its guest is gone."""


class Host(t.NamedTuple):
    """This RM: its files, its libvirt, its capsules, its network."""

    places: Places
    hypervisor: Hypervisor
    capsules: Capsules
    ports: Ports


class Found(t.NamedTuple):
    """An instance as it was found.

    Attributes:
        name: the instance.
        state: C(running), C(suspended), C(stopped) or C(absent); what is coming and was not handed over is absent.
        live: libvirt's state of its domain, or None.
        document: its instance.json, empty when absent.
        epoch: what this RM knows of its epochs.
        paused: why its guest stands still though nothing here has it do so, as a sentence without its end; None for any other.
    """

    name: str
    state: str
    live: str | None
    document: dict
    epoch: epochs.Epoch
    paused: str | None = None


def find(host: Host, name: str) -> Found:
    """Return what instance *name* is here."""
    live = host.hypervisor.state(name)
    return _found(host.places, host.hypervisor, name, live)


@contextlib.contextmanager
def held(host: Host, name: str, timeout: float, check: bool, lease: int | None = None) -> t.Iterator[Found]:
    """Hold instance *name* alone (waiting up to *timeout* seconds for that), for an operation with a *lease*, and yield what it is here.

    Unless in *check* mode, what a crash left half done is brought to an end first.

    Raises:
        Refused: this host is no RM, or has acted under a later lease.
        DeadlineExceeded: another call held it all the time.
    """
    with lock(host.places.ready().lock(name), f"instance {name}", timeout):
        fence.follow({} if lease is None else {name: lease}, check, host.places.leases())
        if not check:
            settle(host, name)
        yield find(host, name)


def find_all(host: Host) -> list[Found]:
    """Return all instances that are here, by name."""
    return _find_all(host.places, host.hypervisor)


def memory_bytes(places: Places, name: str) -> int | None:
    """Return how many bytes the memory image of a suspended instance takes, or None when there is none."""
    return footprint.occupied(places.memory(name))


def overlay_bytes(places: Places, found: Found) -> int:
    """Return how many bytes the overlays of an instance take."""
    return sum(footprint.occupied(places.overlay(found.name, disk["name"])) or 0 for disk in found.document["manifest"]["disks"])


def settle(host: Host, name: str) -> None:
    """Bring to an end what a crash left half done; the caller holds the instance's lock.

    A memory image is taken out of use before the CPUs of the guest that came from it run. So a paused domain beside its image never ran
    and can be had from it again, and an image out of use is never used again; a guest that is still paused then goes on. A paused domain
    whose start was never brought to an end did not run either. One that stood still for a copy of its memory goes on. One that was coming
    from another RM may be the only one that there is; what was handed over is this RM's, and goes on. What this RM has failed too early for is dropped.
    """
    memory = host.places.memory(name)
    live = host.hypervisor.state(name)
    arrived = _arrived(host.places, name)
    if os.path.exists(host.places.coming(name)) and not arrived:
        if live is None:
            shutil.rmtree(host.places.directory(name))
            host.ports.release(tap_name(name))
        return
    if live in STILL and _unborn(host.places, name):
        host.hypervisor.destroy(name)
        live = None
    elif live in STILL and (arrived or _goes_on(host.places, name)):
        host.hypervisor.unpause(name)
    if arrived:
        os.unlink(host.places.coming(name))
        sync(host.places.directory(name))
    document = read_json(host.places.document(name)) or {}
    if live is None and durable.doubtful(document):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(memory)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{memory}.part")
        if not durable.torn(host.places, name, document):
            durable.believe(host.places, name)
    if live is None and _whole(f"{memory}.part"):
        os.rename(f"{memory}.part", memory)
    for leftover in (f"{memory}.part", f"{memory}.used", host.places.starting(name), host.places.still(name), host.places.pipe(name)):
        if os.path.lexists(leftover):
            os.unlink(leftover)
    if live is None:
        host.ports.release(tap_name(name))


def write(places: Places, name: str, changes: dict[str, t.Any]) -> None:
    """Change fields of the document of instance *name*."""
    write_json(places.document(name), {**(read_json(places.document(name)) or {}), **changes})


def coming(places: Places, name: str) -> bool:
    """Whether instance *name* is on its way here alive, and was not handed over."""
    return os.path.exists(places.coming(name)) and not _arrived(places, name)


def summary(found: Found) -> dict[str, t.Any]:
    """Return what a module tells of an instance: C(name), C(state), C(epoch), C(here), C(capsule), C(vlan), C(accelerator), and why it is C(paused)."""
    return {
        "name": found.name,
        "state": found.state,
        "epoch": found.epoch.number,
        "here": found.epoch.here,
        **{key: found.document.get(key) for key in ("capsule", "vlan", "accelerator")},
        **({"paused": found.paused} if found.paused else {}),
    }


def require_running(found: Found, what: str) -> None:
    """Raise Refused unless the guest of a live instance runs, so that it *what* (as C(can be suspended)); the sentence says what is to be done."""
    if found.paused:
        raise Refused(f"{found.name} cannot {what}: its guest is paused, for {found.paused}. Mend that and resume it first.")
    if found.live != "running":
        raise Refused(f"{found.name} cannot {what}: its guest is {found.live}, not running.")


def leaves(found: Found) -> bool:
    """Whether it was on its way to another RM alive when its guest ended here: it may be paused there, with all that is in its memory."""
    said = found.document.get("leaving")
    # Older releases noted the epoch alone.
    epoch = said["epoch"] if isinstance(said, dict) else said
    return epoch is not None and epoch > found.epoch.number


def details(places: Places, found: Found) -> dict[str, t.Any]:
    """Return summary() and what is needed to rebuild a registry or to look closer."""
    return {
        **summary(found),
        "domain_state": found.live,
        "pid": pid(found.name) if found.live else None,
        "memory_bytes": memory_bytes(places, found.name),
        "overlay_bytes": overlay_bytes(places, found),
        "interface": tap_name(found.name),
        "manifest": found.document["manifest"],
        "record": found.document["record"],
    }


def tell(host: Host, name: str | None) -> list[dict[str, t.Any]]:
    """Return details() of all instances that are here, or of *name* only."""
    host.places.ready()
    found = find_all(host) if name is None else [find(host, name)]
    return [details(host.places, each) for each in found if each.document]


def holdings(places: Places, hypervisor: Hypervisor) -> list[dict[str, t.Any]]:
    """Return what lives here or could, not what was handed over: C(name), C(state), C(epoch), and the C(lease) that was acted under last (0)."""
    there = [each for each in _find_all(places, hypervisor) if each.document and (each.epoch.here or each.state == "running")]
    return [{"name": each.name, "state": each.state, "epoch": each.epoch.number, "lease": fence.latest(each.name, places.leases())} for each in there]


def _find_all(places: Places, hypervisor: Hypervisor) -> list[Found]:
    live = hypervisor.live()
    return [_found(places, hypervisor, name, live.get(name)) for name in sorted(os.listdir(places.instances())) if _is_instance(name)]


def _found(places: Places, hypervisor: Hypervisor, name: str, live: str | None) -> Found:
    memory = places.memory(name)
    document = read_json(places.document(name)) or {}
    if coming(places, name):
        return Found(name, "absent", live, {}, epochs.known(places, name))
    doubtful = live is None and durable.doubtful(document)
    if live and not (live in STILL and _unborn(places, name)):
        return Found(name, "running", live, document, epochs.known(places, name), _paused(places, hypervisor, name, live))
    if not doubtful and (os.path.exists(memory) or (live is None and _whole(f"{memory}.part"))):
        state = "suspended"
    else:
        state = "stopped" if document else "absent"
    return Found(name, state, live, document, epochs.known(places, name))


def _paused(places: Places, hypervisor: Hypervisor, name: str, live: str) -> str | None:
    """Return why a live guest stands still, as Found has it."""
    if live == "halted":
        with contextlib.suppress(NotFound):
            return hypervisor.why_halted(name)
    if live == "paused" and not _goes_on(places, name) and not os.path.exists(places.coming(name)):
        return "somebody has paused it by hand"
    return None


def _goes_on(places: Places, name: str) -> bool:
    """Whether a guest stands still only until what holds it here has come to its end."""
    return os.path.exists(f"{places.memory(name)}.used") or os.path.exists(places.still(name))


def _arrived(places: Places, name: str) -> bool:
    """Whether an instance that is marked as coming was handed over: the mark may outlast a crash, and come back after a power cut; the epoch decides.

    The right to run it here may also be that of a former life, which was given up for nothing that this RM was told. So it is that of this arrival that counts.
    """
    epoch = epochs.known(places, name)
    awaited = (read_json(places.document(name)) or {}).get("coming")
    return os.path.exists(places.coming(name)) and awaited is not None and epoch.here and epoch.number >= awaited


def _unborn(places: Places, name: str) -> bool:
    """Whether a guest that is paused never ran: its memory image is still in use, or its start has not come to its end."""
    return os.path.exists(places.memory(name)) or os.path.exists(places.starting(name))


def _is_instance(name: str) -> bool:
    try:
        return bool(names.instance(name))
    except InvalidInput:
        return False


def _whole(path: str) -> bool:
    try:
        with open(path, "rb") as handle:
            return handle.read(len(WHOLE_IMAGE)) == WHOLE_IMAGE
    except FileNotFoundError:
        return False
