# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Surroundings records and what a gateway makes of them: pure functions."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import balance, names, ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused

STATES = ("reserved", "running", "suspended", "leaving", "stopped")

#: The keys of a record, in the order in which a person reads them.
FIELDS = (
    "instance service domain capsule rm moves_to epoch state in_rotation guest fabric_address intranet_address vlan public_address forward_to "
    "ports balance requirements"
).split()


def requirements(value: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return machine requirements as a record keeps them.

    Raises:
        InvalidInput: a quantity is not a positive number (disk_bytes may be 0), or there is no such accelerator.
    """
    for key, least in (("memory_mib", 1), ("vcpus", 1), ("disk_bytes", 0)):
        if isinstance(value[key], bool) or not isinstance(value[key], int) or value[key] < least:
            raise InvalidInput(f"The requirement {key} must be a whole number of at least {least}, not {value[key]!r}.")
    if value.get("accelerator") not in (None, "kvm", "tcg"):
        raise InvalidInput(f"The requirement accelerator must be kvm, tcg or null, not {value['accelerator']!r}.")
    return {key: value.get(key) for key in ("memory_mib", "vcpus", "disk_bytes", "machine_type", "cpu", "accelerator")}


def with_state(record: dict[str, t.Any], state: str | None, in_rotation: bool | None) -> dict[str, t.Any]:
    """Return *record* in another state and rotation; None keeps what is, but what does not run leaves the rotation, and only what is
    leaving has late-comers to forward.

    Raises:
        Refused: it would be in rotation without running.
    """
    state = state or record["state"]
    if in_rotation and state != "running":
        raise Refused(f"{record['instance']} cannot be in rotation while it is {state}: only what is running can.")
    if in_rotation is None:
        in_rotation = record["in_rotation"] and state == "running"
    return {**record, "state": state, "in_rotation": in_rotation, "forward_to": record["forward_to"] if state == "leaving" else None}


def router_document(records: t.Iterable[dict[str, t.Any]], domain: str, generation: int, vlan: int | None = None) -> dict[str, t.Any]:
    """Return what the gateway's router of *domain* must be.

    Args:
        records: surroundings records of the HN; those of other domains are passed over.
        domain: whose router.
        generation: the registry's counter.
        vlan: the domain's VLAN, for when it has no record (any more).

    A service has C(mappings) if and only if it has a tunnel, C(balance) if its first instance's is not as usual, and C(forward_to) when nobody serves here
    any more, but elsewhere.
    """
    mine = sorted((record for record in records if record["domain"] == domain), key=_order)
    services: dict[str, dict[str, t.Any]] = {}
    gateways = set()
    for record in mine:
        gateways.add(f"{record['guest']['gateway']}/{record['guest']['address'].partition('/')[2]}")
        service = services.setdefault(record["service"], _service(record))
        service["ports"] = ports.checked(f"service {record['service']}", ports.joined([*service["ports"], *record["ports"]]))
        if record["in_rotation"]:
            weight = balance.checked({"weight": record["balance"].get("weight")})
            service["members"].append({"instance": record["instance"], "address": record["fabric_address"], **weight})
        if record["forward_to"]:
            service["forward_to"] = record["forward_to"]
        if record["intranet_address"]:
            _map(service.setdefault("mappings", []), record)
    for service in services.values():
        # Whoever is here serves.
        if service["members"]:
            service.pop("forward_to", None)
    return {
        "domain": domain,
        "vlan": mine[0]["vlan"] if mine else vlan,
        "generation": generation,
        "gateways": sorted(gateways),
        "services": list(services.values()),
    }


def _service(record: dict[str, t.Any]) -> dict[str, t.Any]:
    shared = {key: value for key, value in record["balance"].items() if key in balance.SHARED}
    service = {"name": record["service"], "public_address": record["public_address"], "ports": [], "members": []}
    return {**service, "balance": shared} if shared else service


def _map(mappings: list[dict[str, t.Any]], record: dict[str, t.Any]) -> None:
    """Add an instance's mapping to those of its service: only what runs here uses the tunnel; in a move that is in one HN at a time."""
    if record["state"] == "running":
        mappings.append({key: record[key] for key in ("instance", "fabric_address", "intranet_address")})


def _order(record: dict[str, t.Any]) -> tuple[str, int]:
    name = names.instance(record["instance"])
    return name.service, name.ordinal
