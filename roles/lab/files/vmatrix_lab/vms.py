# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that are virtual machines, with a kernel of their own: restored from one image, told who they are, plugged into segments of the lab."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import shutil
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json, write_atomic, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for

from vmatrix_lab import hosts, layer, network, places, vm, vm_image

_KNOWN = os.path.join(places.SSH, "known_hosts_vms")


def descriptions(document: dict[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return the full description of each machine: what decides whether the one that runs is still the one that is wanted."""
    wanted = {}
    for index, (name, host) in enumerate(document["vms"].items()):
        wires = {interface: {**wire, "mac": mac(name, interface)} for interface, wire in host["interfaces"].items()}
        wanted[name] = {"name": name, "index": index, "image": vm_image.path(document), "interfaces": wires, "masked_units": [], "programs": {}, "files": {}}
    return wanted


def mac(name: str, interface: str) -> str:
    """Return the MAC address of an *interface* of the machine *name*; all have the same when they come from their image."""
    digest = hashlib.sha256(f"{name} {interface}".encode()).hexdigest()
    return f"52:54:00:{digest[:2]}:{digest[2:4]}:{digest[4:6]}"


def up(document: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Make the virtual machines as *document* says; those that are missing, stand still or differ are made anew.

    Returns:
        {changed, made: [names], removed: [names], accelerator: what they run under}
    """
    built = vm_image.build(document, check)
    wanted = descriptions(document)
    surplus = sorted(set(_present()) - set(wanted))
    made = [name for name, host in wanted.items() if read_json(_of(name, "host.json")) != host or vm.running(_of(name)) is None]
    segments = network.missing_segments(document["segments"])
    changed = bool(built["changed"] or surplus or made or segments)
    if changed and not check:
        _remove([*surplus, *(name for name in made if os.path.exists(_of(name)))])
        network.build(document["segments"])
        os.makedirs(places.SOCKETS, exist_ok=True)
        known = layer.hosts_file(document["vms"])
        for name in made:
            _prepare(wanted[name], built["image"], known)
        with concurrent.futures.ThreadPoolExecutor(len(wanted)) as pool:
            list(pool.map(lambda name: _begin(wanted[name], built["image"]), made))
        keys = [f"{layer.address(host)} {layer.host_key(_of(name, 'upper'))}\n" for name, host in wanted.items()]
        write_atomic(_KNOWN, "".join(keys))
        for name in made:
            write_json(_of(name, "host.json"), wanted[name])
    return {"changed": changed, "made": made, "removed": surplus, "accelerator": (built["image"] or {}).get("accelerator")}


def down(document: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Stop and remove all virtual machines, and those of the *document*'s segments that nobody is plugged into then; returns {changed, removed: [names]}."""
    present = _present()
    if not check:
        _remove(present)
        network.clear(document["segments"])
    return {"changed": bool(present), "removed": present}


def _of(name: str, *parts: str) -> str:
    return os.path.join(places.VMS, name, *parts)


def _present() -> list[str]:
    return sorted(os.listdir(places.VMS)) if os.path.isdir(places.VMS) else []


def _remove(names: t.Iterable[str]) -> None:
    for name in names:
        vm.stop(_of(name))
        network.unplug(read_json(_of(name, "taps.json")) or [])
        shutil.rmtree(_of(name))
    hosts.hang_up("stop")


def _prepare(host: dict[str, t.Any], image: dict[str, t.Any], known: str) -> None:
    os.makedirs(_of(host["name"], "upper"))
    layer.prepare(_of(host["name"], "upper"), host, known)
    # It holds the snapshot, which a file that is based on it would not see.
    run(["cp", "--sparse=always", image["disk"], _of(host["name"], "disk.qcow2")], timeout=120)


def _begin(host: dict[str, t.Any], image: dict[str, t.Any], timeout: float = 120.0) -> None:
    """Restore the machine, tell it who it is, and wait until it answers SSH."""
    directory = _of(host["name"])
    taps = {interface: f"v{host['index']}-{interface}" for interface in host["interfaces"]}
    write_json(os.path.join(directory, "taps.json"), sorted(taps.values()))
    network.enter()
    network.plug({tap: host["interfaces"][interface]["segment"] for interface, tap in taps.items()})
    vm.start(vm.command(directory, image, taps, "-loadvm", vm.SNAPSHOT))
    identity = {"time": time.time(), "files": dict(_files(os.path.join(directory, "upper")))}
    vm.talk(directory, json.dumps(identity).encode() + b"\n", b"ready\n", timeout)
    wait_for(lambda: hosts.speaks_ssh(layer.address(host)), timeout, f"{host['name']} answers SSH")


def _files(upper: str) -> t.Iterator[tuple[str, tuple[int, str]]]:
    for parent, _directories, names in os.walk(upper):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, encoding="utf-8") as handle:
                yield "/" + os.path.relpath(path, upper), (os.stat(path).st_mode & 0o777, handle.read())
