# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Keep keys and zones on the primary name server."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import keys, server
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps.answers import given


def key(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Keep the key C(name) with C(algorithm) and C(secret) in the file C(path), or with C(state) absent no key."""
    wanted = {"algorithm": "hmac-sha256", "secret": None, **given(arguments)}
    if wanted.get("state") == "absent":
        return Outcome(*keys.absent(wanted["path"], check))
    return Outcome(*keys.present(wanted["path"], wanted["name"], wanted["algorithm"], wanted["secret"], check))


def zone(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Set the zone C(name) up as the arguments say, which are those of the module C(dns_zone)."""
    wanted = {"api_url": server.URL, "api_file": server.API_FILE, **given(arguments)}
    api = server.Api(wanted["api_url"], server.api_key(wanted["api_file"]))
    if wanted.get("state") == "absent":
        return Outcome(*server.absent(api, wanted["name"], check))
    options = {part: tuple(wanted[part]) for part in ("nameservers", "update_from") if part in wanted}
    options.update({part: tuple(keys.read(path) for path in wanted.get(part, ())) for part in ("update_keys", "transfer_keys")})
    return Outcome(*server.present(api, server.ZoneSpec(wanted["name"], **options, steering=wanted.get("steering", False)), check))
