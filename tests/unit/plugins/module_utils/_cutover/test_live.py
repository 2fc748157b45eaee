# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cut-overs of a guest that runs on, with the real door and the real way through it; only libvirt is made of air."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import time

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import door, parcel, passage
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.transfer import Peer
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover import live, source
from ansible_collections.vmatrix.mesh.plugins.module_utils._cutover.order import Order
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import arrival, client, state
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import instances
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._cutover.line import PEER, Line, accept
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor import fake_libvirt
from ansible_collections.vmatrix.mesh.tests.unit.plugins.module_utils._hypervisor.simulated import NAME, Disk, Rm

SENDER = Peer("rm-east-1", "192.0.2.1")
RECORD = {"capsule": "1.0.0", "hn": "west"}
RECEIVER = "ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.receive"


@pytest.fixture
def short():
    """A directory with a path that leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory() as path:
        yield path


@pytest.fixture
def west(short):
    return Rm(os.path.join(short, "west"))


@pytest.fixture
def line(east, west, monkeypatch, short):
    """An instance that runs in the east, and a line to the west."""
    monkeypatch.setattr(live, "WAYS", os.path.join(short, "live"))
    monkeypatch.setattr(source, "LAST_WORDS", 0.2)
    east.order("running", record={"hn": "east"})
    east.connection.peer = west.connection
    found = Line(west)
    found.peer = PEER
    # The guest has arrived only when its port is guarded, as in life, where it takes longer.
    east.connection.on_the_way = lambda: wait_for(lambda: west.ports.guarded, 2.0, "the port is guarded")
    return found


def give(east, line, epoch=2, check=False, timeout=3.0):
    """The source's side."""

    def lay(_peer, _timeout):
        root = os.path.dirname(line.incoming)
        path = os.pathsep.join(entry for entry in sys.path if entry)

        def way(name, what):
            told = [f"PYTHONPATH={path}", f"SSH_ORIGINAL_COMMAND=way {name} {what}", f"SSH_CONNECTION={SENDER.address} 4000 192.0.2.7 22"]
            return ["env", *told, sys.executable, "-m", RECEIVER, "--root", root]

        return way

    return live.give(east.host, Order(NAME, epoch, timeout=timeout), PEER, check, line.dial, lay)


def take(west, epoch=2, check=False, timeout=3.0):
    """The target's side."""
    incoming = os.path.join(west.root, "incoming")
    receive, discard = (functools.partial(call, incoming=incoming) for call in (parcel.await_parcel, parcel.discard_parcel))
    order = Order(NAME, epoch, vlan=201, record=RECORD, timeout=timeout)
    return live.take(west.host, order, SENDER, check, receive, discard, functools.partial(door.opened, incoming=incoming))


