# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Domain XML, rendered from a checked manifest and the facts of a placement; never from a capsule or a save image's header.

The same manifest and placement give the same document, so an instance finds its devices where it left them
(https://libvirt.org/formatdomain.html).
"""

from __future__ import annotations

import hashlib
import re
import typing as t
import uuid
import xml.etree.ElementTree as ET

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places

BRIDGE = "br-mesh"
EMULATOR = "/usr/bin/qemu-system-x86_64"
#: Makes the UUID of an instance a function of its name (RFC 4122 section 4.3); must never change.
NAMESPACE = uuid.UUID("6f1cf5a4-3b6e-5c0e-9a5f-76d6e5b1c001")
#: The user and group whose rights QEMU has under Debian's libvirt.
QEMU_USER, QEMU_GROUP = "libvirt-qemu", "libvirt-qemu"
DISK_FORMATS = ("qcow2", "raw")
#: User space Open vSwitch computes no checksums and cuts no segments for a guest.
HOST_OFFLOADS = ("csum", "gso", "tso4", "tso6", "ecn", "ufo")
GUEST_OFFLOADS = ("csum", "tso4", "tso6", "ecn", "ufo")


class Placement(t.NamedTuple):
    """Where and how an instance is to live.

    Attributes:
        name: the instance.
        vlan: its domain's VLAN here, 1-4094.
        accelerator: C(kvm) or C(tcg).
        blobs: the path of each blob of its manifest, by SHA-256 digest.
        virtualport: what kind of port it gets; None for that of a plain bridge, whose VLAN libvirt cannot set.
    """

    name: str
    vlan: int
    accelerator: str
    blobs: t.Mapping[str, str]
    virtualport: str | None = "openvswitch"


def instance_uuid(name: str) -> str:
    """Return the UUID of instance *name*; the same on every RM."""
    return str(uuid.uuid5(NAMESPACE, name))


def tap_name(name: str) -> str:
    """Return the name of the instance's network interface on the RM (at most 15 characters)."""
    return "vm" + hashlib.sha256(name.encode()).hexdigest()[:10]


def render(manifest: t.Mapping[str, t.Any], placement: Placement, places: Places) -> str:
    """Return the domain XML of an instance.

    Raises:
        InvalidInput: the manifest or placement holds something that cannot be part of a domain.
    """
    machine = manifest["machine"]
    names.instance(placement.name)
    if placement.accelerator not in ("kvm", "tcg"):
        raise InvalidInput(f"{placement.accelerator!r} is not an accelerator: it must be kvm or tcg.")
    domain = ET.Element("domain", type="kvm" if placement.accelerator == "kvm" else "qemu")
    _text(domain, "name", placement.name)
    _text(domain, "uuid", instance_uuid(placement.name))
    # Libvirt draws it anew with every start and restore, so that a guest that knows it (as Windows and newer Linux kernels do) draws new secrets.
    ET.SubElement(domain, "genid")
    _text(domain, "memory", int(machine["memory_mib"]), unit="MiB")
    _text(domain, "vcpu", int(machine["vcpus"]))
    _boot(domain, manifest, placement)
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    cpu = ET.SubElement(domain, "cpu", mode="custom", match="exact", check="partial")
    _text(cpu, "model", machine["cpu"], fallback="forbid")
    clock = ET.SubElement(domain, "clock", offset="utc")
    if _declared(manifest, "catch_up"):
        # A guest that counts ticks of this timer would lose those for which its host had no time.
        ET.SubElement(clock, "timer", name="rtc", tickpolicy="catchup")
    _text(domain, "on_poweroff", "destroy")
    _text(domain, "on_reboot", "restart")
    _text(domain, "on_crash", "destroy")
    devices = ET.SubElement(domain, "devices")
    _text(devices, "emulator", EMULATOR)
    for index, disk in enumerate(manifest["disks"]):
        _disk(devices, index, disk, placement, places)
    _interface(devices, manifest["guest"]["mac"], placement)
    for kind in ("serial", "console"):
        device = ET.SubElement(devices, kind, type="file")
        ET.SubElement(device, "source", path=places.console(placement.name), append="on")
        ET.SubElement(device, "target", type="isa-serial" if kind == "serial" else "serial", port="0")
    if _declared(manifest, "agent"):
        channel = ET.SubElement(devices, "channel", type="unix")
        ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    rng = ET.SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")
    ET.SubElement(devices, "controller", type="usb", model="none")
    ET.SubElement(devices, "memballoon", model="none")
    # libvirt gives a guest's files to QEMU when it starts, and to root when it ends; not ours, which many guests share. What a guest may write is given to QEMU
    # one by one. Guests that are not ours have it as usual. (https://libvirt.org/formatdomain.html#security-label)
    label = ET.SubElement(domain, "seclabel", type="static", model="dac", relabel="no")
    _text(label, "label", f"{QEMU_USER}:{QEMU_GROUP}")
    ET.indent(domain)
    return ET.tostring(domain, encoding="unicode")


def as_saved(xml: str, genid: str | None) -> str:
    """Return the domain XML that a memory image can be restored with: libvirt wants the *genid* of the image (None: it has none) before it draws another."""
    return xml.replace("<genid />", "" if genid is None else f"<genid>{genid}</genid>", 1)


def _declared(manifest: t.Mapping[str, t.Any], what: str) -> bool:
    return bool(manifest.get("clock", {}).get(what))


def _boot(domain: ET.Element, manifest: t.Mapping[str, t.Any], placement: Placement) -> None:
    boot = manifest["boot"]
    os_element = ET.SubElement(domain, "os")
    _text(os_element, "type", "hvm", arch="x86_64", machine=manifest["machine"]["type"])
    if boot is None:
        ET.SubElement(os_element, "boot", dev="hd")
        return
    _text(os_element, "kernel", placement.blobs[boot["kernel"]["sha256"]])
    if boot.get("initrd"):
        _text(os_element, "initrd", placement.blobs[boot["initrd"]["sha256"]])
    if boot.get("cmdline"):
        _text(os_element, "cmdline", boot["cmdline"])


def _disk(devices: ET.Element, index: int, disk: t.Mapping[str, t.Any], placement: Placement, places: Places) -> None:
    if disk["format"] not in DISK_FORMATS or index > 25:
        raise InvalidInput(f"Disk {disk['name']!r} cannot be attached: at most 26 disks of format {' or '.join(DISK_FORMATS)} can.")
    element = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(element, "driver", name="qemu", type="qcow2", discard="unmap")
    ET.SubElement(element, "source", file=places.overlay(placement.name, disk["name"]))
    # The whole chain is spelled out, so QEMU never believes what an image's header says lies below it.
    backing = element
    for form, blob in _below(disk):
        backing = ET.SubElement(backing, "backingStore", type="file")
        ET.SubElement(backing, "format", type=form)
        ET.SubElement(backing, "source", file=placement.blobs[blob["sha256"]])
    ET.SubElement(backing, "backingStore")
    ET.SubElement(element, "target", dev=f"vd{chr(ord('a') + index)}", bus="virtio")


def _below(disk: t.Mapping[str, t.Any]) -> list[tuple[str, t.Mapping[str, t.Any]]]:
    """Return format and blob of what lies below an instance's own overlay, from top to bottom: what the capsule's memory knows as written, and the base."""
    frozen = [("qcow2", disk["overlay"])] if "overlay" in disk else []
    return [*frozen, (disk["format"], disk["blob"])]


def _interface(devices: ET.Element, mac: str, placement: Placement) -> None:
    if not isinstance(mac, str) or not re.fullmatch(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", mac):
        raise InvalidInput(f"{mac!r} is not a MAC address: it must look like '52:54:00:12:34:56'.")
    if not 1 <= int(placement.vlan) <= 4094:
        raise InvalidInput(f"{placement.vlan!r} is not a VLAN: it must be a number from 1 to 4094.")
    interface = ET.SubElement(devices, "interface", type="bridge")
    ET.SubElement(interface, "mac", address=mac)
    ET.SubElement(interface, "source", bridge=BRIDGE)
    if placement.virtualport:
        ET.SubElement(interface, "virtualport", type=placement.virtualport)
        ET.SubElement(ET.SubElement(interface, "vlan"), "tag", id=str(int(placement.vlan)))
    ET.SubElement(interface, "target", dev=tap_name(placement.name))
    ET.SubElement(interface, "model", type="virtio")
    driver = ET.SubElement(interface, "driver")
    ET.SubElement(driver, "host", dict.fromkeys(HOST_OFFLOADS, "off"))
    ET.SubElement(driver, "guest", dict.fromkeys(GUEST_OFFLOADS, "off"))


def _text(parent: ET.Element, tag: str, text: t.Any, **attributes: str) -> ET.Element:
    for value in (str(text), *attributes.values()):
        if not value.isprintable():
            raise InvalidInput(f"The {tag} of a domain must consist of printable characters, unlike {value!r}.")
    element = ET.SubElement(parent, tag, attributes)
    element.text = str(text)
    return element
