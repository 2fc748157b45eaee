# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import delivery, parcel, transfer, ways, wire
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, InvalidInput, MeshError, Refused

PEER = transfer.Peer("rm-west-1", "192.0.2.7")
PARCEL = "shop-1.example.com@3"


@pytest.fixture
def connect(there, tmp_path):
    """Connect to the second RM."""
    return lambda **how: transfer.connect(PEER, 20, **{"argv": there.argv, "progress": str(tmp_path / "progress"), **how})


@pytest.fixture
def deliver(here, there, stored, tmp_path):
    """Bring the stored capsule to the second RM."""

    def call(retries=0, **how):
        return delivery.deliver(here.store, stored, PEER, 60, retries, **{"argv": there.argv, "progress": str(tmp_path / "progress"), **how})

    return call


@pytest.fixture
def memory(tmp_path):
    """A file as large as a few frames, half of it incompressible."""
    path = tmp_path / "memory.save"
    path.write_bytes(os.urandom(6 << 20) + bytes(6 << 20))
    return path


def partials(machine):
    return sorted(entry.name for entry in (machine.root / "incoming").iterdir() if entry.name.endswith(".partial"))


# Capsules


def test_a_capsule_arrives_whole_and_a_second_time_moves_nothing(there, stored, deliver):
    predicted = deliver(dry=True)
    assert there.store.list() == [] and there.blobs() == set()
    done = deliver()
    assert there.store.list() == [stored]
    assert there.store.problems(stored, full=True) == []
    assert (predicted.missing, predicted.present) == (done.missing, done.present)
    assert len(done.missing) == 3 and not done.present and not done.resumed
    # The zeros of the disk cost nothing on the wire.
    assert done.bytes_total > 8 << 20 and done.bytes_wire < 4 << 20
    again = deliver()
    assert (again.missing, again.present, again.bytes_skipped) == ([], True, again.bytes_total)
    assert again.bytes_wire < 2000
    assert partials(there) == []


def test_only_missing_blobs_are_sent(there, stored, deliver, here):
    there.store.add_file(here.store.blob_path(stored["boot"]["kernel"]["sha256"]))
    done = deliver()
    assert stored["boot"]["kernel"]["sha256"] not in done.missing
    assert done.bytes_skipped == stored["boot"]["kernel"]["size"]
    assert done.bytes_wire < 1 << 20


def test_after_a_cut_it_goes_on_at_the_offset(there, stored, deliver):
    done = deliver(retries=1, argv=there.cut_after(2 << 20))
    assert done.resumed
    assert there.store.problems(stored, full=True) == []


def test_a_cut_without_retries_is_an_error_and_a_further_run_finishes(there, stored, deliver):
    with pytest.raises(MeshError, match="did not reach RM rm-west-1 in 1 attempts.*cut"):
        deliver(argv=there.cut_after(2 << 20))
    assert there.store.list() == []
    assert len(partials(there)) == 1
    done = deliver()
    assert done.resumed and done.bytes_skipped > 0
    assert there.store.problems(stored, full=True) == []
    assert partials(there) == []


def test_a_spoilt_partial_is_found_out_and_dropped(there, stored, deliver):
    (there.root / "incoming" / f"{stored['boot']['kernel']['sha256']}.partial").write_bytes(b"rubbish")
    with pytest.raises(Refused, match="arrived with other content"):
        deliver()
    assert partials(there) == [] and there.store.list() == []
    assert stored["boot"]["kernel"]["sha256"] not in there.blobs()
    deliver()
    assert there.store.problems(stored, full=True) == []


def test_what_nobody_continues_is_cleared_away_in_time(there, connect):
    for name, age in (("a" * 64, 0), ("b" * 64, 30 * 86400)):
        path = there.root / "incoming" / f"{name}.partial"
        path.write_bytes(b"part")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    with connect():
        assert partials(there) == [f"{'a' * 64}.partial"]


def test_an_altered_blob_at_the_target_is_replaced(here, there, stored, deliver):
    deliver()
    path = there.store.blob_path(stored["boot"]["initrd"]["sha256"])
    os.chmod(path, 0o600)
    with open(path, "r+b") as handle:
        handle.write(b"tampered")
    assert deliver().missing == [stored["boot"]["initrd"]["sha256"]]
    assert there.store.problems(stored, full=True) == []


def test_an_altered_blob_at_the_source_is_never_sent(here, there, stored, deliver):
    path = here.store.blob_path(stored["boot"]["initrd"]["sha256"])
    os.chmod(path, 0o600)
    with open(path, "r+b") as handle:
        handle.write(b"tampered")
    with pytest.raises(Refused, match="was altered"):
        deliver()
    assert there.blobs() == set()


