# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Meshes as the controller sees them, and what can be wished for in them."""

from __future__ import annotations

import copy

from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.verbs import clone, drain, move, place, remove, rescue, resume, scale, standby, suspend, update
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
#: Where an HN has its parts: its VMA on its gateway, as usual; on a host of its own; or all of it on one host, with an RM besides.
GROUPS = {"vmas": ["gw-east", "gw-west"], "gateways": ["gw-east", "gw-west"], "rms": ["rm-east-1", "rm-east-2", "rm-west-1", "rm-west-2"]}
APART = {**GROUPS, "vmas": ["vma-east", "vma-west"]}
ALL_IN_ONE = {"vmas": ["box-east", "box-west"], "gateways": ["box-east", "box-west"], "rms": ["box-east", "rm-east-2", "box-west", "rm-west-2"]}
#: How long a drain waits, as the verbs take it.
WAITING = {"drain_timeout": 60.0, "at_deadline": "cut", "drain_patience": 3600.0}
DRAIN = {"timeout": 60.0, "at_deadline": "cut", "patience": 3600.0}
SERVICE = {"service": "shop", "domain": "example.com", "to_hn": "hn-east"}
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
    """Return what a host has registered that answered a look: a VMA, or with the call C(capsules) an RM."""
    registered = "observe_held" if call == "capsules" else "observe_look"
    return {registered: {"answers": {call: {"failed": False, "unreachable": False, "result": result}}}}


def silent():
    """Return what a host has registered that did not answer."""
    return dict.fromkeys(("observe_look", "observe_held"), {"unreachable": True, "msg": "Failed to connect to the host via ssh."})


def offer(name, address="10.0.0.1", instances=0, listed=True, **more):
    """Return what a VMA says of an RM that has so many instances."""
    room = {"memory_mib": 4096, "vcpus": 8, "disk_bytes": 1 << 40}
    taken = {key: instances * REQUIREMENTS[key] for key in room}
    left = {f"{key}_left": room[key] * (8 if key == "vcpus" else 1) - taken[key] for key in room}
    can = {"machine_types": ["pc-i440fx-7.2"], "cpus": ["qemu64"], "accelerator": "tcg"}
    return {"name": name, "address": address, **room, **can, "in_service": True, **left, "instances": [], "listed": listed, **more}


