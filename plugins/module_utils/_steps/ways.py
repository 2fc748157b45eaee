# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Look at the ways between this host and the others of its HN, and to the world."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import sizes
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import outside
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.namespace import MAC
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import bridge_filter, ports, trunk

#: How many VLANs of guests are tried besides frames without a tag; where nobody answers each takes a part of a second.
_TRIED = 3


def look(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return as C(warnings) what of the ways is narrower than everybody believes, or closed by others; silence of another host is none.

    Args:
        arguments: C(switch), and C(uplinks), its trunk interfaces; C(wan), the interface of a gateway that faces the world. On a host that has none, its
            gateway is asked over the trunk.
    """
    uplinks, wan, switch = arguments["uplinks"], arguments.get("wan"), arguments["switch"]
    links = [("trunk interface", uplink) for uplink in uplinks] + ([("WAN interface", wan)] if wan else [])
    found = [_small(what, link) for what, link in links if sizes.carried_by(link) < sizes.USUAL]
    found += outside.in_the_way(wan) if wan else [sentence for uplink in uplinks for sentence in _narrow(uplink, switch)]
    found += bridge_filter.in_the_way(switch)
    return Outcome(False, None, None, {"warnings": found})


def _small(what: str, link: str) -> str:
    return (
        f"The {what} {link} carries {sizes.carried_by(link)} bytes, not {sizes.USUAL}: connections are told so when they begin, but what guests send "
        "that is larger (datagrams) is lost or refused."
    )


def _narrow(uplink: str, bridge: str) -> list[str]:
    carried = sizes.carried_by(uplink)
    vlans = sorted({one.vlan for one in ports.load(bridge).values()})[:_TRIED]
    reaches = None
    # An interface that is not there, or down, is for others to tell.
    with contextlib.suppress(OSError):
        reaches = trunk.largest(uplink, [None, *vlans], bytes.fromhex(MAC.replace(":", "")), carried)
    if reaches is None or reaches >= carried:
        return []
    return [
        f"Packets of more than {reaches} bytes do not reach the gateway by the trunk interface {uplink}, which takes {carried}: large answers of guests "
        f"will be lost. Let the switches between them carry {carried}, or give the trunk interfaces of gateway and RMs an MTU of {reaches}."
    ]
