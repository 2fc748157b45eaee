# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.


"""What brings a switch that does not outlive a reboot back, and guards the ports of one that was started anew: C(python3 -m ... BRIDGE)."""

from __future__ import annotations

import logging
import sys

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, NotFound
from ansible_collections.vmatrix.mesh.plugins.module_utils._switch.switch import restore


def main(bridge: str) -> int:
    """Restore the guard of the ports of *bridge*; a switch that is not there has none."""
    try:
        restore(bridge)
    except NotFound:
        logging.info("There is no switch %s yet.", bridge)
    except (MeshError, OSError) as exc:
        logging.error("The ports of the switch %s were not guarded: %s", bridge, exc)
        return 1
    return 0


if __name__ == "__main__":
    # The journal adds time and unit to each line.
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    raise SystemExit(main(sys.argv[1]))
