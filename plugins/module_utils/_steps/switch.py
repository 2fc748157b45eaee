# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Set up or remove the switch of this device."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch import switch


def ensure(arguments: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Make the switch C(name) of C(driver) with C(uplinks), or with C(state) absent remove it."""
    if arguments.get("state") == "absent":
        report = switch.remove(arguments["name"], check)
    else:
        report = switch.apply(arguments["name"], arguments["driver"], arguments["uplinks"], check)
    return Outcome(report.changed, report.before or {}, report.after or {}, {"switch": report.after})
