# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Router documents: what one may say, in which order it is kept, and how two of them differ."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import balance, names, ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

#: How many parts a service's traffic is divided into; it can have no more members than that.
SLOTS = 60

Document = t.Dict[str, t.Any]
Service = t.Dict[str, t.Any]


def checked(document: t.Any) -> Document:
    """Return a router document in its canonical form: nothing but the known keys, lists in a fixed order.

    Raises:
        InvalidInput: it is invalid.
    """
    _keys("router document", document, ("domain", "vlan", "generation", "gateways", "services"))
    domain = names.domain(document["domain"])
    vlan = _whole("VLAN", document["vlan"], 1, 4094)
    generation = _whole("generation", document["generation"], 0, 2**63 - 1)
    gateways = [_interface(item) for item in _items("gateways", document["gateways"])]
    if not gateways:
        raise InvalidInput(f"The router of {domain} needs at least one gateway address, such as 192.168.1.1/24.")
    _unique("gateway", [str(gateway.ip) for gateway in gateways])
    services = [_service(item, gateways) for item in _items("services", document["services"])]
    _unique("service", [service["name"] for service in services])
    _refuse_shared_ports(services)
    return {
        "domain": domain,
        "vlan": vlan,
        "generation": generation,
        "gateways": [str(gateway) for gateway in sorted(gateways)],
        "services": sorted(services, key=lambda service: service["name"]),
    }


def public_addresses(document: Document) -> list[str]:
    """Return the public addresses of a document's services, each once, in order."""
    return sorted({service["public_address"] for service in document["services"]}, key=ipaddress.ip_address)


def new_members(document: Document, previous: Document | None) -> list[dict[str, t.Any]]:
    """Return the members that *document* has and *previous* has not, each with its service's C(ports) and C(balance)."""
    had = {_identity(service, member) for service in (previous or {"services": []})["services"] for member in service["members"]}
    return [
        {"instance": member["instance"], "address": member["address"], "ports": service["ports"], "balance": service.get("balance")}
        for service in document["services"]
        for member in service["members"]
        if _identity(service, member) not in had
    ]


def without_new(document: Document, previous: Document | None) -> Document:
    """Return *document* without the members that *previous* has not."""
    new = {(member["instance"], member["address"]) for member in new_members(document, previous)}
    kept = [
        {**service, "members": [member for member in service["members"] if (member["instance"], member["address"]) not in new]}
        for service in document["services"]
    ]
    return {**document, "services": kept}


def merged(document: Document, previous: Document | None, mine: t.Collection[str]) -> Document:
    """Return what a router is to be when *document* comes from an operation that speaks for the instances *mine*, and for no others.

    Of all others the newer document counts. But those who would be new in it enter the rotation by their own operation, when they have answered: it may be
    under way, or may have failed.

    Args:
        document: what the operation says; one without services says that none is left.
        previous: what is in force.
        mine: the names of the instances.
    """
    if previous is None or document["generation"] >= previous["generation"]:
        new = {member["instance"] for member in new_members(document, previous)} - set(mine)
        return {**document, "services": [_having(service, lambda name: name not in new) for service in document["services"]]}
    there, asked = ({service["name"]: service for service in either["services"]} for either in (previous, document))
    own = {names.instance(name).service for name in mine}
    services = []
    for name in sorted({*there, *asked}):
        others = _having(there[name], lambda instance: instance not in mine) if name in there else {**asked[name], "members": []}
        arriving = [member for member in asked[name]["members"] if member["instance"] in mine] if name in asked else []
        members = sorted([*others["members"], *arriving], key=lambda member: member["instance"])
        if members or (name in there and name not in own) or (name in asked and name in own):
            services.append(_led(others, members, asked.get(name, {}).get("forward_to")))
    gateways = {*document["gateways"], *previous["gateways"]}
    return {**previous, "gateways": _sorted(gateways), "services": services}


def _having(service: Service, kept: t.Callable[[str], bool]) -> Service:
    return {**service, "members": [member for member in service["members"] if kept(member["instance"])]}


def _led(service: Service, members: list[dict[str, t.Any]], elsewhere: str | None) -> Service:
    """Return a service with these members; when there are none, callers are led elsewhere, if anybody says where."""
    plain = {key: value for key, value in service.items() if key != "forward_to"}
    forward_to = None if members else elsewhere or service.get("forward_to")
    return {**plain, **({"forward_to": forward_to} if forward_to else {}), "members": members}


def _sorted(gateways: t.Iterable[str]) -> list[str]:
    return [str(gateway) for gateway in sorted(ipaddress.ip_interface(item) for item in gateways)]


def left_members(document: Document | None, previous: Document | None) -> list[str]:
    """Return the addresses that were members of some service in *previous* and are of none in *document*."""
    now, before = (
        {member["address"] for service in (either or {"services": []})["services"] for member in service["members"]} for either in (document, previous)
    )
    return sorted(before - now, key=ipaddress.ip_address)


def prepared(document: Document, previous: Document | None) -> Document:
    """Return *document* with the rotation of *previous*: its network can be there before its new members answer.

    Services that are new refuse connections; those that were there stay as they were, and so does the generation.
    """
    services = {service["name"]: {**service, "members": []} for service in document["services"]}
    services.update({service["name"]: service for service in (previous or {"services": []})["services"]})
    gateways = set(document["gateways"]) | set((previous or {"gateways": []})["gateways"])
    return {
        "domain": document["domain"],
        "vlan": document["vlan"],
        "generation": previous["generation"] if previous else 0,
        "gateways": _sorted(gateways),
        "services": [services[name] for name in sorted(services)],
    }


