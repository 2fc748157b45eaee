# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What RMs ask goes through the relay to the VMA, under the name of the key that was shown."""

from __future__ import annotations

import io
import json
import socket
import threading

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import asked, relay


def test_an_rm_asks_through_the_relay(url, tmp_path):
    path = str(tmp_path / "asked")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()

    def serve():
        connection = listener.accept()[0]
        with connection, connection.makefile("rb") as coming:
            connection.sendall(json.dumps(asked.answer(url, coming.read(), True)).encode())

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    said = io.BytesIO()
    relay.relay("rm-east-1", b'{"restart": {"shop-1.example.com": 3}}', said, path)
    server.join(10)
    told = json.loads(said.getvalue())
    assert told["never"] == {"shop-1.example.com": "shop-1.example.com does not live on rm-east-1 any more, says the registry of hn-east."}


@pytest.mark.parametrize(
    "said", [b"", b"rm-east-1\n", b"rm-east-1\n[]", b"rm-east-1\n{}", b'rm-east-1\n{"look": 1}', b'rm-east-1\n{"ended": "a", "restart": {}}', b"\xff\n{}"]
)
def test_what_is_no_question_is_answered_in_one_sentence(url, said):
    assert asked.answer(url, said, True) == {"error": "This is no question that a VMA is asked."}


@pytest.mark.parametrize("about", [[], "x", {"shop-1.example.com": "3"}, 3])
def test_epochs_have_to_be_said(url, about):
    assert asked.answer(url, b"rm-east-1\n" + json.dumps({"restart": about}).encode(), True)["error"].startswith("An RM has to say the epoch")


def test_what_is_refused_is_said(url):
    told = asked.answer(url, b'rm-east-1\n{"restart": {}}', False)
    assert "has started, too" in told["error"]
    assert asked.answer(url, b'rm-east-1\n{"ended": "nobody"}', False) == {}
