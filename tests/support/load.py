# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients of the lab that call all along: short requests, each on a connection of its own, and slow downloads that must arrive whole."""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess
import typing as t

from mesh_lab import LAB, Mesh

#: Runs on the client until its standard input ends; prints what became of all that it began.
SCRIPT = """
import asyncio, hashlib, json, sys, time
address, rate, downloads, pace = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
done = {"requests": 0, "downloads": 0, "failures": [], "longest": 0.0}
digests = set()
stop = asyncio.Event()
async def get(path, pace=None):
    reader, writer = await asyncio.wait_for(asyncio.open_connection(address, 80, limit=65536), 5)
    try:
        writer.write(f"GET {path} HTTP/1.0\\r\\nHost: load\\r\\n\\r\\n".encode())
        await writer.drain()
        answer = b""
        while True:
            part = await asyncio.wait_for(reader.read(16384), 10)
            if not part:
                break
            answer += part
            if pace:
                await asyncio.sleep(len(part) / pace)
    finally:
        writer.close()
    head, unused, body = answer.partition(b"\\r\\n\\r\\n")
    if not head.split(b" ")[1:2] == [b"200"]:
        raise OSError(f"answered {head[:40]!r}")
    return body
async def ask(path, kind, check, pace=None):
    began = time.time()
    try:
        check(await get(path, pace))
        done[kind] += 1
    except Exception as exc:
        done["failures"].append([began, kind, f"{type(exc).__name__}: {exc}"])
    if not pace:
        done["longest"] = max(done["longest"], time.time() - began)
async def fresh():
    tasks = set()
    while not stop.is_set():
        task = asyncio.ensure_future(ask("/cgi-bin/page", "requests", json.loads))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.sleep(1 / rate)
    await asyncio.gather(*tasks)
def whole(body):
    digests.add(hashlib.sha256(body).hexdigest())
    if len(digests) != 1:
        raise ValueError("a download was broken")
async def slow():
    while not stop.is_set():
        # One that is refused at once is not tried again at once.
        await asyncio.gather(ask("/big", "downloads", whole, pace), asyncio.sleep(1 / rate))
async def main():
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, sys.stdin.read).add_done_callback(lambda ended: stop.set())
    await asyncio.gather(fresh(), *(slow() for unused in range(downloads)))
asyncio.run(main())
print(json.dumps(done))
"""

#: Begins a download and holds it until a line comes in, which says how long to sleep after every 64 KiB; without one it goes away.
HELD = """
import hashlib, http.client, sys, time
connection = http.client.HTTPConnection(sys.argv[1], timeout=20)
connection.request("GET", "/big")
answer = connection.getresponse()
got = hashlib.sha256(answer.read(1))
pause = sys.stdin.readline()
if pause:
    try:
        while not answer.isclosed():
            got.update(answer.read(65536))
            time.sleep(float(pause))
        print("whole", got.hexdigest())
    except (OSError, http.client.HTTPException):
        print("broken", got.hexdigest())
"""


@dataclasses.dataclass
class Outcome:
    """What became of a load: how many requests and downloads were answered whole, what failed (when it began, what, why), the longest request (seconds)."""

    requests: int
    downloads: int
    failures: list[tuple[float, str, str]]
    longest: float


class Load:
    """A load on a public address, from now until end() is called."""

    _running: t.ClassVar[list[subprocess.Popen]] = []

    def __init__(self, address: str, client: str = "client-east", rate: float = 10, downloads: int = 2, bytes_per_second: int = 300_000) -> None:
        command = shlex.join(["python3", "-c", SCRIPT, address, str(rate), str(downloads), str(bytes_per_second)])
        argv = ["ssh", "-F", str(LAB / "ssh_config"), client, command]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._running.append(self._process)

    @classmethod
    def abandon_all(cls) -> None:
        """End all that was not ended; who failed before it came to that would burden those that follow."""
        while cls._running:
            process = cls._running.pop()
            process.terminate()
            process.communicate()

    def end(self) -> Outcome:
        """Let what has begun come to its end, and return what became of all."""
        said, unused = self._process.communicate(timeout=120)
        self._running.remove(self._process)
        return Outcome(**json.loads(said))


class Download:
    """A client that begins to fetch the large file, reads no further until it is told to, and tells whether it got all of it then."""

    def __init__(self, address: str) -> None:
        """Begin."""
        argv = ["ssh", "-F", str(LAB / "ssh_config"), "client-west", shlex.join(["python3", "-c", HELD, address])]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self, pause: float = 0) -> tuple[bool, str]:
        """Read on, with a *pause* (seconds) after every 64 KiB, and return whether the end came in peace, and the digest of what it got."""
        status, digest = self.process.communicate(f"{pause}\n", timeout=120)[0].split()
        return status == "whole", digest

    def abandon(self) -> None:
        """Go away in the middle of it."""
        self.process.terminate()
        self.process.communicate()


def connections(mesh: Mesh, address: str) -> dict[str, int]:
    """Return how many connections live behind a public address of hn-east, by the fabric address of who serves them."""
    routers = mesh.module("gw-east", "domain_router_info")["routers"]
    services = [service for router in routers for service in router["services"] if service["public_address"] == address]
    return {one["address"]: one["connections"] for service in services for one in (*service["members"], *service["leaving"])}
