# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Looking at an endpoint: what is there, what is not as its documents say, and what people want to know of its tunnels."""

from __future__ import annotations

import datetime
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.files import read_json, write_json
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.run import run
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import charon, connection, device, pki, plan, rules, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.document import RESPONDER, Document
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.session import Session, opened
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.state import Endpoint


class Seen(t.NamedTuple):
    """What is there of an endpoint; empty where there is no daemon in the right place."""

    alive: bool
    configured: bool
    connections: dict[str, t.Any]
    keys: set[str]
    certificates: set[bytes]
    links: device.Links
    rules: bool


def plan_of(endpoint: Endpoint, documents: dict[str, Document]) -> plan.Plan:
    """Return what an endpoint with these documents must be like on this host."""
    return plan.of(documents, kernel(endpoint), device.interfaces(endpoint.namespace) if RESPONDER in documents else ())


def kernel(endpoint: Endpoint) -> bool:
    """Return whether the kernel does ESP; found out once per boot."""
    path = os.path.join(endpoint.run, "esp.json")
    known = read_json(path)
    if known is None:
        known = {"kernel": charon.kernel_has_esp()}
        os.makedirs(endpoint.run, mode=0o700, exist_ok=True)
        write_json(path, known)
    return known["kernel"]


def observe(endpoint: Endpoint, wanted: plan.Plan, found: plan.Plan) -> Seen:
    """Look at everything that either plan is about."""
    links = device.observe(endpoint.namespace, wanted.links.proxies | found.links.proxies, wanted.links.refused | found.links.refused)
    configured = read(endpoint.configuration) == charon.configuration(endpoint.socket, kernel(endpoint))
    applied = read(endpoint.rules)
    loaded = wanted.rules is None or bool(applied) and applied == rules_digest(endpoint)
    with opened(endpoint.socket, endpoint.namespace) as session:
        if session is None:
            return Seen(False, configured, {}, set(), set(), links, loaded)
        return Seen(True, configured, session.connections(), session.keys(), session.certificates(), links, loaded)


def drift(endpoint: Endpoint, known: dict[str, Document]) -> list[str]:
    """Return what is not as the documents say: C(daemon), C(credentials), C(connections), C(links), C(rules); without a router, all of it."""
    if not endpoint.reachable:
        return ["daemon", "credentials", "connections", "links", "rules"]
    want = plan_of(endpoint, known)
    seen = observe(endpoint, want, want)
    well = {
        "daemon": seen.alive and seen.configured,
        "credentials": seen.keys == set(want.locals) and want.certificates <= seen.certificates,
        "connections": seen.connections == expected(want),
        "links": seen.links == want.links,
        "rules": seen.rules,
    }
    return [part for part, right in well.items() if not right]


def expected(want: plan.Plan) -> dict[str, t.Any]:
    """Return what a daemon that has loaded everything says of its connections."""
    return {name: connection.expected(one) for name, one in want.connections.items()}


def missing(
    session: Session, wanted: dict[str, connection.Connection], childless: bool = False, replaced: t.Collection[str] = ()
) -> list[tuple[str, str | None]]:
    """Return the (connection, child) of *wanted* that this end has to start, and that are not up.

    Args:
        session: the daemon.
        wanted: connections by name.
        childless: whether to ask for connections without children, too.
        replaced: the initiator's SPIs of IKE_SAs that do not count: those of connections that have been replaced live on for a moment.
    """
    tunnels = [one for one in session.tunnels() if one["initiator-spi"] not in replaced]
    up: set[tuple[str, str | None]] = {(one["connection"], None) for one in tunnels if one["state"] == "ESTABLISHED"}
    up |= {(one["connection"], child["name"]) for one in tunnels for child in one["child-sas"].values() if child["state"] == "INSTALLED"}
    ours = {name: one for name, one in wanted.items() if "remote_addrs" in one}
    ways = [(name, child) for name, one in ours.items() for child in list(one["children"]) or ([None] if childless else [])]
    return [way for way in ways if way not in up]


