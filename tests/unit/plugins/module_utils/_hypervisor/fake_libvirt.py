# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A libvirt with domains made of air: what the real one would do to names, states and save images, and failures on demand."""

from __future__ import annotations

import io
import os
import re
import struct
import uuid
import weakref
import xml.etree.ElementTree as ET

#: struct _virQEMUSaveHeader of libvirt's qemu_saveimage.h
HEADER = struct.Struct("<16s5I56x")
VIR_ERR_NO_DOMAIN = 42
VIR_ERR_OPERATION_INVALID = 55
VIR_CONNECT_LIST_DOMAINS_ACTIVE = 1
VIR_DOMAIN_RUNNING, VIR_DOMAIN_BLOCKED, VIR_DOMAIN_PAUSED, VIR_DOMAIN_SHUTDOWN, VIR_DOMAIN_PMSUSPENDED = 1, 2, 3, 4, 7
VIR_DOMAIN_START_PAUSED = 1
VIR_DOMAIN_SAVE_RUNNING, VIR_DOMAIN_SAVE_PAUSED = 2, 4
VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA, VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC = 16, 128
VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN = 1
VIR_DOMAIN_DESTROY_GRACEFUL = 1
VIR_DOMAIN_PAUSED_USER, VIR_DOMAIN_PAUSED_MIGRATION, VIR_DOMAIN_PAUSED_IOERROR, VIR_DOMAIN_PAUSED_STARTING_UP = 1, 2, 5, 11
VIR_DOMAIN_DISK_ERROR_UNSPEC, VIR_DOMAIN_DISK_ERROR_NO_SPACE = 1, 2
VIR_DOMAIN_JOB_STATS_COMPLETED = 1
VIR_MIGRATE_LIVE, VIR_MIGRATE_PEER2PEER, VIR_MIGRATE_PAUSED, VIR_MIGRATE_NON_SHARED_INC = 1, 2, 32, 128
VIR_MIGRATE_ABORT_ON_ERROR, VIR_MIGRATE_AUTO_CONVERGE = 4096, 8192
VIR_MIGRATE_PARAM_URI, VIR_MIGRATE_PARAM_DISKS_URI, VIR_MIGRATE_PARAM_DEST_XML = "migrate_uri", "disks_uri", "destination_xml"

CAPABILITIES = """<capabilities><guest><os_type>hvm</os_type><arch name='x86_64'>
<machine canonical='pc-i440fx-7.2' maxCpus='255'>pc</machine><machine maxCpus='255'>pc-i440fx-7.2</machine><machine maxCpus='288'>pc-q35-7.2</machine>
<domain type='kvm'/></arch></guest><guest><arch name='aarch64'><machine>virt-7.2</machine></arch></guest></capabilities>"""
DOMAIN_CAPABILITIES = """<domainCapabilities><cpu><mode name='host-model' supported='yes'><model>EPYC</model></mode><mode name='custom' supported='yes'>
<model usable='yes'>qemu64</model><model usable='no'>Icelake-Server</model></mode></cpu></domainCapabilities>"""


class libvirtError(Exception):
    """As libvirt's."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code

    def get_error_code(self) -> int:
        return self.code

    def get_error_message(self) -> str:
        return str(self)


def registerErrorHandler(_function, _context):
    """Nothing to silence."""


class Crash(BaseException):
    """The module's process dies at this point."""


def write_image(path, xml, life):
    """Write a save image whose stream is one line."""
    data = xml.encode() + b"\0" + bytes(1000)
    with io.open(path, "wb") as handle:
        handle.write(HEADER.pack(b"LibvirtQemudSave", 2, len(data), 1, 0, 0) + data + life.encode() + b"\n")


def read_image(path):
    """Return the XML and the stream of a save image, read as it comes: it may be a pipe that stays open."""
    with io.open(path, "rb", buffering=0) as handle:

        def exactly(count):
            got = b""
            while len(got) < count and (more := handle.read(count - len(got))):
                got += more
            return got

        magic, version, length, running, compressed, unused = HEADER.unpack(exactly(HEADER.size))
        if (magic, version, running, compressed) != (b"LibvirtQemudSave", 2, 1, 0):
            raise libvirtError("no save image")
        xml, life = exactly(length).partition(b"\0")[0], b""
        while not life.endswith(b"\n"):
            life += exactly(1)
        return ET.fromstring(xml), life.decode().strip()


