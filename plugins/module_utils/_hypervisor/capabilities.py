# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What this RM can offer: capacity, machine types, CPU models; and whether it can honour what an instance pins."""

from __future__ import annotations

import os
import re
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import footprint
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import accelerator as accelerators
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.client import Hypervisor
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places

MEMINFO = "/proc/meminfo"
#: What the host keeps for itself: at least so many MiB, and at least this part of its memory.
RESERVE_MIB = 512
RESERVE_PART = 0.1
#: Other users of the file system may take or give back this part of it before a subscription changes.
DISK_DRIFT = 0.1


class Offer(t.NamedTuple):
    """What guests may be pinned to here, under one accelerator."""

    accelerator: str
    machine_types: list[str]
    cpus: list[str]


def offer(places: Places, hypervisor: Hypervisor, accelerator: str) -> Offer:
    """Return the machine types and CPU models that QEMU offers here; asked of libvirt once per version of libvirt and QEMU."""
    key = f"{hypervisor.version()}-{accelerator}"
    found = read_json(places.cache("capabilities"))
    if not found or found["key"] != key:
        machine_types = _machine_types(hypervisor.capabilities_xml())
        cpus = _cpus(hypervisor.domain_capabilities_xml(_reference(machine_types), "kvm" if accelerator == "kvm" else "qemu"))
        found = {"key": key, "machine_types": machine_types, "cpus": cpus}
        write_json(places.cache("capabilities"), found)
    return Offer(accelerator, found["machine_types"], found["cpus"])


def capacity(places: Places) -> dict[str, int]:
    """Return C(memory_mib), C(vcpus) and C(disk_bytes) that instances may be promised in all; what they use already is not taken off."""
    total = _meminfo("MemTotal")
    return {
        "memory_mib": max(0, total - max(RESERVE_MIB, int(total * RESERVE_PART))),
        "vcpus": os.cpu_count() or 1,
        "disk_bytes": int(_disk_capacity(places) * footprint.overcommit()),
    }


def _disk_capacity(places: Places) -> int:
    """Return the room for instances, which stays as told before until it has changed by a good part of the file system."""
    found = os.statvfs(places.root)
    room = found.f_bavail * found.f_frsize + _allocated(places.instances())
    told = read_json(places.cache("capacity"))
    if not told or abs(told["disk_bytes"] - room) > found.f_blocks * found.f_frsize * DISK_DRIFT:
        told = {"disk_bytes": room}
        write_json(places.cache("capacity"), told)
    return told["disk_bytes"]


def subscription(places: Places, hypervisor: Hypervisor, kernel: str | None, timeout: float) -> dict[str, t.Any]:
    """Return what the VMA must know of this RM; with *kernel*, the accelerator is probed as accelerator.probe() says."""
    places.ready()
    works = accelerators.probe(places, kernel, timeout) if kernel else accelerators.usable(places)
    offered = offer(places, hypervisor, works)
    return {**capacity(places), "machine_types": offered.machine_types, "cpus": offered.cpus, "accelerator": works}


def require(places: Places, hypervisor: Hypervisor, manifest: t.Mapping[str, t.Any], accelerator: str, pinned: str | None) -> None:
    """Make sure that this RM can run what *manifest* pins, before anything is touched.

    Args:
        places: where findings are kept.
        hypervisor: this host's libvirt.
        manifest: the capsule's manifest.
        accelerator: what works here.
        pinned: the accelerator that a memory image was taken under, or None for a cold start.

    Raises:
        Refused: it cannot; the message says what is missing.
    """
    machine = manifest["machine"]
    if pinned and pinned != accelerator:
        raise Refused(f"The memory image was taken under {pinned}, but this RM runs guests under {accelerator}.")
    offered = offer(places, hypervisor, accelerator)
    if machine["type"] not in offered.machine_types:
        raise Refused(f"This RM has no machine type {machine['type']!r}.")
    if machine["cpu"] not in offered.cpus:
        raise Refused(f"This RM cannot give a guest the CPU {machine['cpu']!r} under {accelerator}.")
    if machine["vcpus"] > (os.cpu_count() or 1):
        raise Refused(f"This RM has {os.cpu_count()} CPUs; the instance needs {machine['vcpus']}.")
    available = _meminfo("MemAvailable")
    if machine["memory_mib"] > available:
        raise Refused(f"This RM has {available} MiB of memory available; the instance needs {machine['memory_mib']} MiB.")


def _meminfo(field: str, path: str = MEMINFO) -> int:
    """Return a field of Linux' meminfo in MiB (proc(5))."""
    with open(path, encoding="ascii") as handle:
        return next(int(line.split()[1]) // 1024 for line in handle if line.startswith(f"{field}:"))


def _machine_types(document: str) -> list[str]:
    """Return the pinned (versioned) x86_64 machine types of a capabilities document; aliases such as C(pc) mean another machine on another host."""
    found = ET.fromstring(document).findall("./guest/arch[@name='x86_64']//machine")
    return sorted({machine.text for machine in found if re.search(r"-\d+(\.\d+)+$", machine.text or "")})


def _reference(machine_types: t.Sequence[str]) -> str:
    """Return the machine type to ask CPU models of; they do not depend on it."""
    return next((name for name in machine_types if name.startswith("pc-i440fx-")), machine_types[0])


def _cpus(document: str) -> list[str]:
    """Return the CPU models that a domain capabilities document calls usable."""
    found = ET.fromstring(document).findall("./cpu/mode[@name='custom']/model")
    return sorted(model.text for model in found if model.text and model.get("usable") == "yes")


def _allocated(directory: str) -> int:
    return sum(os.lstat(os.path.join(parent, name)).st_blocks * 512 for parent, _folders, files in os.walk(directory) for name in files)
