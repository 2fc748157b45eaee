# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""How the instances of a service share its callers: the policy, each one's weight, and what shows that one is alive.

A balance is kept without its defaults, so that capsules, records and router documents say nothing about it unless there is something to say.
"""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput

#: C(spread) gives each new connection to the next instance; C(sticky) gives all connections of one source address to the same one.
POLICIES = ("spread", "sticky")
#: C(tcp) is an accepted connection; C(http) a response to a GET request for C(path) with a status below 500.
CHECKS = ("tcp", "http")
HEAVIEST = 100
USUAL: dict[str, t.Any] = {"policy": "spread", "weight": 1, "check": "tcp", "path": "/"}
#: What concerns the service as a whole, not one instance.
SHARED = ("policy", "check", "path")


def checked(value: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """Return a balance without its defaults.

    Args:
        value: any of C(policy), C(weight), C(check) and C(path); None is as usual.

    Raises:
        InvalidInput: it is invalid.
    """
    value = {key: item for key, item in (value or {}).items() if item is not None}
    unknown = sorted(set(value) - set(USUAL))
    if unknown:
        raise InvalidInput(f"A balance has no {unknown[0]!r}: it knows {', '.join(USUAL)}.")
    said = whole(value)
    if said["policy"] not in POLICIES:
        raise InvalidInput(f"{said['policy']!r} is not a policy of balancing: it must be spread or sticky.")
    if isinstance(said["weight"], bool) or not isinstance(said["weight"], int) or not 1 <= said["weight"] <= HEAVIEST:
        raise InvalidInput(f"{said['weight']!r} is not a weight: it must be a whole number from 1 to {HEAVIEST}.")
    if said["check"] not in CHECKS:
        raise InvalidInput(f"{said['check']!r} is not a check: it must be tcp or http.")
    path = said["path"]
    if not isinstance(path, str) or not path.startswith("/") or any(not 0x21 <= ord(character) < 0x7F for character in path):
        raise InvalidInput(f"The check's path {path!r} must begin with / and hold printable ASCII characters without spaces.")
    return {key: said[key] for key in USUAL if said[key] != USUAL[key]}


def whole(value: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """Return a balance with its defaults filled in."""
    return {**USUAL, **(value or {})}