def test_other_content_of_the_same_version_is_refused_before_anything_is_sent(here, there, stored, deliver):
    deliver()
    here.store.remove("example.com", "shop", "1.0.0")
    before = there.blobs()
    with pytest.raises(Refused, match="other content"):
        with transfer.connect(PEER, 20, argv=there.argv) as session:
            session.offer({**stored, "ports": [{"protocol": "tcp", "port": 8080}]})
    assert there.blobs() == before


def test_what_does_not_fit_is_refused_up_front(connect, manifest):
    manifest["disks"][0]["blob"]["size"] = 1 << 45
    with connect() as session:
        assert 0 < session.free_bytes < 1 << 45
        with pytest.raises(Refused, match=f"not enough disk on the receiving RM: {(1 << 45) + 3} bytes"):
            session.offer(manifest)


def test_what_instances_may_still_take_is_not_free(connect, there, manifest):
    with connect() as session:
        free = session.free_bytes
    instance = there.root / "instances" / "shop-1.example.com"
    instance.mkdir()
    manifest["disks"][0]["virtual_size"] = free - (1 << 30)
    (instance / "instance.json").write_text(json.dumps({"manifest": manifest}))
    manifest["disks"][0]["blob"]["size"] = 1 << 30
    with connect() as session:
        assert session.free_bytes < 1 << 30
        with pytest.raises(Refused, match="not enough disk on the receiving RM"):
            session.offer(manifest)


def test_missing_tells_what_is_absent_and_from_where_to_go_on(there, stored, deliver, connect):
    sha256 = stored["boot"]["kernel"]["sha256"]
    (there.root / "incoming" / f"{sha256}.partial").write_bytes(b"12345")
    with connect() as session:
        blobs = [stored["boot"]["kernel"], stored["boot"]["initrd"]]
        assert [(blob["sha256"], blob["offset"]) for blob in session.missing(blobs)] == [(sha256, 5), (blobs[1]["sha256"], 0)]


# Reaching the peer


def test_an_unreachable_peer_is_one_sentence_with_the_words_of_the_program():
    with pytest.raises(wire.Cut, match=r"RM rm-west-1 at 192.0.2.7 was cut \(no route\)"):
        transfer.connect(PEER, 20, argv=["sh", "-c", "echo no route >&2; exit 255"])
    with pytest.raises(CommandFailed, match="not installed"):
        transfer.connect(PEER, 20, argv=["/nonexistent/ssh"])


def test_a_silent_peer_is_given_up():
    with pytest.raises(DeadlineExceeded, match="RM rm-west-1 at 192.0.2.7 did not answer within 0.2 s"):
        transfer.connect(PEER, 0.2, argv=["sleep", "30"])


def test_a_peer_that_is_no_receiver_is_refused():
    with pytest.raises(InvalidInput, match="kind"):
        transfer.connect(PEER, 20, argv=["sh", "-c", "echo Welcome to this machine; cat"])


@pytest.mark.parametrize("address", ["-oProxyCommand=x", "", "a b", "host;id"])
def test_an_address_cannot_become_an_option(address):
    with pytest.raises(InvalidInput, match="not an address"):
        transfer.connect(transfer.Peer("rm-west-1", address), 1)


def test_ssh_knows_hosts_and_never_asks():
    argv = transfer.ssh_argv(PEER, 7.5)
    assert argv[0] == "ssh" and argv[-1] == "vmatrix@192.0.2.7"
    for option in ("StrictHostKeyChecking=yes", "BatchMode=yes", "ConnectTimeout=7", "UserKnownHostsFile=/etc/vmatrix/transfer/known_hosts"):
        assert option in argv
    assert argv[argv.index("-F") + 1] == "/dev/null" and "IdentityFile=/etc/vmatrix/transfer/id_ed25519" in argv


def test_a_peer_that_swallows_everything_is_given_up_soon_however_long_all_may_take():
    assert "ConnectTimeout=20" in transfer.ssh_argv(PEER, 3600)


def test_ports_keys_and_ciphers_are_what_the_rm_was_told(tmp_path):
    told = tmp_path / "ssh_config"
    told.write_text("Host 192.0.2.7\n  HostName 203.0.113.7\n  Port 2222\nHost *\n  IdentityFile /k\n  Ciphers aes256-ctr\n  StrictHostKeyChecking no\n")
    argv = transfer.ssh_argv(PEER, 5, str(told))
    shown = subprocess.run([argv[0], "-G", *argv[1:]], check=True, capture_output=True, text=True).stdout.splitlines()
    for line in ("hostname 203.0.113.7", "port 2222", "identityfile /k", "ciphers aes256-ctr", "stricthostkeychecking true"):
        assert line in shown