def _identity(service: dict[str, t.Any], member: dict[str, t.Any]) -> tuple[t.Any, ...]:
    """Return what makes a member the same one: an address that starts to serve other ports has to answer there first."""
    return service["name"], member["instance"], member["address"], tuple((port["protocol"], ports.text(port)) for port in service["ports"])


def _refuse_shared_ports(services: list[Service]) -> None:
    """Raise InvalidInput if two services have the same port of a public address."""
    at: dict[tuple[str, str], list[ports.Port]] = {}
    for service in services:
        for port in service["ports"]:
            at.setdefault((service["public_address"], port["protocol"]), []).append(port)
    for (address, protocol), declared in at.items():
        declared.sort(key=lambda port: port["port"])
        for one, following in zip(declared, declared[1:]):
            if following["port"] <= ports.last(one):
                raise InvalidInput(f"The public port {address} {protocol}/{following['port']} is there twice.")


def _service(item: t.Any, gateways: list[t.Any]) -> dict[str, t.Any]:
    _keys("service", item, ("name", "public_address", "ports", "members"), ("balance", "forward_to"))
    name = names.label("service", item["name"])
    public = _address(f"public address of service {name}", item["public_address"])
    if any(public in gateway.network for gateway in gateways):
        raise InvalidInput(f"The public address {public} of service {name} lies in the private network of its own guests.")
    members = [_member(name, member, gateways) for member in _items(f"members of service {name}", item["members"])]
    if len(members) > SLOTS:
        raise InvalidInput(f"Service {name} has {len(members)} members; a rotation holds at most {SLOTS}.")
    _unique(f"member of service {name}", [member["instance"] for member in members])
    _unique(f"member address of service {name}", [member["address"] for member in members])
    unusual = balance.checked(item.get("balance"))
    if "weight" in unusual:
        raise InvalidInput(f"The balance of service {name} has a weight, which each member has of its own.")
    declared = ports.checked(f"service {name}", _items(f"ports of service {name}", item["ports"]))
    balance.refuse_undeclared(unusual, f"service {name}", declared)
    elsewhere = _address(f"address that service {name} is forwarded to", item["forward_to"]) if item.get("forward_to") else None
    if elsewhere == public:
        raise InvalidInput(f"Service {name} cannot be forwarded to its own public address {public}.")
    return {
        "name": name,
        "public_address": str(public),
        **({"balance": unusual} if unusual else {}),
        **({"forward_to": str(elsewhere)} if elsewhere else {}),
        "ports": declared,
        "members": sorted(members, key=lambda member: member["instance"]),
    }


def _member(service: str, item: t.Any, gateways: list[t.Any]) -> dict[str, t.Any]:
    _keys(f"member of service {service}", item, ("instance", "address"), ("weight",))
    names.instance(item["instance"])
    address = _address(f"address of {item['instance']}", item["address"])
    if any(address == gateway.ip for gateway in gateways):
        raise InvalidInput(f"The address {address} of {item['instance']} is the gateway's own.")
    if not any(address in gateway.network for gateway in gateways):
        raise InvalidInput(f"The address {address} of {item['instance']} lies in none of its gateways' networks ({', '.join(map(str, gateways))}).")
    return {"instance": item["instance"], "address": str(address), **balance.checked({"weight": item.get("weight")})}


def _keys(what: str, item: t.Any, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    if not isinstance(item, dict):
        raise InvalidInput(f"A {what} must be a mapping with {', '.join(needed)}, not {item!r}.")
    unknown, missing = sorted(str(key) for key in set(item) - {*needed, *optional}), sorted(set(needed) - set(item))
    if unknown:
        raise InvalidInput(f"A {what} has no {unknown[0]!r}: it knows {', '.join([*needed, *optional])}.")
    if missing:
        raise InvalidInput(f"A {what} lacks {missing[0]!r}.")


def _items(what: str, value: t.Any) -> list[t.Any]:
    if not isinstance(value, list):
        raise InvalidInput(f"The {what} must be a list, not {value!r}.")
    return value


def _whole(what: str, value: t.Any, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise InvalidInput(f"{value!r} is not a {what}: it must be a whole number from {lowest} to {highest}.")
    return value


def _address(what: str, value: t.Any) -> ipaddress.IPv4Address:
    try:
        if not isinstance(value, str):
            raise ValueError
        address = ipaddress.IPv4Address(value)
    except ValueError as exc:
        raise InvalidInput(f"The {what} is {value!r}, which is not an IPv4 address such as 198.18.1.1.") from exc
    if address.is_unspecified or address.is_multicast or address.is_loopback or address.is_link_local or address == ipaddress.IPv4Address("255.255.255.255"):
        raise InvalidInput(f"The {what} is {value}, which no single host can have.")
    return address


def _interface(value: t.Any) -> ipaddress.IPv4Interface:
    try:
        if not isinstance(value, str) or "/" not in value:
            raise ValueError
        interface = ipaddress.IPv4Interface(value)
    except ValueError as exc:
        raise InvalidInput(f"The gateway {value!r} is not an IPv4 address with its prefix, such as 192.168.1.1/24.") from exc
    _address("gateway", str(interface.ip))
    if interface.network.prefixlen > 30 or interface.ip in (interface.network.network_address, interface.network.broadcast_address):
        raise InvalidInput(f"The gateway {value} leaves its guests no network to live in: it must be a host's address with a prefix of at most 30.")
    return interface


def _unique(what: str, values: list[str]) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise InvalidInput(f"The {what} {value} is there twice.")
