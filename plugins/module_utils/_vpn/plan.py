# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What an endpoint must be like: a pure function of its documents (and of the host's own networks)."""

from __future__ import annotations

import hashlib
import ipaddress
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import connection, pki, rules, wrapping
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.device import Links
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.document import RESPONDER, Document
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.libraries import cryptography

#: What the identifier of a pre-shared key begins with; the one of a private key is hexadecimal.
PRE_SHARED = "pre-shared-"


class Plan(t.NamedTuple):
    """What an endpoint must be like.

    Attributes:
        connections: what the daemon has loaded, by name.
        locals: whose private or pre-shared keys the daemon holds, by the key's identifier.
        shared: of pre-shared keys the connection that uses it, by the key's identifier.
        certificates: own certificates and revocation lists that the daemon knows, as DER.
        crls: the revocation lists among them, as PEM.
        links: device and routes.
        rules: the nftables transaction; None where the host's firewall is its owner's business.
    """

    connections: dict[str, connection.Connection]
    locals: dict[str, dict[str, t.Any]]
    shared: dict[str, str]
    certificates: set[bytes]
    crls: list[str]
    links: Links
    rules: str | None


def of(documents: dict[str, Document], kernel: bool, interfaces: t.Iterable[tuple[str, str]] = ()) -> Plan:
    """Return the plan of an endpoint.

    Args:
        documents: its documents by name.
        kernel: whether the kernel does ESP.
        interfaces: the host's interfaces and addresses with prefix; only a responder heeds them.
    """
    tunnels = [document for name, document in documents.items() if name != RESPONDER]
    responders = [document for name, document in documents.items() if name == RESPONDER]
    connections: dict[str, connection.Connection] = {}
    for tunnel in tunnels:
        connections.update(connection.of_tunnel(tunnel, kernel))
    for responder in responders:
        connections.update(connection.of_responder(responder, kernel))
    crls = [document[1] for document in _trusted(documents) if document[1]]
    shown = [one["local"]["certificate"] for one in documents.values() if one["local"]["certificate"]]
    certificates = {pki.der_of(pki.load_certificate(one, "certificate")) for one in shown}
    certificates |= {pki.der_of(pki.load_crl(crl, "revocation list")) for crl in crls}
    links = _of_tunnels(tunnels, kernel) if tunnels else _of_responders(responders, kernel, list(interfaces))
    own = {key_id(document["local"]): document["local"] for document in documents.values()}
    shared = {key_id(tunnel["local"]): tunnel["service"] for tunnel in tunnels if not tunnel["local"]["certificate"]}
    return Plan(connections, own, shared, certificates, sorted(set(crls)), links, None if responders else rules.render(tunnels))


def key_id(local: dict[str, t.Any]) -> str:
    """Return how the daemon calls the key of an end.

    Of a certificate's that is the SHA-1 of its public key (RFC 5280 section 4.2.1.2), of a pre-shared one a digest of its envelope.
    """
    if not local["certificate"]:
        return f"{PRE_SHARED}{hashlib.sha256(local['envelope'].encode()).hexdigest()[:40]}"
    certificate = pki.load_certificate(local["certificate"], "certificate")
    return cryptography.x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest.hex()


def own_key(local: dict[str, t.Any], directory: str) -> bytes:
    """Return the key of an end, out of its envelope or its file: a private one (PEM), or the bytes of a pre-shared one.

    Raises:
        Refused: it does not belong to the end's certificate, or the file is readable by others.
    """
    certificate = pki.load_certificate(local["certificate"], "certificate") if local["certificate"] else None
    if local["envelope"]:
        return wrapping.unwrap(local["envelope"], wrapping.own_key(directory), certificate)
    return wrapping.read_key(local["key"], certificate)


def refuse_expired(local: dict[str, t.Any]) -> None:
    """Raise Refused when an end's certificate is not valid now: its peer would refuse it with less clear words."""
    if not local["certificate"]:
        return
    certificate = pki.load_certificate(local["certificate"], "certificate")
    name = ", ".join(pki.names_of(certificate))
    if pki.not_after(certificate) <= pki.now():
        raise Refused(f"The certificate of {name} expired at {pki.stamp(pki.not_after(certificate))}; renew it with vmatrix.mesh.vpn_certificate.")
    if pki.not_before(certificate) > pki.now():
        raise Refused(f"The certificate of {name} is not valid before {pki.stamp(pki.not_before(certificate))}; is this host's clock right?")


def _of_tunnels(tunnels: list[Document], kernel: bool) -> Links:
    backends = frozenset(backend["address"] for tunnel in tunnels for backend in tunnel["backends"])
    mapped = frozenset(mapping["intranet_address"] for tunnel in tunnels for mapping in tunnel["mappings"])
    return Links(True, frozenset() if kernel else mapped, backends, backends)


def _of_responders(responders: list[Document], kernel: bool, interfaces: list[tuple[str, str]]) -> Links:
    backends = {address for responder in responders for address in responder["backends"]}
    pool = frozenset(address for responder in responders for service in responder["services"] for address in service["addresses"])
    hosts = [(name, ipaddress.IPv4Interface(address)) for name, address in interfaces]
    own = {str(host.ip) for _name, host in hosts}
    # Hosts of the intranet ask by ARP for the intranet addresses that lie in their own network.
    proxies = frozenset((name, address) for name, host in hosts for address in pool if ipaddress.IPv4Address(address) in host.network)
    return Links(True, frozenset() if kernel else frozenset(backends - own), pool, pool, proxies)


def _trusted(documents: dict[str, Document]) -> list[tuple[str, str | None]]:
    found = [document if name == RESPONDER else document["peer"] for name, document in documents.items()]
    return [(one["authority"], one["crl"]) for one in found]
