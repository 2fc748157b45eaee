# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import socket
import threading
import time

import pytest
from disks import disk

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import fetch, intake
from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule.progress import Progress
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, DeadlineExceeded, InvalidInput, MeshError, Refused

CONTENT = disk()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves the disk in ways that depend on the path."""

    protocol_version = "HTTP/1.0"

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/disk")
            self.end_headers()
        elif self.path == "/none":
            self.send_error(404)
        else:
            self.send_response(200)
            if self.path != "/endless":
                self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.give()

    def give(self):
        if self.path == "/cut":
            self.wfile.write(CONTENT[:100_000])
        elif self.path == "/endless":
            while True:
                self.wfile.write(CONTENT)
        elif self.path == "/silent":
            self.server.over.wait()
        elif self.path == "/drops":
            while not self.server.over.wait(0.05):
                self.wfile.write(b".")
        else:
            self.wfile.write(CONTENT)

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as found:
        found.asked, found.over = [], threading.Event()
        found.url = f"http://127.0.0.1:{found.server_address[1]}"
        thread = threading.Thread(target=found.serve_forever, args=(0.05,))
        thread.start()
        yield found
        found.over.set()
        found.shutdown()
        thread.join()


@pytest.fixture
def get(tmp_path):
    def act(url, sha256=SHA256, most=1 << 30, silence=5.0):
        target = io.BytesIO()
        with Progress("fetch", "a fetch", 0, str(tmp_path)) as progress:
            fetch.fetch(url, sha256, target, most, progress, silence)
        return target.getvalue()

    return act


def test_what_is_there_is_fetched(server, get):
    assert get(f"{server.url}/disk") == CONTENT and get(f"{server.url}/moved") == CONTENT


@pytest.mark.parametrize(
    ("path", "more", "kind", "words"),
    [
        ("/disk", {"sha256": "0" * 64}, Refused, f"is not what was to be there: its SHA-256 is {SHA256}, not 0000"),
        ("/disk", {"most": 1000}, Refused, "there is room for 1000 on this RM"),
        ("/endless", {"most": 10 << 20}, Refused, "more than 10485760 bytes"),
        ("/cut", {}, Refused, f"ended after 100000 of {len(CONTENT)} bytes"),
        ("/none", {}, CommandFailed, "the server answers 404"),
        ("/silent", {"silence": 0.5}, DeadlineExceeded, "the server said nothing for 0.5 s"),
    ],
)
def test_what_goes_wrong_gets_a_sentence(server, get, path, more, kind, words):
    with pytest.raises(kind, match=words) as found:
        get(f"{server.url}{path}", **more)
    assert found.value.message.endswith(".")


def test_a_server_that_trickles_does_not_hold_it_up(server, get, monkeypatch):
    monkeypatch.setattr(fetch, "_PATIENCE", 1.0)
    monkeypatch.setattr(fetch, "_PER_GIB", 0.0)
    begin = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="took longer than 1 s"):
        get(f"{server.url}/drops")
    assert time.monotonic() - begin < 5


def test_headers_that_trickle_do_not_either(get, monkeypatch):
    monkeypatch.setattr(fetch, "_PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def drip():
            with contextlib.suppress(OSError), listener.accept()[0] as found:
                found.sendall(b"HTTP/1.0 200 OK\r\nX: ")
                while not over.wait(0.05):
                    found.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        begin = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="took longer than 1 s"):
            get(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert time.monotonic() - begin < 5
        over.set()
        thread.join()


def test_a_server_that_is_not_there_gets_a_sentence(get):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(CommandFailed, match="cannot be fetched: .*Connection refused"):
        get(f"http://127.0.0.1:{port}/disk")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a.example/b", "https:///b", "https://ada:secret@a.example/b", "/srv/disk", "http://a b/c", "http://[1/"]
)
def test_what_is_no_url_of_a_web_server_is_refused(url):
    with pytest.raises(InvalidInput, match="not a URL of an image"):
        fetch.checked(url)


@pytest.mark.parametrize("checksum", [None, "", "md5:9f86d081884c7d659a2feaa0c55ad015", "9f86", "sha256:9f86", "sha256:" + "g" * 64])
def test_a_checksum_is_needed(checksum):
    with pytest.raises(InvalidInput):
        fetch.digest(checksum, "https://a.example/b")


def test_a_disk_from_a_url_becomes_one_and_is_fetched_once(server, here, capsule_of):
    disk_ = {"name": "root", "url": f"{server.url}/disk", "checksum": f"sha256:{SHA256.upper()}"}
    assert intake.import_capsule(here.store, capsule_of(disk_), dry=True).changed is True and server.asked == []
    done = intake.import_capsule(here.store, capsule_of(disk_))
    assert done.manifest["disks"][0]["virtual_size"] == len(CONTENT)
    assert [step["did"] for step in done.steps["root"]] == ["fetched", "converted from raw"]
    assert intake.import_capsule(here.store, capsule_of(disk_)).changed is False
    assert server.asked == ["/disk"]


def test_nothing_is_left_of_what_was_not_what_it_was_to_be(server, here, capsule_of):
    for path, digest in (("/disk", "0" * 64), ("/cut", SHA256), ("/none", SHA256)):
        with pytest.raises(MeshError):
            intake.import_capsule(here.store, capsule_of({"name": "root", "url": f"{server.url}{path}", "checksum": f"sha256:{digest}"}))
    assert here.blobs() == set() and here.store.list() == []


@pytest.fixture
def capsule_of(ordinary):
    return lambda disk_: {**ordinary, "disks": [disk_]}
