# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Let the name of a service follow where it is served."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import fence
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import options, service, shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.libraries import LIBRARIES
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.answers import given

__all__ = ["LIBRARIES", "follow", "look"]

#: What is usual.
USUAL: t.Mapping[str, t.Any] = {
    "key_file": None,
    "servers": None,
    "timeout": 10,
    "confirm_timeout": 30,
    "driver": "powerdns",
    "views": None,
    "alias": None,
    "publish": (),
    "retire": (),
    "leaves": (),
    "only": False,
    "regions": (),
    "answers": 1,
    "ttl": 5,
    "check": {"type": "none"},
    "ask": {"type": "none"},
    "ask_timeout": 30,
    "hold": None,
}
SHAPE = ("order", "regions", "ttl", "answers", "check")
CHANGE = ("publish", "retire", "only", "ask", "ask_timeout", "hold")


def follow(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Let the name follow as the arguments say, which are those of the module C(dns_service), under a C(lease) if it is a part of an operation.

    An operation says of an HN whose instance C(leaves) the rotation what its VMA said then (C(serving)). It is retired unless others serve there, or have
    begun to since: whoever enters says what the VMA said then, too, and the higher C(number) counts.
    """
    if "lease" in arguments:
        fence.follow(arguments["lease"]["numbers"], check)
    wanted = {**USUAL, **{key: value for key, value in given(arguments).items() if key != "lease"}}
    zone = shapes.name(wanted["zone"])
    name = shapes.within(wanted["name"], zone)
    ask = {"path": "/", "host": name, **given(wanted["ask"])}
    left = {each["hn"]: each["serving"]["number"] for each in wanted["leaves"] if not each["serving"]["served"]}
    how = {**{key: wanted[key] for key in CHANGE}, "ask": ask, "retire": [*wanted["retire"], *left], "numbers": left}
    change = service.Change(name, zone, shape={key: wanted[key] for key in SHAPE}, **how)
    common = wanted["alias"] or {}
    own = common.get("zone")
    alias = service.Alias(common["name"], options.zone({**wanted, "zone": own}, wanted["key_file"])) if own else None
    changed, before, after, result = service.follow(options.driver(wanted), change, alias, wanted["confirm_timeout"], check)
    leads = own or not common or result["steering"] is None
    return Outcome(changed, before, after, {**result, "warnings": [] if leads else [_unknown(common["name"], name)]})


def _unknown(common: str, name: str) -> str:
    return (
        f"The name server has no zone for {common}, so nothing leads from that name to {name}: give the name server that zone (dns_zones), or have its owner "
        f"make it an alias (CNAME) of the other."
    )


def look(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return what steered C(names) of the zone say, or the one C(name), and who is sent where."""
    wanted = {**USUAL, "name": None, **given(arguments)}
    driver = options.driver(wanted)
    names = [shapes.within(wanted["name"], shapes.name(wanted["zone"]))] if wanted["name"] else driver.names()
    return Outcome(False, None, None, {"names": [options.seen(driver, name) for name in names]})
