# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Giving a suspended instance to another RM, and taking one over: which files and facts make it up."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import accelerator, capabilities, disks, durable, epochs, home, operations, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places


def files(places: Places, found: state.Found) -> dict[str, str]:
    """Return the paths of the files that make up a suspended instance, by the names that adopt() expects."""
    overlays = {f"disk-{disk['name']}": places.overlay(found.name, disk["name"]) for disk in found.document["manifest"]["disks"]}
    return {"memory": places.memory(found.name), **overlays}


def note(found: state.Found) -> dict[str, t.Any]:
    """Return what adopt() must know of an instance besides its files."""
    return {"name": found.name, **{key: found.document[key] for key in ("manifest", "accelerator", "record")}, "asleep": found.document.get("asleep")}


def adopt(host: state.Host, found: state.Found, arrived: t.Mapping[str, str], said: t.Mapping[str, t.Any], orders: home.Orders) -> operations.Step:
    """Take over a suspended instance that was brought here; it is suspended here then, but not flushed (see C(durable)).

    Args:
        host: this RM.
        found: what is here under its name.
        arrived: paths of C(memory) and of C(disk-NAME) for each disk, on the file system of the instances; they are moved.
        said: what note() said where it came from.
        orders: how it is to live here.

    Raises:
        Refused: it lives here, or this RM cannot or must not run it, or the files are not those of such an instance.
    """
    name, manifest = found.name, said["manifest"]
    if found.live:
        raise Refused(f"{name} lives on this RM already.")
    wanted = {"memory", *(f"disk-{disk['name']}" for disk in manifest["disks"])}
    if set(arrived) != wanted or said["name"] != name or not all(map(os.path.exists, arrived.values())):
        raise Refused(f"What arrived for {name} is not its memory and disks.")
    epochs.check_grant(host.places, name, orders.epoch)
    for disk in manifest["disks"]:
        disks.check_overlay(arrived[f"disk-{disk['name']}"], disk["name"], disk["virtual_size"])
    capabilities.require(host.places, host.hypervisor, manifest, accelerator.usable(host.places), said["accelerator"])
    # Older releases do not say it.
    document = {**home.document(found, manifest, said["accelerator"], orders), "asleep": said.get("asleep")}
    home.render(host, name, document)

    def act() -> None:
        epochs.grant(host.places, name, orders.epoch)
        fresh = home.empty_directory(host.places, name)
        for disk in manifest["disks"]:
            overlay = os.path.join(fresh, os.path.basename(host.places.overlay(name, disk["name"])))
            os.rename(arrived[f"disk-{disk['name']}"], overlay)
            disks.give_to_qemu(overlay)
        memory = os.path.join(fresh, os.path.basename(host.places.memory(name)))
        os.rename(arrived["memory"], memory)
        os.chown(memory, os.geteuid(), os.getegid())
        os.chmod(memory, 0o600)
        write_json(os.path.join(fresh, os.path.basename(host.places.document(name))), {**document, **durable.adopted()})
        home.discard(host.places, name)
        os.rename(fresh, host.places.directory(name))

    return operations.Step(document, act)
