# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is ordered in whatever order, wherever it breaks: one instance has at most one life."""

from __future__ import annotations

import os
import shutil
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import accelerator, client
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._cutover.line import Line, accept, hand
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import fake_libvirt
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import Rm, manifest

SIDES = st.sampled_from(["east", "west"])
CUTS = st.sampled_from(["dial", "redial", "memory", "memory!", "disk-root", "disk-root!", "commit", "commit!", "abort"])
CALLS = st.sampled_from(["saveFlags", "saveFlags!", "restoreFlags", "restoreFlags!", "resume", "resume!", "createXML", "createXML!", "destroyFlags"])
#: Flushing to a real disk is no part of what is tried here.
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
OLD = st.integers(0, 3)


class Mesh(RuleBasedStateMachine):
    """Two RMs, and a VMA that follows the one rule that it must: an epoch is granted to one RM only.

    Orders may come late (with one of the last epochs granted to their RM), and again; calls fail and processes die anywhere.
    """

    @initialize()
    def begin(self):
        self.saved = (client.libvirt, accelerator.DEVICE)
        client.libvirt, accelerator.DEVICE = fake_libvirt, "/nonexistent/kvm"
        self.root = tempfile.mkdtemp(dir=MEMORY)
        self.rms = {side: Rm(os.path.join(self.root, side)) for side in ("east", "west")}
        for side, rm in self.rms.items():
            # A capsule without an overlay to create needs no qemu-img.
            rm.capsules["1.0.0"] = manifest(disks=[])
        self.lines = {side: Line(rm) for side, rm in self.rms.items()}
        self.epoch = 1
        self.granted = {"east": [1], "west": []}
        self.moves = set()

    def teardown(self):
        client.libvirt, accelerator.DEVICE = self.saved
        shutil.rmtree(self.root)

    def late(self, side, back):
        """Return one of the last epochs that were granted to an RM, or None."""
        known = self.granted[side]
        return known[-1 - back % len(known)] if known else None

    def attempt(self, call, *arguments, **more):
        """Try something that may be refused, fail, or die; forget the faults after it."""
        try:
            call(*arguments, **more)
        except (MeshError, fake_libvirt.Crash):
            pass
        finally:
            for rm, line in zip(self.rms.values(), self.lines.values()):
                rm.connection.fail.clear()
                line.cuts, line.dialled, line.digests = set(), 0, {}

    @rule(side=SIDES, call=CALLS, dies=st.booleans())
    def fault(self, side, call, dies):
        self.rms[side].connection.fail[call] = fake_libvirt.Crash() if dies else fake_libvirt.libvirtError("no luck")

    @rule(side=SIDES, cut=CUTS)
    def cut(self, side, cut):
        self.lines[side].cuts.add(cut)

    @rule(side=SIDES, wanted=st.sampled_from(["running", "suspended", "stopped", "absent"]), back=OLD)
    def order(self, side, wanted, back):
        epoch = self.late(side, back)
        # The epoch of a move is for taking over, not for a start from something else than what was handed over.
        if wanted == "running" and (epoch is None or epoch in self.moves and self.rms[side].found.epoch != (epoch, True)):
            return
        self.attempt(self.rms[side].order, wanted, epoch=epoch, stop_force=True)

    @rule(side=SIDES)
    def power_cut(self, side):
        self.rms[side].connection.domains.clear()

    @rule(side=SIDES, new=st.booleans(), back=OLD)
    def give(self, side, new, back):
        other = {"east": "west", "west": "east"}[side]
        if new:
            self.epoch += 1
            self.granted[other].append(self.epoch)
            self.moves.add(self.epoch)
        if self.granted[other]:
            self.attempt(hand, self.rms[side], self.lines[other], epoch=self.late(other, back))

    @rule(side=SIDES, back=OLD, state=st.sampled_from(["running", "suspended"]))
    def take(self, side, back, state):
        if self.granted[side]:
            self.attempt(accept, self.rms[side], epoch=self.late(side, back), timeout=0, state=state)

    @rule(side=SIDES)
    def undo(self, side):
        """What a playbook does: clear the other RM, which must answer, and only then raise the epoch here."""
        other = {"east": "west", "west": "east"}[side]
        try:
            self.rms[other].order("absent", epoch=self.late(other, 0), stop_force=True)
        except (MeshError, fake_libvirt.Crash):
            return
        finally:
            for rm in self.rms.values():
                rm.connection.fail.clear()
        self.epoch += 1
        self.granted[side].append(self.epoch)
        self.attempt(self.rms[side].order, "running", epoch=self.epoch)

    @invariant()
    def one_life(self):
        if hasattr(self, "rms"):
            running = [rm for rm in self.rms.values() if any(domain.current == fake_libvirt.VIR_DOMAIN_RUNNING for domain in rm.connection.domains.values())]
            assert len(running) <= 1

    @invariant()
    def one_life_per_image(self):
        """On each RM; after an undo the source goes on from the image that the target, which was cleared, had a copy of."""
        for rm in getattr(self, "rms", {}).values():
            images = [origin for _name, origin in rm.connection.lives if origin != "boot"]
            assert len(images) == len(set(images))


Mesh.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestMesh = Mesh.TestCase
