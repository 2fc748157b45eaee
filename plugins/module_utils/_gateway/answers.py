# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Waiting until new members of a rotation answer a real request, asked from where their callers will come from."""

from __future__ import annotations

import concurrent.futures
import http.client
import socket
import time
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import balance
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import DeadlineExceeded, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._gateway.inside import enter

_PAUSE = 0.03
#: Seconds for one try to connect; the kernel sends a lost SYN again after one second.
_CONNECT = 1.0
#: Seconds for one HTTP answer once the connection stands.
_ANSWER = 5.0


class Check(t.NamedTuple):
    """What counts as an answer, see _core.balance."""

    kind: str = "tcp"
    path: str = "/"


class Waited(t.NamedTuple):
    """How long (seconds) it took until an instance answered on all its ports."""

    instance: str
    seconds: float


def check_of(service: t.Mapping[str, t.Any]) -> Check:
    """Return what counts as an answer of the members of a service of a router document."""
    whole = balance.whole(service.get("balance"))
    return Check(whole["check"], whole["path"])


def wait(namespace: str, members: list[dict[str, t.Any]], timeout: float, called_off: t.Callable[[], bool] = lambda: False) -> list[Waited]:
    """Wait until each of *members* answers on each of its TCP ports, all of them at the same time.

    Args:
        namespace: the router's network namespace, from which the requests are made.
        members: C(instance), C(address), C(ports) and C(balance) of each.
        timeout: seconds until giving up.
        called_off: tells whether somebody knows that the answer will not come.

    Raises:
        Refused: it was called off.
        DeadlineExceeded: some did not answer; the message names the first of them, the result has all that did (C(waited)).
    """
    targets = [(member, port["port"]) for member in members for port in member["ports"] if port["protocol"] == "tcp"]
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(targets)), initializer=enter, initargs=(namespace,)) as pool:
        asked = [pool.submit(_until_answered, member["address"], port, check_of(member), start + timeout, called_off) for member, port in targets]
        answers = [one.result() for one in asked]
    seconds: dict[str, float] = {member["instance"]: 0.0 for member in members}
    silent = []
    for (member, port), answer in zip(targets, answers):
        if answer.problem is not None:
            silent.append((member, port, answer.problem))
            seconds.pop(member["instance"], None)
        elif member["instance"] in seconds:
            seconds[member["instance"]] = max(seconds[member["instance"]], answer.at - start)
    waited = [Waited(instance, round(took, 3)) for instance, took in seconds.items()]
    if silent and called_off():
        raise Refused(f"The wait for {silent[0][0]['instance']} was called off, so it was not put into rotation.")
    if silent:
        member, port, problem = silent[0]
        raise DeadlineExceeded(
            f"{member['instance']} did not answer on {member['address']} port {port} within {timeout:g} s ({problem}), so it was not put into rotation.",
            {"waited": [one._asdict() for one in waited]},
        )
    return waited


class _Answer(t.NamedTuple):
    at: float
    problem: str | None


def _until_answered(address: str, port: int, check: Check, end: float, called_off: t.Callable[[], bool]) -> _Answer:
    while True:
        problem = ask(address, port, check, end)
        now = time.monotonic()
        if problem is None or now >= end or called_off():
            return _Answer(now, problem)
        time.sleep(min(_PAUSE, end - now))


def ask(address: str, port: int, check: Check, end: float) -> str | None:
    """Ask once, from the calling thread's network namespace; return None if there was an answer before *end* (monotonic), else what was wrong."""
    connection = http.client.HTTPConnection(address, port, timeout=_within(_CONNECT, end))
    try:
        connection.connect()
        if check.kind == "http":
            connection.sock.settimeout(_within(_ANSWER, end))
            connection.request("GET", check.path, headers={"Connection": "close"})
            status = connection.getresponse().status
            return f"its HTTP status is {status}" if status >= 500 else None
        return None
    except socket.timeout:
        return "no reply"
    except OSError as exc:
        return (exc.strerror or str(exc)).lower()
    except http.client.HTTPException as exc:
        return f"its reply is not HTTP: {type(exc).__name__}"
    finally:
        connection.close()


def _within(longest: float, end: float) -> float:
    return max(0.01, min(longest, end - time.monotonic()))
