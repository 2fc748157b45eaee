# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import threading

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import stream, wire
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, InvalidInput, Refused

#: Pieces of a file: a run of one byte (often zero), or of changing ones.
PIECES = st.lists(st.tuples(st.sampled_from([b"\0", b"x", bytes(range(256))]), st.integers(0, 400_000)), max_size=6)


@pytest.fixture
def ends():
    """Two channels that lead to each other."""
    pipes = [os.pipe(), os.pipe()]
    yield wire.Channel(pipes[0][0], pipes[1][1]), wire.Channel(pipes[1][0], pipes[0][1])
    for descriptor in pipes[0] + pipes[1]:
        os.close(descriptor)


def in_background(call):
    """Run *call* in a thread; return a function that waits for it and returns what it returned, or raises what it raised."""
    box = []

    def work():
        try:
            box.append((call(), None))
        except BaseException as exc:
            box.append((None, exc))

    thread = threading.Thread(target=work)
    thread.start()

    def finish():
        thread.join(30)
        value, error = box[0]
        if error:
            raise error
        return value

    return finish


@settings(deadline=None, max_examples=60)
@given(pieces=PIECES, share=st.floats(0, 1))
def test_any_content_arrives_identical_from_any_offset(tmp_path_factory, pieces, share):
    content = b"".join((pattern * (length // len(pattern) + 1))[:length] for pattern, length in pieces)
    directory = tmp_path_factory.mktemp("any")
    (directory / "source").write_bytes(content)
    offset = int(len(content) * share)
    (directory / "target").write_bytes(content[:offset])
    reader, writer = os.pipe()
    source, target = os.open(directory / "source", os.O_RDONLY), os.open(directory / "target", os.O_RDWR)
    seen = []
    try:
        sent = in_background(lambda: stream.send_content(wire.Channel(reader, writer), source, offset, len(content), seen.append))
        received = stream.receive_content(wire.Channel(reader, writer), target, offset, len(content))
        os.ftruncate(target, len(content))
        assert sent() == received == hashlib.sha256(content).hexdigest()
    finally:
        for descriptor in (reader, writer, source, target):
            os.close(descriptor)
    assert (directory / "target").read_bytes() == content
    assert sum(seen) == len(content) - offset


@pytest.mark.parametrize(("compressing", "sending", "level"), [(0.001, 0.01, stream.THRIFTY), (0.01, 0.001, stream.FAST)])
def test_the_level_follows_whichever_is_slower_the_wire_or_the_compression(monkeypatch, compressing, sending, level):
    now = [0.0]
    monkeypatch.setattr(stream.time, "monotonic", lambda: now[0])

    def source():
        for _item in range(20):
            now[0] += compressing
            yield b""

    pace = stream._Pace()
    pace.level = None
    for _item in pace.measured(source()):
        now[0] += sending
    assert pace.level == level


def test_frames_of_different_levels_are_one_content(ends, tmp_path):
    near, far = ends
    content = os.urandom(300_000) + b"x" * 700_000

    def send():
        for start, level in ((0, 1), (400_000, -5), (900_000, 1)):
            far.send_data(zstandard.ZstdCompressor(level=level).compress(content[start : {0: 400_000, 400_000: 900_000}.get(start)]))
        far.send_data(b"")

    with open(tmp_path / "target", "w+b") as target:
        finish = in_background(send)
        assert stream.receive_content(near, target.fileno(), 0, len(content)) == hashlib.sha256(content).hexdigest()
        finish()


def compressed(content):
    return zstandard.ZstdCompressor().compress(content)


@pytest.mark.parametrize(
    ("frames", "announced"),
    [
        ([b"this is not zstd"], 16),
        ([compressed(b"x" * 1000)], 999),
        ([compressed(b"x" * 1000)], 1001),
        ([compressed(b"x" * 1000)[:-3]], 1000),
        ([compressed(b"x" * 1000), b"trailing"], 1000),
        # A bomb: gigabytes of zeros in a few frames.
        ([compressed(bytes(256 << 20))], 1000),
        ([], 1),
    ],
)
def test_what_is_not_just_the_announced_bytes_is_refused(ends, tmp_path, frames, announced):
    near, far = ends
    with open(tmp_path / "target", "w+b") as target:

        def send():
            for frame in [*frames, b""]:
                far.send_data(frame)

        finish = in_background(send)
        with pytest.raises(InvalidInput):
            stream.receive_content(near, target.fileno(), 0, announced)
        finish()
    assert (tmp_path / "target").stat().st_size <= announced


def test_a_file_that_became_shorter_is_noticed_by_the_sender(ends, tmp_path):
    near, _far = ends
    (tmp_path / "source").write_bytes(b"short")
    with open(tmp_path / "source", "rb") as source, pytest.raises(Refused, match="5 bytes instead of 500"):
        stream.send_content(near, source.fileno(), 0, 500, lambda count: None)


def test_an_error_while_reading_ahead_is_raised_where_it_is_used():
    def source():
        yield 1
        raise InvalidInput("no more")

    items = stream.ahead(source())
    assert next(items) == 1
    with pytest.raises(InvalidInput, match="no more"):
        next(items)


def test_whoever_stops_using_ends_the_reading_ahead():
    closed = threading.Event()

    def source():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    items = stream.ahead(source())
    next(items)
    items.close()
    assert closed.is_set()


def test_messages_and_data_keep_their_kinds_and_limits(ends):
    near, far = ends
    far.send({"op": "x"})
    assert near.receive() == {"op": "x"}
    far.send_data(b"data")
    with pytest.raises(InvalidInput, match="kind"):
        near.receive()


@pytest.mark.parametrize("frame", [b"D\xff\xff\xff\xff", b"D\x00\x10\x00\x01"])
def test_an_oversize_frame_is_refused_before_it_is_read(ends, frame):
    near, far = ends
    os.write(far._writer, frame)
    with pytest.raises(InvalidInput, match="at most"):
        near.receive_data()


def test_an_error_of_the_other_end_is_raised_as_what_it_is(ends):
    near, far = ends
    far.send({"error": "No room\x1b[2J.", "kind": "Refused"})
    with pytest.raises(Refused, match=r"^No room \[2J\.$"):
        near.receive()
    far.send({"error": "x", "kind": "SystemExit"})
    with pytest.raises(Refused):
        near.receive()


def test_silence_ends_at_the_deadline(ends):
    near, _far = ends
    near.deadline = 0.0
    with pytest.raises(DeadlineExceeded):
        near.receive()
    near.deadline = None
    with pytest.raises(wire.Cut, match="silent"):
        near.receive(0.01)


def test_a_cut_is_noticed_at_both_ends():
    reader, writer = os.pipe()
    channel = wire.Channel(reader, writer)
    os.close(writer)
    with pytest.raises(wire.Cut):
        channel.receive()
    os.close(reader)
    reader, writer = os.pipe()
    channel = wire.Channel(reader, writer)
    os.close(reader)
    with pytest.raises(wire.Cut):
        channel.send({"op": "x"})
    os.close(writer)
