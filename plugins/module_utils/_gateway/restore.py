# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Rebuilding all domain routers of a gateway from their states, at boot: C(python3 -m ..._gateway.restore)."""

from __future__ import annotations

import logging

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import router, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.switch import find


def main() -> int:
    """Restore each router; one that fails is reported and does not keep the others from coming back."""
    failed = 0
    for known in state.load_all():
        domain = known.document["domain"]
        try:
            router.restore(known, find(known.bridge))
        except (MeshError, OSError) as exc:
            failed += 1
            logging.error("The router of %s was not restored: %s", domain, exc)
        else:
            logging.info("The router of %s was restored.", domain)
    return 1 if failed else 0


if __name__ == "__main__":
    # The journal adds time and unit to each line.
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    raise SystemExit(main())
