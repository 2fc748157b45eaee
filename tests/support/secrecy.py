# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab, and what it must not say: for tests of what is secret."""

from __future__ import annotations

import concurrent.futures
import json
import typing as t

from mesh_lab import Mesh

#: Prints every file of a host that anybody can read, every process's command line and environment, and the registry, that hold one of the words.
SNOOP = r"""
import glob, os, sqlite3, stat, sys
words = [word.encode() for word in sys.stdin.read().split()]
assert len(words) > 5
def look(what, content):
    if any(word in content for word in words):
        print(what)
def read(path):
    try:
        with open(path, "rb") as handle:
            return handle.read(64 << 20)
    except OSError:
        return b""
looked = 0
for top in ("/etc", "/var", "/run", "/tmp", "/root", "/home", "/usr/local"):
    for parent, directories, names in os.walk(top):
        directories[:] = [one for one in directories if os.lstat(os.path.join(parent, one)).st_mode & stat.S_IXOTH]
        for path in (os.path.join(parent, name) for name in names):
            try:
                state = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISREG(state.st_mode) and state.st_mode & stat.S_IROTH and state.st_size < 64 << 20:
                looked += 1
                look(path, read(path))
for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
    look(path, read(path))
registry = "/var/lib/vmatrix/vma/registry.db"
if os.path.exists(registry):
    look(registry, "".join(sqlite3.connect(registry).iterdump()).encode())
assert looked > 100
"""


class Spoken(Mesh):
    """The lab, talkative, and with a memory for all that was said."""

    verbosity = 3

    def __init__(self) -> None:
        self.said: list[str] = []

    def _run(self, what, check):
        play = super()._run(what, check)
        self.said += [play.output, json.dumps(play.results, default=str)]
        return play

    def must(self, host: str, module: str, /, **arguments: t.Any) -> dict[str, t.Any]:
        """Run one module of ours on a host, and let it not fail."""
        result = self.module(host, module, **arguments)
        assert "exception" not in result, result.get("msg")
        return result

    def row(self, address: str, timeout: float = 3) -> dict[str, t.Any] | None:
        """Return what the page says of the back-end."""
        return self.page(address, "/cgi-bin/row", timeout=timeout)

    def tunnel(self, gateway: str) -> list[dict[str, t.Any]]:
        """Return the tunnels of example.com on a gateway."""
        return self.must(gateway, "vpn_tunnel_info", domain="example.com")["tunnels"]


def heard(mesh: Mesh, words: list[str], hosts: list[str]) -> dict[str, str]:
    """Return which hosts have one of the words where anybody can read it, with what holds it."""

    def snoop(host):
        return mesh.ssh(host, "python3", "-c", SNOOP, stdin="\n".join(words))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        seen = dict(zip(hosts, pool.map(snoop, hosts)))
    return {host: text for host, text in seen.items() if text.strip()}