def test_ways_that_do_not_work_are_one_sentence_each(there):
    def dial(peer, timeout):
        argv = there.argv if peer is PEER else ["sh", "-c", "echo 'Permission denied (publickey).' >&2; exit 255"]
        return transfer.connect(peer, timeout, argv, str(there.root / "progress"))

    other = transfer.Peer("RM_2.example.com", "192.0.2.8")
    assert ways.broken([PEER], 20, dial) == []
    assert ways.broken([PEER, other], 20, dial) == ["The connection to RM RM_2.example.com at 192.0.2.8 was cut (Permission denied (publickey).)."]


# Parcels


def test_a_parcel_arrives_with_its_files_and_note(there, connect, memory, tmp_path):
    (tmp_path / "overlay").write_bytes(b"overlay")
    with connect() as session:
        sent = session.send_parcel_file(PARCEL, "memory", str(memory))
        session.send_parcel_file(PARCEL, "disk-root", str(tmp_path / "overlay"))
        session.commit_parcel(PARCEL, {"epoch": 3})
        # The reply may have been lost: once more is the same.
        session.commit_parcel(PARCEL, {"epoch": 3})
    assert (sent.bytes_total, sent.bytes_skipped) == (12 << 20, 0)
    assert 6 << 20 <= sent.bytes_wire < 7 << 20
    arrived = parcel.await_parcel(PARCEL, 5, there.incoming)
    assert arrived.note == {"epoch": 3}
    assert sorted(arrived.files) == ["disk-root", "memory"]
    with open(arrived.files["memory"], "rb") as handle:
        assert handle.read() == memory.read_bytes()
    assert os.stat(arrived.files["memory"]).st_mode & 0o077 == 0


def test_a_cut_parcel_file_is_continued_if_it_is_the_same(there, connect, memory):
    with pytest.raises(wire.Cut):
        with connect(argv=there.cut_after(3 << 20)) as session:
            session.send_parcel_file(PARCEL, "memory", str(memory))
    with connect() as session:
        sent = session.send_parcel_file(PARCEL, "memory", str(memory))
        assert sent.bytes_skipped > 1 << 20 and session.resumed
        session.commit_parcel(PARCEL, {})
    arrived = parcel.await_parcel(PARCEL, 5, there.incoming)
    with open(arrived.files["memory"], "rb") as handle:
        assert handle.read() == memory.read_bytes()


def test_a_cut_parcel_file_that_changed_is_sent_anew(there, connect, memory):
    with pytest.raises(wire.Cut):
        with connect(argv=there.cut_after(3 << 20)) as session:
            session.send_parcel_file(PARCEL, "memory", str(memory))
    memory.write_bytes(b"another suspend")
    with connect() as session:
        assert session.send_parcel_file(PARCEL, "memory", str(memory)).bytes_skipped == 0
        session.commit_parcel(PARCEL, {})
    arrived = parcel.await_parcel(PARCEL, 5, there.incoming)
    with open(arrived.files["memory"], "rb") as handle:
        assert handle.read() == b"another suspend"


def test_a_file_that_is_there_already_is_not_sent_again(there, connect, memory):
    with connect() as session:
        session.send_parcel_file(PARCEL, "memory", str(memory))
    with connect() as session:
        assert session.send_parcel_file(PARCEL, "memory", str(memory)).bytes_skipped == 12 << 20
        session.commit_parcel(PARCEL, {})
    assert parcel.await_parcel(PARCEL, 5, there.incoming).files


def test_a_reason_reaches_whoever_waits(there, connect, memory):
    with connect() as session:
        session.send_parcel_file(PARCEL, "memory", str(memory))
        session.abort_parcel(PARCEL, "The suspend failed.")
        with pytest.raises(Refused, match="The suspend failed."):
            session.commit_parcel(PARCEL, {})
    assert sorted(os.listdir(os.path.join(there.incoming, "parcels", PARCEL))) == ["abort.json"]
    with pytest.raises(Refused, match="The suspend failed."):
        parcel.await_parcel(PARCEL, 5, there.incoming)


def test_after_an_abort_was_told_the_same_parcel_can_be_tried_again(there, connect, memory):
    with connect() as session:
        session.abort_parcel(PARCEL, "The suspend failed.")
        with pytest.raises(Refused, match="The suspend failed."):
            parcel.await_parcel(PARCEL, 5, there.incoming)
        session.send_parcel_file(PARCEL, "memory", str(memory))
        with pytest.raises(DeadlineExceeded):
            parcel.await_parcel(PARCEL, 0.01, there.incoming)
        with pytest.raises(Refused, match="gave up waiting"):
            session.send_parcel_file(PARCEL, "disk-root", str(memory))
        session.send_parcel_file(PARCEL, "memory", str(memory))
        session.commit_parcel(PARCEL, {})
    assert list(parcel.await_parcel(PARCEL, 5, there.incoming).files) == ["memory"]


