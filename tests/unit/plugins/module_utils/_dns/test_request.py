# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What counts as an answer to the request before an address is published."""

from __future__ import annotations

import http.server
import socket
import threading

import pytest
from name_servers import free_port

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import request

HOME = "127.0.0.1"


@pytest.fixture
def web():
    """Starts a web server that answers with a status, and returns how to ask it."""
    servers = []

    def start(status):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status if self.headers["Host"] == "shop.example.com" and self.path == "/health" else 599)
                self.end_headers()

            def log_message(self, *unused):
                pass

        server = http.server.HTTPServer((HOME, 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return {"type": "http", "port": server.server_port, "path": "/health", "host": "shop.example.com"}

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [200, 301, 404])
def test_every_answer_of_the_service_itself_counts(web, status):
    request.answered(web(status), HOME, 5)


@pytest.mark.parametrize("status", [500, 503])
def test_a_service_that_fails_does_not_answer(web, status):
    with pytest.raises(DeadlineExceeded, match=rf"{HOME} did not answer .* within 0.1 s \(it answers HTTP {status}\); it is not published."):
        request.answered(web(status), HOME, 0.1)


def test_what_is_no_http_does_not_answer():
    with socket.create_server((HOME, 0)) as listening:
        how = {"type": "tcp", "port": listening.getsockname()[1]}
        request.answered(how, HOME, 5)
        thread = threading.Thread(target=lambda: [listening.accept()[0].close() for unused in range(2)], daemon=True)
        thread.start()
        with pytest.raises(DeadlineExceeded, match="did not answer"):
            request.answered({**how, "type": "http", "path": "/", "host": "shop.example.com"}, HOME, 0)


def test_a_refusal_will_do_where_only_the_way_is_looked_for():
    how = {"type": "tcp", "port": free_port(HOME)}
    request.answered(how, HOME, 0, refusal_will_do=True)
    with pytest.raises(DeadlineExceeded, match="the connection is refused"):
        request.answered(how, HOME, 0)


def test_what_cannot_be_asked_is_believed():
    request.answered({"type": "none"}, "192.0.2.1", 0)
