# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import subprocess

import pytest
import zstandard

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import wire
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError, Refused

PARCEL = "shop-1.example.com@3"


@pytest.fixture
def sender(there):
    """A channel to the receiver of an RM, for a sender that does as it likes."""
    process = subprocess.Popen(there.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    yield wire.Channel(process.stdout.fileno(), process.stdin.fileno())
    process.stdin.close()
    # Nothing that a sender does makes the receiver fall over.
    assert process.stderr.read() == b""
    assert process.wait(10) == 0
    process.stdout.close()
    process.stderr.close()


def everything(there):
    """Return the paths of all files outside the receiver's own locks."""
    return sorted(str(path.relative_to(there.root)) for path in there.root.rglob("*") if path.is_file() and path.name != ".lock")


def ask(sender, **request):
    sender.send(request)
    return sender.receive()


BLOB = {"sha256": "a" * 64, "size": 10}


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"op": "exec"},
        {"op": ["hello"]},
        {"op": "hello", "protocol": 99},
        {"op": "missing"},
        {"op": "missing", "blobs": [7]},
        {"op": "missing", "blobs": [{**BLOB, "sha256": "../../../etc/passwd"}]},
        {"op": "put_blob", **BLOB, "sha256": "../../x"},
        {"op": "put_blob", **BLOB, "sha256": "a" * 63},
        {"op": "put_blob", **BLOB, "size": -1},
        {"op": "put_blob", **BLOB, "size": True},
        {"op": "put_blob", **BLOB, "size": 1e3},
        {"op": "put_blob", **BLOB, "size": 1 << 62},
        {"op": "put_blob", **BLOB, "size": 1 << 45},
        {"op": "put_manifest", "manifest": {"schema": 1}},
        {"op": "put_file", "parcel": "../shop-1.example.com@3", "name": "memory", "size": 1, "token": "t"},
        {"op": "put_file", "parcel": "shop-1.example.com@../3", "name": "memory", "size": 1, "token": "t"},
        {"op": "put_file", "parcel": "shop-1.example.com@0", "name": "memory", "size": 1, "token": "t"},
        {"op": "put_file", "parcel": "shop-1.example.com", "name": "memory", "size": 1, "token": "t"},
        {"op": "put_file", "parcel": "@3", "name": "memory", "size": 1, "token": "t"},
        {"op": "put_file", "parcel": PARCEL, "name": "../../authorized_keys", "size": 1, "token": "t"},
        {"op": "put_file", "parcel": PARCEL, "name": "commit.json", "size": 1, "token": "t"},
        {"op": "put_file", "parcel": PARCEL, "name": ".lock", "size": 1, "token": "t"},
        {"op": "put_file", "parcel": PARCEL, "name": "memory", "size": 1},
        {"op": "put_file", "parcel": PARCEL, "name": "memory", "size": 1, "token": "t" * 2000},
        {"op": "commit", "parcel": PARCEL, "note": [], "files": {}},
        {"op": "commit", "parcel": PARCEL, "note": {}, "files": {"../x": "a" * 64}},
        {"op": "commit", "parcel": PARCEL, "note": {}, "files": {"memory": "x"}},
        {"op": "commit", "parcel": PARCEL, "note": {}, "files": {"memory": "a" * 64}},
        {"op": "commit", "parcel": "..", "note": {}, "files": {}},
        {"op": "abort", "parcel": "../../x@1", "reason": "x"},
        {"op": "abort", "parcel": PARCEL, "reason": 7},
    ],
)
def test_a_bad_request_is_answered_by_a_sentence_and_leaves_nothing(there, sender, request_):
    with pytest.raises(MeshError) as caught:
        ask(sender, **request_)
    assert not isinstance(caught.value, wire.Cut) and caught.value.message.endswith(".")
    assert everything(there) == []
    # The conversation goes on.
    assert ask(sender, op="hello", protocol=wire.PROTOCOL)["protocol"] == wire.PROTOCOL


@pytest.mark.parametrize("payload", [b"no JSON", b"[1]", b"\xff\xfe", b"[" * 100_000, b""])
def test_a_message_that_is_not_a_json_object_is_refused(there, sender, payload):
    sender._write(b"J", payload)
    with pytest.raises(MeshError, match="JSON"):
        sender.receive()
    assert everything(there) == []


@pytest.mark.parametrize("header", [b"J\xff\xff\xff\xff", b"J\x00\x10\x00\x01", b"D\x00\x00\x00\x00", b"GET /"])
def test_a_bad_frame_is_refused(there, sender, header):
    os.write(sender._writer, header)
    with pytest.raises(MeshError):
        sender.receive()
    assert everything(there) == []


def put_blob(sender, content, sha256, size):
    assert ask(sender, op="put_blob", sha256=sha256, size=size) == {"offset": 0}
    sender.send_data(zstandard.ZstdCompressor().compress(content))
    sender.send_data(b"")
    return sender.receive()


def test_a_blob_with_the_right_digest_appears(there, sender):
    digest = hashlib.sha256(b"content").hexdigest()
    assert put_blob(sender, b"content", digest, 7) == {"done": True}
    assert there.blobs() == {digest}
    assert ask(sender, op="put_blob", sha256=digest, size=7) == {"done": True}


def test_a_blob_with_another_digest_leaves_nothing(there, sender):
    with pytest.raises(Refused, match="other content"):
        put_blob(sender, b"content", "a" * 64, 7)
    assert there.blobs() == set()
    assert [path for path in everything(there) if "partial" in path] == []


@pytest.mark.parametrize("size", [6, 8])
def test_a_blob_of_another_size_does_not_appear(there, sender, size):
    with pytest.raises(MeshError, match="announced"):
        put_blob(sender, b"content", hashlib.sha256(b"content").hexdigest(), size)
    assert there.blobs() == set()


def test_a_manifest_without_its_blobs_does_not_appear(there, sender, manifest):
    with pytest.raises(Refused, match="is missing"):
        ask(sender, op="put_manifest", manifest=manifest)
    assert there.store.list() == []


def test_a_link_in_the_way_is_not_followed(there, sender, tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    os.symlink(outside, there.root / "incoming" / f"{'a' * 64}.partial")
    with pytest.raises(Refused, match="cannot store"):
        put_blob(sender, b"content", "a" * 64, 7)
    assert outside.read_bytes() == b"mine"


def test_a_parcel_file_with_another_digest_is_dropped(there, sender):
    assert ask(sender, op="put_file", parcel=PARCEL, name="memory", size=7, token="t") == {"offset": 0}
    sender.send_data(zstandard.ZstdCompressor().compress(b"content"))
    sender.send_data(b"")
    sender.send({"sha256": "a" * 64})
    with pytest.raises(Refused, match="other content"):
        sender.receive()
    with pytest.raises(Refused, match="cannot be committed"):
        ask(sender, op="commit", parcel=PARCEL, note={}, files={"memory": "a" * 64})
    assert not (there.root / "incoming" / "parcels" / PARCEL / "memory").exists()


def test_a_sender_that_hangs_up_in_the_middle_leaves_a_partial_only(there, sender):
    content = os.urandom(1 << 20)
    assert ask(sender, op="put_blob", sha256=hashlib.sha256(content).hexdigest(), size=len(content)) == {"offset": 0}
    sender.send_data(zstandard.ZstdCompressor().compress(content)[: 600 << 10])
    assert there.blobs() == set()
