# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What a tunnel (of a service, on a gateway) and a responder (on the owner's gateway) may say, checked before anything is touched."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import identities, names, ports, proposals
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import pki, wrapping

#: More addresses than this are not given to one service.
LARGEST_POOL = 256
#: The file and connection of a responder; no service can be called so, because labels have no underscore.
RESPONDER = "_responder"

Document = t.Dict[str, t.Any]


def intranet_address(instance: str, pool: t.Sequence[str]) -> str:
    """Return the intranet address of an instance: the one of its ordinal in its service's pool, the same in every HN.

    Args:
        instance: such as C(shop-2.example.com).
        pool: addresses and networks, in the owner's order; of a network, every address counts.

    Raises:
        InvalidInput: the pool has fewer addresses than that.
    """
    addresses = pool_addresses(instance, pool)
    ordinal = names.instance(instance).ordinal
    if ordinal > len(addresses):
        raise InvalidInput(f"The pool {', '.join(pool)} has no intranet address for {instance}: it ends after {len(addresses)}.")
    return addresses[ordinal - 1]


def pool_addresses(what: str, pool: t.Any) -> list[str]:
    """Return every address of a pool in order, each once; *what* names its user in errors."""
    found: list[str] = []
    for item in _items(f"pool of {what}", pool):
        network = _network(f"pool of {what}", item)
        if network.num_addresses > LARGEST_POOL or len(found) + network.num_addresses > LARGEST_POOL:
            raise InvalidInput(f"The pool of {what} has more than {LARGEST_POOL} addresses.")
        found += [str(address) for address in network if str(address) not in found]
    return found


def checked_tunnel(document: t.Any) -> Document:
    """Return a tunnel in its canonical form; raises InvalidInput when it is invalid."""
    _keys("tunnel", document, ("domain", "service", "local", "peer", "mappings", "backends"), optional=("inbound",))
    domain, service = names.domain(document["domain"]), names.label("service", document["service"])
    what = f"tunnel of {service}.{domain}"
    _keys(f"local end of the {what}", document["local"], ("address",), optional=("identity", "certificate", "key", "envelope"))
    _keys(f"peer of the {what}", document["peer"], ("address", "identity"), optional=("authority", "crl", "proposals"))
    offered = proposals.checked(f"peer of the {what}", document["peer"].get("proposals"))
    usual = f"{service}.{domain}"
    identity = identities.checked(what, document["local"].get("identity") or usual)
    local = {
        "address": _address(f"local address of the {what}", document["local"]["address"]),
        **({"identity": identity} if identity != usual else {}),
        **(_credentials(document["local"], usual, identity) if document["local"].get("certificate") else _pre_shared(document["local"], usual)),
    }
    peer = {
        "address": _address(f"peer address of the {what}", document["peer"]["address"]),
        "identity": identities.checked(f"peer of the {what}", document["peer"]["identity"]),
        **(_trust(document["peer"], f"peer of the {what}") if local["certificate"] else _no_trust(document["peer"], f"peer of the {what}")),
        **({"proposals": offered} if offered else {}),
    }
    backends = [_backend(item, what) for item in _items(f"back-ends of the {what}", document["backends"])]
    mappings = [_mapping(item, service, domain) for item in _items(f"mappings of the {what}", document["mappings"])]
    if not backends:
        raise InvalidInput(f"The {what} declares no back-end, so nothing could use it.")
    _unique(f"back-end of the {what}", [backend["address"] for backend in backends])
    for part in ("instance", "fabric_address", "intranet_address"):
        _unique(f"{part} of the {what}", [mapping[part] for mapping in mappings])
    taken = {peer["address"], local["address"]} | {mapping["intranet_address"] for mapping in mappings} | {mapping["fabric_address"] for mapping in mappings}
    for backend in backends:
        if backend["address"] in taken:
            raise InvalidInput(f"The back-end {backend['address']} of the {what} has the address of the tunnel's end or of an instance.")
    return {
        "domain": domain,
        "service": service,
        "local": local,
        "peer": peer,
        "mappings": sorted(mappings, key=lambda mapping: names.instance(mapping["instance"]).ordinal),
        "backends": sorted(backends, key=lambda backend: ipaddress.ip_address(backend["address"])),
        "inbound": ports.checked(what, _items(f"inbound ports of the {what}", document.get("inbound") or []), ports.TUNNELED, least=0),
    }