def look(endpoint: Endpoint) -> list[dict[str, t.Any]]:
    """Return each service's tunnel of an endpoint as people want to see it; on the owner's gateway, each service's callers."""
    known = state.load(endpoint)
    wrong = drift(endpoint, known) if known else []
    with opened(endpoint.socket, endpoint.namespace) as session:
        live = session.tunnels() if session else []
    return [
        _described(endpoint, service, document, [one for one in live if one["connection"] == service], wrong)
        for name, document in known.items()
        for service in (sorted(one["name"] for one in document["services"]) if name == RESPONDER else [name])
    ]


def outline(document: Document | None) -> dict[str, t.Any] | None:
    """Return a document as people may see it: certificates as serial numbers, pre-shared keys as names of their envelopes, keys not at all."""
    if document is None:
        return None
    shown = {key: value for key, value in document.items() if key not in ("local", "peer", "authority", "crl")}
    shown["local"] = {key: value for key, value in document["local"].items() if key not in ("certificate", "key", "envelope")}
    shown["local"].update(_certified(document) or {"shared": plan.key_id(document["local"])})
    trust = document["peer"] if "peer" in document else document
    crl = pki.load_crl(trust["crl"], "revocation list") if trust["crl"] else None
    shown["peer"] = {key: value for key, value in document.get("peer", {}).items() if key not in ("authority", "crl")}
    shown["peer"]["authority"] = pki.serial(pki.load_certificate(trust["authority"], "authority")) if trust["authority"] else None
    shown["peer"]["revoked"] = sorted(f"{entry.serial_number:x}" for entry in crl) if crl is not None else None
    return shown


def rules_digest(endpoint: Endpoint) -> str | None:
    """Return the digest of the tunnels' rules as they are, None when there are none."""
    listed = run([*inside(endpoint), "nft", "-s", "list", "table", "inet", rules.TABLE], check=False)
    return rules.digest(listed.stdout) if listed.returncode == 0 else None


def inside(endpoint: Endpoint) -> list[str]:
    """Return how a program is called in the network namespace of an endpoint."""
    return ["ip", "netns", "exec", endpoint.namespace] if endpoint.namespace else []


def read(path: str) -> str | None:
    """Return what a text file holds, None when there is none."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def _described(endpoint: Endpoint, service: str, document: Document, live: list[dict[str, t.Any]], wrong: list[str]) -> dict[str, t.Any]:
    up = [one for one in live if one["state"] == "ESTABLISHED"]
    children = [child for one in up for child in one["child-sas"].values() if child["state"] == "INSTALLED"]
    names = {child["name"] for child in children}
    ages = [int(one["established"]) for one in up]
    ways = [{**mapping, "established": connection.child(mapping["instance"]) in names} for mapping in document.get("mappings", [])]
    return {
        "domain": endpoint.domain,
        "service": service,
        "established": bool(children) and all(way["established"] for way in ways),
        "since": pki.stamp(pki.now() - datetime.timedelta(seconds=max(ages))) if ages else None,
        "bytes_in": sum(int(child["bytes-in"]) for child in children),
        "bytes_out": sum(int(child["bytes-out"]) for child in children),
        "peers": [{"address": one["remote-host"], "identity": one["remote-id"]} for one in up],
        "instances": ways,
        "certificate": _certified(document),
        "kernel_esp": kernel(endpoint),
        "drift": wrong,
    }


def _certified(document: Document) -> dict[str, str] | None:
    """Return serial number and end of the certificate that a document's own end shows; None with a pre-shared key."""
    if not document["local"]["certificate"]:
        return None
    certificate = pki.load_certificate(document["local"]["certificate"], "certificate")
    return {"serial": pki.serial(certificate), "not_after": pki.stamp(pki.not_after(certificate))}
