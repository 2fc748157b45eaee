# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Tunnels and responders as the IKE daemon knows them: what is loaded over vici, and what it must say afterwards.

Each instance has a CHILD_SA of its own, so one comes or goes without the others noticing. IKEv2 only (RFC 7296), with X.509 or a pre-shared key.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import identities, names, proposals
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.document import Document

#: Seconds between two questions whether a silent peer is alive; strongswan.conf says how long an answer is waited for.
DPD = 5
#: Identifies the XFRM interface of a namespace to the kernel's policies.
IF_ID = 7670
#: How the daemon calls the ways in which an end shows who it is.
_CLASSES = {"pubkey": "public key", "psk": "pre-shared key"}

Connection = t.Dict[str, t.Any]


def of_tunnel(tunnel: Document, kernel: bool) -> dict[str, Connection]:
    """Return the connection of a service's tunnel, by its name; with *kernel* its packets go through an XFRM interface."""
    remote = [f"{backend['address']}/32" for backend in tunnel["backends"]]
    offered = {**proposals.USUAL, **tunnel["peer"].get("proposals", {})}
    actions = {"start_action": "start", "dpd_action": "restart", "close_action": "start"}
    children = {
        child(mapping["instance"]): {**_child([f"{mapping['intranet_address']}/32"], remote, offered, kernel), **actions} for mapping in tunnel["mappings"]
    }
    local = {"identity": f"{tunnel['service']}.{tunnel['domain']}", **tunnel["local"]}
    ends = {"local_addrs": [local["address"]], "remote_addrs": [tunnel["peer"]["address"]], "unique": "replace"}
    return {tunnel["service"]: {**ends, **_connection(local, tunnel["peer"]["identity"], tunnel["peer"], offered, children)}}


def of_responder(responder: Document, kernel: bool) -> dict[str, Connection]:
    """Return a responder's connections, one for each service, which may claim its own intranet addresses only.

    One service may call from several HNs at once, so a newer tunnel does not displace an older one of the same identity.
    """
    found = {}
    for service in responder["services"]:
        pool = [str(network) for network in ipaddress.collapse_addresses(map(ipaddress.IPv4Network, service["addresses"]))]
        children = {"intranet": _child([f"{address}/32" for address in responder["backends"]], pool, proposals.USUAL, kernel)}
        ends = {"local_addrs": [responder["local"]["address"]], "unique": "never"}
        found[service["name"]] = {**ends, **_connection(responder["local"], f"{service['name']}.{responder['domain']}", responder, proposals.USUAL, children)}
    return found


def child(instance: str) -> str:
    """Return what the CHILD_SA of an instance is called: C(shop-1)."""
    parts = names.instance(instance)
    return f"{parts.service}-{parts.ordinal}"


def expected(connection: Connection) -> dict[str, t.Any]:
    """Return what C(list_conns) has to say of a loaded connection, as far as C(seen) keeps it."""
    return {
        "local_addrs": connection["local_addrs"],
        "remote_addrs": connection.get("remote_addrs", ["%any"]),
        "unique": f"UNIQUE_{connection['unique'].upper()}",
        "dpd_delay": str(DPD),
        "local": identities.shown(connection["local"]["id"]),
        "remote": identities.shown(connection["remote"]["id"]),
        "classes": [_CLASSES[connection[end]["auth"]] for end in ("local", "remote")],
        "strict": connection["remote"].get("revocation") == "strict",
        "children": {name: (sorted(one["local_ts"]), sorted(one["remote_ts"])) for name, one in connection["children"].items()},
    }


def seen(listed: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the part of a connection's C(list_conns) entry that tells whether it is the one that was meant."""
    local, remote = listed.get("local-1", {}), listed.get("remote-1", {})
    return {
        "local_addrs": listed.get("local_addrs"),
        "remote_addrs": listed.get("remote_addrs"),
        "unique": listed.get("unique"),
        "dpd_delay": listed.get("dpd_delay"),
        "local": local.get("id"),
        "remote": remote.get("id"),
        "classes": [end.get("class") for end in (local, remote)],
        "strict": remote.get("revocation") == "GOOD",
        "children": {name: (sorted(one["local-ts"]), sorted(one["remote-ts"])) for name, one in listed.get("children", {}).items()},
    }


def _connection(
    local: dict[str, t.Any], identity: str, trust: dict[str, t.Any], offered: proposals.Proposals, children: dict[str, t.Any]
) -> Connection:
    return {
        "version": "2",
        "proposals": offered["ike"],
        "dpd_delay": f"{DPD}s",
        "keyingtries": "0",
        # Both ends have one address each; with MOBIKE they would try each other's inner ones.
        "mobike": "no",
        **(_by_certificates(local, identity, trust) if local["certificate"] else _by_pre_shared_key(local, identity)),
        "children": children,
    }


def _by_certificates(local: dict[str, t.Any], identity: str, trust: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        "local": {"auth": "pubkey", "id": local["identity"], "certs": [local["certificate"]]},
        # Without a revocation list nothing can be known; with one, whoever it does not vouch for is refused.
        "remote": {"auth": "pubkey", "id": identity, "cacerts": [trust["authority"]], "revocation": "strict" if trust["crl"] else "relaxed"},
    }


def _by_pre_shared_key(local: dict[str, t.Any], identity: str) -> dict[str, t.Any]:
    return {"local": {"auth": "psk", "id": local["identity"]}, "remote": {"auth": "psk", "id": identity}}


def _child(local: list[str], remote: list[str], offered: proposals.Proposals, kernel: bool) -> dict[str, t.Any]:
    through = {"if_id_in": str(IF_ID), "if_id_out": str(IF_ID)} if kernel else {}
    return {"mode": "tunnel", "local_ts": local, "remote_ts": remote, "esp_proposals": offered["esp"], **through}