def checked_responder(document: t.Any) -> Document:
    """Return a responder in its canonical form; raises InvalidInput when it is invalid."""
    _keys("responder", document, ("domain", "local", "authority", "backends", "services"), optional=("crl",))
    domain = names.domain(document["domain"])
    what = f"VPN gateway of {domain}"
    _keys(f"local end of the {what}", document["local"], ("address", "identity", "certificate"), optional=("key", "envelope"))
    identity = names.domain(document["local"]["identity"])
    address = _address(f"address of the {what}", document["local"]["address"])
    local = {"address": address, "identity": identity, **_credentials(document["local"], identity, identity)}
    backends = [_address(f"back-end of the {what}", item) for item in _items(f"back-ends of the {what}", document["backends"])]
    if not backends:
        raise InvalidInput(f"The {what} names no back-end, so nothing could be reached through it.")
    services = [_pool(item, domain) for item in _items(f"services of the {what}", document["services"])]
    _unique("service", [service["name"] for service in services])
    _unique("intranet address", [address for service in services for address in service["addresses"]] + backends)
    return {
        "domain": domain,
        "local": local,
        **_trust(document, f"{what}"),
        "backends": sorted(set(backends), key=ipaddress.ip_address),
        "services": sorted(services, key=lambda service: service["name"]),
    }


def _credentials(local: dict[str, t.Any], name: str, identity: str) -> dict[str, t.Any]:
    """Return what an end with a certificate shows: *name* is whose key it is, *identity* what it calls itself."""
    given = [kind for kind in ("key", "envelope") if local.get(kind)]
    if len(given) != 1:
        raise InvalidInput(f"The certificate of {name} needs either the path of its key or an envelope of it.")
    certificate = pki.load_certificate(str(local["certificate"]), f"certificate of {name}")
    known = pki.identities_of(certificate)
    if identity not in known:
        raise InvalidInput(f"The certificate of {name} is for {' and '.join(known) or 'nobody'}{f', not for {identity}' if identity != name else ''}.")
    if given == ["key"]:
        if not isinstance(local["key"], str) or not local["key"].startswith("/"):
            raise InvalidInput(f"The key of {name} must be the absolute path of a file on this host.")
        return {"certificate": pki.pem_of(certificate), "key": local["key"], "envelope": None}
    envelope = wrapping.opened(local["envelope"])
    if envelope["certificate"] == wrapping.PRE_SHARED:
        raise InvalidInput(f"There are both a certificate and a pre-shared key for {name}; its tunnel can go by one of them only.")
    if envelope["subject"] != name:
        raise InvalidInput(f"The envelope does not hold the key of {name}.")
    return {"certificate": pki.pem_of(certificate), "key": None, "envelope": local["envelope"]}


def _pre_shared(local: dict[str, t.Any], name: str) -> dict[str, t.Any]:
    """Return what an end without a certificate shows: that it knows a key. It comes in an envelope only, so that it lies nowhere in the clear."""
    if not local.get("envelope"):
        raise InvalidInput(f"The tunnel of {name} has neither a certificate with its key nor an envelope of a pre-shared key, so it cannot show who it is.")
    envelope = wrapping.opened(local["envelope"])
    if envelope["certificate"] != wrapping.PRE_SHARED:
        raise InvalidInput(f"The envelope of {name} holds the key of a certificate, which is missing.")
    if envelope["subject"] != name or local.get("key"):
        raise InvalidInput(f"The envelope does not hold the key of {name}.")
    return {"certificate": None, "key": None, "envelope": local["envelope"]}


