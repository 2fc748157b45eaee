# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The manifest of a capsule: what it may hold, and what follows from it."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.libraries import jsonschema, netaddr
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import balance, footprint, identities, names, ports, proposals
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

#: No file of a capsule is larger than this (bytes); QEMU's own limit for a qcow2 image lies above it.
LARGEST = 1 << 46
#: A service has no more intranet addresses than that.
LARGEST_POOL = 256


def _closed(properties: dict[str, t.Any], optional: t.Sequence[str] = ()) -> dict[str, t.Any]:
    required = sorted(set(properties) - set(optional))
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _or_null(schema: dict[str, t.Any]) -> dict[str, t.Any]:
    return {**schema, "type": [schema["type"], "null"]}


def _whole(smallest: int, largest: int) -> dict[str, t.Any]:
    return {"type": "integer", "minimum": smallest, "maximum": largest}


_BLOB = _closed({"sha256": {"type": "string", "pattern": rf"^{names.SHA256}\Z"}, "size": _whole(1, LARGEST)})
_TRUE = {"type": "boolean", "enum": [True]}
_TEXT = {"type": "string", "maxLength": 253}

#: ICMP (an echo request) has no port.
_VPN_PORT = _closed({"protocol": {"type": "string", "enum": list(ports.TUNNELED)}, "port": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535}})
_VPN_PORTS = {"type": "array", "maxItems": ports.MOST, "items": _VPN_PORT}
_VPN = _closed(
    {
        # Its proposals where they are not as usual, see _core.proposals; they are checked there.
        "gateway": _closed({"address": _TEXT, "identity": _TEXT, "proposals": {"type": "object", "minProperties": 1}}, optional=["proposals"]),
        "pool": {"type": "array", "minItems": 1, "maxItems": 64, "items": _TEXT},
        "backends": {"type": "array", "minItems": 1, "maxItems": 64, "items": _closed({"address": _TEXT, "ports": {**_VPN_PORTS, "minItems": 1}})},
        "inbound": _VPN_PORTS,
        "credentials": _BLOB,
        # What the service calls itself there, where that is not its name.
        "identity": _TEXT,
    },
    optional=["identity"],
)