_OPEN: weakref.WeakValueDictionary[str, Connection] = weakref.WeakValueDictionary()


def open(uri: str) -> Connection:  # pylint: disable=redefined-builtin
    """Connect to the libvirt with this URI once more."""
    return _OPEN[uri]


class Connection:
    """One host's libvirt.

    Attributes:
        domains: live domains by name.
        fail: calls that fail, by name; the value is raised (before anything happens, or after it if the name ends in "!").
        lives: for each guest that ever ran an instruction, (name, image it came from).
        obeys: whether guests follow the power button.
        peer: the other host's libvirt, where domains can be moved to.
        on_the_way: called when a domain that is moved is nearly there.
        last_word: called when it is there, and paused here until libvirt has cleared it away.
    """

    def __init__(self) -> None:
        self.domains: dict[str, Domain] = {}
        self.fail: dict[str, BaseException] = {}
        self.lives: list[tuple[str, str]] = []
        self.obeys = True
        self.peer: Connection | None = None
        self.on_the_way = lambda: None
        self.last_word = lambda: None
        self.calls: list[str] = []

    def called(self, what: str) -> None:
        self.calls.append(what)
        if what in self.fail:
            raise self.fail[what]

    def getURI(self) -> str:
        uri = f"test:///{id(self)}"
        _OPEN[uri] = self
        return uri

    def getLibVersion(self) -> int:
        return 9000000

    def getVersion(self) -> int:
        return 7002000

    def getCapabilities(self) -> str:
        self.called("getCapabilities")
        return CAPABILITIES

    def getDomainCapabilities(self, _emulator, arch, _machine, domain_type, _flags) -> str:
        assert (arch, domain_type) in (("x86_64", "qemu"), ("x86_64", "kvm"))
        return DOMAIN_CAPABILITIES

    def newStream(self, _flags):
        return Stream()

    def listAllDomains(self, _flags):
        return list(self.domains.values())

    def lookupByName(self, name):
        if name not in self.domains:
            raise libvirtError(f"Domain not found: no domain with matching name '{name}'", VIR_ERR_NO_DOMAIN)
        return self.domains[name]

    def createXML(self, xml, flags):
        assert flags == VIR_DOMAIN_START_PAUSED
        self.called("createXML")
        self._add(xml, VIR_DOMAIN_PAUSED, "boot")
        self.called("createXML!")

    def restoreFlags(self, path, xml, flags):
        assert flags == VIR_DOMAIN_SAVE_PAUSED
        said, life = read_image(path)
        self.called("restoreFlags")
        if any(said.findtext(what) != ET.fromstring(xml).findtext(what) for what in ("name", "uuid", "genid")):
            raise libvirtError("not this domain's image")
        # What libvirt calls a domain that was restored paused.
        self._add(xml, VIR_DOMAIN_PAUSED, life).reason = VIR_DOMAIN_PAUSED_MIGRATION
        self.called("restoreFlags!")

    def _add(self, xml, state, origin):
        name = ET.fromstring(xml).findtext("name")
        if name in self.domains:
            raise libvirtError(f"domain '{name}' is already active", VIR_ERR_OPERATION_INVALID)
        # As libvirt does: whatever is started or restored gets a new VM generation ID, if it has any.
        xml = re.sub(r"<genid( />|>[^<]*</genid>)", f"<genid>{uuid.uuid4()}</genid>", xml)
        self.domains[name] = Domain(self, name, xml, state, origin)
        return self.domains[name]


class Stream:
    """What libvirt sends, part by part."""

    left: list[bytes]

    def recv(self, _size):
        return self.left.pop(0)

    def finish(self):
        assert not self.left

    def abort(self):
        self.left.clear()


