# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""An instance's directory: made whole, deleted whole; and what its document says."""

from __future__ import annotations

import contextlib
import os
import shutil
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.patience import patience
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import disks, domain_xml, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places


class Orders(t.NamedTuple):
    """How an instance is to live here.

    Attributes:
        epoch: the epoch that the VMA granted.
        vlan: its domain's VLAN in this HN; None keeps the one it has.
        record: its surroundings record, kept verbatim; None keeps the one it has.
        timeout: seconds that one call of libvirt may take; None for as long as the guest's memory calls for.
    """

    epoch: int
    vlan: int | None
    record: dict | None
    timeout: float | None


def patience_of(manifest: t.Mapping[str, t.Any], orders: Orders) -> float:
    """Return how many seconds a call of libvirt may take that writes or reads the memory of a guest with this *manifest*."""
    return patience(manifest["machine"]["memory_mib"], orders.timeout)


def document(found: state.Found, manifest: dict, accelerator: str, orders: Orders) -> dict[str, t.Any]:
    """Return the document of an instance that is to live as *orders* say.

    Raises:
        Refused: nobody ever said in which VLAN it lives.
    """
    vlan = orders.vlan if orders.vlan is not None else found.document.get("vlan")
    if vlan is None:
        raise Refused(f"{found.name} was never here: say in which VLAN it is to live.")
    return {
        "name": found.name,
        "capsule": manifest["version"],
        "manifest": manifest,
        "vlan": vlan,
        "record": orders.record if orders.record is not None else found.document.get("record"),
        "accelerator": accelerator,
    }


def render(host: state.Host, name: str, content: t.Mapping[str, t.Any]) -> tuple[str, dict[str, str]]:
    """Return the domain XML of the instance with document *content*, and the paths of its blobs; all blobs are there and intact then."""
    blobs = host.capsules.blobs(content["manifest"])
    placement = domain_xml.Placement(name, content["vlan"], content["accelerator"], blobs, host.ports.virtualport)
    return domain_xml.render(content["manifest"], placement, host.places), blobs


def empty_directory(places: Places, name: str) -> str:
    """Make an empty directory that can become that of instance *name* by a rename, and return its path."""
    fresh = os.path.join(places.instances(), f".new-{name}")
    shutil.rmtree(fresh, ignore_errors=True)
    os.mkdir(fresh)
    os.chmod(fresh, 0o711)
    return fresh


def furnish(places: Places, name: str, content: dict, blobs: t.Mapping[str, str], coming: bool = False) -> None:
    """Make the directory of a fresh instance, whole: overlays, a link to the memory (if its capsule holds one), and document.

    Nothing is copied: the overlays lie over what the capsule holds, and the memory is read where it is. A guest that is *coming* alive brings its own.
    """
    fresh, manifest = empty_directory(places, name), content["manifest"]
    try:
        for disk in manifest["disks"]:
            overlay = os.path.join(fresh, os.path.basename(places.overlay(name, disk["name"])))
            base, form = (disk["overlay"], "qcow2") if manifest["memory"] else (disk["blob"], disk["format"])
            if manifest["memory"]:
                disks.check_overlay(blobs[base["sha256"]], disk["name"], disk["virtual_size"])
            disks.create_overlay(overlay, blobs[base["sha256"]], form, disk["virtual_size"])
        if coming:
            with open(os.path.join(fresh, os.path.basename(places.coming(name))), "wb"):
                pass
        elif manifest["memory"]:
            os.symlink(blobs[manifest["memory"]["blob"]["sha256"]], os.path.join(fresh, os.path.basename(places.memory(name))))
        write_json(os.path.join(fresh, os.path.basename(places.document(name))), content)
        os.rename(fresh, places.directory(name))
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def discard(places: Places, name: str) -> None:
    """Delete the directory of instance *name*; it vanishes as a whole, if there is one."""
    with contextlib.suppress(FileNotFoundError):
        gone = os.path.join(places.instances(), f".gone-{name}")
        shutil.rmtree(gone, ignore_errors=True)
        os.rename(places.directory(name), gone)
        shutil.rmtree(gone)
