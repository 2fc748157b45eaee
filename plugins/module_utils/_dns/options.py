# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The options by which modules reach a zone, and what becomes of them."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import keys, policy, shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.bind_views import BindViews
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.policy import REST
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.powerdns import PowerDns
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.shapes import Endpoint
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.steering import SteeringDriver
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.zone import Zone

ZONE = {
    "zone": {"type": "str", "required": True},
    "server": {"type": "str", "required": True},
    "servers": {"type": "list", "elements": "str"},
    "timeout": {"type": "float", "default": 10},
}
# It is the path of a file, which the name of the option does not tell from a secret.
KEY_FILE = {"type": "path", "no_log": False}
CONFIRM = {"confirm_timeout": {"type": "float", "default": 30}}
STEERING = {
    "driver": {"type": "str", "default": PowerDns.kind, "choices": [PowerDns.kind, BindViews.kind]},
    "key_file": KEY_FILE,
    "views": {
        "type": "list",
        "elements": "dict",
        "options": {"region": {"type": "str", "required": True}, "key_file": {**KEY_FILE, "required": True}},
    },
}
#: How clients of a steered name are told apart, and whether an HN is alive.
REGIONS = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "name": {"type": "str", "required": True},
        "prefixes": {"type": "list", "elements": "str", "required": True},
        "order": {"type": "list", "elements": "str", "required": True},
    },
}
SITES = {
    "type": "list",
    "elements": "dict",
    "options": {"hn": {"type": "str", "required": True}, "addresses": {"type": "list", "elements": "str", "required": True}},
}
CHECK = {
    "type": "dict",
    "default": {"type": "none"},
    "options": {
        "type": {"type": "str", "default": "none", "choices": list(policy.CHECKS)},
        "port": {"type": "int"},
        "path": {"type": "str", "default": "/"},
        "host": {"type": "str"},
    },
}
#: What each driver of STEERING needs.
STEERING_NEEDS = [("driver", PowerDns.kind, ("key_file",)), ("driver", BindViews.kind, ("views",))]


def zone(params: t.Mapping[str, t.Any], key_file: str | None = None) -> Zone:
    """Return the zone that a module's parameters name, with the key in *key_file*; raises InvalidInput, NotFound."""
    timeout = params["timeout"]
    if timeout <= 0:
        raise InvalidInput(f"{timeout:g} is not a number of seconds that anything can take.")
    return Zone(shapes.name(params["zone"]), shapes.endpoint(params["server"]), keys.read(key_file) if key_file else None, timeout)


def servers(params: t.Mapping[str, t.Any]) -> list[Endpoint] | None:
    """Return the authoritative servers that a module's parameters name, None if they name none; raises InvalidInput."""
    return [shapes.endpoint(one) for one in params["servers"]] if params["servers"] else None


def driver(params: t.Mapping[str, t.Any]) -> SteeringDriver:
    """Return the driver that a module's parameters name; raises InvalidInput, NotFound."""
    if params["driver"] == PowerDns.kind:
        return PowerDns(zone(params, params["key_file"]), servers(params))
    views = {one["region"]: zone(params, one["key_file"]) for one in params["views"]}
    if len(views) < len(params["views"]):
        raise InvalidInput("A region has two views.")
    return BindViews(views, servers(params))


def seen(driver_: SteeringDriver, name: str) -> dict[str, t.Any]:
    """Return what is in force under a name, and region by region who is sent where."""
    found = driver_.look(name)
    now = driver_.told(found.document) if found.document else {}
    rows = [{**row, "now": now.get(row["region"], {})} for row in table(found.document)]
    return {"name": name, "steering": found.document, "table": rows, "drift": found.drift}


def table(document: policy.Document | None) -> list[dict[str, t.Any]]:
    """Return who is sent where by a document, region by region, with all HNs alive."""
    found: dict[str, dict[str, t.Any]] = {}
    for family, rdtype in shapes.FAMILIES.items():
        for row in policy.rows(document, family) if document else []:
            region = found.setdefault(row.region, {"region": row.region, "prefixes": [], "orders": {}, "answers": {}})
            region["prefixes"] = sorted({*region["prefixes"], *map(str, row.prefixes)}) if row.region != REST else []
            region["orders"][rdtype] = [hn for hn, unused in row.sites]
            region["answers"][rdtype] = policy.choose(row, document["answers"])
    return sorted(found.values(), key=lambda region: (region["region"] == REST, region["region"]))
