# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resume to first answer through the public address: against a cold boot, and against a bare virsh restore."""

from __future__ import annotations

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from figures import Figures, rounds  # noqa: E402
from listener import Listener  # noqa: E402
from mesh_lab import SHOP, Mesh  # noqa: E402

EAST, RM = "198.18.1.10", "rm-east-1"
#: Calls the engine as the module does, and prints when it began. What Python takes to start is not in it, nor is virsh's own start in the other figure.
ENGINE = """
import sys, time
sys.path.insert(0, "/usr/lib/vmatrix/engines.zip")
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.host import this_host
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.instance import Wanted, ensure
name, state, epoch = sys.argv[1:]
wanted = Wanted(name=name, state=state, epoch=int(epoch), capsule=None, vlan=None, record=None, timeout=60, stop_timeout=0, stop_force=True)
began = time.time()
ensure(this_host(), wanted, False)
print(began)
"""


def main() -> None:
    """Measure and print."""
    count = rounds(__doc__)
    mesh, figures = Mesh(), Figures()
    placed = mesh.place_anew(RM, EAST)
    epoch = str(placed.answer("reserve")["records"][0]["epoch"])

    def engine(state: str) -> float:
        return float(mesh.ssh(RM, "python3", "-c", ENGINE, SHOP, state, epoch))

    with Listener(EAST) as listener:
        for unused in range(count):
            engine("suspended")
            figures.add("resume by the engine of the module", listener.first_after(engine("running")))

            mesh.ssh(RM, "virsh", "-q", "save", SHOP, "/var/lib/vmatrix/bench.save")
            # Bare means without the guard of the guest's port, too; a switch that guards keeps an unknown port mute.
            mesh.ssh(RM, "ovs-ofctl", "add-flow", "br-mesh", "cookie=0xbe,priority=60000,actions=NORMAL")
            began = float(mesh.shell(RM, "date +%s.%N; virsh -q restore /var/lib/vmatrix/bench.save; rm /var/lib/vmatrix/bench.save").split()[0])
            figures.add("bare virsh restore", listener.first_after(began))
            mesh.ssh(RM, "ovs-ofctl", "del-flows", "br-mesh", "cookie=0xbe/-1")

            engine("stopped")
            figures.add("cold boot by the engine of the module", listener.first_after(engine("running")))

            suspended = mesh.play("suspend", instance=SHOP)
            assert suspended.ok, suspended.output
            began = time.time()
            resumed = mesh.play("resume", instance=SHOP)
            assert resumed.ok, resumed.output
            figures.add("resume by the whole play (ansible-playbook started to answer)", listener.first_after(began))
            idle = mesh.play("../tests/bench/round_trips")
            assert idle.ok, idle.output
            figures.add("a play of the same round trips that does nothing", idle.seconds)

    figures.show("s")
    figures.ratio("resume by the engine of the module", "bare virsh restore", "1.3")
    figures.ratio("resume by the whole play (ansible-playbook started to answer)", "bare virsh restore", "1.3")
    figures.ratio("a play of the same round trips that does nothing", "bare virsh restore")
    figures.ratio("cold boot by the engine of the module", "resume by the engine of the module")


if __name__ == "__main__":
    main()