#: JSON schema (draft 4, where 1.0 is no integer) of the manifest's shape; docs/architecture.md shows one. Patterns end in \Z, for $ lets a newline pass.
SCHEMA = _closed(
    {
        "schema": {"type": "integer", "enum": [1]},
        "name": _TEXT,
        "version": _TEXT,
        "domain": _TEXT,
        "guest": _closed(
            {
                "address": {
                    "type": "string",
                    "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}\Z",
                    "description": "an IPv4 address with a prefix length such as 192.168.1.10/24",
                },
                "gateway": {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}\Z", "description": "an IPv4 address such as 192.168.1.1"},
                "mac": {"type": "string", "pattern": r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z", "description": "a MAC address such as 52:54:00:12:34:56"},
            }
        ),
        "ports": {
            "type": "array",
            "minItems": 1,
            "maxItems": ports.MOST,
            "items": _closed(
                {
                    "protocol": {"type": "string", "enum": list(ports.PROTOCOLS)},
                    "port": _whole(1, 65535),
                    "last_port": _whole(1, 65535),
                    "helper": {"type": "string", "enum": list(ports.HELPERS)},
                },
                optional=["last_port", "helper"],
            ),
        },
        # Only what is not as usual, see _core.balance; its values are checked there.
        "balance": {"type": "object", "minProperties": 1},
        # What helps the guest's clock, where its owner says so: a guest agent that is told the time, and ticks that are made up for.
        "clock": {**_closed({"agent": _TRUE, "catch_up": _TRUE}, optional=["agent", "catch_up"]), "minProperties": 1},
        "machine": _closed(
            {
                # With its version: an unversioned alias would mean another machine after an upgrade of QEMU.
                "type": {
                    "type": "string",
                    "pattern": r"^[a-z][a-z0-9-]{0,40}-[0-9]{1,3}\.[0-9]{1,3}\Z",
                    "description": "a machine type with its version, such as pc-i440fx-7.2 or pc-q35-7.2",
                },
                "cpu": {
                    "type": "string",
                    "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z",
                    "not": {"enum": ["host", "max", "host-model", "host-passthrough"]},
                    "description": "a CPU model that is the same on every host, such as qemu64 or Westmere",
                },
                "vcpus": _whole(1, 256),
                "memory_mib": _whole(16, 1 << 22),
            }
        ),
        "boot": _or_null(_closed({"kernel": _BLOB, "initrd": _or_null(_BLOB), "cmdline": {"type": "string", "maxLength": 2000, "pattern": r"^[ -~]*\Z"}})),
        "disks": {
            "type": "array",
            "maxItems": 16,
            "items": _closed(
                {
                    "name": {"type": "string", "maxLength": 32},
                    "format": {"type": "string", "enum": ["qcow2"]},
                    "virtual_size": _whole(512, LARGEST),
                    "blob": _BLOB,
                    "overlay": _BLOB,
                },
                optional=["overlay"],
            ),
        },
        "memory": _or_null(_closed({"accelerator": {"type": "string", "enum": ["kvm", "tcg"]}, "blob": _BLOB})),
        "vpn": _VPN,
    },
    optional=["balance", "clock", "vpn"],
)


def check(manifest: t.Any) -> dict[str, t.Any]:
    """Return *manifest* if it is one; else raise InvalidInput with a sentence that names the place and what is wrong there."""
    errors = jsonschema.Draft4Validator(SCHEMA).iter_errors(manifest)
    wrong = jsonschema.exceptions.best_match(errors)
    if wrong is not None:
        _refuse(".".join(str(part) for part in wrong.absolute_path) or "the top", _worded(wrong))
    names.service(manifest["name"])
    names.version(manifest["version"])
    # Also the last of its instances has a name.
    names.instance_name(manifest["name"], names.LAST_ORDINAL, manifest["domain"])
    _check_guest(manifest["guest"])
    ports.checked(f"service {manifest['name']}", manifest["ports"])
    if balance.checked(manifest.get("balance")) != manifest.get("balance", {}):
        _refuse("balance", "it repeats defaults")
    balance.refuse_undeclared(manifest.get("balance"), manifest["name"], manifest["ports"])
    _check_disks(manifest)
    if "vpn" in manifest:
        _check_vpn(manifest["vpn"], f"{manifest['name']}.{manifest['domain']}")
    return manifest


def blobs(manifest: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return the blobs that a checked *manifest* names, each once, as C({sha256, size}) (bytes)."""
    boot = manifest["boot"] or {}
    memory = manifest["memory"] or {}
    named = [boot.get("kernel"), boot.get("initrd")]
    for disk in manifest["disks"]:
        named += [disk["blob"], disk.get("overlay")]
    named += [memory.get("blob"), manifest.get("vpn", {}).get("credentials")]
    return list({blob["sha256"]: dict(blob) for blob in named if blob}.values())


def secrets(manifest: dict[str, t.Any]) -> set[str]:
    """Return the digests of those blobs of a checked *manifest* that nobody but the store's owner may read."""
    kept = [(manifest["memory"] or {}).get("blob"), manifest.get("vpn", {}).get("credentials")]
    return {blob["sha256"] for blob in kept if blob}


def intranet_address(manifest: dict[str, t.Any], ordinal: int) -> str | None:
    """Return what the instance with this *ordinal* is in the owner's intranet, the same in every HN; None without a VPN part.

    Raises:
        InvalidInput: the pool ends before it.
    """
    if "vpn" not in manifest:
        return None
    pool = _pool(manifest["vpn"]["pool"])
    if ordinal > len(pool):
        raise InvalidInput(f"The capsule {title(manifest)} has intranet addresses for {len(pool)} instances, so there is none for instance {ordinal}.")
    return pool[ordinal - 1]


def total_bytes(manifest: dict[str, t.Any]) -> int:
    """Return how many bytes the blobs of a checked *manifest* have together."""
    return sum(blob["size"] for blob in blobs(manifest))


def requirements(manifest: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return what a machine must offer to run a checked *manifest*.

    C(disk_bytes) is the most that an instance can come to occupy: the blobs, each overlay grown to its disk's virtual size, and the memory image
    that a suspend writes.
    """
    machine = manifest["machine"]
    return {
        "memory_mib": machine["memory_mib"],
        "vcpus": machine["vcpus"],
        "disk_bytes": total_bytes(manifest) + footprint.most(manifest),
        "machine_type": machine["type"],
        "cpu": machine["cpu"],
        "accelerator": manifest["memory"]["accelerator"] if manifest["memory"] else None,
    }


def title(manifest: dict[str, t.Any]) -> str:
    """Return how messages name the capsule of *manifest*: C(shop 1.0.0 of example.com)."""
    return f"{manifest['name']} {manifest['version']} of {manifest['domain']}"


def _refuse(place: str, what: str) -> t.NoReturn:
    raise InvalidInput(f"The manifest is wrong at {place}: {what}.")


def _worded(wrong: t.Any) -> str:
    """Return in words what a validator says in regular expressions and listings."""
    if wrong.validator in ("pattern", "not") and "description" in wrong.schema:
        return f"{wrong.instance[:100]!r} is not {wrong.schema['description']}"
    if wrong.validator in ("minItems", "maxItems"):
        return f"it holds {len(wrong.instance)} entries; {'at least' if wrong.validator == 'minItems' else 'at most'} {wrong.validator_value} can be"
    return _shortened(wrong.message)


def _shortened(message: str, longest: int = 300) -> str:
    line = " ".join(message.split()).rstrip(".")
    return line if len(line) <= longest else f"{line[:longest]}..."


def _check_guest(guest: dict[str, str]) -> None:
    try:
        network = netaddr.IPNetwork(guest["address"])
    except (netaddr.AddrFormatError, ValueError):
        _refuse("guest.address", f"{guest['address']} is not an IPv4 address with a prefix length such as 192.168.1.10/24")
    try:
        gateway = netaddr.IPAddress(guest["gateway"])
    except (netaddr.AddrFormatError, ValueError):
        _refuse("guest.gateway", f"{guest['gateway']} is not an IPv4 address")
    if not 8 <= network.prefixlen <= 30:
        _refuse("guest.address", f"a network of prefix length {network.prefixlen} cannot hold a guest and a gateway (8 to 30 can)")
    if network.ip.is_multicast() or network.ip.is_loopback() or network.ip in netaddr.IPNetwork("0.0.0.0/8") or network.ip >= netaddr.IPAddress("240.0.0.0"):
        _refuse("guest.address", f"{network.ip} cannot be the address of a machine")
    for place, address in (("guest.address", network.ip), ("guest.gateway", gateway)):
        if address not in network:
            _refuse(place, f"{address} is not within {network.cidr}")
        if address in (network.network, network.broadcast):
            _refuse(place, f"{address} is the network or broadcast address of {network.cidr}")
    if gateway == network.ip:
        _refuse("guest.gateway", f"{gateway} is the guest's own address")
    if int(guest["mac"][:2], 16) & 1 or guest["mac"] == "00:00:00:00:00:00":
        _refuse("guest.mac", f"{guest['mac']} is not a unicast address")


def _check_vpn(vpn: dict[str, t.Any], usual: str) -> None:
    for place, held, whose in (("vpn.gateway", vpn["gateway"], "owner's VPN gateway"), ("vpn", vpn, f"tunnel of {usual}")):
        if "identity" in held and identities.checked(whose, held["identity"]) != held["identity"]:
            _refuse(f"{place}.identity", f"it is not written as {identities.checked(whose, held['identity'])!r}")
    if vpn.get("identity") == usual:
        _refuse("vpn.identity", "it repeats defaults")
    if proposals.checked("owner's VPN gateway", vpn["gateway"].get("proposals")) != vpn["gateway"].get("proposals", {}):
        _refuse("vpn.gateway.proposals", "it repeats defaults")
    _address("vpn.gateway.address", vpn["gateway"]["address"])
    pool = _pool(vpn["pool"])
    backends = [_address(f"vpn.backends.{index}.address", backend["address"]) for index, backend in enumerate(vpn["backends"])]
    for address in backends:
        if backends.count(address) > 1 or address in pool:
            _refuse("vpn.backends", f"{address} is there twice, or in the pool of the instances' own addresses")
    ports.checked("tunnel", vpn["inbound"], ports.TUNNELED, least=0)
    for backend in vpn["backends"]:
        ports.checked(f"back-end {backend['address']} of the tunnel", backend["ports"], ports.TUNNELED)


def _pool(networks: list[str]) -> list[str]:
    """Return every address of a pool in order, each once; of a network, every address counts."""
    found: dict[str, None] = {}
    for place, text in enumerate(networks):
        try:
            network = netaddr.IPNetwork(text, version=4)
            if network.cidr != network:
                raise ValueError
        except (netaddr.AddrFormatError, ValueError):
            _refuse(f"vpn.pool.{place}", f"{text} is neither an IPv4 address nor a network such as 172.21.162.16/28")
        if len(found) + network.size > LARGEST_POOL:
            _refuse("vpn.pool", f"it holds more than {LARGEST_POOL} addresses")
        found.update(dict.fromkeys(str(address) for address in network))
    return list(found)


def _address(place: str, text: str) -> str:
    try:
        return str(netaddr.IPAddress(text, version=4, flags=netaddr.INET_PTON))
    except (netaddr.AddrFormatError, ValueError):
        _refuse(place, f"{text} is not an IPv4 address")


def _check_disks(manifest: dict[str, t.Any]) -> None:
    seen = set()
    for index, disk in enumerate(manifest["disks"]):
        names.label("disk", disk["name"])
        if disk["name"] in seen:
            _refuse(f"disks.{index}.name", f"there is another disk named {disk['name']!r}")
        seen.add(disk["name"])
        if ("overlay" in disk) != (manifest["memory"] is not None):
            _refuse(f"disks.{index}", "a disk has an overlay if and only if the capsule holds a memory image")
    if not manifest["boot"] and not manifest["disks"]:
        _refuse("boot", "there is neither a kernel nor a disk to boot from")