def told(held):
    """Return the capsules that a VMA says its RMs hold, from the manifests that each holds."""
    found = {}
    for rm, manifests in held.items():
        for each in manifests:
            entry = found.setdefault((each["domain"], each["name"], each["version"]), {"manifest": copy.deepcopy(each), "rms": []})
            entry["rms"].append(rm)
    return [found[key] for key in sorted(found)]


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
    hn = 1 if "east" in rm else 2
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
        held: the manifests that each RM holds; None for one of each service, without memory, on the first RM of the east.
        silent_hosts: who does not answer.
        unfinished: the kind of the operation that is open on an instance, by instance.
        groups: the inventory's groups.
    """
    groups, found = groups or GROUPS, {}
    held = {groups["rms"][0]: [manifest(name) for name in HOSTS]} if held is None else held
    for hn, vma, records in (("hn-east", groups["vmas"][0], east), ("hn-west", groups["vmas"][-1], west)):
        here = {rm: number for number, rm in enumerate(groups["rms"], start=11) if rm.split("-")[1] == hn[3:]}
        rms = [offer(rm, f"10.0.0.{number}", sum(each["rm"] == rm for each in records)) for rm, number in here.items()]
        capsules = told({rm: held.get(rm, []) for rm in here})
        operations = [{"instance": instance, "kind": kind, "closed": None} for instance, kind in (unfinished or {}).items()]
        known = {"records": [dict(each) for each in records], "rms": rms, "epochs": {each["instance"]: each["epoch"] for each in records}}
        known.update(hn={"vcpu_overcommit": 8}, capsules=capsules)
        found[vma] = {"hn": hn, "gateway_wan_interface": "wan0", **looked("look", {**known, "operations": operations})}
    for gateway in groups["gateways"]:
        found.setdefault(gateway, {"hn": "hn-east" if "east" in gateway else "hn-west", "gateway_wan_interface": "wan0"})
    for number, rm in enumerate(groups["rms"], start=11):
        capsules = [{"manifest": copy.deepcopy(each), "complete": True, "problems": []} for each in held.get(rm, [])]
        mine = {"hn": f"hn-{rm.split('-')[1]}", "rm_address": f"10.0.0.{number}", **looked("capsules", {"capsules": capsules})}
        found[rm] = {**found.get(rm, {}), **mine}
    for host in silent_hosts:
        found[host].update(silent())
    return found


def view(*records, groups=None, **how):
    """Return the mesh as the planners see it when all RMs were asked; *records* and *how* are as hostvars() takes them."""
    groups = groups or GROUPS
    return mesh_view(groups, hostvars(*records, groups=groups, **how), groups["rms"])


def naming(seen, host="ns-1"):
    """Return how names follow; they do not without a *host*."""
    return parts.Naming(seen, {**NAMES, "host": host})


def every_plan(groups=None, host="ns-1"):
    """Return a plan of each verb in each variant, by a name, in a mesh with these groups and this name server."""
    groups = groups or GROUPS
    here, beside, there, unused = groups["rms"]
    rests = {"state": "suspended", "in_rotation": False}
    shop, db, store = record(rm=here), record(DB, rm=here), record(STORE, rm=here)
    two = record("shop-2.example.com", rm=beside, fabric_address="192.168.1.254", epoch=2)
    cold, warm, new = manifest(), manifest(version="warm", memory=True), manifest(version="2.0.0")
    held = {here: [cold, warm, new, manifest("db"), manifest("store")]}
    begun = {"shop-7.example.com": "update", "shop-8.example.com": "update"}

    def made(verb, *records, seen=None, **wish):
        seen = seen or view(*records, held=held, groups=groups)
        return verb.plan(seen, naming(seen, host), **wish)

    def placed(*records, **wish):
        return made(
            place, *records, **{"instance": SHOP, "capsule": "1.0.0", "to_hn": "hn-east", "to_rm": None, "public_address": None, "answer_timeout": 120, **wish}
        )

    def moved(*records, **wish):
        usual = {"instances": [SHOP], "strategy": "best", "to_hn": "hn-west", "to_rm": None, "public_address": None, "timeout": 300}
        return made(move, *records, **{**usual, **WAITING, **wish})

    def scaled(*records, **wish):
        return made(scale, *records, **{**SERVICE, **WAITING, "capsule": "warm", "surplus": "suspended", "answer_timeout": 120, **wish})

    def cloned(*records, **wish):
        usual = {"instances": [SHOP], "clones": ["shop-2.example.com"], "capsule": "warm", "to_hn": None, "answer_timeout": 120}
        return made(clone, *records, **{**usual, **wish})

    def updated(*records, **wish):
        usual = {"capsule": "2.0.0", "at_failure": "stop", "answer_timeout": 120, "stop_timeout": 30}
        return made(update, *records, **{**SERVICE, **WAITING, **usual, **wish})

    def rescued(*records, unfinished=None, **wish):
        both = {here: held[here], beside: held[here]}
        usual = {"rm": beside, "fence": None, "fence_host": "localhost", "dead": True, "answer_timeout": 120}
        return made(rescue, seen=view(*records, held=both, silent_hosts=(beside,), unfinished=unfinished, groups=groups), **{**usual, **wish})

    cluster = {"instances": [SHOP, DB]}
    clones = {**cluster, "clones": ["shop-2.example.com", "db-2.example.com"], "to_hn": "hn-west", "capsule": "warmer"}
    cut_off = [record(rm=here, state="leaving"), db], [record(rm=there, state="running", in_rotation=True, epoch=4)]
    unfinished = [record("shop-6.example.com", "leaving", here), record("shop-7.example.com", "running", here, capsule="2.0.0"), shop]
    unfinished.append(record("shop-8.example.com", "reserved", here, capsule="2.0.0"))
    return {
        "place": placed(),
        "place again": placed([shop]),
        "place where it is held": placed(to_rm=here),
        "place with a tunnel": placed(instance=STORE),
        "place to be kept": placed(keep_failed=True),
        "place again to be kept": placed([shop], keep_failed=True),
        "resume": made(resume, [{**shop, **rests}], instance=SHOP, answer_timeout=60),
        "resume what runs": made(resume, [shop], instance=SHOP, answer_timeout=60),
        "suspend": made(suspend, [shop], instance=SHOP),
        "suspend one of two": made(suspend, [shop, two], instance=SHOP),
        "suspend what rests": made(suspend, [{**shop, **rests}], instance=SHOP),
        **{f"drain then {then}": made(drain, [shop], instance=SHOP, then=then, **DRAIN) for then in ("leave", "suspend", "remove")},
        "drain one of two": made(drain, [shop, two], instance=SHOP, then="leave", **DRAIN),
        "drain nobody": made(drain, instance=SHOP, then="remove", **DRAIN),
        "remove": made(remove, [shop], instance=SHOP),
        "remove nobody": made(remove, instance=SHOP),
        "scale up": scaled([shop, {**two, **rests}], count=4),
        "scale up with a tunnel": scaled([store], service="store", count=2, capsule="1.0.0"),
        "scale down": scaled([shop, two], count=1),
        "scale down to absent": scaled([shop, two], count=1, surplus="absent"),
        "scale to none": scaled([shop, two], count=0),
        "scale as it is": scaled([shop], count=1),
        "scale nobody": scaled(count=0),
        "standby": made(standby, [shop], **SERVICE, count=2, capsule="warm"),
        "standby fewer": made(standby, [shop, {**two, **rests}], **SERVICE, count=0, capsule=None),
        "standby as it is": made(standby, [shop], **SERVICE, count=0, capsule=None),
        "clone": cloned([shop]),
        "clone what is still to be published": cloned([shop], capsule="warmer"),
        "clone what is there": cloned([shop, {**two, "capsule": "warm"}]),
        "clone with a tunnel": cloned([store], instances=[STORE], clones=["store-2.example.com"], capsule="warmer", to_hn="hn-west"),
        "clone a cluster": cloned([shop, db], **clones),
        "move": moved([shop]),
        "move to an RM": moved([shop], to_rm=there, public_address="198.18.2.9"),
        "move alive": moved([shop], strategy="live"),
        "move what rests": moved([{**shop, **rests}]),
        "move with a tunnel": moved([store], instances=[STORE]),
        "move what is served elsewhere": moved([shop], [{**two, "rm": there, "public_address": "198.18.2.10"}]),
        "move what was cut off": moved(*cut_off),
        "move a cluster": moved([shop, db], **cluster),
        "move a cluster that rests": moved([{**shop, **rests}, {**db, **rests}], **cluster),
        "move what is there": moved((), [{**shop, "rm": there}]),
        "move a cluster that is there": moved((), [{**shop, "rm": there}, {**db, "rm": there}], **cluster),
        "move within alive": moved([shop], to_hn=None, to_rm=beside),
        "move within": moved([shop], to_hn=None, to_rm=beside, strategy="suspend"),
        "move within what rests": moved([{**shop, **rests}], to_hn=None, to_rm=beside),
        "move clone first": moved([shop], strategy="clone_first"),
        "move clone first that was cut off": moved(
            [{**shop, "in_rotation": False}], [{**shop, "rm": there, "capsule": "1.0.0-moved-4", "epoch": 4}], strategy="clone_first"
        ),
        "update": updated([shop, two]),
        "update or roll back": updated([shop, two], at_failure="roll_back"),
        "update what was cut off": updated(seen=view(unfinished, held=held, unfinished={**begun, "shop-6.example.com": "update"}, groups=groups)),
        "update nobody": updated([{**shop, "capsule": "2.0.0"}]),
        "restart": updated([shop, two], capsule=None),
        "rescue": rescued([shop, {**db, "rm": beside}, two]),
        "rescue what was begun": rescued([{**two, "moves_to": here}, shop], unfinished={two["instance"]: "rescue"}),
        "rescue nobody": rescued([shop]),
    }
