# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All hosts of the lab at once: make, boot, stop and remove them."""

from __future__ import annotations

import concurrent.futures
import glob
import json
import os
import shutil
import socket
import subprocess
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json, sha256_file, write_atomic, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for

from vmatrix_lab import host as one
from vmatrix_lab import cgroup, layer, network, places, vm
from vmatrix_lab import root as shared

#: How many inotify instances a user of the machine may have (inotify(7)).
_INOTIFY = "/proc/sys/fs/inotify/max_user_instances"
_INSTANCES = 1024


def descriptions(document: dict[str, t.Any], root: str) -> dict[str, dict[str, t.Any]]:
    """Return the full description of each host: what decides whether the one that runs is still the one that is wanted."""
    wanted = {}
    for index, (name, host) in enumerate(document["hosts"].items()):
        idle = [rule for rule in document["idle_units"] if not set(rule["needed_by"]) & set(host["groups"])]
        masked = sorted({unit for rule in idle for unit in rule["units"]})
        programs = {program: {"path": path, "sha256": sha256_file(path)} for program, path in host.get("programs", {}).items()}
        own = {"programs": programs, "files": host.get("files", {})}
        wanted[name] = {"name": name, "index": index, "root": root, "interfaces": host["interfaces"], "masked_units": masked, **own}
    return wanted


def up(document: dict[str, t.Any], check: bool, timeout: float = 180.0) -> dict[str, t.Any]:
    """Make the lab as *document* says: hosts that are missing or differ are made anew, those that stand still are booted.

    Returns:
        {changed, made: [names], booted: [names], removed: [names]}
    """
    root = shared.path(document)
    wanted = descriptions(document, root)
    surplus = sorted(set(_present()) - set(wanted))
    made = [name for name, host in wanted.items() if read_json(places.of_host(name, "host.json")) != host]
    booted = [name for name in wanted if name in made or not one.running(name)]
    segments = network.missing_segments(document["segments"])
    result = {"changed": bool(surplus or made or booted or segments), "made": made, "booted": booted, "removed": surplus}
    if check:
        return result
    supervisors = _make(document, wanted, result) if result["changed"] else {}
    network.enter()
    _wait_until_up({name: layer.address(host) for name, host in document["hosts"].items()}, supervisors, timeout)
    shared.prune("root-", root)
    return result


def _make(document: dict[str, t.Any], wanted: dict[str, dict[str, t.Any]], plan: dict[str, t.Any]) -> dict[str, subprocess.Popen]:
    for directory in (places.HOSTS, places.SOCKETS, places.IMAGES):
        os.makedirs(directory, exist_ok=True)
    _raise_limit()
    hang_up("stop")
    _remove([*plan["removed"], *(name for name in plan["made"] if os.path.exists(places.of_host(name)))])
    network.build(document["segments"])
    known_hosts = layer.hosts_file(document["hosts"])
    for name in plan["made"]:
        for directory in ("upper", "work", "merged"):
            os.makedirs(places.of_host(name, directory))
        layer.prepare(places.of_host(name, "upper"), wanted[name], known_hosts)
        layer.lend_kvm(places.of_host(name, "upper"))
        write_json(places.of_host(name, "host.json"), wanted[name])
    if plan["made"] or plan["removed"]:
        known = [f"{layer.address(document['hosts'][name])} {layer.host_key(places.of_host(name, 'upper'))}\n" for name in wanted]
        write_atomic(os.path.join(places.SSH, "known_hosts"), "".join(known))
    return {name: one.start(name) for name in plan["booted"]}


def _raise_limit() -> None:
    # Every systemd takes about ten, all from the machine's root; with the usual 128 the last units of a dozen hosts fail.
    with open(_INOTIFY, encoding="ascii") as handle:
        enough = int(handle.read()) >= _INSTANCES
    if not enough:
        with open(_INOTIFY, "w", encoding="ascii") as handle:
            handle.write(str(_INSTANCES))


def down(document: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
    """Stop and remove all hosts and what belongs to them, and with *document*'s purge_cache also what was built once; returns {changed, removed: [paths]}."""
    paths = [places.STATE, places.SOCKETS] + ([places.CACHE] if document["purge_cache"] else [])
    removed = [path for path in [network.PATH, *paths] if os.path.exists(path)]
    if not check:
        hang_up("exit")
        _remove(sorted({*_present(), *cgroup.present()}))
        for directory in glob.glob(os.path.join(places.VMS, "*")):
            vm.stop(directory)
        network.remove()
        for path in removed:
            shutil.rmtree(path, ignore_errors=True)
        os.unlink(places.LOCK)
    return {"changed": bool(removed), "removed": removed}


def _present() -> list[str]:
    return sorted(os.listdir(places.HOSTS)) if os.path.isdir(places.HOSTS) else []


def _remove(names: t.Sequence[str]) -> None:
    if not names:
        return
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(one.stop, names))
    for name in names:
        # There may be no directory of one whose removal was cut off.
        if os.path.exists(places.of_host(name)):
            shutil.rmtree(places.of_host(name))


def hang_up(how: str) -> None:
    """Tell all control connections to hosts to C(stop) or C(exit)."""
    # Over a control connection to a host that is no more, the next session with its successor would hang.
    for path in glob.glob(os.path.join(places.SOCKETS, "*")):
        run(["ssh", "-o", f"ControlPath={path}", "-O", how, "lab"], check=False)


def _wait_until_up(addresses: dict[str, str], supervisors: dict[str, subprocess.Popen], timeout: float) -> None:
    def answers(name: str) -> bool:
        if name in supervisors and supervisors[name].poll() is not None:
            raise CommandFailed(f"The host {name} ended while it booted; its last words are in {places.of_host(name, 'console.log')}.")
        return speaks_ssh(addresses[name])

    end = time.monotonic() + timeout
    for name in addresses:
        wait_for(lambda name=name: answers(name), max(1.0, end - time.monotonic()), f"{name} answers SSH")
    if not supervisors:
        return
    with concurrent.futures.ThreadPoolExecutor(len(supervisors)) as pool:
        failed = {name: units for name, units in zip(supervisors, pool.map(one.failed_units, supervisors)) if units}
    if failed:
        raise CommandFailed(f"Units failed while the hosts booted: {json.dumps(failed)}.")


def speaks_ssh(address: str) -> bool:
    """Whether an SSH server answers at *address*, in the network namespace of this thread."""
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
