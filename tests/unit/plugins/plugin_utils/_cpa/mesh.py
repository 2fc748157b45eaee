# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Meshes as the controller sees them, and what can be wished for in them."""

from __future__ import annotations

import copy

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import mesh_view

SHOP, DB, STORE = "shop-1.example.com", "db-1.example.com", "store-1.example.com"
#: The last number of the guest address of each service, and the public address that it has in an HN.
HOSTS = {"shop": 10, "db": 40, "store": 50}
EPOCHS = {SHOP: 3, DB: 5, STORE: 7}
PORTS = [{"protocol": "tcp", "port": 80}]
MACHINE = {"type": "pc-i440fx-7.2", "cpu": "qemu64", "vcpus": 1, "memory_mib": 128}
REQUIREMENTS = {"memory_mib": 128, "vcpus": 1, "disk_bytes": 1 << 28, "machine_type": "pc-i440fx-7.2", "cpu": "qemu64", "accelerator": None}
BLOB = {"sha256": "1" * 64, "size": 4096}
POOL = ["172.21.162.9", "172.21.162.16/28"]
GROUPS = {"vmas": ["gw-east", "gw-west"], "gateways": ["gw-east", "gw-west"], "rms": ["rm-east-1", "rm-east-2", "rm-west-1", "rm-west-2"]}
#: How long a drain waits.
WAITING = {"drain_timeout": 60.0, "at_deadline": "cut", "drain_patience": 3600.0}
NAMES = {
    "host": "ns-1",
    "server": "127.0.0.1@53",
    "driver": "powerdns",
    "key_file": "/etc/vmatrix/dns/platform.key",
    "views": None,
    "ask_timeout": 30.0,
    "zone": "steer.example.net",
    "zones": ["example.com"],
    "ttl": 5,
    "margin": 60.0,
    "answers": 1,
    "order": [],
    "regions": [],
    "places": {},
    "checks": True,
    "services": {},
}


def looked(call, result):
    """Return what a host has registered that answered a look."""
    return {"observe_look": {"answers": {call: {"failed": False, "unreachable": False, "result": result}}}}


def silent():
    """Return what a host has registered that did not answer."""
    return {"observe_look": {"unreachable": True, "msg": "Failed to connect to the host via ssh."}}


def manifest(name="shop", version="1.0.0", memory=False, vpn=False):
    """Return a capsule's manifest."""
    address = f"192.168.1.{HOSTS[name]}/24"
    disk = {"name": "root", "format": "qcow2", "virtual_size": 1 << 28, "blob": {"sha256": "0" * 64, "size": 4096}}
    return {
        "schema": 1,
        "name": name,
        "version": version,
        "domain": "example.com",
        "guest": {"address": address, "gateway": "192.168.1.1", "mac": f"52:54:00:12:34:{HOSTS[name]:02x}"},
        "ports": PORTS,
        "machine": MACHINE,
        "boot": None,
        "disks": [{**disk, "overlay": BLOB} if memory else disk],
        "memory": {"accelerator": "tcg", "blob": BLOB} if memory else None,
        **({"vpn": {"gateway": {}, "pool": POOL, "backends": [], "inbound": [], "credentials": BLOB}} if vpn or name == "store" else {}),
    }


def record(instance=SHOP, state="running", rm="rm-east-1", **changes):
    """Return the surroundings record of an instance, in rotation if it runs."""
    service, domain = instance.split("-")[0], instance.partition(".")[2]
    hn = 1 if rm.startswith("rm-east") else 2
    return {
        "instance": instance,
        "service": service,
        "domain": domain,
        "capsule": "1.0.0",
        "rm": rm,
        "moves_to": None,
        "epoch": EPOCHS.get(instance, 1),
        "state": state,
        "in_rotation": state == "running",
        "guest": manifest(service)["guest"],
        "fabric_address": f"192.168.1.{HOSTS[service]}",
        "intranet_address": POOL[0] if service == "store" else None,
        "vlan": 100 * hn,
        "public_address": f"198.18.{hn}.{HOSTS[service]}",
        "forward_to": None,
        "ports": PORTS,
        "balance": {},
        "requirements": REQUIREMENTS,
        **changes,
    }


def hostvars(east=(), west=(), held=None, silent_hosts=(), unfinished=None, groups=None):
    """Return the variables of a mesh.

    Args:
        east, west: the records of the VMAs.
        held: the manifests that each RM holds; None for one of each service, without memory, on rm-east-1.
        silent_hosts: who does not answer.
        unfinished: the kind of the operation that is open on an instance, by instance.
        groups: the inventory's groups.
    """
    groups, found = groups or GROUPS, {}
    held = {"rm-east-1": [manifest(name) for name in HOSTS]} if held is None else held
    for hn, vma, records in (("hn-east", groups["vmas"][0], east), ("hn-west", groups["vmas"][-1], west)):
        rms = [{"name": rm, "accelerator": "tcg"} for rm in groups["rms"] if rm.startswith(f"rm-{hn[3:]}")]
        operations = [{"instance": instance, "kind": kind, "closed": None} for instance, kind in (unfinished or {}).items()]
        known = {"records": [dict(each) for each in records], "rms": rms, "epochs": {each["instance"]: each["epoch"] for each in records}}
        found[vma] = {"hn": hn, "gateway_wan_interface": "wan0", **looked("look", {**known, "operations": operations})}
    for gateway in groups["gateways"]:
        found.setdefault(gateway, {"hn": "hn-east" if "east" in gateway else "hn-west", "gateway_wan_interface": "wan0"})
    for number, rm in enumerate(groups["rms"], start=11):
        capsules = [{"manifest": copy.deepcopy(each), "complete": True, "problems": []} for each in held.get(rm, [])]
        mine = {"hn": f"hn-{rm.split('-')[1]}", "rm_address": f"10.0.0.{number}", **looked("capsules", {"capsules": capsules})}
        if rm in found:
            mine["observe_look"]["answers"].update(found[rm]["observe_look"]["answers"])
        found[rm] = {**found.get(rm, {}), **mine}
    for host in silent_hosts:
        found[host].update(silent())
    return found


def view(*records, groups=None, **how):
    """Return the mesh as the planners see it; *records* and *how* are as hostvars() takes them."""
    return mesh_view(groups or GROUPS, hostvars(*records, groups=groups, **how))


def naming(seen, host="ns-1"):
    """Return how names follow; they do not without a *host*."""
    return parts.Naming(seen, {**NAMES, "host": host})