class Domain:
    """A live domain."""

    images = 0

    def __init__(self, connection: Connection, name: str, xml: str, state: int, origin: str) -> None:
        self.connection, self._name, self.xml, self.current, self.origin = connection, name, xml, state, origin
        self.reason = 0
        self.ran = False
        self.errors: dict[str, int] = {}
        self.clock: float | None = None

    def name(self):
        return self._name

    def isActive(self):
        return self._name in self.connection.domains

    def state(self):
        return [self.current, self.reason]

    def screenshot(self, stream, screen, flags):
        assert screen == flags == 0
        self.connection.called("screenshot")
        stream.left = [b"P6", b" ...", b""]

    def agentSetResponseTimeout(self, seconds, flags):
        assert isinstance(seconds, int) and seconds >= 1 and flags == 0

    def setTime(self, moment, flags):
        assert self.current == VIR_DOMAIN_RUNNING and flags == 0 and 0 <= moment["nseconds"] < 10**9
        self.connection.called("setTime")
        self.clock = moment["seconds"] + moment["nseconds"] / 10**9

    def diskErrors(self):
        return self.errors

    def halt(self, **errors):
        """Be paused by QEMU for errors of disks."""
        self.current, self.reason, self.errors = VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR, errors

    def XMLDesc(self, _flags):
        return self.xml

    def jobStats(self, flags):
        assert flags == VIR_DOMAIN_JOB_STATS_COMPLETED
        return {"memory_processed": 90 << 20, "downtime": 210}

    def migrateToURI3(self, uri, parameters, flags):
        assert flags in (2 | 32 | 128 | 4096, 1 | 2 | 32 | 128 | 4096 | 8192) and uri.startswith("qemu+unix:///system?socket=/")
        self.connection.called("migrateToURI3")
        wanted, peer = parameters[VIR_MIGRATE_PARAM_DEST_XML], self.connection.peer
        assert ET.fromstring(wanted).findtext("genid") == ET.fromstring(self.xml).findtext("genid"), "not this machine"
        moved = Domain(peer, self._name, wanted, VIR_DOMAIN_PAUSED, f"{self.origin}, moved")
        moved.reason = VIR_DOMAIN_PAUSED_MIGRATION
        assert self._name not in peer.domains
        peer.domains[self._name] = moved
        if not flags & VIR_MIGRATE_LIVE:
            self.current, self.reason = VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_MIGRATION
        try:
            self.connection.on_the_way()
            self.connection.called("migrateToURI3 fails late")
            if self._name not in peer.domains:
                raise libvirtError("the other end has ended it")
        except BaseException:
            peer.domains.pop(self._name, None)
            self.current, self.reason = VIR_DOMAIN_RUNNING, 0
            raise
        self.current, moved.reason = VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER
        self.connection.last_word()
        del self.connection.domains[self._name]
        self.connection.called("migrateToURI3!")

    def saveFlags(self, path, dxml, flags):
        assert dxml is None and flags == VIR_DOMAIN_SAVE_RUNNING
        with io.open(path, "wb") as handle:
            handle.write(b"LibvirtQemudPart\n")
        self.connection.called("saveFlags")
        Domain.images += 1
        write_image(path, self.xml, f"image {Domain.images}")
        os.chmod(path, 0o644)
        del self.connection.domains[self._name]
        self.connection.called("saveFlags!")

    def snapshotCreateXML(self, xml, flags):
        wanted = ET.fromstring(xml)
        assert flags == VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC and self.current == VIR_DOMAIN_PAUSED
        assert {disk.get("name") for disk in wanted.iterfind("disks/disk[@snapshot='no']")} == {
            target.get("dev") for target in ET.fromstring(self.xml).iterfind("devices/disk/target")
        }, "a snapshot of a disk, too"
        self.connection.called("snapshotCreateXML")
        Domain.images += 1
        write_image(wanted.find("memory[@snapshot='external']").get("file"), self.xml, f"image {Domain.images}")

    def suspend(self):
        self.connection.called("suspend")
        self.current, self.reason = VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER

    def resume(self):
        self.connection.called("resume")
        self.current, self.reason = VIR_DOMAIN_RUNNING, 0
        if VIR_DOMAIN_DISK_ERROR_UNSPEC in self.errors.values():
            self.halt(**self.errors)
        if not self.ran:
            self.connection.lives.append((self._name, self.origin))
            self.ran = True
        self.connection.called("resume!")

    def abortJob(self):
        self.connection.called("abortJob")

    def shutdownFlags(self, _flags):
        self.connection.called("shutdownFlags")
        if self.connection.obeys:
            del self.connection.domains[self._name]

    def destroyFlags(self, _flags):
        self.connection.called("destroyFlags")
        self.connection.domains.pop(self._name, None)
