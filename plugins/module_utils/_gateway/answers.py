# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Asking members of a rotation for an answer, from where their callers will come from; and waiting until new ones give it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import http.client
import os
import socket
import ssl
import struct
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import balance, ports
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.balance import Check
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.caller import Caller
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway import arp
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import call_inside, enter

_Kind = t.Callable[[str, Check, float], t.Union[str, None]]

_PAUSE = 0.03
_SILENT = "no reply"
#: What the kernel says when nobody answers for an address.
_UNREACHABLE = os.strerror(errno.EHOSTUNREACH).lower()
#: Seconds for one try to connect, and for one attempt as a whole; the kernel sends a lost SYN again after one second.
_CONNECT = 1.0
_ATTEMPT = 5.0
#: Seconds in which a guest says that a UDP port is closed.
_REFUSAL = 0.3
#: Bytes in which a response has to come to the end of its first line.
_STATUS_LINE = 4096


class Waited(t.NamedTuple):
    """How long (seconds) it took until an instance answered on all its ports."""

    instance: str
    seconds: float


class _Target(t.NamedTuple):
    """Whom to ask for what."""

    member: dict[str, t.Any]
    check: Check

    @property
    def where(self) -> str:
        """Where it is asked, as a part of a sentence."""
        address = self.member["address"]
        return address if self.check.port is None else f"{address} port {self.check.port}"


def wait(namespace: str, members: list[dict[str, t.Any]], timeout: float, called_off: t.Callable[[], bool] = lambda: False) -> list[Waited]:
    """Wait until each of *members* answers on each of its TCP ports, all of them at the same time, and as its check asks.

    Args:
        namespace: the router's network namespace, from which the requests are made.
        members: C(instance), C(address), C(ports) and C(balance) of each.
        timeout: seconds until giving up.
        called_off: tells whether somebody knows that the answer will not come.

    Raises:
        Refused: it was called off, or whoever asked for it has gone.
        DeadlineExceeded: some did not answer; the message names the first of them, the result has all that did (C(waited)).
    """
    targets = [_Target(member, check) for member in members for check in _asked(member)]
    start, caller = time.monotonic(), Caller()

    def over() -> bool:
        return called_off() or caller.gone()

    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(targets)), initializer=enter, initargs=(namespace,)) as pool:
        asked = [pool.submit(_until_answered, target, start + timeout, over) for target in targets]
        answers = [one.result() for one in asked]
    seconds: dict[str, float] = {member["instance"]: 0.0 for member in members}
    silent = []
    for target, answer in zip(targets, answers):
        instance = target.member["instance"]
        if answer.problem is not None:
            silent.append((target, answer.problem))
            seconds.pop(instance, None)
        elif instance in seconds:
            seconds[instance] = max(seconds[instance], answer.at - start)
    waited = [Waited(instance, round(took, 3)) for instance, took in seconds.items()]
    if silent and over():
        why = "was called off" if called_off() else "has ended, for whoever asked for it has gone"
        raise Refused(f"The wait for {silent[0][0].member['instance']} {why}, so it was not put into rotation.")
    if silent:
        target, problem = silent[0]
        if problem in (_SILENT, _UNREACHABLE):
            problem = f"{problem}; {call_inside(namespace, lambda: _presence(target.member['address']))}"
        raise DeadlineExceeded(
            f"{target.member['instance']} did not answer on {target.where} within {timeout:g} s ({problem}), so it was not put into rotation.",
            {"waited": [one._asdict() for one in waited]},
        )
    return waited


def _presence(address: str) -> str:
    """Say whether a guest that answers nothing is there at all."""
    there = ask(address, Check("arp"), time.monotonic() + _CONNECT) is None
    return "its guest has the address, but does not answer there" if there else "nobody has that address"


def _asked(member: t.Mapping[str, t.Any]) -> list[Check]:
    """Return what a new member has to answer: its check, and a connection on each other TCP port."""
    check = balance.check_of(member.get("balance"), member["ports"])
    # Of a range nobody says that all of it is always open.
    single = [port["port"] for port in member["ports"] if port["protocol"] == "tcp" and ports.single(port)]
    plain = [Check("tcp", port) for port in single if port != check.port]
    return plain if check.kind == "arp" and plain else [check, *plain]


