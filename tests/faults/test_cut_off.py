# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An operation is ended at any moment, by Ctrl-C or a kill: nobody else of its domain is held up, and names go on saying the truth.

Each round (VMATRIX_ROUNDS, from VMATRIX_SEED on) is another moment: tenths of what the operation takes.
"""

from __future__ import annotations

import signal
import time

import pytest
from answers import SERVER
from faults import Controller
from mesh_lab import SHOP, machine, until


DESK, EAST, WEST, DESK_AT = "desk-1.example.com", "198.18.1.10", "198.18.2.10", "198.18.1.20"
#: What is there before, what is cut off, and the seconds that it takes on a quiet machine.
OPERATIONS = {
    "place": (False, ("place", {"instance": SHOP, "capsule": "1.0.0", "to_hn": "hn-east", "to_rm": "rm-east-1", "public_address": EAST}), 8.0),
    "move": (True, ("move", {"instances": SHOP, "to_hn": "hn-west", "to_rm": "rm-west-1", "public_address": WEST, "strategy": "suspend"}), 8.0),
    "drain": (True, ("drain", {"instance": SHOP, "then": "suspend", "at_deadline": "cut", "timeout": 6}), 12.0),
}
SIGNALS = {"Ctrl-C": signal.SIGINT, "kill": signal.SIGKILL}
#: Seconds after which everybody else can be at work again.
PROMISED = 15.0
ROUNDS = 10


@pytest.fixture(scope="module", name="neighbours")
def _neighbours(mesh):
    """The lab with another service of the domain, which has a name; and how long its operations take when nothing is in their way."""
    for playbook, variables in (
        ("capsule_import", {"rm": "rm-east-1", **machine("desk", 20)}),
        ("place", {"instance": DESK, "capsule": "1.0.0", "to_hn": "hn-east", "to_rm": "rm-east-1", "public_address": DESK_AT}),
    ):
        done = mesh.play(playbook, **variables)
        assert done.ok, done.output
    return mesh, neighbours_at_work(mesh)


def neighbours_at_work(mesh) -> float:
    """Have the other service suspended, resumed and drained, each at the first attempt; return the seconds that it took."""
    began = time.monotonic()
    for verb, variables in (("suspend", {}), ("resume", {}), ("drain", {"then": "suspend", "timeout": 1, "at_deadline": "cut"}), ("resume", {})):
        done = mesh.play(verb, instance=DESK, **variables)
        assert done.ok, (verb, done.output)
    return time.monotonic() - began


def truth(mesh, service: str) -> list[str]:
    """Return the addresses that the name of a service has, of which each must serve."""
    said = mesh.ssh("client-east", "dig", "+short", "+time=2", "+tries=2", f"@{SERVER}", f"{service}.example.com", "A")
    # Those that end with a dot are the names that it leads over.
    found = [line for line in said.split() if not line.endswith(".")]
    until(lambda: all(mesh.page(address, timeout=2) for address in found), PROMISED, f"all that {service} is said to be at serves: {found}")
    return found


@pytest.mark.parametrize("how", SIGNALS)
@pytest.mark.parametrize("what", OPERATIONS)
def test_an_operation_that_is_cut_off_holds_nobody_up(neighbours, what, how, seed):
    mesh, usual = neighbours
    lives, (verb, variables), seconds = OPERATIONS[what]
    if lives:
        done = mesh.play("place", **OPERATIONS["place"][1][1])
        assert done.ok, done.output
    controller = Controller(verb, variables)
    over = controller.ended(seconds * (seed % ROUNDS + 0.5) / ROUNDS)
    controller.kill(SIGNALS[how])
    took = neighbours_at_work(mesh)
    print(f"{what}, {how} in tenth {seed % ROUNDS}{', which was over' if over else ''}: others took {took:.1f} s, {took - usual:+.1f}")
    assert truth(mesh, "desk") == [DESK_AT]
    recovered = mesh.play("recover")
    assert recovered.ok, recovered.output
    if took >= usual + PROMISED:
        # The machine may have become busy since: what it takes now, with nothing in the way, is what it takes.
        usual = neighbours_at_work(mesh)
    assert took < usual + PROMISED
    truth(mesh, "shop")
    gone = mesh.play("remove", instance=SHOP)
    assert gone.ok, gone.output
    assert truth(mesh, "shop") == []
