# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Keeping the tunnels of a host up: C(python3 -m ..._vpn.keeper).

Charon comes back by itself from a peer that falls silent. What it does not come back from is seen to here: its own restart, a
router that was made anew, a peer that refused because it was not ready yet, and ends of tunnels that a dead peer left behind.
"""

from __future__ import annotations

import logging
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import archive
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn import observe, state, tunnel
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.session import opened
from ansible_collections.vmatrix.mesh.plugins.module_utils._vpn.state import Endpoint

#: Seconds between two looks.
INTERVAL = 2.0
#: A look that finds the daemon and its connections in order does not look at rules and routes, except every so many times.
_THOROUGH = 15


def keep(endpoint: Endpoint, thorough: bool = True) -> list[str]:
    """See to one endpoint; return what had to be done, in words. Somebody else's work on it is not disturbed."""
    done = []
    try:
        with state.locked(endpoint, timeout=0):
            known = state.load(endpoint)
            if not known or not endpoint.reachable:
                return []
            want = observe.plan_of(endpoint, known)
            with opened(endpoint.socket, endpoint.namespace) as session:
                well = session is not None and session.connections() == observe.expected(want)
            if (thorough or not well) and tunnel.restore(endpoint):
                done.append("repaired what was not as it should be")
            with opened(endpoint.socket, endpoint.namespace) as session:
                if session is None:
                    return done
                tunnels = session.tunnels()
                trying = {one["connection"] for one in tunnels if one["state"] != "ESTABLISHED"}
                for name, child in observe.missing(session, want.connections):
                    if name not in trying:
                        session.initiate(name, child, 0)
                        done.append(f"started {child}")
                for identifier in superseded(tunnels):
                    session.terminate({"ike-id": identifier})
                    done.append(f"closed the IKE_SA {identifier}, which a newer one has replaced")
    except Refused:
        return done
    return done


def superseded(tunnels: t.Iterable[dict[str, t.Any]]) -> list[str]:
    """Return the IKE_SAs that their peer has replaced: it called again for the same service from the same address.

    A gateway that was restarted knows nothing of its earlier tunnel, which would only be noticed dead some 10 s later. Calls from
    different addresses are different HNs, and both are right.
    """
    newest: dict[tuple[str, str], int] = {}
    theirs = [one for one in tunnels if one["state"] == "ESTABLISHED" and one.get("initiator") != "yes"]
    for one in theirs:
        caller = one["connection"], one["remote-host"]
        newest[caller] = max(newest.get(caller, 0), int(one["uniqueid"]))
    return [one["uniqueid"] for one in theirs if int(one["uniqueid"]) < newest[one["connection"], one["remote-host"]]]


def main() -> None:
    """Look at every endpoint of this host until there are newer engines; the unit starts them."""
    looks, engines = 0, archive.version()
    while archive.version() == engines:
        for endpoint in state.endpoints():
            try:
                for words in keep(endpoint, looks % _THOROUGH == 0):
                    logging.info("VPN of %s: %s.", endpoint.domain, words)
            except (MeshError, OSError) as exc:
                logging.error("VPN of %s: %s", endpoint.domain, exc)
        looks += 1
        time.sleep(INTERVAL)


if __name__ == "__main__":
    # The journal adds time and unit to each line.
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main()
