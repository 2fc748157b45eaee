# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""A real request to a public address, as any client would make it."""

from __future__ import annotations

import http.client
import socket
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for

#: Seconds that one attempt may take.
PATIENCE = 3.0


def answered(how: t.Mapping[str, t.Any], address: str, timeout: float, refusal_will_do: bool = False) -> None:
    """Make requests until one is answered.

    Args:
        how: {type: http|tcp|none, port, path, host}, see policy.document; an HTTP answer below 500 counts, for it comes from the service.
        address: where.
        timeout: seconds.
        refusal_will_do: whether a refused connection is as good: then somebody is there, if not yet the service.

    Raises:
        DeadlineExceeded: none was; the message has what became of the last one.
    """
    if how["type"] == "none":
        return
    last = "nothing"

    def attempt() -> bool:
        nonlocal last
        try:
            last = _http(how, address) if how["type"] == "http" else _tcp(how, address)
        except ConnectionRefusedError:
            last = "" if refusal_will_do else "the connection is refused"
        except (OSError, http.client.HTTPException) as exc:
            last = str(getattr(exc, "strerror", None) or exc or type(exc).__name__)
        return not last

    try:
        wait_for(attempt, timeout, f"{address} answers at port {how['port']}")
    except DeadlineExceeded as exc:
        tried = f"{address} did not answer a request from here at port {how['port']} within {timeout:g} s"
        raise DeadlineExceeded(f"{tried} ({last}); it is not published.") from exc


def _tcp(how: t.Mapping[str, t.Any], address: str) -> str:
    with socket.create_connection((address, how["port"]), PATIENCE):
        return ""


def _http(how: t.Mapping[str, t.Any], address: str) -> str:
    connection = http.client.HTTPConnection(address, how["port"], timeout=PATIENCE)
    try:
        connection.request("GET", how["path"], headers={"Host": how["host"], "Connection": "close"})
        status = connection.getresponse().status
    finally:
        connection.close()
    return "" if status < 500 else f"it answers HTTP {status}"