def _no_trust(item: dict[str, t.Any], what: str) -> dict[str, t.Any]:
    if item.get("authority") or item.get("crl"):
        raise InvalidInput(f"The {what} shows by a pre-shared key who it is, so an authority and its revocation list say nothing of it; leave them out.")
    return {"authority": None, "crl": None}


def _trust(item: dict[str, t.Any], what: str) -> dict[str, t.Any]:
    if not item.get("authority"):
        raise InvalidInput(f"The {what} lacks the certificate of its authority, without which nobody knows whether it is the right one.")
    authority = pki.load_certificate(str(item["authority"]), f"authority of the {what}")
    crl = item.get("crl")
    return {"authority": pki.pem_of(authority), "crl": pki.pem_of(pki.load_crl(crl, f"revocation list of the {what}")) if crl else None}


def _mapping(item: t.Any, service: str, domain: str) -> dict[str, str]:
    _keys("mapping", item, ("instance", "fabric_address", "intranet_address"))
    parts = names.instance(item["instance"])
    if (parts.service, parts.domain) != (service, domain):
        raise InvalidInput(f"{item['instance']} is no instance of {service}.{domain}, so it cannot use its tunnel.")
    addresses = {part: _address(f"{part} of {item['instance']}", item[part]) for part in ("fabric_address", "intranet_address")}
    return {"instance": item["instance"], **addresses}


def _backend(item: t.Any, what: str) -> dict[str, t.Any]:
    _keys(f"back-end of the {what}", item, ("address", "ports"))
    address = _address(f"back-end of the {what}", item["address"])
    return {
        "address": address,
        "ports": ports.checked(f"back-end {address} of the {what}", _items(f"ports of a back-end of the {what}", item["ports"]), ports.TUNNELED),
    }


def _pool(item: t.Any, domain: str) -> dict[str, t.Any]:
    _keys("service of a VPN gateway", item, ("name", "addresses"))
    name = names.label("service", item["name"])
    addresses = pool_addresses(f"{name}.{domain}", item["addresses"])
    if not addresses:
        raise InvalidInput(f"The service {name}.{domain} has no intranet address.")
    return {"name": name, "addresses": addresses}


def _keys(what: str, item: t.Any, known: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    every = known + optional
    if not isinstance(item, dict):
        raise InvalidInput(f"A {what} must be a mapping with {', '.join(every)}.")
    unknown, missing = sorted(str(key) for key in set(item) - set(every)), sorted(set(known) - set(item))
    if unknown:
        raise InvalidInput(f"A {what} has no {unknown[0]!r}: it knows {', '.join(every)}.")
    if missing:
        raise InvalidInput(f"A {what} lacks {missing[0]!r}.")


def _items(what: str, value: t.Any) -> list[t.Any]:
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(f"The {what} must be a list, not {value!r}.")
    return list(value)


def _address(what: str, value: t.Any) -> str:
    try:
        if not isinstance(value, str):
            raise ValueError
        address = ipaddress.IPv4Address(value)
    except ValueError as exc:
        raise InvalidInput(f"The {what} is {value!r}, which is not an IPv4 address such as 172.21.162.9.") from exc
    if address.is_unspecified or address.is_multicast or address.is_loopback or address.is_link_local:
        raise InvalidInput(f"The {what} is {value}, which no single host can have.")
    return str(address)


def _network(what: str, value: t.Any) -> ipaddress.IPv4Network:
    try:
        if not isinstance(value, str):
            raise ValueError
        return ipaddress.IPv4Network(value)
    except ValueError as exc:
        raise InvalidInput(f"The {what} holds {value!r}, which is no IPv4 network such as 172.21.162.0/24.") from exc


def _unique(what: str, values: list[str]) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise InvalidInput(f"The {what} {value} is there twice.")
