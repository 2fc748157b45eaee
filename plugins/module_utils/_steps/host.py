# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Compare this host's system with the description of a role."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._system import differences


def compare(arguments: t.Mapping[str, t.Any], _check: bool) -> Outcome:
    """Return as C(differences) what is not as the arguments describe it, in the words of C(_system.differences); it is for roles to mend it."""
    found = differences.differences(arguments)
    return Outcome(bool(found), {"differences": found}, {"differences": []}, {"differences": found})