def both(east, west, line, **more):
    """Both sides at the same time; returns what each returned or raised."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        sides = pool.submit(give, east, line, **more), pool.submit(take, west, **more)
        return [side.exception() or side.result() for side in sides]


def lives(*rms):
    """Return where the guest runs."""
    running = [rm for rm in rms if any(domain.current == fake_libvirt.VIR_DOMAIN_RUNNING for domain in rm.connection.domains.values())]
    return [rm.root.rsplit("/", 1)[1] for rm in running]


def test_it_runs_on_at_the_target_in_the_new_epoch(east, west, line):
    predicted = give(east, line, check=True), take(west, check=True)
    assert lives(east, west) == ["east"] and west.files() == []
    given, taken = both(east, west, line)
    assert lives(east, west) == ["west"]
    assert [(one.before, one.after) for one in predicted] == [(one.before, one.after) for one in (given, taken)]
    assert given.result["handed_over"] == "yes" and set(given.result["seconds"]) == {"connect", "send", "commit"}
    assert taken.result["downtime"] == 0.21 and taken.result["bytes_wire"] == 90 << 20
    assert (taken.after["state"], taken.after["epoch"], taken.after["here"], taken.after["vlan"]) == ("running", 2, True, 201)
    assert west.found.document["record"] == RECORD and "coming" not in west.files()
    assert west.ports.guarded and not east.ports.guarded, "its port went with it"
    assert not os.listdir(live.WAYS) and not [entry for entry in os.listdir(line.incoming) if entry.endswith(".door")]
    assert [one.changed for one in both(east, west, line)] == [False, False]
    with pytest.raises(Refused, match="given up here"):
        east.order("running", epoch=2)


@pytest.fixture
def qemu(short, monkeypatch):
    """The process of the instance in the east."""
    monkeypatch.setattr(client, "PIDS", short)
    with subprocess.Popen(["sleep", "60"]) as process:
        with open(os.path.join(short, f"{NAME}.pid"), "w", encoding="ascii") as handle:
            handle.write(str(process.pid))
        yield process
        process.kill()


@pytest.fixture
def asked(monkeypatch):
    """What the source was told each time that it asked whether the guest has arrived at the target."""
    answers, asking = [], passage.asking

    @contextlib.contextmanager
    def listened(*arguments):
        with asking(*arguments) as ask:
            yield lambda: (answers.append(ask()), answers[-1])[1]

    monkeypatch.setattr(passage, "asking", listened)
    return answers


@pytest.mark.parametrize(("accelerator", "meanwhile"), [("kvm", ["east"]), ("qemu", [])])
def test_what_qemu_emulates_stands_still_while_its_memory_is_sent(east, west, line, accelerator, meanwhile):
    domain = east.connection.domains[NAME]
    domain.xml = domain.xml.replace('type="qemu"', f'type="{accelerator}"', 1)
    guarded, seen = east.connection.on_the_way, []
    east.connection.on_the_way = lambda: (guarded(), seen.append(lives(east, west)))
    both(east, west, line)
    assert (seen, lives(east, west)) == ([meanwhile], ["west"])


def test_it_runs_on_as_soon_as_its_process_has_ended(east, west, line, qemu):
    """libvirt takes its time to see that; the guest does not stand still for it."""

    def last_word():
        assert lives(east, west) == []
        qemu.kill()
        wait_for(lambda: lives(east, west) == ["west"], 2.0, "it runs on")

    east.connection.last_word = last_word
    given, taken = both(east, west, line)
    assert (given.changed, taken.changed) == (True, True) and lives(east, west) == ["west"]
    assert not east.connection.domains and not east.ports.guarded and given.after["state"] == "stopped"


def test_what_has_arrived_but_has_not_ended_here_is_not_handed_over(east, west, line, qemu):
    """libvirt goes on here when it is not told that the guest arrived there."""

    def last_word():
        assert west.connection.domains[NAME].reason == fake_libvirt.VIR_DOMAIN_PAUSED_USER, "it has arrived"
        time.sleep(0.3)
        east.connection.domains[NAME].current = fake_libvirt.VIR_DOMAIN_RUNNING
        raise fake_libvirt.libvirtError("the line was cut")

    east.connection.last_word = last_word
    given, taken = both(east, west, line)
    assert isinstance(given, CommandFailed) and given.result["handed_over"] == "no" and isinstance(taken, Refused)
    assert lives(east, west) == ["east"] and not west.connection.domains and qemu.poll() is None


def test_what_has_ended_here_but_has_not_arrived_is_not_handed_over(east, west, line, qemu, asked):
    """It crashed, and libvirt is not the first to see it."""

    def crash():
        qemu.kill()
        wait_for(lambda: asked, 2.0, "the source asks the target")
        east.connection.domains.pop(NAME)
        raise fake_libvirt.libvirtError("the guest has ended")

    east.connection.on_the_way = crash
    given, taken = both(east, west, line, timeout=1.5)
    assert isinstance(given, MeshError) and isinstance(taken, DeadlineExceeded) and asked == [False]
    assert east.found.epoch == (1, True) and not west.connection.domains and west.files() == []


def test_what_libvirt_cannot_bring_over_runs_on(east, west, line):
    for call in ("migrateToURI3", "migrateToURI3 fails late"):
        east.connection.fail = {call: fake_libvirt.libvirtError("no luck")}
        given, taken = both(east, west, line)
        assert isinstance(given, CommandFailed) and given.result["handed_over"] == "no" and "it runs here, as before" in given.message
        assert isinstance(taken, Refused) and "no luck" in taken.message
        assert lives(east, west) == ["east"] and west.files() == [] and not west.connection.domains and not west.ports.guarded
        assert (east.found.state, east.found.epoch) == ("running", (1, True))
    east.connection.fail = {}
    both(east, west, line)
    assert lives(east, west) == ["west"]


def test_a_port_that_cannot_be_guarded_lets_nobody_in(east, west, line):
    west.ports.failures.append(CommandFailed("ovs-ofctl failed."))
    east.connection.on_the_way = lambda: wait_for(lambda: not west.connection.domains, 2.0, "the target ends it")
    given, taken = both(east, west, line)
    assert isinstance(given, CommandFailed) and isinstance(taken, CommandFailed)
    assert lives(east, west) == ["east"] and west.files() == []


@pytest.mark.parametrize("where", ["source dies", "line is cut"])
def test_what_was_brought_over_but_not_handed_over_waits_and_is_taken_up(east, west, line, where):
    if where == "source dies":
        east.connection.fail = {"migrateToURI3!": fake_libvirt.Crash()}
    else:
        line.cuts = {"commit", "redial"}
    given, taken = both(east, west, line, timeout=1.5)
    assert isinstance(given, MeshError) and given.result["handed_over"] == "unknown" and isinstance(taken, DeadlineExceeded)
    assert lives(east, west) == [] and list(west.connection.domains) == [NAME], "it is paused, and nowhere else"
    assert west.found.state == "absent", "and not this RM's"
    with pytest.raises(Refused, match="run the move again"):
        west.order("running", epoch=2)
    with pytest.raises(Refused, match="finish that move as it was begun"):
        accept(west)
    east.connection.fail, line.cuts = {}, set()
    given, taken = both(east, west, line)
    assert (given.changed, taken.changed) == (True, True) and lives(east, west) == ["west"]
    assert west.connection.lives == [(NAME, "boot, moved")]


def test_what_is_paused_stays_when_the_wait_for_it_is_called_off(east, west, line):
    """Its source has failed, and nobody can say whether it has handed over."""
    east.connection.fail = {"migrateToURI3!": fake_libvirt.Crash()}
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(take, west, timeout=60.0)
        assert raised(give, east, line, timeout=1.5).result["handed_over"] == "unknown"
        parcel.stop_waiting(f"{NAME}@2", os.path.join(west.root, "incoming"))
        assert isinstance(waiting.exception(), DeadlineExceeded)
    assert time.monotonic() - began < 10 and list(west.connection.domains) == [NAME]
    east.connection.fail = {}
    given, taken = both(east, west, line)
    assert (given.changed, taken.changed) == (True, True) and west.connection.lives == [(NAME, "boot, moved")]


def test_what_may_be_paused_at_the_target_is_not_started_anew_at_the_source(east, west, line, monkeypatch):
    """A second run has what lost its power started again before it hands it over; all that is in the memory of this one is at the target."""
    east.connection.fail = {"migrateToURI3!": fake_libvirt.Crash()}
    both(east, west, line, timeout=1.5)
    east.connection.fail = {}
    monkeypatch.setattr(instances, "this_host", lambda: east.host)
    again = {"instances": [{"name": NAME, "epoch": 1}], "lease": {"numbers": {NAME: 1}}}
    assert not instances.awake(again, False).changed and lives(east, west) == []
    both(east, west, line)
    assert west.connection.lives == [(NAME, "boot, moved")]


def test_what_was_taken_back_and_lost_its_power_then_is_started_again(east, west, line, monkeypatch):
    cut_off(east)
    assert east.order("running", epoch=3).action == "started"
    east.connection.domains.clear()
    monkeypatch.setattr(instances, "this_host", lambda: east.host)
    assert instances.awake({"instances": [{"name": NAME, "epoch": 3}], "lease": {"numbers": {NAME: 1}}}, False).changed and lives(east, west) == ["east"]


@pytest.mark.parametrize("call", ["resume", "resume!"])
def test_a_target_that_dies_at_the_last_moment_is_taken_up(east, west, line, call):
    west.connection.fail = {call: fake_libvirt.Crash()}
    given, taken = both(east, west, line)
    assert given.result["handed_over"] == "yes" and isinstance(taken, fake_libvirt.Crash)
    west.connection.fail = {}
    given, taken = both(east, west, line)
    assert not given.changed and taken.after["state"] == "running" and lives(east, west) == ["west"] and "coming" not in west.files()
    assert west.connection.lives == [(NAME, "boot, moved")]


def test_a_target_that_fails_after_the_hand_over_says_that_it_is_gone(east, west, line, monkeypatch):
    """Its disks are whole at the source, so it may run there again, and never here in this epoch."""

    def crash(_arrival):
        raise fake_libvirt.Crash

    with monkeypatch.context() as patched:
        patched.setattr(arrival.Arrival, "run", crash)
        given, taken = both(east, west, line)
    assert given.result["handed_over"] == "yes" and isinstance(taken, fake_libvirt.Crash)
    west.connection.domains.clear()
    for unused in range(2):
        given, taken = both(east, west, line, timeout=1.0)
        assert given.result["handed_over"] == "yes" and taken.result["gone"] and "in its memory alone is lost" in taken.message
        assert (west.found.state, west.found.epoch, west.files()) == ("absent", (2, False), [])
    assert east.order("running", epoch=3).action == "started" and lives(east, west) == ["east"]


def test_the_target_waits_in_vain_and_leaves_nothing(east, west, line):
    assert raised(take, west, timeout=0.05).result["gone"]
    assert west.files() == [] and lives(east, west) == ["east"]
    assert "was given up on this RM in epoch 2" in raised(take, west).message, "what comes late does not run here"


def test_whoever_comes_is_cleared_by_an_order_to_be_absent(east, west, line):
    line.cuts = {"commit", "redial"}
    both(east, west, line, timeout=1.5)
    west.order("absent", epoch=2, stop_force=True)
    assert not west.connection.domains and west.files() == [] and not west.ports.guarded


def test_only_what_runs_leaves_alive(east, west, line):
    with pytest.raises(Refused, match="raises it"):
        give(east, line, epoch=1)
    line.free_bytes = 5
    with pytest.raises(Refused, match="no room"):
        give(east, line)
    east.order("suspended")
    with pytest.raises(NotFound, match="no running instance"):
        give(east, line)


def test_the_way_is_for_the_sender_alone(east, west, line, monkeypatch):
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(take, west, timeout=2.0)
        monkeypatch.setattr(sys.modules[__name__], "SENDER", Peer("rm-evil", "192.0.2.66"))
        with pytest.raises(DeadlineExceeded, match="did not tell its guest"):
            give(east, line, timeout=1.0)
        assert isinstance(waiting.exception(), MeshError)
    assert lives(east, west) == ["east"] and time.monotonic() - began < 5


def test_what_arrived_lasts_before_the_target_says_so(east, west, line, monkeypatch):
    disk = Disk(monkeypatch, west)
    both(east, west, line)
    assert {"disk-root.qcow2", NAME, "instances"} <= set(disk.running())
    assert "coming" in disk.still() and "coming" not in disk.running()
    disk.flushed.clear()
    both(east, west, line)
    assert {"disk-root.qcow2", NAME, "instances"} <= set(disk.running()), "whoever took it may not have lived to do that"


def lose(east, west):
    """Have the source lose its power while the guest leaves: libvirt ends what is there of it."""

    def power_cut():
        east.connection.domains.clear()
        west.connection.domains.clear()
        raise fake_libvirt.Crash()

    east.connection.on_the_way = power_cut


def test_what_is_neither_here_nor_there_is_not_handed_over(east, west, line):
    """A source that was rebooted in the middle must not take for arrived what is gone from it."""
    lose(east, west)
    given, taken = both(east, west, line, timeout=2.5)
    assert given.result["handed_over"] == "unknown" and isinstance(taken, DeadlineExceeded) and taken.result["gone"]
    assert (east.found.state, east.found.epoch) == ("stopped", (1, True))
    assert west.files() == [] and (west.found.state, west.found.epoch) == ("absent", (2, False))
    assert east.order("running", epoch=3).action == "started" and lives(east, west) == ["east"]


def test_a_target_that_has_been_waiting_all_the_time_is_asked_again(east, west, line):
    """Its first call goes on while the source is rebooted and asked once more."""
    lose(east, west)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(take, west, timeout=20.0)
        assert raised(give, east, line, timeout=10.0).result["handed_over"] == "unknown"
        error = raised(give, east, line, timeout=10.0)
        assert isinstance(waiting.exception(), Refused)
    assert isinstance(error, NotFound) and error.result["handed_over"] == "no"
    assert "is stopped here, with its disks" in error.message and "memory alone is lost" in error.message
    assert (east.found.state, east.found.epoch, error.result["instance"]["state"]) == ("stopped", (1, True), "stopped")
    assert east.found.document["leaving"] is None and west.files() == [] and west.found.epoch == (0, False)


def cut_off(east):
    """Leave what a source that lost its power while the guest left has of it."""
    east.connection.domains.clear()
    state.write(east.places, NAME, {"leaving": {"epoch": 2, "peer": PEER.name}})


def raised(call, *arguments, **more):
    """Return what a call raises."""
    with pytest.raises(MeshError) as caught:
        call(*arguments, **more)
    return caught.value


def test_nothing_is_given_up_while_the_target_does_not_say(east, west, line):
    cut_off(east)
    for timeout in (0.5, 1.5):
        error = raised(give, east, line, timeout=timeout)
        assert isinstance(error, DeadlineExceeded) and error.result["handed_over"] == "unknown"
    assert east.found.epoch == (1, True)
    assert os.listdir(line.incoming) == [], "nor is it called off"
    error = raised(live.give, east.host, Order(NAME, 2, timeout=0.5), Peer("rm-north-1", "192.0.2.9"), False, line.dial)
    assert "may have been brought to rm-west-1" in error.message and error.result == {"handed_to": "rm-west-1"}


def test_what_is_on_its_way_still_is_neither_there_nor_missing(east, west, line):
    cut_off(east)
    moving = fake_libvirt.Domain(west.connection, NAME, f"<domain><name>{NAME}</name></domain>", fake_libvirt.VIR_DOMAIN_PAUSED, "moved")
    moving.reason = fake_libvirt.VIR_DOMAIN_PAUSED_MIGRATION
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(take, west, timeout=2.0)
        wait_for(lambda: os.path.exists(door.paths.door(line.incoming, f"{NAME}@2")), 2.0, "the door opens")
        west.connection.domains[NAME] = moving
        assert raised(give, east, line, timeout=1.0).result["handed_over"] == "unknown"
        del west.connection.domains[NAME]
        assert isinstance(waiting.exception(), MeshError)
    assert east.found.epoch == (1, True) and east.found.document["leaving"] == {"epoch": 2, "peer": "rm-west-1"}


def test_a_hand_over_is_to_one_peer(east, west, line):
    both(east, west, line)
    error = raised(live.give, east.host, Order(NAME, 2, timeout=0.5), Peer("rm-north-1", "192.0.2.9"), False, line.dial)
    assert "was handed over to rm-west-1 in epoch 2" in error.message and error.result == {"handed_to": "rm-west-1"}


def test_who_has_given_up_the_epoch_need_not_ask_again(east, west, line):
    """The target has heard the hand-over, though its answer was lost, and holds no door open any more."""
    line.cuts = {"commit!", "redial"}
    given, taken = both(east, west, line)
    assert given.result["handed_over"] == "unknown" and taken.after["state"] == "running"
    line.cuts = set()
    assert give(east, line, timeout=1.0).result["handed_over"] == "yes" and lives(east, west) == ["west"]