class _Answer(t.NamedTuple):
    at: float
    problem: str | None


def _until_answered(target: _Target, end: float, over: t.Callable[[], bool]) -> _Answer:
    before = None
    while True:
        problem = ask(target.member["address"], target.check, min(end, time.monotonic() + _ATTEMPT))
        now = time.monotonic()
        if problem is None or now >= end or over():
            # The last attempt may have had no time for more than silence.
            return _Answer(now, before if problem == _SILENT and before else problem)
        before = problem
        time.sleep(min(_PAUSE, max(0.0, end - now)))


def ask(address: str, check: Check, end: float) -> str | None:
    """Ask once, from the calling thread's network namespace; return None if there was an answer before *end* (monotonic), else what was wrong.

    However the other one goes about it, all of it is over by then.
    """
    return _told(_KINDS[check.kind], address, check, end)


def knock(address: str, port: int, end: float) -> str | None:
    """Ask a TCP port once, as ask() does, but hang up with a reset.

    It is for who goes before the other one has closed its side: on the way nobody could tell any more that the connection has ended.
    """

    def abruptly(address: str, check: Check, end: float) -> str | None:
        with _connected(address, check, end) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return None

    return _told(abruptly, address, Check("tcp", port), end)


def _told(kind: _Kind, address: str, check: Check, end: float) -> str | None:
    try:
        return kind(address, check, end)
    except socket.timeout:
        return _SILENT
    except ssl.SSLError as exc:
        return f"its TLS fails: {exc.reason or exc}"
    except OSError as exc:
        return (exc.strerror or str(exc)).lower()
    except http.client.HTTPException as exc:
        return f"its reply is not HTTP: {type(exc).__name__}"


def _tcp(address: str, check: Check, end: float) -> str | None:
    with _connected(address, check, end):
        return None


def _http(address: str, check: Check, end: float) -> str | None:
    with _connected(address, check, end) as line:
        return _page(line, address, check, end)


def _https(address: str, check: Check, end: float) -> str | None:
    # It is asked whether it serves, not who it is; whatever TLS an old guest speaks will do.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    with _connected(address, check, end) as line:
        line.settimeout(_left(end))
        # The time-out is that of the whole handshake.
        with context.wrap_socket(line) as secured:
            return _page(secured, address, check, end)


def _page(line: socket.socket, address: str, check: Check, end: float) -> str | None:
    """Ask for a page, and read no more of the response than its status."""
    line.settimeout(_left(end))
    line.sendall(f"GET {check.path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAccept: */*\r\n\r\n".encode("ascii"))
    read = b""
    while b"\n" not in read:
        line.settimeout(_left(end))
        part = line.recv(_STATUS_LINE - len(read))
        if not part:
            break
        read += part
        if len(read) >= _STATUS_LINE:
            raise http.client.LineTooLong("status line")
    words = read.split(b"\n")[0].split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise http.client.BadStatusLine(read[:80].decode("ascii", "replace"))
    status = int(words[1])
    return None if check.status[0] <= status <= check.status[1] else f"its HTTP status is {status}"


def _udp(address: str, check: Check, end: float) -> str | None:
    """Find out whether a port is refused; silence says nothing, so the guest has to be there besides."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.connect((address, check.port))
        line.send(b"")
        line.settimeout(min(_REFUSAL, _left(end)))
        with contextlib.suppress(socket.timeout):
            line.recv(1)
            return None
    return _arp(address, check, end)


def _arp(address: str, unused: Check, end: float) -> str | None:
    """Ask who has the address: no firewall of the guest's keeps that from it, and no service is touched."""
    return None if arp.answers(address, end) else _SILENT


_KINDS: dict[str, _Kind] = {"tcp": _tcp, "http": _http, "https": _https, "udp": _udp, "arp": _arp}


def _connected(address: str, check: Check, end: float) -> socket.socket:
    return socket.create_connection((address, check.port), timeout=min(_CONNECT, _left(end)))


def _left(end: float) -> float:
    """Return the seconds until *end*; raise socket.timeout when there are none."""
    left = end - time.monotonic()
    if left <= 0:
        raise socket.timeout
    return left
