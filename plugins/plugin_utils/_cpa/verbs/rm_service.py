# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.
"""Take an RM out of service, so that nothing new is placed there, or back into it."""

from __future__ import annotations

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import NotFound
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa import lookups, parts
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.plan import Plan, Step
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View


def plan(view: View, names: parts.Naming, rm: str, in_service: bool) -> Plan:
    """Plan to change an RM's service. The RM itself is asked nothing, so that one that is down can be taken out of service, too.

    Args:
        view: the observed mesh.
        names: how names follow, which this leaves alone.
        rm: the RM.
        in_service: whether something new may be placed there.

    Raises:
        NotFound, Refused: one sentence for the operator.
    """
    if rm not in view.rms:
        raise NotFound(f"There is no RM {rm}; known are: {', '.join(sorted(view.rms)) or 'none'}.")
    site = lookups.site_of(view, view.rms[rm].hn)
    state = "in service" if in_service else "out of service"
    tell = Step("tell", site.vma, "subscribe", {"name": rm, "in_service": in_service}, f"record that {rm} is {state}")
    stage = parts.stage("tell", "Record whether it is in service", tell)
    return Plan("rm_service", rm, prepare=(stage,), was=f"The service of {rm} is as it was.", done=f"{rm} is {state}.")