def test_an_abort_of_an_earlier_attempt_does_not_end_the_next_wait(there, connect):
    with connect() as session:
        session.abort_parcel(PARCEL, "An earlier attempt failed.")
    os.utime(os.path.join(there.incoming, "parcels", PARCEL, "abort.json"), (0, 0))
    for _attempt in range(2):
        with pytest.raises(DeadlineExceeded):
            parcel.await_parcel(PARCEL, 0.01, there.incoming)


def test_once_the_receiver_gave_up_the_sender_cannot_commit(there, connect, memory):
    with connect() as session:
        session.send_parcel_file(PARCEL, "memory", str(memory))
        with pytest.raises(DeadlineExceeded, match=PARCEL):
            parcel.await_parcel(PARCEL, 0.01, there.incoming)
        with pytest.raises(Refused, match="gave up waiting"):
            session.commit_parcel(PARCEL, {})
        with pytest.raises(Refused, match="cannot be committed"):
            session.commit_parcel(PARCEL, {})


def test_a_committed_parcel_cannot_be_aborted_nor_taken_twice(there, connect, memory):
    with connect() as session:
        session.send_parcel_file(PARCEL, "memory", str(memory))
        session.commit_parcel(PARCEL, {})
        with pytest.raises(Refused, match="committed before"):
            session.abort_parcel(PARCEL, "too late")
        parcel.await_parcel(PARCEL, 5, there.incoming)
        parcel.discard_parcel(PARCEL, there.incoming)
        with pytest.raises(Refused, match="committed before"):
            session.abort_parcel(PARCEL, "too late")
        session.commit_parcel(PARCEL, {})
    with pytest.raises(Refused, match="taken before"):
        parcel.await_parcel(PARCEL, 5, there.incoming)


def test_discarding_forgets_older_epochs_and_undecided_parcels(there, connect, memory):
    for epoch in (1, 2):
        with connect() as session:
            session.send_parcel_file(f"shop-1.example.com@{epoch}", "memory", str(memory))
            session.commit_parcel(f"shop-1.example.com@{epoch}", {})
    with connect() as session:
        session.send_parcel_file("shop-11.example.com@1", "memory", str(memory))
    parcel.discard_parcel("shop-1.example.com@3", there.incoming)
    assert os.listdir(os.path.join(there.incoming, "parcels")) == ["shop-11.example.com@1"]


def test_what_nobody_goes_on_with_ends_by_itself_but_not_what_was_committed(there, connect, memory):
    with connect() as session:
        for instance in ("shop-2", "shop-3", "shop-4"):
            session.send_parcel_file(f"{instance}.example.com@1", "memory", str(memory))
        session.commit_parcel("shop-3.example.com@1", {})
    parcels = os.path.join(there.incoming, "parcels")
    for instance in ("shop-2", "shop-3"):
        path = os.path.join(parcels, f"{instance}.example.com@1")
        for each in (*(os.path.join(path, entry) for entry in os.listdir(path)), path):
            os.utime(each, (0, time.time() - 86500))
    parcel.discard_parcel(PARCEL, there.incoming)
    assert sorted(os.listdir(parcels)) == ["shop-3.example.com@1", "shop-4.example.com@1"]


def test_an_unsent_file_cannot_be_committed(there, connect, memory):
    with connect() as session:
        session.send_parcel_file(PARCEL, "memory", str(memory))
    with connect() as session:
        with pytest.raises(Refused, match="cannot be committed"):
            session.commit_parcel(PARCEL, {})


def test_progress_is_there_while_it_runs_only(connect, memory, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.progress._PERIOD", 0)
    advance = transfer.Progress.advance

    def watched(self, count):
        advance(self, count)
        seen.extend(json.loads(path.read_text()) for path in (tmp_path / "progress").iterdir() if path.suffix == ".json")

    monkeypatch.setattr(transfer.Progress, "advance", watched)
    with connect() as session:
        session.send_parcel_file(PARCEL, "memory", str(memory))
    assert [entry["done"] for entry in seen] == sorted(entry["done"] for entry in seen)
    assert seen[-1]["done"] == seen[-1]["total"] == 12 << 20
    assert seen[0]["what"] == "memory of shop-1.example.com@3 to rm-west-1" and seen[-1]["bytes_per_second"] > 0
    assert list((tmp_path / "progress").iterdir()) == []
