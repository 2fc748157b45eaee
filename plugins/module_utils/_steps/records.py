# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Keep address records in a zone."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import options, record_set
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.libraries import LIBRARIES
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.answers import given

__all__ = ["LIBRARIES", "ensure"]

#: What is usual.
USUAL: t.Mapping[str, t.Any] = {"servers": None, "timeout": 10, "confirm_timeout": 30, "type": "A", "values": (), "exclusive": True, "ttl": None}


def ensure(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Change the records of a C(name) in a C(zone) as the arguments say, which are those of the module C(dns_record_set)."""
    wanted = {**USUAL, **given(arguments)}
    zone = options.zone(wanted, wanted["key_file"])
    there = wanted.get("state") != "absent"
    only = wanted["exclusive"] if there else not wanted["values"]
    asked = record_set.wish(zone, wanted["name"], wanted["type"], wanted["values"], wanted["ttl"], there, only)
    return Outcome(*record_set.apply(zone, asked, options.servers(wanted), wanted["confirm_timeout"], check))
