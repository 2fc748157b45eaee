# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What we ask of libvirt, in our words: live domains, making, saving, restoring and ending them."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import traceback
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, NotFound

try:
    import libvirt
except ImportError:
    libvirt = None
    LIBVIRT_IMPORT_ERROR = traceback.format_exc()
else:
    LIBVIRT_IMPORT_ERROR = None

#: (name, traceback of the failed import or None) of each library that this engine needs.
LIBRARIES = (("libvirt", LIBVIRT_IMPORT_ERROR),)
URI = "qemu:///system"
#: Where libvirt itself is reached (https://libvirt.org/uri.html).
SOCKET = "/run/libvirt/libvirt-sock"
#: Where libvirt notes the process of each live domain.
PIDS = "/run/libvirt/qemu"
#: The sockets over which a live domain leaves and arrives, by their names in a directory that both hosts call the same.
WAYS = ("control", "memory", "disks")
#: Bytes of a picture that are read at once.
_PART = 65536
#: Seconds between two attempts to reach a guest agent.
_PAUSE = 0.25


class Hypervisor:
    """The libvirt of this host. Domains are transient: libvirt forgets them when they end, so it keeps no second truth."""

    def __init__(self, connection: t.Any) -> None:
        self._connection = connection

    @classmethod
    def connect(cls) -> Hypervisor:
        """Connect to the system libvirt; its habit of printing errors is silenced, since we raise them.

        Raises:
            CommandFailed: libvirt cannot be reached.
        """
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        with _saying("be reached"):
            return cls(libvirt.open(URI))

    def again(self) -> Hypervisor:
        """Connect to the same libvirt once more; raises CommandFailed when it cannot be reached."""
        with _saying("be reached"):
            return type(self)(libvirt.open(self._connection.getURI()))

    def version(self) -> str:
        """Return the versions of libvirt and QEMU as one opaque word."""
        with _saying("tell its version"):
            return f"{self._connection.getLibVersion()}-{self._connection.getVersion()}"

    def capabilities_xml(self) -> str:
        """Return libvirt's capabilities document."""
        with _saying("tell its capabilities"):
            return self._connection.getCapabilities()

    def domain_capabilities_xml(self, machine: str, domain_type: str) -> str:
        """Return libvirt's domain capabilities document for an x86_64 *machine* type and *domain_type* (kvm or qemu)."""
        with _saying("tell the capabilities of its domains"):
            return self._connection.getDomainCapabilities(None, "x86_64", machine, domain_type, 0)

    def live(self) -> dict[str, str]:
        """Return the name of each live domain with its state.

        C(running), C(paused), C(halted) (paused by QEMU itself, since it could not go on), C(moving) (paused in the middle of a move, at either end, not yet
        there, or just restored) or C(ending).
        """
        with _saying("list its domains"):
            return {domain.name(): _state(domain) for domain in self._connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)}

    def state(self, name: str) -> str | None:
        """Return the state of the live domain *name* as in live(), or None when it is not live."""
        try:
            domain = self._lookup(name)
            with _saying(f"tell the state of {name}"):
                return _state(domain) if domain.isActive() else None
        except NotFound:
            return None

    def why_halted(self, name: str) -> str:
        """Return why QEMU has paused the live domain *name*, as a sentence without its end; QEMU does so when a disk has no room (its C(werror=enospc))."""
        domain = self._lookup(name)
        with _saying(f"tell why {name} is paused"):
            errors = domain.diskErrors()
        full = sorted(disk for disk, error in errors.items() if error == libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE)
        failed = sorted(errors.keys() - set(full))
        if full:
            return f"there was no room left on the RM for what it wrote to {' and '.join(full)}"
        return f"the RM could not read or write {' and '.join(failed) or 'a disk'} of it"

    def create_paused(self, xml: str, name: str) -> None:
        """Make a transient domain from *xml* that does not run one instruction yet."""
        with _saying(f"start {name}"):
            self._connection.createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED)

    def save(self, name: str, path: str, timeout: float) -> None:
        """Write CPU, memory and devices of the running domain *name* to *path* and end it, so that a restore runs at once.

        Raises:
            CommandFailed: libvirt could not; the domain goes on.
            DeadlineExceeded: it took longer than *timeout* seconds and was broken off; the domain goes on.
        """
        domain = self._lookup(name)
        with _deadline(timeout, domain.abortJob, f"libvirt saves {name}"), _saying(f"save {name}"):
            domain.saveFlags(path, None, libvirt.VIR_DOMAIN_SAVE_RUNNING)

    def copy_memory(self, name: str, path: str, timeout: float) -> None:
        """Write CPU, memory and devices of the paused domain *name* to *path*, as save() does. It stays paused, and its images are complete until it runs.

        Raises:
            CommandFailed: libvirt could not; the domain stays paused.
            DeadlineExceeded: it took longer than *timeout* seconds and was broken off; the domain stays paused.
        """
        domain = self._lookup(name)
        # To libvirt it is a snapshot (https://libvirt.org/formatsnapshot.html) of memory and no disk, which nobody is to remember.
        wanted = ET.Element("domainsnapshot")
        ET.SubElement(wanted, "memory", snapshot="external", file=path)
        disks = ET.SubElement(wanted, "disks")
        for target in _described(domain).findall("devices/disk/target"):
            ET.SubElement(disks, "disk", name=target.attrib["dev"], snapshot="no")
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
        with _deadline(timeout, domain.abortJob, f"libvirt copies the memory of {name}"), _saying(f"copy the memory of {name}"):
            domain.snapshotCreateXML(ET.tostring(wanted, encoding="unicode"), flags)

    def restore_paused(self, name: str, path: str, xml: str, timeout: float) -> None:
        """Bring *name* back from *path* with our own *xml*, loaded but not running one instruction yet.

        Raises:
            CommandFailed: libvirt could not; there is no live domain.
            DeadlineExceeded: it took longer than *timeout* seconds and was broken off; there is no live domain.
        """
        with _deadline(timeout, lambda: self.destroy(name), f"libvirt restores {name}"), _saying(f"restore {name}"):
            self._connection.restoreFlags(path, xml, libvirt.VIR_DOMAIN_SAVE_PAUSED)

    def genid(self, name: str) -> str | None:
        """Return the VM generation ID of a live domain, or None if it has none."""
        return _described(self._lookup(name)).findtext("genid")

    def move(self, name: str, ways: str, xml: str, timeout: float) -> None:
        """Bring the running domain *name* to another host, with all that its topmost images hold, while it runs. There it is paused then, here it is gone.

        A guest that writes faster than its memory can be sent is slowed down (https://libvirt.org/migration.html). One that QEMU emulates stands still while
        its memory is sent: before version 9.0 QEMU forgets some of what such a guest writes meanwhile.

        Args:
            name: the domain.
            ways: the directory with the sockets WAYS: libvirt of the other host behind the first, and its end of the others called the same there.
            xml: what it is there; its images are there already, the topmost ones empty.
            timeout: seconds.

        Raises:
            CommandFailed: libvirt could not; the domain goes on here, if it is here still.
            DeadlineExceeded: it took longer than *timeout* seconds and was broken off; the domain goes on here, if it is here still.
        """
        domain = self._lookup(name)
        control, memory, disks = (os.path.join(ways, each) for each in WAYS)
        parameters = {
            libvirt.VIR_MIGRATE_PARAM_URI: f"unix://{memory}",
            libvirt.VIR_MIGRATE_PARAM_DISKS_URI: f"unix://{disks}",
            libvirt.VIR_MIGRATE_PARAM_DEST_XML: xml,
        }
        flags = libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_PAUSED | libvirt.VIR_MIGRATE_NON_SHARED_INC | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
        if _described(domain).get("type") == "kvm":
            flags |= libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_AUTO_CONVERGE
        with _deadline(timeout, domain.abortJob, f"libvirt moves {name}"), _saying(f"move {name}"):
            domain.migrateToURI3(f"qemu+unix:///system?socket={control}", parameters, flags)

    def arrived(self, name: str) -> dict[str, t.Any]:
        """Return what libvirt says of how a domain came here alive: C(bytes_wire) of its memory, and C(downtime), seconds for which it stood still for that."""
        domain = self._lookup(name)
        with _saying(f"tell how {name} was moved"):
            told = domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
        return {"bytes_wire": told.get("memory_processed", 0), "downtime": told.get("downtime", 0) / 1000}

    def pause(self, name: str) -> None:
        """Stop the CPUs of a running domain."""
        domain = self._lookup(name)
        with _saying(f"pause {name}"):
            domain.suspend()

    def unpause(self, name: str) -> None:
        """Let the CPUs of a paused domain run."""
        domain = self._lookup(name)
        with _saying(f"resume {name}"):
            domain.resume()

    def set_time(self, name: str, timeout: float) -> None:
        """Have the guest agent of the running domain *name* set the guest's clock to this host's.

        Raises:
            CommandFailed: there is no agent, or it did not do it within *timeout* seconds, or it could not.
        """
        domain = self._lookup(name)
        end = time.monotonic() + timeout
        while True:
            try:
                with _saying(f"set the clock of {name}"):
                    domain.agentSetResponseTimeout(max(1, int(end - time.monotonic())), 0)
                    now = time.time_ns()
                    return domain.setTime({"seconds": now // 10**9, "nseconds": now % 10**9}, 0)
            except CommandFailed:
                # libvirt hears of an agent that was there before some moments after the guest has gone on.
                if time.monotonic() + _PAUSE >= end:
                    raise
                time.sleep(_PAUSE)

    def picture(self, name: str, timeout: float, longest: int) -> bytes | None:
        """Return what the screen of the live domain *name* shows, as a portable pixmap; None where it has none, or more than *longest* bytes of it.

        Raises:
            CommandFailed: libvirt could not.
            DeadlineExceeded: it took longer than *timeout* seconds and was broken off.
        """
        domain = self._lookup(name)
        if _described(domain).find("devices/video") is None:
            return None
        stream, seen = self._connection.newStream(0), bytearray()
        with _deadline(timeout, stream.abort, f"libvirt takes a picture of {name}"), _saying(f"take a picture of {name}"):
            domain.screenshot(stream, 0, 0)
            while (part := stream.recv(_PART)) and len(seen) <= longest:
                seen += part
            if len(seen) > longest:
                stream.abort()
                return None
            stream.finish()
        return bytes(seen)

    def power_button(self, name: str) -> None:
        """Press the guest's ACPI power button; a guest may ignore that."""
        with contextlib.suppress(NotFound):
            domain = self._lookup(name)
            with _saying(f"shut {name} down"):
                domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)

    def destroy(self, name: str) -> None:
        """End a domain at once, as pulling the plug does; its disk writes that QEMU has accepted are flushed. A domain that is gone is no error."""
        with contextlib.suppress(NotFound):
            domain = self._lookup(name)
            with _saying(f"end {name}"):
                domain.destroyFlags(libvirt.VIR_DOMAIN_DESTROY_GRACEFUL)

    def _lookup(self, name: str) -> t.Any:
        with _saying(f"look for {name}"):
            return self._connection.lookupByName(name)


def pid(name: str) -> int | None:
    """Return the process of the live domain *name*, or None if libvirt noted none."""
    try:
        with open(os.path.join(PIDS, f"{name}.pid"), encoding="ascii") as handle:
            return int(handle.read())
    except (FileNotFoundError, ValueError):
        return None


@contextlib.contextmanager
def watched(name: str) -> t.Iterator[t.Callable[..., bool]]:
    """Watch the process of the live domain *name* while the block runs, which gets a function that tells whether it has ended.

    It waits for that as many seconds as it is told, if any. Unknown is not ended.
    """
    process = pid(name)
    try:
        descriptor = os.pidfd_open(process) if process else None
    except OSError:
        descriptor = None
    try:
        yield lambda patience=0.0: bool(select.select([descriptor] if descriptor is not None else [], [], [], patience)[0])
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _described(domain: t.Any) -> ET.Element:
    with _saying(f"describe {domain.name()}"):
        return ET.fromstring(domain.XMLDesc(0))


def _state(domain: t.Any) -> str:
    state, reason = domain.state()
    if state == libvirt.VIR_DOMAIN_PAUSED and reason == libvirt.VIR_DOMAIN_PAUSED_IOERROR:
        return "halted"
    if state == libvirt.VIR_DOMAIN_PAUSED and reason in (libvirt.VIR_DOMAIN_PAUSED_MIGRATION, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP):
        return "moving"
    if state in (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED):
        return "running"
    return "paused" if state in (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PMSUSPENDED) else "ending"


@contextlib.contextmanager
def _saying(what: str) -> t.Iterator[None]:
    """Turn libvirt's errors into ours; *what* ends the sentence "libvirt could not ..."."""
    try:
        yield
    except libvirt.libvirtError as exc:
        if exc.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            raise NotFound(f"libvirt knows no such domain when asked to {what}.") from exc
        raise CommandFailed(f"libvirt could not {what}: {exc.get_error_message() or exc}") from exc


@contextlib.contextmanager
def _deadline(timeout: float, give_up: t.Callable[[], t.Any], what: str) -> t.Iterator[None]:
    """Call *give_up* after *timeout* seconds, which makes the blocking libvirt call inside fail."""
    late = threading.Event()

    def ring() -> None:
        late.set()
        # What is broken off may have ended in this very moment.
        with contextlib.suppress(CommandFailed, libvirt.libvirtError):
            give_up()

    timer = threading.Timer(timeout, ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    except CommandFailed as exc:
        if late.is_set():
            raise DeadlineExceeded(f"This did not end within {timeout:g} s and was broken off: {what}.") from exc
        raise
    finally:
        timer.cancel()
